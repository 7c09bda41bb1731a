//! What is asked for when work is: bodies of `runs` and `messages`, what of them makes a request another one, and the
//! key that it comes under. Nothing of it is looked up here.

use crate::{
    api_error::ApiError,
    comparisons::{CANDIDATES_MAX, CANDIDATES_MIN},
    secrets::hand_down::{All, Grant},
};
use axum::http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use toft_model::id::hex;

/// Characters of an `Idempotency-Key`.
const KEY_CHARS_MAX: usize = 200;
/// Bytes of the name of a provider or a model: more than any has.
const NAME_BYTES_MAX: usize = 256;

/// What both routes take beside their text.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) input: Option<Value>,
    pub(super) stream: bool,
    pub(super) provider: Option<String>,
    pub(super) model: Option<String>,
    pub(super) workspace_backend: Option<String>,
    pub(super) approval: bool,
    pub(super) priority: i32,
}

/// Body of `POST …/runs`. A field that is null is left out.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    /// What is to be done.
    #[schemars(required, length(min = 1))]
    prompt: Option<String>,
    /// So many runs of it, each in a fork of its own, to be compared.
    #[schemars(range(min = CANDIDATES_MIN, max = CANDIDATES_MAX))]
    n: Option<usize>,
    /// The same, one for each of these models.
    #[schemars(length(min = CANDIDATES_MIN, max = CANDIDATES_MAX))]
    models: Option<Vec<Choice>>,
    /// Which of the project's secrets those forks have.
    secrets: Option<Grant>,
    /// JSON that is kept with it.
    input: Option<Value>,
    /// The answer is its events.
    stream: Option<bool>,
    provider: Option<String>,
    model: Option<String>,
    /// `native`, `oci`, `host` or `e2b`, as far as the server offers it.
    workspace_backend: Option<String>,
    /// A person decides on its plan before anything is built.
    approval: Option<bool>,
    /// Larger ones go first, among those of other projects.
    priority: Option<i32>,
}

/// Body of `POST …/messages`. A field that is null is left out.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Message {
    /// What is to be done, after what was said before.
    #[schemars(required, length(min = 1))]
    content: Option<String>,
    /// JSON that is kept with it.
    input: Option<Value>,
    /// The answer is its events.
    stream: Option<bool>,
    provider: Option<String>,
    model: Option<String>,
    /// `native`, `oci`, `host` or `e2b`, as far as the server offers it.
    workspace_backend: Option<String>,
    /// A person decides on its plan before anything is built.
    approval: Option<bool>,
    /// Larger ones go first, among those of other projects.
    priority: Option<i32>,
}

/// Who is to answer in one of several runs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    pub(super) provider: Option<String>,
    pub(super) model: Option<String>,
}

/// A candidate works as the project would: with its secrets, unless the request names others.
fn all() -> Grant {
    Grant::All(All::All)
}

/// A request, before it is a run.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) text: String,
    pub(super) continues: bool,
    pub(super) options: Options,
}

/// Several runs of one prompt, each in a fork of its own.
pub(super) struct Several {
    pub(super) n: Option<usize>,
    pub(super) models: Option<Vec<Choice>>,
    pub(super) secrets: Grant,
}

impl Create {
    /// What it asks for: one run, or several.
    pub(super) fn asked(self) -> Result<(Asked, Option<Several>), ApiError> {
        let text = self.prompt.ok_or_else(|| missing("prompt"))?;
        let options = Options {
            input: self.input,
            stream: self.stream.unwrap_or_default(),
            provider: self.provider,
            model: self.model,
            workspace_backend: self.workspace_backend,
            approval: self.approval.unwrap_or_default(),
            priority: self.priority.unwrap_or_default(),
        };
        let asked = Asked { text, continues: false, options };
        let (n, models) = (self.n, self.models);
        if n.is_none() && models.is_none() {
            if self.secrets.is_some() {
                return Err(ApiError::invalid(
                    "secrets is of several runs (n, models): one run has the project's",
                ));
            }
            return Ok((asked, None));
        }
        let secrets = self.secrets.unwrap_or_else(all);
        Ok((asked, Some(Several { n, models, secrets })))
    }
}

