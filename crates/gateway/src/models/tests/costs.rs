//! What a call counts that nobody knows the cost of.

use super::CHAT;
use crate::{
    config::{GatewayConfig, ProviderConfig},
    records::usage::UsageRecord,
    testing::{Bench, Door, Fake, KEY, ask, post, refusing},
};
use std::collections::BTreeMap;
use toft_llm::{catalogue, price::cost_nanos};
use toft_model::{
    budget::{Budget, Budgets},
    machine::EgressLevel::Open,
    message::Usage,
};
use toft_vault::Secret;

const MESSAGES: &str = "/llm/anthropic/v1/messages";
const HAIKU: &str = r#"{"model":"claude-haiku-4-5"}"#;
const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// The record of one call where a budget is set that nobody reaches.
async fn record_of(
    provider: &str,
    base_url: String,
    request: impl FnOnce(&Door) -> String,
) -> UsageRecord {
    let bench = Bench::start().await;
    let door = bench.machine(Open).await;
    let provider = ProviderConfig {
        id: provider.into(),
        key: Some(Secret::new(KEY)),
        base_url: Some(base_url),
        ..ProviderConfig::default()
    };
    let budget = Budget { total: Some(u64::MAX), ..Budget::default() };
    let projects = BTreeMap::from([(door.project.clone(), budget)]);
    let budgets = Budgets { projects, ..Budgets::default() };
    let config = GatewayConfig { providers: vec![provider], budgets, ..GatewayConfig::default() };
    bench.gateway.set_config(config).await.unwrap();
    ask(door.models, request(&door)).await;
    let record = bench.usage_of(1).await.remove(0);
    bench.end().await;
    record
}

#[tokio::test]
async fn a_call_that_never_left_costs_nothing_and_one_on_its_way_is_not_known() {
    let (_held, addr) = refusing();
    let refused =
        record_of("anthropic", format!("http://{addr}"), |door| post(door, MESSAGES, HAIKU)).await;
    assert_eq!(refused.error.as_deref(), Some("upstream_unreachable"));
    assert!(refused.reserved.is_some_and(|nanos| nanos > 0), "{refused:?}");
    assert_eq!((refused.cost, refused.counted), (Some(0), None));

    // It reads all of it and hangs up.
    let fake = Fake::start(|mut conn| async move {
        conn.request().await;
    })
    .await;
    let lost = record_of("anthropic", fake.url(), |door| post(door, MESSAGES, HAIKU)).await;
    assert_eq!(lost.error.as_deref(), Some("upstream_unreachable"));
    assert_eq!((lost.cost, lost.counted), (None, lost.reserved));
}

#[tokio::test]
async fn an_answer_that_was_cut_counts_what_was_reserved_or_more() {
    let start = |input: u64| {
        format!(
            "{EVENTS}data: {{\"type\":\"message_start\",\"message\":{{\"model\":\"claude-haiku-4-5\",\
             \"usage\":{{\"input_tokens\":{input},\"output_tokens\":1}}}}}}\n\n"
        )
    };
    let delta = "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n";
    let price = catalogue::model("anthropic", "claude-haiku-4-5").unwrap().price.unwrap();
    let cost = |input, output| cost_nanos(&price, &Usage { input, output, ..Usage::default() });
    let call = async |answer: String| {
        let fake = Fake::answering(answer).await;
        record_of("anthropic", fake.url(), |door| post(door, MESSAGES, HAIKU)).await
    };
    let cut = call(start(7)).await;
    assert_eq!((cut.cost, cut.counted, cut.input), (None, cut.reserved, Some(7)));
    let long = call(start(1_000_000)).await;
    assert_eq!((long.cost, long.counted), (None, Some(cost(1_000_000, 1))));
    let whole = call(format!("{}{delta}", start(7))).await;
    assert_eq!((whole.cost, whole.counted), (Some(cost(7, 9)), None));
}

#[tokio::test]
async fn a_model_without_a_price_counts_as_its_kin_or_as_the_dearest() {
    let price = |model| catalogue::cautious_price("openai", model).unwrap();
    let usage = |model: &str| {
        let body = format!(
            "{{\"model\":\"{model}\",\"usage\":{{\"prompt_tokens\":3000,\"completion_tokens\":40}}}}"
        );
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let dated = r#"{"model":"gpt-5-2025-08-07"}"#;
    let double = r#"{"model":"gpt-5-nano","model":"o-unheard-of"}"#;
    for (body, header, answered, of) in [
        (dated, "", "gpt-5-2025-08-07", Some("gpt-5")),
        (r#"{"model":"unheard-of"}"#, "", "unheard-of", None),
        (double, "", "o-unheard-of", None),
        (r#"{"model":"gpt-5-nano"}"#, "content-encoding: gzip\r\n", "unheard-of", None),
    ] {
        let fake = Fake::answering(usage(answered)).await;
        let record = record_of("openai", fake.url(), |door| {
            post(door, CHAT, body).replacen("content-type", &format!("{header}content-type"), 1)
        })
        .await;
        let used = Usage { input: 3_000, output: 40, ..Usage::default() };
        let counted = Some(cost_nanos(&price(of), &used));
        assert_eq!((record.cost, record.counted), (None, counted), "{body} {header}");
        // Which of two models is meant shows when all of it has passed.
        if body != double {
            let least = Usage { output: 4_096, ..Usage::default() };
            let least = cost_nanos(&price(of), &least);
            assert!(record.reserved.is_some_and(|nanos| nanos >= least), "{body} {record:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_read_again_is_not_paid_again() {
    let body = r#"{"model":"gpt-5","status":"completed","usage":{"input_tokens":1000,
        "input_tokens_details":{"cached_tokens":0},"output_tokens":10}}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let path = "/llm/openai/v1/responses/resp_1";
    for method in ["GET", "POST"] {
        let fake = Fake::answering(answer.clone()).await;
        let record = record_of("openai", fake.url(), |door| {
            post(door, path, "").replacen("POST", method, 1)
        })
        .await;
        assert_eq!(record.cost == Some(0), method == "GET", "{record:?}");
        assert_eq!(record.input.is_none(), method == "GET", "{record:?}");
    }
}
