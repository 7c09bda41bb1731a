//! Reads the arguments of a call. What is meant without doubt is taken as it is meant (`"5"` for 5, one
//! text for a list of one, `file_path` for `path`); of all else it says clearly what is wrong: the model
//! reads it.

use crate::{outcome::ToolOutcome, output::cut_at_char};
use serde_json::{Map, Value};
use toft_model::message::INVALID_ARGUMENTS;

/// What models that were trained on other tools call an argument; without `_` and in lower case.
const OTHER_NAMES: [(&str, &str); 12] = [
    ("filepath", "path"),
    ("file", "path"),
    ("filename", "path"),
    ("oldstring", "oldText"),
    ("oldstr", "oldText"),
    ("newstring", "newText"),
    ("newstr", "newText"),
    ("cmd", "command"),
    ("patch", "input"),
    ("text", "content"),
    ("todos", "items"),
    ("regex", "pattern"),
];

/// Bytes of a wrong text that are shown.
const SHOWN_BYTES_MAX: usize = 60;

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
        let whole = match arguments {
            // All arguments as JSON in a text.
            Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            other => other,
        };
        let values = match whole {
            Value::Object(values) => values,
            Value::Null => Map::new(),
            // There is only one that it can be.
            Value::String(text) if names.len() == 1 => {
                Map::from_iter([(names[0].to_owned(), Value::String(text))])
            }
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
        let values = renamed(names, values);
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
            Value::String(text) => format!("the text {:?}", cut_at_char(text, SHOWN_BYTES_MAX)),
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
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Array(one)) if one.len() == 1 && one[0].is_string() => {
                Ok(one[0].as_str().map(str::to_owned))
            }
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

    /// A list that must be there. One thing stands for a list of one; a list as JSON in a text is
    /// taken too.
    pub(crate) fn list(&mut self, name: &str, what: &str) -> Result<Vec<Value>, Refused> {
        match self.take(name) {
            Some(value) => self.as_list(name, value),
            None => Err(Refused::new(format!(
                "The argument `{name}` of {} is missing: {what}. Nothing was done.",
                self.tool
            ))),
        }
    }

    /// A value of that argument as the list that it stands for.
    pub(crate) fn as_list(&self, name: &str, value: Value) -> Result<Vec<Value>, Refused> {
        let value = match value {
            Value::String(text) => match serde_json::from_str(&text) {
                Ok(parsed @ (Value::Array(_) | Value::Object(_))) => parsed,
                _ => Value::String(text),
            },
            other => other,
        };
        match value {
            Value::Array(list) => Ok(list),
            one @ (Value::Object(_) | Value::String(_)) => Ok(vec![one]),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => {
                Err(self.wrong(name, "a list", &other))
            }
        }
    }

    /// A list of texts; an empty one when it is not there.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Vec<String>, Refused> {
        if self.get(name).is_none() {
            return Ok(Vec::new());
        }
        let list = self.list(name, "")?;
        let texts = list.into_iter().map(|item| match item {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(self.wrong(name, "a list of texts", &other)),
        });
        texts.collect()
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refused> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(b)) => Ok(*b),
            Some(Value::String(s)) if s.trim().eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::String(s)) if s.trim().eq_ignore_ascii_case("false") => Ok(false),
            Some(Value::Number(n)) if n.as_u64() == Some(1) => Ok(true),
            Some(Value::Number(n)) if n.as_u64() == Some(0) => Ok(false),
            Some(other) => Err(self.wrong(name, "true or false", other)),
        }
    }
}

/// An argument of a call as its tool will understand it, of a tool that has this one.
pub(crate) fn peek(arguments: &Value, names: &'static [&'static str; 1]) -> Option<String> {
    let values = renamed(names, arguments.as_object()?.clone());
    Arguments { tool: "", names, values }.optional_text(names[0]).ok()?
}

/// Arguments by the names that the tool knows.
pub(crate) fn renamed(names: &[&'static str], values: Map<String, Value>) -> Map<String, Value> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let mut out = Map::new();
    let known: Vec<String> =
        values.keys().filter(|k| names.contains(&k.as_str())).cloned().collect();
    for (key, value) in values {
        let same = |name: &&&str| plain(name) == plain(&key);
        let other = || {
            let (_, name) = OTHER_NAMES.iter().find(|(other, _)| *other == plain(&key))?;
            names.iter().find(|known| *known == name)
        };
        let name = match names.iter().find(same).or_else(other) {
            // Never in place of one that was given by its name.
            Some(name) if !known.iter().any(|k| k == name) && !out.contains_key(*name) => {
                (*name).to_owned()
            }
            Some(_) | None => key,
        };
        out.insert(name, value);
    }
    out
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
    fn lists_are_taken_as_they_are_meant() {
        for (given, expected) in [
            (json!(["a", 5]), Some(vec!["a", "5"])),
            (json!("a"), Some(vec!["a"])),
            (json!("[\"a\", \"b\"]"), Some(vec!["a", "b"])),
            (Value::Null, Some(vec![])),
            (json!([["a"]]), None),
            (json!(true), None),
        ] {
            let mut args = Arguments::new("t", &["names"], json!({ "names": given })).unwrap();
            let got = args.texts("names").ok();
            assert_eq!(
                got,
                expected.map(|e| e.into_iter().map(str::to_owned).collect()),
                "{given}"
            );
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
        check(&json!({"path": true}), Err("must be text, not true"));
        check(&json!({"path": ["a", "b"]}), Err("must be text, not a list"));
        check(
            &json!({"path": "a", "file": 1}),
            Err("no argument `file`. It takes: path, limit, all"),
        );
        check(
            &json!({"path": "a", "limit": "many"}),
            Err("a number above 0, not the text \"many\""),
        );
        check(&json!({"path": "a", "limit": 0}), Err("a number above 0, not 0"));
        check(&json!({"path": "a", "limit": -1}), Err("a number above 0"));
        check(&json!({"path": "a", "limit": 1.5}), Err("a whole number"));
        check(&json!({"file_path": 7, "ALL": 1, "limit": " 5 "}), Ok(()));
        check(&json!({"path": ["a"], "all": "True"}), Ok(()));
        check(&json!("{\"path\": \"a\"}"), Ok(()));
        check(&json!({"path": "a", "all": "yes"}), Err("true or false"));
        check(&json!([]), Err("must be a JSON object"));
        check(&json!({"_invalidArguments": "{"}), Err("were not valid JSON"));
    }
}
