//! Programs in one wire format, models in another: what the provider gets, what the program gets, and
//! what is written down.

use super::{CHAT, code};
use crate::{
    config::{GatewayConfig, ProviderConfig},
    limits::held::HELD_BYTES_MAX,
    testing::{Bench, Conn, Fake, KEY, ask, header, post, refusing, status},
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use toft_model::{machine::EgressLevel::Open, provider::Api};
use toft_vault::Secret;
use tokio::sync::mpsc;

const MESSAGES: &str = "/llm/anthropic/v1/messages";

/// Providers with these base URLs, all with the same key.
async fn bench(providers: &[(&str, Option<Api>, String)]) -> Bench {
    let bench = Bench::start().await;
    let provider = |(id, api, base): &(&str, Option<Api>, String)| ProviderConfig {
        id: (*id).into(),
        key: Some(Secret::new(KEY)),
        base_url: Some(base.clone()),
        api: *api,
        ..ProviderConfig::default()
    };
    let providers = providers.iter().map(provider).collect();
    bench
        .gateway
        .set_config(GatewayConfig { providers, ..GatewayConfig::default() })
        .await
        .unwrap();
    bench
}

type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Answers every request with these bytes, and keeps what it was asked.
async fn provider(kind: &str, body: &str) -> (Fake, Seen) {
    let seen = Seen::default();
    let store = Arc::clone(&seen);
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let fake = Fake::start(move |mut conn| {
        let (store, answer) = (Arc::clone(&store), answer.clone());
        async move {
            let request = conn.request().await;
            store.lock().unwrap().push(request);
            conn.write(answer.as_bytes()).await;
        }
    })
    .await;
    (fake, seen)
}

fn sse(events: &[Value]) -> String {
    let frame = |e: &Value| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap());
    events.iter().map(frame).collect()
}

/// Claude thinks, speaks and calls.
fn claude() -> String {
    let start = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    sse(&[
        json!({"type": "message_start", "message": {"model": "claude-haiku-4-5", "usage": {"input_tokens": 11, "cache_read_input_tokens": 5, "output_tokens": 1}}}),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "Hm."})),
        delta(0, json!({"type": "signature_delta", "signature": "sig-1"})),
        stop(0),
        start(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "text_delta", "text": "I look."})),
        stop(1),
        start(2, json!({"type": "tool_use", "id": "toolu_1", "name": "ls", "input": {}})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "{\"path\":\"/\"}"})),
        stop(2),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ])
}

#[tokio::test]
async fn a_model_of_another_format_answers_in_the_programs_own_and_sees_its_thoughts_again() {
    let (fake, seen) = provider("text/event-stream", &claude()).await;
    let bench = bench(&[("anthropic", None, fake.url())]).await;
    let door = bench.machine(Open).await;
    let tools = json!([{"type": "function", "name": "ls", "parameters": {"type": "object"}}]);
    let mut input = vec![json!({"role": "user", "content": "hi"})];
    for round in 0..2 {
        let body = json!({"model": "anthropic/claude-haiku-4-5", "tools": tools, "input": input,
            "reasoning": {"effort": "medium"}, "user": "u"});
        let (head, answer) =
            ask(door.models, post(&door, "/llm/openai/v1/responses", &body.to_string())).await;
        assert_eq!(status(&head), 200, "{head}");
        assert_eq!(header(&head, "x-toft-model"), Some("anthropic/claude-haiku-4-5"));
        assert_eq!(header(&head, "x-toft-dropped"), Some("user"));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["model"], "anthropic/claude-haiku-4-5");
        let kinds: Vec<&str> = answer["output"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|i| i["type"].as_str())
            .collect();
        assert_eq!(kinds, ["reasoning", "message", "function_call"]);
        assert_eq!(answer["output"][2]["arguments"], "{\"path\":\"/\"}");
        assert_eq!(answer["usage"]["input_tokens"], 16);
        input.extend(answer["output"].as_array().unwrap().iter().cloned());
        let call = &answer["output"][2]["call_id"];
        input.push(json!({"type": "function_call_output", "call_id": call, "output": "a"}));

        let (head, sent) = seen.lock().unwrap()[round].clone();
        assert!(head.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(&head, "x-api-key"), Some(KEY));
        assert_eq!(header(&head, "anthropic-version"), Some("2023-06-01"));
        assert!(!head.contains(&door.token) && header(&head, "authorization").is_none());
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        assert_eq!(sent["model"], "claude-haiku-4-5");
        if round == 1 {
            let thought = json!({"type": "thinking", "thinking": "Hm.", "signature": "sig-1"});
            assert_eq!(sent["messages"][1]["content"][0], thought);
            assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], "toolu_1");
        }
    }
    for record in bench.usage_of(2).await {
        let tokens = [record.input, record.output, record.cache_read];
        assert_eq!(tokens, [Some(11), Some(9), Some(5)]);
        assert_eq!((&*record.provider, record.status, record.error), ("anthropic", 200, None));
        assert_eq!(record.model.as_deref(), Some("claude-haiku-4-5"));
        assert!(record.cost.is_some_and(|cost| cost > 0));
    }
    bench.end().await;
}

