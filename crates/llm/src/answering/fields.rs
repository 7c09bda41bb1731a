//! Takes a JSON object apart, field by field: what has the wrong type is refused by its name and
//! place, what nobody took is known at the end.

use super::Refused;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// An object of which fields are taken.
#[derive(Debug)]
pub(crate) struct Fields {
    place: String,
    map: Map<String, Value>,
}

impl Fields {
    pub(crate) fn of(value: Value, place: impl Into<String>) -> Result<Self, Refused> {
        let place = place.into();
        match value {
            Value::Object(map) => Ok(Self { place, map }),
            _ => Err(Refused::new(format!("{place} has to be an object."))),
        }
    }

    /// The place of a field, for messages.
    pub(crate) fn at(&self, key: &str) -> String {
        if self.place == "the body" { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// The field itself; `null` is none.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.swap_remove(key).filter(|value| !value.is_null())
    }

    fn typed<T>(
        &mut self,
        key: &str,
        what: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>, Refused> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let wrong = || Refused::new(format!("{} has to be {what}.", self.at(key)));
        read(value).map(Some).ok_or_else(wrong)
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, Refused> {
        self.typed(key, "a text", |v| match v {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    pub(crate) fn number(&mut self, key: &str) -> Result<Option<f64>, Refused> {
        self.typed(key, "a number", |v| v.as_f64())
    }

    pub(crate) fn count(&mut self, key: &str) -> Result<Option<u64>, Refused> {
        self.typed(key, "a whole number", |v| v.as_u64())
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, Refused> {
        self.typed(key, "true or false", |v| v.as_bool())
    }

    pub(crate) fn list(&mut self, key: &str) -> Result<Vec<Value>, Refused> {
        let list = self.typed(key, "a list", |v| match v {
            Value::Array(list) => Some(list),
            _ => None,
        })?;
        Ok(list.unwrap_or_default())
    }

    pub(crate) fn object(&mut self, key: &str) -> Result<Option<Self>, Refused> {
        let place = self.at(key);
        self.take(key).map(|value| Self::of(value, place)).transpose()
    }

    /// Objects of a list.
    pub(crate) fn objects(&mut self, key: &str) -> Result<Vec<Self>, Refused> {
        let place = self.at(key);
        let list = self.list(key)?.into_iter().enumerate();
        list.map(|(at, value)| Self::of(value, format!("{place}[{at}]"))).collect()
    }

    /// One text, or a list of them.
    pub(crate) fn texts(&mut self, key: &str) -> Result<Vec<String>, Refused> {
        let place = self.at(key);
        let wrong = || Refused::new(format!("{place} has to be a text or a list of texts."));
        let text = |value: Value| match value {
            Value::String(text) => Ok(text),
            _ => Err(wrong()),
        };
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => list.into_iter().map(text).collect(),
            Some(one) => Ok(vec![text(one)?]),
        }
    }

    pub(crate) fn needs_text(&mut self, key: &str) -> Result<String, Refused> {
        self.text(key)?.ok_or_else(|| Refused::new(format!("{} is missing.", self.at(key))))
    }

    /// The same, found under either of two names.
    pub(crate) fn either(&mut self, one: &str, other: &str) -> Option<Value> {
        let first = self.take(one);
        let second = self.take(other);
        first.or(second)
    }

    /// Fields whose loss changes nothing that anybody could see.
    pub(crate) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.map.swap_remove(*key);
        }
    }

    /// Refuses the request when the field says anything.
    pub(crate) fn refuse(&mut self, key: &str, why: &str) -> Result<(), Refused> {
        match self.take(key) {
            None | Some(Value::Bool(false)) => Ok(()),
            Some(Value::Array(list)) if list.is_empty() => Ok(()),
            Some(_) => Err(Refused::new(format!("{}: {why}", self.at(key)))),
        }
    }

    /// A refusal that names this place.
    pub(crate) fn wrong(&self, why: &str) -> Refused {
        Refused::new(format!("{}: {why}", self.place))
    }

    /// Names what nobody took.
    pub(crate) fn rest(self, dropped: &mut BTreeSet<String>) {
        let names = self.map.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name);
        let names: Vec<String> = names.map(|name| self.at(name)).collect();
        dropped.extend(names);
    }
}
