//! Answers that refuse: each has one of our codes, says whether to try again, and keeps the provider's words.

use super::formats::Format;
use crate::{ask::Retry, testing::PreparedAnswer};
use serde_json::json;
use std::time::Duration;

const BACKOFF: Retry = Retry::Backoff;
const NEVER: Retry = Retry::Never;

async fn check(format: &Format, answer: PreparedAnswer, code: &str, retry: Retry, part: &str) {
    let got = format.ask(answer).await;
    assert_eq!(got.code(), code, "{}: {}", format.name, got.words());
    assert_eq!(got.failure.as_ref().map(|f| f.retry), Some(retry), "{}: {code}", format.name);
    assert!(got.words().contains(part), "{}: {}", format.name, got.words());
}

/// As most of them say it.
fn json(status: u16, words: &str) -> PreparedAnswer {
    let body = json!({"error": {"type": "x", "message": words}});
    PreparedAnswer::json(status, &body.to_string())
}

/// An error in the middle of a stream.
fn error(format: &Format, words: &str) -> PreparedAnswer {
    format.body(&[vec![(format.error)().with("Overloaded", words)]])
}

pub(super) async fn refused_key(format: &Format) {
    for (status, words) in [
        (401, "invalid x-api-key"),
        (403, "not allowed here"),
        (400, "API key not valid. Please pass one."),
        (400, "API key expired. Please renew the API key."),
        (400, "API Key not found."),
    ] {
        check(format, json(status, words), "provider_refused_key", NEVER, words).await;
    }
}

pub(super) async fn wrong_request(format: &Format) {
    check(format, json(404, "no such model: x"), "unknown_model", NEVER, format.model).await;
    let words = "temperature: bad";
    check(format, json(400, words), "invalid_request", NEVER, words).await;
}

pub(super) async fn overflow(format: &Format) {
    let words = "prompt is too long: 205000 tokens > 200000 maximum";
    check(format, json(400, words), "context_overflow", NEVER, "205000").await;
    check(format, error(format, words), "context_overflow", NEVER, "205000").await;
    let words = "This model's maximum context length is 128000 tokens. However, …";
    check(format, json(400, words), "context_overflow", NEVER, "128000").await;
    check(format, PreparedAnswer::json(413, ""), "context_overflow", NEVER, format.model).await;
}

pub(super) async fn limited(format: &Format) {
    let words = "slow down";
    let after = Retry::After(Duration::from_secs(7));
    let said = json(429, words).header("retry-after", "7");
    check(format, said, "rate_limited", after, words).await;
    check(format, json(429, words), "rate_limited", BACKOFF, words).await;
    let words = "You exceeded your current quota";
    check(format, json(429, words), "rate_limited", NEVER, "quota").await;
    // Google says the same of a limit for a minute, and how long to wait.
    let wait = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "23.5s"});
    let limited = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{}, wait],
        "message": "You exceeded your current quota, please check your plan and billing details."}});
    let after = Retry::After(Duration::from_millis(23_500));
    let limited = PreparedAnswer::json(429, &limited.to_string());
    check(format, limited, "rate_limited", after, "quota").await;
}

pub(super) async fn spent(format: &Format) {
    let words = "Your credit balance is too low to access the API.";
    check(format, json(400, words), "rate_limited", NEVER, "balance").await;
    check(format, json(402, "Insufficient Balance"), "rate_limited", NEVER, "Balance").await;
    check(format, error(format, "Insufficient credits"), "rate_limited", NEVER, "credits").await;
}

pub(super) async fn overloaded(format: &Format) {
    let words = "Overloaded";
    check(format, json(529, words), "overloaded", BACKOFF, words).await;
    check(format, PreparedAnswer::json(503, ""), "overloaded", BACKOFF, "(503)").await;
    check(format, error(format, words), "overloaded", BACKOFF, words).await;
}

pub(super) async fn broken(format: &Format) {
    check(format, json(500, "internal"), "provider_error", BACKOFF, "internal").await;
    let page = PreparedAnswer::json(502, "<html>bad gateway</html>");
    check(format, page, "provider_error", BACKOFF, "(502)").await;
    check(format, json(200, "odd"), "bad_answer", BACKOFF, "odd").await;
    let none = PreparedAnswer::json(200, "{}");
    check(format, none, "bad_answer", BACKOFF, "gave an answer that is none").await;
    let nonsense = format.body(&[vec![format.nonsense()]]);
    check(format, nonsense, "bad_answer", BACKOFF, "cannot be read").await;
}

pub(super) async fn of_the_gateway(format: &Format) {
    let ours = |status, code: &str, words: &str| {
        let body = json!({"error": {"type": code, "code": code, "message": words}}).to_string();
        PreparedAnswer::json(status, &body).header("x-toft-error", code)
    };
    check(format, ours(424, "no_key", "Add a key."), "no_key", NEVER, "Add a key.").await;
    let unreachable = ours(502, "upstream_unreachable", "No route.");
    check(format, unreachable, "unreachable", BACKOFF, "No route.").await;
    check(format, ours(401, "unauthenticated", ""), "invalid_request", NEVER, "token").await;
}
