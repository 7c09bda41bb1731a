//! Reads the answers of providers that say no: what all formats share. The names of a format's own
//! error types are in its `errors.rs`.

use crate::ask::{ModelFailure, Retry};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Characters of a provider's words that are passed on.
const WORDS_CHARS_MAX: usize = 1_000;

/// Where Amazon puts an error's name, sometimes with an address after a colon.
const ERROR_TYPE_HEADER: &str = "x-amzn-errortype";

/// An answer with another status than success, or an error in place of a stream.
pub(crate) struct Refusal<'a> {
    /// Name of the provider, for people.
    pub(crate) provider: &'a str,
    /// Model that was asked.
    pub(crate) model: &'a str,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// What a body says about an error.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// For people.
    pub(crate) message: String,
    /// The provider's name for it: `type` or `code`, whichever there are, joined by a space.
    pub(crate) kind: String,
    /// How long it wishes to be left alone, where that stands in the body (Google).
    pub(crate) wait: Option<Duration>,
}

impl Words {
    /// From an error object, in any of the shapes that are about: `{"error":{…}}`,
    /// `[{"error":{…}}]`, `{"message"}`, `{"Message"}`, `{"detail"}`, `{"error":"text"}`.
    pub(crate) fn of_value(value: &Value) -> Self {
        let value = value.get(0).unwrap_or(value);
        let error = value.get("error").filter(|e| !e.is_null()).unwrap_or(value);
        let text = |v: &Value| match v {
            Value::String(s) => Some(s.clone()),
            Value::Number(n) => Some(n.to_string()),
            Value::Array(_) | Value::Object(_) => Some(v.to_string()),
            Value::Null | Value::Bool(_) => None,
        };
        // OpenRouter wraps the words of the provider behind it.
        let inner = error.pointer("/metadata/raw").and_then(Value::as_str);
        let message = if error.is_string() {
            text(error)
        } else {
            ["message", "Message", "msg", "detail", "error_description"]
                .iter()
                .find_map(|key| error.get(*key).or_else(|| value.get(*key)).and_then(text))
        };
        let message = match (message, inner) {
            (Some(message), Some(inner)) => format!("{message}: {inner}"),
            (message, inner) => message.or(inner.map(str::to_owned)).unwrap_or_default(),
        };
        let kinds: Vec<String> = ["type", "code", "status", "__type"]
            .iter()
            .filter_map(|key| error.get(*key).and_then(text))
            .filter(|k| k != "error")
            .collect();
        let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
        let wait = details
            .filter_map(|detail| detail["retryDelay"].as_str()?.strip_suffix('s')?.parse().ok())
            .find_map(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
        Self { message: shorten(&message), kind: kinds.join(" "), wait }
    }

    /// From a body of any kind, where something else names the error.
    pub(crate) fn named(kind: &str, body: &str) -> Self {
        Self { kind: kind.to_owned(), ..Self::of_body(body.as_bytes()) }
    }

    /// From a body of any kind.
    pub(crate) fn of_body(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) if value.is_object() || value.is_array() => Self::of_value(&value),
            Ok(_) | Err(_) => {
                let text = String::from_utf8_lossy(body);
                let text = text.trim();
                // A proxy's HTML page helps nobody.
                let text = if text.starts_with('<') { "" } else { text };
                Self { message: shorten(text), ..Self::default() }
            }
        }
    }
}

