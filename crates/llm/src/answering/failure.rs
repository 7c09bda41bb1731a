//! Failures in each format's own shape: a status, headers that say whether to ask again, a body; or the
//! last event of a stream.

use super::{Label, WireFormat, openai_responses};
use crate::{
    ask::{ModelFailure, Retry},
    sse,
};
use serde_json::{Value, json};
use std::time::Duration;

/// How a program is told.
#[derive(Debug, Clone, PartialEq)]
pub struct FailureAnswer {
    /// HTTP status.
    pub status: u16,
    /// When to ask again, where the provider said so.
    pub retry_after: Option<Duration>,
    /// Asking again would fail again, whatever the status says.
    pub never: bool,
    /// JSON.
    pub body: Value,
}

/// A call of a model that failed.
pub fn answer(format: WireFormat, failure: &ModelFailure) -> FailureAnswer {
    let code = failure.code.as_str();
    let status = match code {
        "provider_refused_key" => 401,
        "unknown_model" => 404,
        "no_key" => 424,
        "rate_limited" => 429,
        "overloaded" if format == WireFormat::Anthropic => 529,
        "overloaded" => 503,
        "invalid_request" | "context_overflow" => 400,
        "idle_timeout" => 504,
        "unreachable" | "bad_answer" | "cut" => 502,
        _ => 500,
    };
    let never = failure.retry == Retry::Never;
    let code = match code {
        "provider_refused_key" => "invalid_api_key",
        "unknown_model" => "model_not_found",
        "rate_limited" if never => "insufficient_quota",
        "rate_limited" => "rate_limit_exceeded",
        "context_overflow" => "context_length_exceeded",
        "provider_error" => "server_error",
        other => other,
    };
    // Programs know it by the words of their own provider.
    let message = match (failure.code.as_str(), format) {
        ("context_overflow", WireFormat::Anthropic) => {
            format!("prompt is too long: {}", failure.message)
        }
        ("context_overflow", WireFormat::Gemini) => format!(
            "The input token count exceeds the maximum number of tokens allowed: {}",
            failure.message
        ),
        _ => failure.message.clone(),
    };
    let retry_after = match failure.retry {
        Retry::After(wait) => Some(wait),
        Retry::Backoff | Retry::Never => None,
    };
    FailureAnswer { status, retry_after, never, body: body(format, status, code, &message) }
}

/// A failure whose body this is, as the one event of a stream that was begun before it was known.
pub fn event(format: WireFormat, label: &Label, body: &Value) -> String {
    let mut out = String::new();
    match format {
        WireFormat::OpenaiChat | WireFormat::Gemini => sse::data(&mut out, body),
        WireFormat::Anthropic => sse::named(&mut out, "error", body),
        WireFormat::OpenaiResponses => {
            let mut event = openai_responses::failed(label, body);
            event["sequence_number"] = json!(0);
            sse::named(&mut out, "response.failed", &event);
        }
    }
    out
}

/// The body for a status, our code and words for people.
pub fn body(format: WireFormat, status: u16, code: &str, message: &str) -> Value {
    match format {
        WireFormat::OpenaiChat | WireFormat::OpenaiResponses => json!({"error": {
            "message": message,
            "type": openai_type(status),
            "param": null,
            "code": code,
        }}),
        WireFormat::Anthropic => json!({
            "type": "error",
            "error": {"type": anthropic_type(status), "message": message, "code": code},
        }),
        WireFormat::Gemini => json!({"error": {
            "code": status,
            "message": message,
            "status": gemini_status(status),
        }}),
    }
}

fn openai_type(status: u16) -> &'static str {
    match status {
        401 | 403 | 424 => "authentication_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 | 529 => "overloaded_error",
        _ => "server_error",
    }
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 | 424 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        504 => "timeout_error",
        503 | 529 => "overloaded_error",
        _ => "api_error",
    }
}

fn gemini_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        424 => "FAILED_PRECONDITION",
        429 => "RESOURCE_EXHAUSTED",
        400..=499 => "INVALID_ARGUMENT",
        503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}
