//! Names of errors in Bedrock's format: those of exceptions in a stream begin with a small letter, those
//! of answers with a large one.

use crate::ask::Retry;

/// Our code for an exception's name, which may have its maker's name space before it.
pub(crate) fn named(kind: &str) -> Option<(&'static str, Retry)> {
    let name = kind.rsplit('#').next().unwrap_or(kind);
    Some(match name.to_ascii_lowercase().trim_end_matches("exception") {
        "accessdenied"
        | "expiredtoken"
        | "incompletesignature"
        | "invalidsignature"
        | "missingauthenticationtoken"
        | "unrecognizedclient" => ("provider_refused_key", Retry::Never),
        "resourcenotfound" => ("unknown_model", Retry::Never),
        "throttling" | "toomanyrequests" => ("rate_limited", Retry::Backoff),
        "servicequotaexceeded" => ("rate_limited", Retry::Never),
        "serviceunavailable" | "modelnotready" => ("overloaded", Retry::Backoff),
        "internalserver" | "internalfailure" | "modelerror" | "modelstreamerror"
        | "modeltimeout" => ("provider_error", Retry::Backoff),
        "validation" => ("invalid_request", Retry::Never),
        _ => return None,
    })
}