fn shorten(text: &str) -> String {
    let mut out: String = text.chars().take(WORDS_CHARS_MAX).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

/// Whether words mean that the conversation is too long for the model. Phrases as Anthropic, OpenAI,
/// Google, xAI, Groq, Mistral, OpenRouter, Together, MiniMax, Amazon, vLLM, Ollama and llama.cpp have them.
pub(crate) fn is_overflow(words: &Words) -> bool {
    const PHRASES: &[&str] = &[
        "prompt is too long",
        "input is too long",
        "exceed context limit",
        "exceeds the context window",
        "exceeds the maximum context",
        "maximum context length",
        "context length exceeded",
        "context window exceeded",
        "context_length_exceeded",
        "context_window_exceeded",
        "maximum prompt length",
        "exceeds the maximum number of tokens",
        "reduce the length of the messages",
        "input token count",
        "too many input tokens",
        "too large for model",
        "exceeds the available context size",
        "greater than the context length",
        "exceeded model token limit",
        "request_too_large",
        "model_context_window_exceeded",
        "context window exceeds limit",
        "'s context window",
        "maximum allowed input length",
        "prompt too long",
        "prompt exceeds max length",
        "range of input length should be",
        "number of tokens in the prompt cannot exceed",
    ];
    let text = format!("{} {}", words.kind, words.message).to_lowercase();
    PHRASES.iter().any(|p| text.contains(p))
}

/// Whether words refuse a key, as Google puts it.
fn is_key(words: &Words) -> bool {
    const BEGINNINGS: [&str; 3] = ["api key not valid", "api key expired", "api key not found"];
    let text = words.message.to_lowercase();
    BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
}

/// Whether words mean that money or a plan ran out: waiting does not help.
pub(crate) fn is_quota(words: &Words) -> bool {
    const PHRASES: &[&str] = &[
        "insufficient_quota",
        "insufficient balance",
        "insufficient credit",
        "credit balance is too low",
        "exceeded your current quota",
        "requires more credits",
        "billing",
        "usage limit",
    ];
    let text = format!("{} {}", words.kind, words.message).to_lowercase();
    PHRASES.iter().any(|p| text.contains(p))
}

/// The provider's wish to be left alone.
pub(crate) fn retry_after(headers: &HeaderMap) -> Retry {
    asked_to_wait(headers).map_or(Retry::Backoff, Retry::After)
}

/// How long the sender of an answer wishes to be left alone: `retry-after-ms`, else `retry-after` in seconds or
/// as a date (RFC 9110, 10.2.3). A date is compared with the answer's own, so that clocks need not agree.
pub fn asked_to_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok().filter(|n| n.is_finite());
    let date = |name: &str| httpdate::parse_http_date(text(name)?).ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1_000.0).or_else(|| number("retry-after"));
    if let Some(seconds) = seconds {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    let until = date("retry-after")?;
    let now = date("date").unwrap_or_else(SystemTime::now);
    // A moment that is over is a wish that is fulfilled.
    Some(until.duration_since(now).unwrap_or_default())
}

