//! What passes for which method, and what is done later, where a budget applies and where none does.

use super::{CHAT, code};
use crate::{
    config::{GatewayConfig, ProviderConfig},
    testing::{Bench, Door, Fake, KEY, ask, header, post, status},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use toft_model::{
    budget::{Budget, Budgets},
    machine::EgressLevel::Open,
};
use toft_vault::Secret;

const RESPONSES: &str = "/llm/openai/v1/responses";
/// With counts that are no counts, as batches have them.
const QUEUED: &str =
    r#"{"id":"r1","status":"queued","model":"gpt-5","usage":{"input_tokens":0,"output_tokens":0}}"#;

/// What a provider got.
type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

async fn provider() -> (Fake, Seen) {
    let seen = Seen::default();
    let store = Arc::clone(&seen);
    let fake = Fake::start(move |mut conn| {
        let store = Arc::clone(&store);
        async move {
            let head = conn.head().await;
            // What does not come whole is no request.
            let Some(body) = conn.whole_body(&head).await.filter(|_| !head.is_empty()) else {
                return;
            };
            store.lock().unwrap().push((head, body));
            let length = QUEUED.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{QUEUED}"
            );
            conn.write(answer.as_bytes()).await;
        }
    })
    .await;
    (fake, seen)
}

async fn bench(base_url: String, total: Option<u64>) -> (Bench, Door) {
    let bench = Bench::start().await;
    let door = bench.machine(Open).await;
    let key = Some(Secret::new(KEY));
    let base_url = Some(base_url);
    let openai = ProviderConfig { id: "openai".into(), key, base_url, ..Default::default() };
    let budget = total.map(|_| Budget { total, ..Budget::default() });
    let projects: BTreeMap<_, _> =
        budget.into_iter().map(|budget| (door.project.clone(), budget)).collect();
    let budgets = Budgets { projects, ..Budgets::default() };
    let config = GatewayConfig { providers: vec![openai], budgets, ..GatewayConfig::default() };
    bench.gateway.set_config(config).await.unwrap();
    (bench, door)
}

fn with_headers(request: &str, more: &str) -> String {
    request.replacen("content-type", &format!("{more}content-type"), 1)
}

fn with_method(method: &str, path: &str, door: &Door, more: &str) -> String {
    let request = post(door, path, r#"{"model":"gpt-5"}"#).replacen("POST", method, 1);
    with_headers(&request, more)
}

#[tokio::test]
async fn what_no_price_list_knows_is_not_passed_on() {
    let (fake, seen) = provider().await;
    let (bench, door) = bench(format!("{}/v1", fake.url()), Some(0)).await;
    for method in ["PUT", "PATCH", "post", "TRACE"] {
        let (head, body) = ask(door.models, with_method(method, CHAT, &door, "")).await;
        assert_eq!(code(&head, &body), (405, "method_not_allowed".into()), "{method}");
        assert!(header(&head, "allow").unwrap().contains("POST"));
    }
    // What only looks free is held to the budget.
    let path = format!("{CHAT}/input_tokens");
    let (head, body) = ask(door.models, with_method("POST", &path, &door, "")).await;
    assert_eq!(code(&head, &body), (402, "budget_spent".into()));
    assert!(seen.lock().unwrap().is_empty());
    // What is read is free, and no body and no other method goes with it.
    for method in ["GET", "DELETE"] {
        let more = "x-http-method-override: POST\r\n";
        let request = with_method(method, "/llm/openai/v1/files/f1", &door, more);
        assert_eq!(status(&ask(door.models, request).await.0), 200, "{method}");
        let (head, body) = seen.lock().unwrap().pop().unwrap();
        assert!(head.starts_with(&format!("{method} /v1/files/f1 ")), "{head}");
        assert!(body.is_empty(), "{method}");
        for name in ["content-type", "transfer-encoding", "x-http-method-override"] {
            assert_eq!(header(&head, name), None, "{method}");
        }
    }
    bench.end().await;
}

#[tokio::test]
async fn what_is_done_later_needs_that_no_budget_applies() {
    let (fake, seen) = provider().await;
    let calls = [
        (RESPONSES, "", r#"{"model":"gpt-5","input":"a","background":true}"#),
        (RESPONSES, "content-encoding: zstd\r\n", "x"),
        (CHAT, "", r#"{"model":"gpt-5","messages":[],"deferred":true}"#),
        ("/llm/openai/v1/batches", "", r#"{"input_file_id":"f1"}"#),
    ];
    let (bounded, door) = bench(format!("{}/v1", fake.url()), Some(u64::MAX)).await;
    for (path, more, body) in calls {
        let request = with_headers(&post(&door, path, body), more);
        let (head, body) = ask(door.models, request).await;
        assert_eq!(code(&head, &body), (403, "delayed_call".into()), "{path}");
    }
    // What went out of them was not whole.
    let out = seen.lock().unwrap().clone();
    assert!(out.is_empty(), "{out:?}");
    assert!(bounded.usage().iter().all(|record| record.cost == Some(0)), "{:?}", bounded.usage());
    let direct = post(&door, RESPONSES, r#"{"model":"gpt-5","input":"a","background":false}"#);
    assert_eq!(status(&ask(door.models, direct).await.0), 200);
    bounded.end().await;

    let (free, door) = bench(format!("{}/v1", fake.url()), None).await;
    for (at, (path, more, body)) in calls.into_iter().enumerate() {
        let request = with_headers(&post(&door, path, body), more);
        assert_eq!(status(&ask(door.models, request).await.0), 200, "{path}");
        let records = free.usage_of(at + 1).await;
        let unknown = records.iter().all(|record| record.cost.is_none());
        assert!(unknown, "{path}: not known, and not nothing: {records:?}");
    }
    free.end().await;
}

#[tokio::test]
async fn the_project_token_goes_to_no_provider_wherever_it_stands() {
    let (fake, seen) = provider().await;
    let (bench, door) = bench(format!("{}/v1", fake.url()), None).await;
    let more = format!("api-key: {0}\r\nx-agent-api-key: {0}\r\nx-any: a {0}\r\n", door.token);
    let path = format!("{CHAT}?alt=sse&key={}&b=1", door.token);
    let (head, _) = ask(door.models, with_method("POST", &path, &door, &more)).await;
    assert_eq!(status(&head), 200);
    let (head, _) = seen.lock().unwrap().pop().unwrap();
    assert!(head.starts_with("POST /v1/chat/completions?alt=sse&b=1 "), "{head}");
    assert!(!head.contains(&door.token), "{head}");
    bench.end().await;
}