#[tokio::test]
async fn a_provider_of_ones_own_may_speak_any_format() {
    let responses = sse(&[
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}}),
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Hello."}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "message"}}),
        json!({"type": "response.completed", "response": {"usage": {"input_tokens": 2, "output_tokens": 1}}}),
    ]);
    let gemini = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hello.\"}]},\
        \"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":2,\"candidatesTokenCount\":1}}\n\n";
    for (api, stream, path, key) in [
        (Api::OpenaiResponses, &*responses, "/v1/responses", "authorization"),
        (
            Api::GoogleGenerativeAi,
            gemini,
            "/v1beta/models/some/model:streamGenerateContent?alt=sse",
            "x-goog-api-key",
        ),
    ] {
        let (fake, seen) = provider("text/event-stream", stream).await;
        let bench = bench(&[("mine", Some(api), fake.url())]).await;
        let door = bench.machine(Open).await;
        let body = json!({"model": "mine/some/model", "max_tokens": 9, "stream": true,
            "messages": [{"role": "user", "content": "hi"}]});
        let (head, answer) = ask(door.models, post(&door, MESSAGES, &body.to_string())).await;
        assert_eq!(header(&head, "content-type"), Some("text/event-stream"), "{head}");
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains(r#""delta":{"type":"text_delta","text":"Hello."}"#), "{answer}");
        assert!(answer.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
        let (head, _) = seen.lock().unwrap().remove(0);
        assert!(head.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{head}");
        assert!(header(&head, key).is_some_and(|value| value.ends_with(KEY)), "{head}");
        let record = bench.usage_of(1).await.remove(0);
        assert_eq!((record.output, record.model.as_deref()), (Some(1), Some("some/model")));
        bench.end().await;
    }
}

#[tokio::test]
async fn the_same_format_passes_with_nothing_changed_but_the_name() {
    let (fake, seen) = provider("application/json", "{\"odd\" : [1 ,2]}").await;
    let bench = bench(&[
        ("openai", None, format!("{}/one", fake.url())),
        ("groq", None, format!("{}/two", fake.url())),
        ("google", None, fake.url()),
    ])
    .await;
    let door = bench.machine(Open).await;
    let google = "/llm/google/v1beta/models";
    for (path, body, wanted_path, wanted_body) in [
        (
            CHAT,
            r#"{ "x":"é", "model" : "gpt-5" ,"y":1}"#,
            "/one/chat/completions",
            r#"{ "x":"é", "model" : "gpt-5" ,"y":1}"#,
        ),
        (
            CHAT,
            r#"{ "x":"é", "model" : "groq/m/n" ,"y":1}"#,
            "/two/chat/completions",
            r#"{ "x":"é", "model" : "m/n" ,"y":1}"#,
        ),
        (CHAT, r#"{"model":"openai/gpt-5"}"#, "/one/chat/completions", r#"{"model":"gpt-5"}"#),
        (CHAT, r#"{"model":"google/g"}"#, "/v1beta/openai/chat/completions", r#"{"model":"g"}"#),
        (
            "/llm/openai/v1/responses?a=b",
            r#"{"model":"openai/gpt-5"}"#,
            "/one/responses?a=b",
            r#"{"model":"gpt-5"}"#,
        ),
        (CHAT, "no json", "/one/chat/completions", "no json"),
        (
            &format!("{google}/g%20h:generateContent"),
            "{}",
            "/v1beta/models/g%20h:generateContent",
            "{}",
        ),
        (
            &format!("{google}/google/g:countTokens?x=1"),
            "{}",
            "/v1beta/models/g:countTokens?x=1",
            "{}",
        ),
    ] {
        let (head, answer) = ask(door.models, post(&door, path, body)).await;
        assert_eq!((status(&head), &answer[..]), (200, &b"{\"odd\" : [1 ,2]}"[..]), "{head}");
        let named = header(&head, "x-toft-model").and_then(|name| name.split_once('/'));
        let goes_on = |(_, model): (&str, &str)| {
            let model = model.replace(' ', "%20");
            wanted_path.contains(&model) || wanted_body.contains(&model)
        };
        assert!(named.is_none_or(goes_on), "{head}");
        let (head, sent) = seen.lock().unwrap().remove(0);
        assert!(head.starts_with(&format!("POST {wanted_path} HTTP/1.1\r\n")), "{head}");
        assert_eq!(String::from_utf8(sent).unwrap(), wanted_body);
        assert_eq!(header(&head, "content-length"), Some(&*wanted_body.len().to_string()));
    }
    // Whoever says so means the path's own provider.
    let body = r#"{"model":"groq/m"}"#;
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: g\r\nx-api-key: {}\r\nx-toft-provider: path\r\n\
         content-length: {}\r\n\r\n{body}",
        door.token,
        body.len()
    );
    assert_eq!(status(&ask(door.models, request).await.0), 200);
    let (head, sent) = seen.lock().unwrap().remove(0);
    assert!(head.starts_with("POST /one/chat/completions ") && !head.contains("x-toft"), "{head}");
    assert_eq!(sent, body.as_bytes());
    // Large, in pieces, its model at the end.
    let text = "x".repeat(3_000_000);
    let body = format!(r#"{{"messages":"{text}","model":"groq/m"}}"#);
    let mut conn = Conn::open(door.models).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: g\r\nx-api-key: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        door.token
    );
    conn.write(head.as_bytes()).await;
    for piece in body.as_bytes().chunks(700_001) {
        conn.write(format!("{:x}\r\n", piece.len()).as_bytes()).await;
        conn.write(piece).await;
        conn.write(b"\r\n").await;
    }
    conn.write(b"0\r\n\r\n").await;
    assert_eq!(status(&conn.head().await), 200);
    let (_, sent) = seen.lock().unwrap().remove(0);
    assert!(sent == format!(r#"{{"messages":"{text}","model":"m"}}"#).into_bytes());
    bench.end().await;
}

#[tokio::test]
async fn failures_come_in_the_programs_own_shape_and_say_whose_they_are() {
    let (_closed, closed) = refusing();
    let bench = bench(&[("groq", None, format!("http://{closed}"))]).await;
    let door = bench.machine(Open).await;
    let body = |model: &str| json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    // The gateway's own.
    for (model, expected) in [
        ("groq/llama-3.1-8b-instant", (502, "upstream_unreachable")),
        ("claude-opus-4-6", (424, "no_key")),
        ("demo/nothing", (404, "unknown_model")),
    ] {
        let (head, answer) =
            ask(door.models, post(&door, MESSAGES, &body(model).to_string())).await;
        assert_eq!(code(&head, &answer), (expected.0, expected.1.into()), "{model}");
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["type"], "error", "{answer}");
    }
    let path = "/llm/google/v1beta/models/gemini-2.5-pro:generateContent";
    let (head, answer) = ask(door.models, post(&door, path, "{}")).await;
    assert_eq!((status(&head), header(&head, "x-toft-error")), (424, Some("no_key")));
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["error"]["status"], "FAILED_PRECONDITION");
    assert!(answer["error"]["message"].as_str().unwrap().contains("groq/…"), "{answer}");
    let odd = json!({"model": "groq/llama-3.1-8b-instant", "messages": "hi"});
    let (head, answer) = ask(door.models, post(&door, MESSAGES, &odd.to_string())).await;
    assert_eq!(code(&head, &answer), (400, "invalid_request".into()));
    assert_eq!(bench.usage_of(1).await.len(), 1, "only what was sent is written down");
    bench.end().await;

    // A provider's, which repeats its key.
    let said =
        json!({"error": {"message": format!("slow down, {KEY}"), "code": "rate_limit_exceeded"}});
    let said = said.to_string();
    let fake = Fake::answering(format!(
        "HTTP/1.1 429 No\r\nretry-after: 7\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{said}",
        said.len()
    ))
    .await;
    let bench = self::bench(&[("groq", None, fake.url())]).await;
    let door = bench.machine(Open).await;
    for stream in [true, false] {
        let mut body = body("groq/llama-3.1-8b-instant");
        body["stream"] = json!(stream);
        let (head, answer) = ask(door.models, post(&door, MESSAGES, &body.to_string())).await;
        assert_eq!((status(&head), header(&head, "retry-after")), (429, Some("7")));
        assert_eq!(header(&head, "x-toft-error"), None, "it is the provider's");
        let text = String::from_utf8(answer).unwrap();
        assert!(!text.contains(KEY) && text.contains("slow down, ***"), "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["error"]["type"], "rate_limit_error");
    }
    bench.end().await;
}

#[tokio::test]
async fn who_goes_away_ends_a_translated_call_at_the_provider() {
    let (tell, mut told) = mpsc::channel::<&str>(8);
    let fake = Fake::start(move |mut conn| {
        let tell = tell.clone();
        async move {
            let (_, body) = conn.request().await;
            let body = String::from_utf8(body).unwrap();
            if body.contains("begin") {
                let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\n\r\n";
                conn.write(format!("{head}{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes()).await;
            }
            tell.send("asked").await.unwrap();
            conn.gone().await;
            tell.send("gone").await.unwrap();
        }
    })
    .await;
    let bench = bench(&[("groq", None, fake.url())]).await;
    let door = bench.machine(Open).await;
    for (say, stream) in [("begin", true), ("begin", false), ("be silent", true)] {
        let body = json!({"model": "groq/m", "max_tokens": 9, "stream": stream,
            "messages": [{"role": "user", "content": say}]});
        let mut conn = Conn::open(door.models).await;
        conn.write(post(&door, MESSAGES, &body.to_string()).as_bytes()).await;
        assert_eq!(told.recv().await, Some("asked"));
        if stream && say == "begin" {
            assert_eq!(status(&conn.head().await), 200);
            conn.chunk().await.unwrap();
        }
        drop(conn);
        assert_eq!(told.recv().await, Some("gone"));
    }
    for record in bench.usage_of(3).await {
        assert_eq!(record.error.as_deref(), Some("client_closed"));
    }
    bench.end().await;
}

#[tokio::test]
async fn lists_name_what_can_be_asked_for_in_each_formats_shape() {
    let (fake, seen) = provider("application/json", "{\"id\":\"its-own\"}").await;
    let bench = bench(&[("openai", None, fake.url()), ("anthropic", None, fake.url())]).await;
    let door = bench.machine(Open).await;
    let get = async |path: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: g\r\nx-api-key: {}\r\n\r\n", door.token);
        let (head, body) = ask(door.models, request).await;
        (status(&head), serde_json::from_slice::<Value>(&body).unwrap())
    };
    let names = |list: &Value, key: &str, name: &str| -> Vec<String> {
        let names = list[key].as_array().unwrap().iter().filter_map(|m| m[name].as_str());
        names.map(str::to_owned).collect()
    };
    let (_, list) = get("/llm/openai/v1/models").await;
    let openai = names(&list, "data", "id");
    assert!(openai.contains(&"gpt-5".into()) && openai.contains(&"demo/app".into()), "{openai:?}");
    assert!(openai.contains(&"anthropic/claude-opus-4-6".into()));
    let (_, list) = get("/llm/anthropic/v1/models?limit=5").await;
    let claude = names(&list, "data", "id");
    assert!(claude.contains(&"claude-opus-4-6".into()) && claude.contains(&"openai/gpt-5".into()));
    assert_eq!((&list["has_more"], &list["data"][0]["type"]), (&json!(false), &json!("model")));
    let (_, list) = get("/llm/google/v1beta/models").await;
    assert!(names(&list, "models", "name").contains(&"models/openai/gpt-5".into()));
    let (_, one) = get("/llm/google/v1beta/models/anthropic/claude-opus-4-6").await;
    assert_eq!(one["inputTokenLimit"], 1_000_000);
    assert!(seen.lock().unwrap().is_empty(), "nobody was asked");
    // A model that only its provider knows.
    assert_eq!(get("/llm/openai/v1/models/ft:own").await, (200, json!({"id": "its-own"})));
    assert_eq!(get("/llm/google/v1beta/models/none").await.0, 404);
    bench.end().await;
}

#[tokio::test]
async fn the_demo_answers_in_every_format_without_any_key() {
    let bench = bench(&[]).await;
    let door = bench.machine(Open).await;
    let messages = json!([{"role": "user", "content": "hi"}]);
    for (path, body) in [
        (CHAT, json!({"model": "demo/app", "messages": messages})),
        ("/llm/openai/v1/responses", json!({"model": "demo/app", "input": "hi"})),
        (MESSAGES, json!({"model": "demo/app", "max_tokens": 9, "messages": messages})),
        (
            "/llm/google/v1beta/models/demo/app:generateContent",
            json!({"contents": [{"parts": [{"text": "hi"}]}]}),
        ),
    ] {
        let (head, answer) = ask(door.models, post(&door, path, &body.to_string())).await;
        assert_eq!((status(&head), header(&head, "x-toft-model")), (200, Some("demo/app")));
        assert!(String::from_utf8(answer).unwrap().contains("scripted demo"), "{path}");
    }
    bench.end().await;
}

#[tokio::test]
async fn no_models_name_in_a_body_leads_the_key_elsewhere() {
    let (fake, seen) = provider("text/event-stream", "").await;
    let bench = bench(&[("google", None, format!("{}/deep", fake.url()))]).await;
    let door = bench.machine(Open).await;
    for model in [
        "google/../../../foo",
        "google/a/../../b",
        "google/./x",
        "google//x",
        "google/x/",
        "google/a\tb",
        "google/.\n./.\n./x",
    ] {
        let body = json!({"model": model, "max_tokens": 9,
            "messages": [{"role": "user", "content": "hi"}]});
        let (head, answer) = ask(door.models, post(&door, MESSAGES, &body.to_string())).await;
        assert_eq!(code(&head, &answer), (400, "invalid_request".into()), "{model}");
    }
    assert!(seen.lock().unwrap().is_empty(), "nothing was sent");
    let body = json!({"model": "google/x/openai/y", "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}]});
    ask(door.models, post(&door, MESSAGES, &body.to_string())).await;
    let (head, _) = seen.lock().unwrap().remove(0);
    assert!(head.contains(":streamGenerateContent"), "{head}");
    assert_eq!(header(&head, "x-goog-api-key"), Some(KEY), "{head}");
    assert_eq!(header(&head, "authorization"), None, "{head}");
    bench.end().await;
}

#[tokio::test]
async fn bodies_that_are_held_take_a_place_together() {
    let (fake, _) = provider("text/event-stream", &claude()).await;
    let bench = bench(&[("anthropic", None, fake.url()), ("openai", None, fake.url())]).await;
    let door = bench.machine(Open).await;
    let body = |words: &str, model: &str| {
        json!({"messages": [{"role": "user", "content": words}], "model": model}).to_string()
    };
    let long = "a ".repeat(100 << 10);
    let room = &bench.state.room;
    // All that this project may have.
    let taken = room.try_take(&Some(door.project.clone()), HELD_BYTES_MAX / 2).unwrap();
    let other = bench.machine(Open).await;
    // Translated, and passed on with the model's name at its end.
    for model in ["anthropic/claude-haiku-4-5", "gpt-5"] {
        let (head, answer) = ask(door.models, post(&door, CHAT, &body(&long, model))).await;
        assert_eq!(code(&head, &answer), (429, "too_many_calls".into()), "{model}");
        assert_eq!(header(&head, "retry-after"), Some("1"));
        let (head, _) = ask(door.models, post(&door, CHAT, &body("hi", model))).await;
        assert_eq!(status(&head), 200, "a small one needs none");
        let (head, _) = ask(other.models, post(&other, CHAT, &body(&long, model))).await;
        assert_eq!(status(&head), 200, "others have their own share");
    }
    drop(taken);
    for model in ["anthropic/claude-haiku-4-5", "gpt-5"] {
        let (head, _) = ask(door.models, post(&door, CHAT, &body(&long, model))).await;
        assert_eq!(status(&head), 200, "{model}");
        assert_eq!(room.free(), HELD_BYTES_MAX, "given back");
    }
    let huge = "a ".repeat(9 << 20);
    let huge = body(&huge, "anthropic/claude-haiku-4-5");
    let (head, answer) = ask(door.models, post(&door, CHAT, &huge)).await;
    assert_eq!(code(&head, &answer), (413, "payload_too_large".into()));
    assert_eq!(room.free(), HELD_BYTES_MAX, "given back");
    bench.end().await;
}