/// Our code for an error type of a wire format; `None` for one that the format does not know.
pub(crate) type Named = fn(&str) -> Option<(&'static str, Retry)>;

impl Refusal<'_> {
    /// What it means. `named` is asked where the status alone does not say it.
    pub(crate) fn judge(&self, named: Named) -> ModelFailure {
        if let Some(failure) = self.gateways_own() {
            return failure;
        }
        let mut words = Words::of_body(self.body);
        // Amazon names its errors in a header.
        let header = || self.headers.get(ERROR_TYPE_HEADER)?.to_str().ok()?.split(':').next();
        if words.kind.is_empty() {
            header().unwrap_or_default().clone_into(&mut words.kind);
        }
        let status = self.status.as_u16();
        let (code, retry) = if is_overflow(&words) || status == 413 {
            ("context_overflow", Retry::Never)
        } else if matches!(status, 400..=403 | 429) && is_quota(&words) {
            // Google says the same of a limit for a minute, and how long to wait.
            ("rate_limited", words.wait.map_or(Retry::Never, Retry::After))
        } else {
            let wish = || words.wait.map_or_else(|| retry_after(self.headers), Retry::After);
            match status {
                401 | 403 => ("provider_refused_key", Retry::Never),
                // Google's way to say it.
                400 if is_key(&words) => ("provider_refused_key", Retry::Never),
                402 => ("rate_limited", Retry::Never),
                404 => ("unknown_model", Retry::Never),
                429 => ("rate_limited", wish()),
                503 | 529 => ("overloaded", wish()),
                408 | 409 | 424 | 425 | 500..=599 => ("provider_error", wish()),
                200..=299 => named(&words.kind).unwrap_or(("bad_answer", Retry::Backoff)),
                _ => named(&words.kind)
                    .filter(|(code, _)| *code != "provider_error")
                    .unwrap_or(("invalid_request", Retry::Never)),
            }
        };
        failure(code, self.provider, self.model, &words, Some(status), retry)
    }

    /// A failure that the gateway itself made (`x-toft-error`).
    fn gateways_own(&self) -> Option<ModelFailure> {
        let code = self.headers.get("x-toft-error")?.to_str().ok()?;
        let words = Words::of_body(self.body).message;
        let (code, retry, fallback) = match code {
            "no_key" => (
                "no_key",
                Retry::Never,
                "There is no key for this provider. Add one in Settings, under Providers.",
            ),
            "unknown_provider" | "unknown_model" => {
                ("unknown_model", Retry::Never, "The provider or the model is not known.")
            }
            "unauthenticated" => (
                "invalid_request",
                Retry::Never,
                "The model gateway did not accept this machine's token. Restart the project.",
            ),
            "upstream_unreachable" => {
                ("unreachable", Retry::Backoff, "The provider cannot be reached.")
            }
            "too_many_calls" | "rate_limited" | "budget_reserved" => (
                "held_back",
                retry_after(self.headers),
                "This project asks models as often as it may. It has to wait.",
            ),
            "budget_spent" => {
                ("budget_spent", Retry::Never, "The budget is spent. Raise it, and this goes on.")
            }
            "upstream_timeout" => {
                ("unreachable", Retry::Backoff, "The provider did not answer in time.")
            }
            _ => ("provider_error", retry_after(self.headers), "The model gateway failed."),
        };
        let message = if words.is_empty() { fallback.to_owned() } else { words };
        Some(ModelFailure { code: code.to_owned(), message, retry })
    }
}

