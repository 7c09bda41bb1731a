//! `/llm/*` as far as the server alone goes: who is let through to the gateway, of which there is
//! none here. What comes of a call is told in the stories.

use crate::{
    client::{Answer, Call},
    world::{AGENT_KEY, World},
};
use serde_json::json;

const CHAT: &str = "/llm/openai/v1/chat/completions";

fn refused(answer: &Answer, status: u16, code: &str) -> String {
    let json = answer.json();
    assert_eq!((answer.status.as_u16(), &json["error"]["code"]), (status, &json!(code)), "{json}");
    assert_eq!(answer.header("x-toft-error"), code);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));
    assert!(json["error"]["type"].is_string());
    json["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_a_key_in_a_header_lets_a_program_through() {
    let world = World::new().await;
    let session = world.sign_in().await;
    let own = format!("http://{}", world.host());
    let page = |call: Call| {
        call.host(&world.host())
            .cookie(&session)
            .header("origin", &own)
            .header("sec-fetch-site", "same-origin")
    };
    for call in [
        Call::get("/llm/models"),
        Call::post(CHAT, &json!({})),
        Call::new("OPTIONS", CHAT).header("origin", "https://evil.test"),
        page(Call::get("/llm/models")),
        page(Call::post(CHAT, &json!({}))),
        Call::get("/llm/models").header("authorization", "Bearer wrong"),
        Call::get("/llm/models").header("authorization", AGENT_KEY),
        Call::get("/llm/models").header("x-api-key", "wrong"),
        page(Call::get("/llm/models")).header("x-goog-api-key", ""),
    ] {
        let message = refused(&world.send(call).await, 401, "unauthenticated");
        assert!(message.contains("cookie opens nothing"), "{message}");
    }
    // Even beside a key that is right: it would be on its way to the provider.
    for query in ["key=abc", "alt=sse&%6bey=abc", "access_token=abc"] {
        let path = format!("{CHAT}?{query}");
        for call in [Call::get(&path), Call::get(&path).key(AGENT_KEY)] {
            let message = refused(&world.send(call).await, 400, "invalid_request");
            assert!(message.contains("x-goog-api-key") && !message.contains("abc"), "{message}");
        }
    }
    let large = Call::post(CHAT, &json!({})).key(AGENT_KEY).header("content-length", "33554433");
    refused(&world.send(large).await, 413, "payload_too_large");
    // On a preview's host there is none of this.
    let id = world.project().await;
    let host = format!("{id}.{}", world.host());
    let there = world.send(Call::get("/llm/models").host(&host)).await;
    assert!(there.headers.get("x-toft-error").is_none());
    world.end(true).await;
}

#[tokio::test]
async fn without_a_gateway_a_call_waits_and_is_then_told_to_come_again() {
    let world = World::new().await;
    let calls = ["x-agent-api-key", "x-api-key", "x-goog-api-key"]
        .map(|name| Call::get("/llm/models").header(name, AGENT_KEY));
    let bearer = Call::get("/llm/models").header("authorization", &format!("Bearer {AGENT_KEY}"));
    let both = Call::get("/llm/models").key("wrong").header("x-api-key", AGENT_KEY);
    let all = calls.into_iter().chain([bearer, both]);
    for answer in futures_util::future::join_all(all.map(|call| world.send(call))).await {
        refused(&answer, 503, "gateway_unavailable");
        assert_eq!(answer.header("retry-after"), "1");
    }
    world.end(true).await;
}
