//! Names of errors in Anthropic's format.

use crate::ask::Retry;

/// Our code for an error `type`; a `code` beside it, joined by a space, is some compatible provider's own.
pub(crate) fn named(kinds: &str) -> Option<(&'static str, Retry)> {
    kinds.split(' ').find_map(|kind| {
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
    })
}