impl Message {
    pub(super) fn asked(self) -> Result<Asked, ApiError> {
        let text = self.content.ok_or_else(|| missing("content"))?;
        let options = Options {
            input: self.input,
            stream: self.stream.unwrap_or_default(),
            provider: self.provider,
            model: self.model,
            workspace_backend: self.workspace_backend,
            approval: self.approval.unwrap_or_default(),
            priority: self.priority.unwrap_or_default(),
        };
        Ok(Asked { text, continues: true, options })
    }
}

fn missing(name: &str) -> ApiError {
    ApiError::invalid(format!("{name} is missing: say what is to be done"))
}

impl Asked {
    /// What makes it the same request: all that is asked for, and not how the answer is to come.
    pub(super) fn digest(&self) -> String {
        digest(&json!([self.continues, self.said()]))
    }

    pub(super) fn digest_with(&self, several: &Several) -> String {
        let models = several.models.as_ref().map(|all| {
            all.iter().map(|one| [one.provider.as_ref(), one.model.as_ref()]).collect::<Vec<_>>()
        });
        digest(&json!(["several", self.said(), several.n, models, several.secrets]))
    }

    fn said(&self) -> Value {
        let Options { input, provider, model, workspace_backend, approval, priority, stream: _ } =
            &self.options;
        let input = input.as_ref().map(ordered);
        json!([self.text, input, provider, model, workspace_backend, approval, priority])
    }
}

fn digest(said: &Value) -> String {
    hex(&Sha256::digest(said.to_string()))
}

/// The same JSON, its fields in the order of their names: who sends it again may have them in another one.
fn ordered(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, Value> =
                fields.iter().map(|(name, value)| (name, ordered(value))).collect();
            json!(fields)
        }
        Value::Array(all) => all.iter().map(ordered).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// What came with a prompt, when both can be kept.
pub(super) fn clean(
    text: &str,
    name: &str,
    input: Option<Value>,
) -> Result<Option<String>, ApiError> {
    if text.trim().is_empty() {
        return Err(ApiError::invalid(format!("{name} is empty: say what is to be done")));
    }
    let input = input.filter(|input| !input.is_null());
    if text.contains('\0') || input.as_ref().is_some_and(has_nul) {
        return Err(ApiError::invalid("a text holds a NUL character: leave it out"));
    }
    Ok(input.map(|input| input.to_string()))
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(all) => all.iter().any(has_nul),
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A name that can be that of a provider or a model.
pub(super) fn name(what: &str, name: &str) -> Result<(), ApiError> {
    let is_fine = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control);
    if is_fine {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "{what} is a name of 1 to {NAME_BYTES_MAX} bytes without control characters: GET /v1/models lists them"
    )))
}

