//! Names of errors in Google's format.

use crate::ask::Retry;

/// Our code for an error's `status`, or its number: joined by a space.
pub(crate) fn named(kinds: &str) -> Option<(&'static str, Retry)> {
    kinds.split(' ').find_map(|kind| {
        Some(match kind {
            "UNAUTHENTICATED" | "PERMISSION_DENIED" | "401" | "403" => {
                ("provider_refused_key", Retry::Never)
            }
            "NOT_FOUND" | "404" => ("unknown_model", Retry::Never),
            "RESOURCE_EXHAUSTED" | "429" => ("rate_limited", Retry::Backoff),
            "UNAVAILABLE" | "503" => ("overloaded", Retry::Backoff),
            "INTERNAL" | "DEADLINE_EXCEEDED" | "500" | "504" => ("provider_error", Retry::Backoff),
            "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "400" => ("invalid_request", Retry::Never),
            _ => return None,
        })
    })
}
