//! What a row of the table `services` declares: each value as it is meant, or what is wrong with it and
//! how to mend it, in words for people and for the agent. Pure.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use toft_model::inspect::Restart;

/// Characters of one value; a description is a sentence.
pub(super) const TEXT_CHARS_MAX: usize = 4_096;

/// Characters of a value that are repeated to who wrote it.
const SHOWN_CHARS_MAX: usize = 60;

/// What of a row cannot be read.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }

    /// All of them as one text.
    pub(super) fn told(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(" "))
    }
}

/// The command, if there is one that can be run as it stands.
pub(super) fn command(text: Option<String>, faults: &mut Faults) -> Option<String> {
    let text = text.filter(|text| !text.trim().is_empty())?;
    if text.chars().nth(TEXT_CHARS_MAX).is_some() {
        faults.add(format!(
            "`command` is longer than {TEXT_CHARS_MAX} characters: put it into a script in the \
             project, and write the script's name there."
        ));
        // Kept, so that it is known that there is one; never run.
        return Some(text.chars().take(TEXT_CHARS_MAX).collect());
    }
    if text.contains('\0') {
        faults.add("`command` has a NUL character in it: remove it.");
        return Some(text.replace('\0', "\u{fffd}"));
    }
    Some(text)
}

/// A JSON object of names and values; numbers and truth values are taken as text.
pub(super) fn environment(
    text: Option<&str>,
    faults: &mut Faults,
) -> Option<BTreeMap<String, String>> {
    let text = text?.trim();
    if text.is_empty() {
        return None;
    }
    let object = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => object,
        Ok(Value::Null) => return None,
        Ok(other) => {
            faults.add(format!("`env` is {}: {AS_OBJECT}", word(&other)));
            return None;
        }
        Err(error) => {
            faults.add(format!("`env` is not JSON ({error}): {AS_OBJECT}"));
            return None;
        }
    };
    Some(variables(object, faults))
}

/// How an environment is written.
const AS_OBJECT: &str = "write an object of names and texts, such as {\"MODE\": \"fast\"}.";

fn variables(object: Map<String, Value>, faults: &mut Faults) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, value) in object {
        let value = match value {
            Value::String(text) => text,
            value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
            other @ (Value::Null | Value::Array(_) | Value::Object(_)) => {
                faults.add(format!(
                    "In `env` the value of {} is {}: write a text, or leave it out.",
                    shown(&name),
                    word(&other)
                ));
                continue;
            }
        };
        if name.is_empty() || name.contains(['=', '\0']) {
            faults.add(format!(
                "In `env` {} is no name of a variable: it must not be empty and holds no `=`.",
                shown(&name)
            ));
        } else if value.contains('\0') {
            faults
                .add(format!("In `env` the value of {} has a NUL character in it.", shown(&name)));
        } else {
            variables.insert(name, value);
        }
    }
    variables
}

/// A port, or what is no port.
pub(super) fn port(text: Option<&str>, faults: &mut Faults) -> Option<u16> {
    let text = text?.trim();
    // Often written for what has none.
    if text.is_empty() || text == "0" {
        return None;
    }
    let port = text.parse().ok().filter(|port| *port > 0);
    if port.is_none() {
        faults.add(format!(
            "`port` is {}: write a number from 1 to 65535, such as 3000, or nothing.",
            shown(text)
        ));
    }
    port
}

/// A restart rule, also as it is often spelt elsewhere.
pub(super) fn restart(text: &str, faults: &mut Faults) -> Option<Restart> {
    match text.trim().to_ascii_lowercase().replace('_', "-").as_str() {
        "" => None,
        "always" | "unless-stopped" => Some(Restart::Always),
        "on-failure" => Some(Restart::OnFailure),
        "never" | "no" => Some(Restart::Never),
        _ => {
            faults.add(format!(
                "`restart` is {}: write `always`, `on-failure` or `never`.",
                shown(text)
            ));
            None
        }
    }
}

/// What is wanted of a command.
pub(super) fn status(text: &str, faults: &mut Faults) {
    let known = ["running", "stopped", "error"];
    if !known.iter().any(|word| text.trim().eq_ignore_ascii_case(word)) {
        faults.add(format!(
            "`status` is {}, so it is not run: write `running` or `stopped`.",
            shown(text)
        ));
    }
}

/// What kind of JSON it is.
fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said_with_how_to_write_it() {
        let env = |text: &str| {
            let mut faults = Faults::default();
            let env = environment(Some(text), &mut faults);
            (env.unwrap_or_default().into_iter().collect::<Vec<_>>(), faults.told())
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(env(" "), (vec![], None));
        assert_eq!(env("null"), (vec![], None));
        let read = (vec![pair("A", "b"), pair("N", "5"), pair("T", "true")], None);
        assert_eq!(env(r#"{"A":"b","N":5,"T":true}"#), read);
        for (text, said) in [
            ("A=b", "not JSON"),
            (r#"{"A":"b""#, "not JSON"),
            (r#"["A"]"#, "`env` is a list: write an object of names and texts"),
            (r#""A""#, "`env` is a text"),
            (r#"{"A":null}"#, "the value of \"A\" is null"),
            (r#"{"A":{"B":1}}"#, "the value of \"A\" is an object"),
            (r#"{"A=B":"c"}"#, "\"A=B\" is no name"),
            (r#"{"":"c"}"#, "\"\" is no name"),
            (r#"{"A":"\u0000"}"#, "NUL"),
        ] {
            let (read, told) = env(text);
            assert!(told.as_ref().is_some_and(|told| told.contains(said)), "{text}: {told:?}");
            assert_eq!(read, [], "{text}");
        }
        let port = |text: &str| {
            let mut faults = Faults::default();
            (port(Some(text), &mut faults), faults.told().is_some())
        };
        assert_eq!((port(" 3000 "), port("")), ((Some(3_000), false), (None, false)));
        assert_eq!(port("0"), (None, false));
        for bad in ["00", "65536", "-1", "3000.5", "http", "80, 81", "+x"] {
            assert_eq!(port(bad), (None, true), "{bad}");
        }
        let mut faults = Faults::default();
        assert_eq!(restart("On_Failure", &mut faults), Some(Restart::OnFailure));
        assert_eq!(command(Some("serve ".into()), &mut faults).as_deref(), Some("serve "));
        status("Running", &mut faults);
        assert_eq!(faults.told(), None);
        let mut faults = Faults::default();
        assert_eq!(restart("sometimes", &mut faults), None);
        status("active", &mut faults);
        let long = command(Some("é".repeat(5_000)), &mut faults).unwrap();
        assert_eq!(long.chars().count(), TEXT_CHARS_MAX);
        let told = faults.told().unwrap();
        for part in ["\"sometimes\"", "\"active\"", "put it into a script"] {
            assert!(told.contains(part), "{told}");
        }
    }
}
