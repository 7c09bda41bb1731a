//! Reads the arguments of a call and says clearly what is wrong with them: the model reads it.

use crate::outcome::ToolOutcome;
use serde_json::{Map, Value};
use toft_model::message::INVALID_ARGUMENTS;

/// Why a call is not carried out, in words for the model.
#[derive(Debug)]
pub(crate) struct Refused(String);

impl Refused {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<Refused> for ToolOutcome {
    fn from(refused: Refused) -> Self {
        Self::error(refused.0)
    }
}

/// The arguments of one call.
pub(crate) struct Arguments {
    tool: &'static str,
    names: &'static [&'static str],
    values: Map<String, Value>,
}

impl Arguments {
    /// Takes the arguments of a call of `tool`, which knows these names.
    pub(crate) fn new(
        tool: &'static str,
        names: &'static [&'static str],
        arguments: Value,
    ) -> Result<Self, Refused> {
        let values = match arguments {
            Value::Object(values) => values,
            Value::Null => Map::new(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(Refused::new(format!(
                    "The arguments of {tool} must be a JSON object with: {}.",
                    names.join(", ")
                )));
            }
        };
        if values.contains_key(INVALID_ARGUMENTS) {
            return Err(Refused::new(format!(
                "The arguments of this call of {tool} were not valid JSON, or were cut off because \
                 the answer became too long. Nothing was done. Call it again with a whole JSON \
                 object; write long content in several smaller calls."
            )));
        }
        if let Some(unknown) = values.keys().find(|key| !names.contains(&key.as_str())) {
            return Err(Refused::new(format!(
                "{tool} has no argument `{unknown}`. It takes: {}. Nothing was done.",
                names.join(", ")
            )));
        }
        Ok(Self { tool, names, values })
    }

    fn wrong(&self, name: &str, expected: &str, got: &Value) -> Refused {
        let got = match got {
            Value::Null => "null".to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Number(n) => n.to_string(),
            Value::String(_) => "text".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        Refused::new(format!(
            "The argument `{name}` of {} must be {expected}, not {got}. Nothing was done.",
            self.tool
        ))
    }

    /// A value that is there and not null.
    fn get(&self, name: &str) -> Option<&Value> {
        debug_assert!(self.names.contains(&name), "{name} is an argument of {}", self.tool);
        self.values.get(name).filter(|v| !v.is_null())
    }

    /// A value as it is.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name).filter(|v| !v.is_null())
    }

    /// A text that must be there; `what` says what it is.
    pub(crate) fn text(&self, name: &str, what: &str) -> Result<String, Refused> {
        self.optional_text(name)?.ok_or_else(|| {
            Refused::new(format!(
                "The argument `{name}` of {} is missing: {what}. Nothing was done.",
                self.tool
            ))
        })
    }

    /// A text that must be there and say something.
    pub(crate) fn some_text(&self, name: &str, what: &str) -> Result<String, Refused> {
        let text = self.text(name, what)?;
        if text.trim().is_empty() {
            return Err(Refused::new(format!(
                "The argument `{name}` of {} is empty: {what}. Nothing was done.",
                self.tool
            )));
        }
        Ok(text)
    }

    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<String>, Refused> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.wrong(name, "text", other)),
        }
    }

    /// A number above zero. Digits in quotes are taken too: some models write them so.
    pub(crate) fn positive(&self, name: &str) -> Result<Option<f64>, Refused> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = match value {
            Value::Number(n) => n.as_f64(),
            Value::String(s) => s.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        match number.filter(|n| n.is_finite() && *n > 0.0) {
            Some(n) => Ok(Some(n)),
            None => Err(self.wrong(name, "a number above 0", value)),
        }
    }

    /// A whole number from 1.
    pub(crate) fn count(&self, name: &str) -> Result<Option<usize>, Refused> {
        let Some(number) = self.positive(name)? else { return Ok(None) };
        if number.fract() != 0.0 || number > 1e15 {
            let got = self.get(name).unwrap_or(&Value::Null);
            return Err(self.wrong(name, "a whole number from 1", got));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked: whole, positive and below 1e15"
        )]
        Ok(Some(number as usize))
    }

    /// A number from 0, of which only the whole part counts.
    pub(crate) fn count_from_zero(&self, name: &str) -> Result<Option<usize>, Refused> {
        match self.get(name) {
            Some(Value::Number(n)) if n.as_f64() == Some(0.0) => Ok(Some(0)),
            Some(Value::String(s)) if s.trim() == "0" => Ok(Some(0)),
            _ => self.count(name),
        }
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refused> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(b)) => Ok(*b),
            Some(Value::String(s)) if s == "true" => Ok(true),
            Some(Value::String(s)) if s == "false" => Ok(false),
            Some(other) => Err(self.wrong(name, "true or false", other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(arguments: &Value, expected: Result<(), &str>) {
        let got = Arguments::new("t", &["path", "limit", "all"], arguments.clone()).and_then(|a| {
            a.some_text("path", "the file")?;
            a.count("limit")?;
            a.flag("all")?;
            Ok(())
        });
        match (got, expected) {
            (Ok(()), Ok(())) => {}
            (Err(refused), Err(part)) => {
                assert!(refused.0.contains(part), "{arguments}: {}", refused.0);
            }
            (got, expected) => panic!("{arguments}: {got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn wrong_arguments_are_named() {
        check(&json!({"path": "a"}), Ok(()));
        check(&json!({"path": "a", "limit": "10", "all": "true"}), Ok(()));
        check(&json!({"path": "a", "limit": 10.0, "all": null}), Ok(()));
        check(&json!({}), Err("`path` of t is missing: the file"));
        check(&Value::Null, Err("`path` of t is missing"));
        check(&json!({"path": " "}), Err("`path` of t is empty"));
        check(&json!({"path": 7}), Err("must be text, not 7"));
        check(&json!({"path": ["a"]}), Err("must be text, not a list"));
        check(
            &json!({"path": "a", "file": 1}),
            Err("no argument `file`. It takes: path, limit, all"),
        );
        check(&json!({"path": "a", "limit": 0}), Err("a number above 0, not 0"));
        check(&json!({"path": "a", "limit": -1}), Err("a number above 0"));
        check(&json!({"path": "a", "limit": 1.5}), Err("a whole number"));
        check(&json!({"path": "a", "all": "yes"}), Err("true or false"));
        check(&json!([]), Err("must be a JSON object"));
        check(&json!({"_invalidArguments": "{"}), Err("were not valid JSON"));
    }
}