/// The key that a request comes under.
pub(super) fn key(headers: &HeaderMap) -> Result<String, ApiError> {
    let mut all = headers.get_all("idempotency-key").iter();
    let Some(key) = all.next() else {
        return Err(ApiError::invalid(
            "the header Idempotency-Key is missing: send one that is new for each new request, and the same when you repeat one",
        ));
    };
    let text = key.to_str().unwrap_or_default().trim();
    // Of two nobody knows which one the next try has.
    if all.next().is_some() || text.is_empty() || text.chars().count() > KEY_CHARS_MAX {
        return Err(ApiError::invalid(format!(
            "the header Idempotency-Key has 1 to {KEY_CHARS_MAX} visible characters, and is there once"
        )));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_error::Code;
    use axum::http::HeaderValue;

    fn asked(body: Value) -> Asked {
        serde_json::from_value::<Create>(body).unwrap().asked().unwrap().0
    }

    #[test]
    fn the_same_request_is_the_same_however_it_is_written_and_answered() {
        let first = asked(json!({"prompt": "a", "input": {"x": 1, "y": [{"b": 1, "a": 2}]}}));
        let mut same = Vec::new();
        for body in [
            r#"{"input": {"y": [{"a": 2, "b": 1}], "x": 1}, "prompt": "a", "stream": true}"#,
            r#"{"prompt": "a", "input": {"x": 1, "y": [{"b": 1, "a": 2}]}, "model": null, "stream": null,
                "approval": null, "priority": null, "n": null, "models": null, "secrets": null}"#,
        ] {
            same.push(asked(serde_json::from_str(body).unwrap()).digest());
        }
        assert_eq!(same, [first.digest(), first.digest()]);
        for other in [
            json!({"prompt": "b", "input": {"x": 1, "y": [{"b": 1, "a": 2}]}}),
            json!({"prompt": "a"}),
            json!({"prompt": "a", "input": {"x": 1, "y": [{"b": 2, "a": 1}]}}),
            json!({"prompt": "a", "input": {"x": 1, "y": [{"b": 1, "a": 2}]}, "approval": true}),
            json!({"prompt": "a", "input": {"x": 1, "y": [{"b": 1, "a": 2}]}, "priority": 1}),
        ] {
            assert_ne!(asked(other.clone()).digest(), first.digest(), "{other}");
        }
        let message: Message = serde_json::from_value(json!({"content": "a"})).unwrap();
        assert_ne!(message.asked().unwrap().digest(), asked(json!({"prompt": "a"})).digest());
    }

    #[test]
    fn a_field_that_there_is_none_of_is_refused() {
        for body in
            [json!({"prompt": "a", "approves": true}), json!({"prompt": "a", "content": "b"})]
        {
            assert!(serde_json::from_value::<Create>(body).is_err());
        }
        for body in [json!({"content": "a", "n": 2}), json!({"content": "a", "prompt": "b"})] {
            assert!(serde_json::from_value::<Message>(body).is_err());
        }
    }

    #[test]
    fn a_text_without_words_or_with_a_nul_is_refused_and_one_about_it_is_not() {
        for (text, input) in [
            (" \n", Value::Null),
            ("a\0b", Value::Null),
            ("a", json!({"b": ["\0"]})),
            ("a", json!({"b\0": 1})),
        ] {
            assert!(clean(text, "prompt", Some(input.clone())).is_err(), "{text:?} {input}");
        }
        let about = json!("a backslash, u and 0000: \\u0000");
        assert_eq!(clean("a", "prompt", Some(about.clone())).unwrap(), Some(about.to_string()));
        assert_eq!(clean("a", "prompt", Some(Value::Null)).unwrap(), None);
    }

    #[test]
    fn a_key_has_1_to_200_visible_characters_and_is_there_once() {
        let of = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("idempotency-key", HeaderValue::from_bytes(value).unwrap());
            }
            key(&headers).map_err(|error| error.code)
        };
        let longest = "k".repeat(KEY_CHARS_MAX);
        assert_eq!(of(&[longest.as_bytes()]).unwrap(), longest);
        assert_eq!(of(&[b" a b "]).unwrap(), "a b");
        let long = "k".repeat(KEY_CHARS_MAX + 1);
        let wrong: [&[&[u8]]; 6] =
            [&[], &[b""], &[b"  "], &[long.as_bytes()], &["\u{e9}".as_bytes()], &[b"a", b"a"]];
        for values in wrong {
            assert_eq!(of(values), Err(Code::InvalidArgument), "{values:?}");
        }
    }

    #[test]
    fn a_name_is_short_and_has_no_control_characters() {
        assert!(name("model", "openai/gpt-5:free").is_ok());
        let long = "m".repeat(NAME_BYTES_MAX + 1);
        for wrong in ["", "a\0b", "a\nb", long.as_str()] {
            assert!(name("model", wrong).is_err(), "{wrong:?}");
        }
    }
}
