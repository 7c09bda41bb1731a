//! Names of errors in OpenAI's format and its dialects.

use crate::ask::Retry;

/// Our code for an error's `type` and `code`, joined by a space. Numbers are HTTP statuses that
/// OpenRouter and Google put there.
pub(crate) fn named(kinds: &str) -> Option<(&'static str, Retry)> {
    kinds.split(' ').find_map(|kind| {
        Some(match kind {
            "invalid_api_key" | "authentication_error" | "401" | "403" => {
                ("provider_refused_key", Retry::Never)
            }
            "model_not_found" | "not_found_error" | "404" => ("unknown_model", Retry::Never),
            "insufficient_quota" | "402" => ("rate_limited", Retry::Never),
            "rate_limit_exceeded" | "rate_limit_error" | "429" => ("rate_limited", Retry::Backoff),
            "overloaded" | "overloaded_error" | "engine_overloaded_error" | "503" | "529" => {
                ("overloaded", Retry::Backoff)
            }
            "server_error" | "api_error" | "500" | "502" | "504" => {
                ("provider_error", Retry::Backoff)
            }
            _ => return None,
        })
    })
}