/// A failure told in the provider's words, with what to do where we know it.
pub(crate) fn failure(
    code: &str,
    provider: &str,
    model: &str,
    words: &Words,
    status: Option<u16>,
    retry: Retry,
) -> ModelFailure {
    let what = match code {
        "provider_refused_key" => format!("{provider} refused the key"),
        "unknown_model" => format!("{provider} does not know the model {model}"),
        "rate_limited" => format!("{provider} limits the rate"),
        "overloaded" => format!("{provider} is overloaded"),
        "context_overflow" => format!("The conversation is too long for {model}"),
        "invalid_request" => format!("{provider} did not accept the request"),
        "bad_answer" => format!("{provider} gave an answer that is none"),
        _ => format!("{provider} failed"),
    };
    let status = match status {
        Some(status) if !(200..300).contains(&status) => format!(" ({status})"),
        _ => String::new(),
    };
    let said = if words.message.is_empty() { &words.kind } else { &words.message };
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let remedy = match code {
        "provider_refused_key" => " — check the key in Settings, under Providers.",
        "unknown_model" => " — choose another model.",
        _ => "",
    };
    let message = format!("{what}{status}{said}{remedy}");
    ModelFailure { code: code.to_owned(), message, retry }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_every_shape() {
        let check = |body: &str, message: &str, kind: &str| {
            let expected = Words { message: message.into(), kind: kind.into(), wait: None };
            assert_eq!(Words::of_body(body.as_bytes()), expected, "{body}");
        };
        check(
            r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
            "invalid x-api-key",
            "authentication_error",
        );
        check(
            r#"{"error":{"message":"No","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
            "No",
            "invalid_request_error model_not_found",
        );
        check(
            r#"[{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}]"#,
            "slow",
            "429 RESOURCE_EXHAUSTED",
        );
        check(r#"{"detail":"Not Found"}"#, "Not Found", "");
        check(r#"{"error":"plain"}"#, "plain", "");
        check(
            r#"{"error":{"message":"Provider returned error","metadata":{"raw":"inner"}}}"#,
            "Provider returned error: inner",
            "",
        );
        check("upstream says no", "upstream says no", "");
        check("<html>nginx</html>", "", "");
        check("", "", "");
    }

    /// Each as its provider says it.
    #[test]
    fn a_conversation_that_is_too_long_is_known_by_every_providers_words() {
        for (provider, words) in [
            ("Anthropic", "prompt is too long: 209353 tokens > 200000 maximum"),
            (
                "Anthropic",
                "input length and `max_tokens` exceed context limit: 198000 + 8192 > 200000",
            ),
            ("OpenAI", "Your input exceeds the context window of this model."),
            ("OpenAI", "Your input exceeds the model's context window."),
            (
                "OpenAI",
                "This model's maximum context length is 128000 tokens. However, you requested …",
            ),
            (
                "Google",
                "The input token count (1200000) exceeds the maximum number of tokens allowed",
            ),
            (
                "xAI",
                "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
            ),
            ("Groq", "Please reduce the length of the messages or completion."),
            ("Mistral", "Prompt contains 300000 tokens … too large for model with 131072 maximum"),
            ("OpenRouter", "This endpoint's maximum context length is 32768 tokens."),
            (
                "OpenRouter",
                "Input length 131393 exceeds the maximum allowed input length of 131040 tokens.",
            ),
            ("Together", "The input (300000 tokens) is longer than the model's context window."),
            ("Kimi", "Invalid request: Your request exceeded model token limit : 262144"),
            ("MiniMax", "invalid params, context window exceeds limit (2013)"),
            ("Z.ai", "Prompt exceeds max length"),
            ("Qwen", "Range of input length should be [1, 129024]"),
            ("Cohere", "total number of tokens in the prompt cannot exceed 4081"),
            ("DeepSeek", "This model's maximum context length is 131072 tokens."),
            ("Bedrock", "Input is too long for requested model."),
            ("vLLM", "This model's maximum context length is 262144 tokens. However, …"),
            ("Ollama", "prompt too long; exceeded max context length by 12 tokens"),
            ("LM Studio", "… initial prompt is greater than the context length."),
            ("llama.cpp", "the request exceeds the available context size, try increasing it"),
        ] {
            let words = Words { message: words.to_owned(), ..Words::default() };
            assert!(is_overflow(&words), "{provider}: {}", words.message);
        }
        for other in
            ["Too many tokens, please wait before trying again.", "max_tokens is too large"]
        {
            assert!(
                !is_overflow(&Words { message: other.to_owned(), ..Words::default() }),
                "{other}"
            );
        }
    }

    #[test]
    fn the_wish_to_wait_is_read_in_both_spellings() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), Retry::Backoff);
        let mut date = |name, text: &str| {
            headers.insert(http::HeaderName::from_static(name), text.parse().unwrap());
            retry_after(&headers)
        };
        // Over, by any clock; then by the sender's, in each spelling that there is.
        let over = date("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(over, Retry::After(Duration::ZERO));
        let from = date("date", "Wed, 21 Oct 2015 07:27:30 GMT");
        assert_eq!(from, Retry::After(Duration::from_secs(30)));
        for spelt in ["Wednesday, 21-Oct-15 07:28:30 GMT", "Wed Oct 21 07:28:30 2015"] {
            assert_eq!(date("retry-after", spelt), Retry::After(Duration::from_mins(1)));
        }
        assert_eq!(date("retry-after", "tomorrow"), Retry::Backoff);
        headers.insert("retry-after", "12".parse().unwrap());
        assert_eq!(retry_after(&headers), Retry::After(Duration::from_secs(12)));
        headers.insert("retry-after-ms", "250".parse().unwrap());
        assert_eq!(retry_after(&headers), Retry::After(Duration::from_millis(250)));
    }
}
