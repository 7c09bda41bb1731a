//! Answers that refuse: each has one of our codes, says whether to try again, and keeps the provider's words.

use super::formats::{FORMATS, Format};
use crate::{ask::Retry, testing::PreparedAnswer};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn refusals_have_a_code_and_the_providers_words() {
    let check =
        async |format: &Format, answer: PreparedAnswer, code: &str, retry: Retry, part: &str| {
            let got = format.ask(answer).await;
            assert_eq!(got.code(), code, "{}: {}", format.name, got.words());
            assert_eq!(got.failure.as_ref().unwrap().retry, retry, "{}: {code}", format.name);
            assert!(got.words().contains(part), "{}: {}", format.name, got.words());
        };
    let backoff = Retry::Backoff;
    let never = Retry::Never;
    for format in &FORMATS {
        let json = PreparedAnswer::json;
        let said = |words: &str| json!({"error": {"type": "x", "message": words}}).to_string();
        check(
            format,
            json(401, &said("invalid x-api-key")),
            "provider_refused_key",
            never,
            "invalid x-api-key",
        )
        .await;
        check(
            format,
            json(400, &said("API key not valid. Please pass one.")),
            "provider_refused_key",
            never,
            "not valid",
        )
        .await;
        check(
            format,
            json(403, &said("not allowed here")),
            "provider_refused_key",
            never,
            "not allowed here",
        )
        .await;
        check(format, json(404, &said("no such model: x")), "unknown_model", never, format.model)
            .await;
        check(
            format,
            json(400, &said("temperature: bad")),
            "invalid_request",
            never,
            "temperature: bad",
        )
        .await;
        let overflow = "prompt is too long: 205000 tokens > 200000 maximum";
        check(format, json(400, &said(overflow)), "context_overflow", never, "205000").await;
        let overflow = "This model's maximum context length is 128000 tokens. However, …";
        check(format, json(400, &said(overflow)), "context_overflow", never, "128000").await;
        check(format, json(413, ""), "context_overflow", never, format.model).await;
        let limited = json(429, &said("slow down")).header("retry-after", "7");
        check(format, limited, "rate_limited", Retry::After(Duration::from_secs(7)), "slow down")
            .await;
        check(format, json(429, &said("slow down")), "rate_limited", backoff, "slow down").await;
        check(
            format,
            json(429, &said("You exceeded your current quota")),
            "rate_limited",
            never,
            "quota",
        )
        .await;
        // Google says the same of a limit for a minute, and how long to wait.
        let wait =
            json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "23.5s"});
        let limited = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{}, wait],
            "message": "You exceeded your current quota, please check your plan and billing details."}});
        let after = Retry::After(Duration::from_millis(23_500));
        check(format, json(429, &limited.to_string()), "rate_limited", after, "quota").await;
        let poor = "Your credit balance is too low to access the API.";
        check(format, json(400, &said(poor)), "rate_limited", never, "balance").await;
        for key in ["API key expired. Please renew the API key.", "API Key not found."] {
            check(format, json(400, &said(key)), "provider_refused_key", never, "key").await;
        }
        check(format, json(402, &said("Insufficient Balance")), "rate_limited", never, "Balance")
            .await;
        check(format, json(500, &said("internal")), "provider_error", backoff, "internal").await;
        check(format, json(502, "<html>bad gateway</html>"), "provider_error", backoff, "(502)")
            .await;
        check(format, json(503, ""), "overloaded", backoff, "(503)").await;
        check(format, json(529, &said("Overloaded")), "overloaded", backoff, "Overloaded").await;
        check(format, json(200, &said("odd")), "bad_answer", backoff, "odd").await;
        check(format, json(200, "{}"), "bad_answer", backoff, "gave an answer that is none").await;
        let spent = format.error.replace("Overloaded", "Insufficient credits");
        check(format, PreparedAnswer::stream(spent), "rate_limited", never, "credits").await;
        check(format, PreparedAnswer::stream(format.error), "overloaded", backoff, "Overloaded")
            .await;
        check(
            format,
            PreparedAnswer::stream("data: {nonsense\n\n"),
            "bad_answer",
            backoff,
            "cannot be read",
        )
        .await;
        let ours = |status, code: &str, words: &str| {
            let body = json!({"error": {"type": code, "code": code, "message": words}}).to_string();
            json(status, &body).header("x-toft-error", code)
        };
        check(format, ours(424, "no_key", "Add a key."), "no_key", never, "Add a key.").await;
        check(
            format,
            ours(502, "upstream_unreachable", "No route."),
            "unreachable",
            backoff,
            "No route.",
        )
        .await;
        check(format, ours(401, "unauthenticated", ""), "invalid_request", never, "token").await;
    }
}
