//! What a request to a provider is for, by its method and path alone: whether a model is asked, and whether
//! the work is done later. What is not known to be free is not.

use super::endpoint::unescaped;
use crate::api_error::{ApiError, Code, METHODS};
use http::Method;

/// Refuses a method that no provider's price list knows. Methods are case-sensitive (RFC 9110, 9.1), and
/// what a provider makes of `post` is its own choice.
pub(super) fn check(method: &Method) -> Result<(), ApiError> {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS | Method::POST | Method::DELETE => Ok(()),
        _ => Err(ApiError::new(
            Code::MethodNotAllowed,
            format!(
                "Requests with this method are not passed on to providers: use one of {METHODS} \
                 (in capital letters)."
            ),
        )),
    }
}

/// Whether a request asks a model, and so costs money: every POST, but for those of which it is known that they
/// cost nothing.
pub(super) fn asks(method: &Method, path: &str) -> bool {
    *method == Method::POST && !is_free(path)
}

/// Whether a method has a body that goes on.
pub(super) fn has_body(method: &Method) -> bool {
    *method == Method::POST
}

fn is_free(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    // Written as these are, and not in any other way that a provider may read alike.
    let plain = |part: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !part.is_empty() && part.bytes().all(plain)
    };
    // Amazon's ids of models have a `:`, which has two ways to be written.
    let is_model = |part: &str| plain(&part.replace("%3A", ".").replace(':', "."));
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["", "model", id, "count-tokens"] => is_model(id),
        [.., "messages", "count_tokens"] | [.., "responses", "input_tokens"] => true,
        [.., "models", named] => named.strip_suffix(":countTokens").is_some_and(plain),
        [.., "responses" | "batches", id, "cancel"] => plain(id),
        _ => false,
    }
}

/// Whether the work is done later, at a path that is for nothing else: what it cost is in none of the
/// answers that pass here.
pub(super) fn is_delayed(path: &str) -> bool {
    let path = as_routed(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let verb = path.rsplit_once(':').map_or("", |(_, verb)| verb.trim_end_matches('/'));
    verb.starts_with("batch") && verb.contains("generate")
        || ["asyncbatchembedcontent", "predictlongrunning"].contains(&verb)
        || matches!(
            parts[..],
            [.., "batches" | "videos" | "async-invoke" | "model-invocation-job"]
                | [.., "batch" | "fine_tuning", "jobs"]
        )
}

/// Whether the work at this path may be done later if the body says so (OpenAI's format).
pub(super) fn may_be_delayed(path: &str) -> bool {
    let path = as_routed(path);
    path.trim_end_matches('/').ends_with("/responses")
}

/// Refuses it where a budget applies.
pub(super) fn delayed_refused() -> ApiError {
    ApiError::new(
        Code::DelayedCall,
        "This call asks for work that is done later (a batch, or `background`), and what that costs \
         could not be held to the budget that applies here. Make the calls one by one and wait for \
         their answers, or take the budget away (`toft budget`, or the panel Cost).",
    )
}

/// As a provider may read it.
fn as_routed(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    unescaped(path).unwrap_or_else(|| path.to_owned()).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_counts_ask_no_model_and_what_only_looks_like_them_does() {
        for (method, path, want) in [
            (Method::POST, "/v1/messages", true),
            (Method::POST, "/v1/messages?beta=true", true),
            (Method::POST, "/v1/messages/count_tokens?beta=true", false),
            (Method::POST, "/v1/responses/input_tokens", false),
            (Method::POST, "/v1beta/models/g:countTokens", false),
            (Method::POST, "/v1beta/models/g:generateContent", true),
            (Method::POST, "/v1beta/models/g:generateContent:countTokens", true),
            (Method::POST, "/v1/responses/r1/cancel", false),
            (Method::POST, "/v1/messages/batches/b_1/cancel", false),
            (Method::POST, "/v1/responses//cancel", true),
            (Method::POST, "/v1/responses/a%2Fb/cancel", true),
            (Method::POST, "/v1/responses;/cancel", true),
            (Method::POST, "/v1/chat/completions/cancel", true),
            (Method::POST, "/v1/chat/completions%2Fcancel", true),
            (Method::POST, "/v1/chat/completions/input_tokens", true),
            (Method::POST, "/v1/chat/completions?/responses/input_tokens", true),
            (Method::POST, "/model/anthropic.claude-v1%3A0/count-tokens", false),
            (Method::POST, "/model/a:0/count-tokens?x", false),
            (Method::POST, "/model/a%2Fconverse/count-tokens", true),
            (Method::POST, "/v1/model/a/count-tokens", true),
            (Method::POST, "/model/a/converse-stream", true),
            (Method::POST, "/model/a/invoke", true),
            (Method::GET, "/v1/responses/r1", false),
            (Method::GET, "/v1/models", false),
            (Method::DELETE, "/v1/files/f1", false),
        ] {
            assert_eq!(asks(&method, path), want, "{method} {path}");
        }
    }

    #[test]
    fn only_methods_that_are_known_go_on() {
        for method in ["GET", "HEAD", "OPTIONS", "POST", "DELETE"] {
            assert!(check(&method.parse().unwrap()).is_ok(), "{method}");
        }
        for method in ["PUT", "PATCH", "post", "Post", "TRACE", "CONNECT", "X"] {
            assert!(check(&method.parse().unwrap()).is_err(), "{method}");
        }
    }

    #[test]
    fn batches_are_known_however_they_are_written() {
        for (path, want) in [
            ("/v1/batches", true),
            ("/v1/batches/?x", true),
            ("/v1/b%61tches", true),
            ("/v1/messages/batches", true),
            ("/v1/batch/jobs", true),
            ("/async-invoke", true),
            ("/model/a/converse", false),
            ("/v1/fine_tuning/jobs", true),
            ("/v1beta/models/g:batchGenerateContent", true),
            ("/v1beta/models/g:predictLongRunning", true),
            ("/v1beta/models/g:batchEmbedContents", false),
            ("/v1beta/models/g:generateContent", false),
            ("/v1/batches/b1/cancel", false),
            ("/v1/responses", false),
        ] {
            assert_eq!(is_delayed(path), want, "{path}");
        }
        assert!(may_be_delayed("/v1/respons%65s/?a"));
        assert!(!may_be_delayed("/v1/responses/r1/cancel") && !may_be_delayed("/v1/messages"));
    }
}
