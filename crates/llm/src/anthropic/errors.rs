//! Names of errors in Anthropic's format.

use crate::{
    ask::{ModelFailure, Retry},
    refusal::{Refusal, Words, failure, is_overflow},
};

/// Our code for an error `type`.
fn named(kind: &str) -> Option<(&'static str, Retry)> {
    Some(match kind {
        "authentication_error" | "permission_error" => ("provider_refused_key", Retry::Never),
        "not_found_error" => ("unknown_model", Retry::Never),
        "request_too_large" => ("context_overflow", Retry::Never),
        "rate_limit_error" => ("rate_limited", Retry::Backoff),
        "overloaded_error" => ("overloaded", Retry::Backoff),
        "api_error" | "timeout_error" => ("provider_error", Retry::Backoff),
        "billing_error" => ("rate_limited", Retry::Never),
        "invalid_request_error" => ("invalid_request", Retry::Never),
        _ => return None,
    })
}

/// A whole answer that is an error.
pub(crate) fn judge(refusal: &Refusal<'_>) -> ModelFailure {
    refusal.judge(named)
}

/// An `error` event in the middle of a stream.
pub(crate) fn in_stream(provider: &str, model: &str, words: &Words) -> ModelFailure {
    let (code, retry) = if is_overflow(words) {
        ("context_overflow", Retry::Never)
    } else {
        named(&words.kind).unwrap_or(("provider_error", Retry::Backoff))
    };
    failure(code, provider, model, words, None, retry)
}
