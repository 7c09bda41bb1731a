//! Answers that are long in coming, where others may stand in: what a program hears meanwhile. The clock
//! stands still while anything happens, and goes on to the next alarm when nothing does.

use super::CHAT;
use crate::{
    config::{GatewayConfig, ProviderConfig},
    testing::{Bench, Conn, Door, Fake, KEY, ask, header, post, status},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use toft_model::{machine::EgressLevel::Open, provider::Fallbacks};
use toft_vault::Secret;

const MESSAGES: &str = "/llm/anthropic/v1/messages";
const RESPONSES: &str = "/llm/openai/v1/responses";
const GENERATE: &str = "/llm/google/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
const CLAUDE: &str = "anthropic/claude-haiku-4-5";
const GPT: &str = "openai/gpt-5";
const GEMINI: &str = "google/gemini-2.5-flash";
const GROQ: &str = "groq/llama-3.3-70b-versatile";
const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";

/// A gateway whose models all have one of Groq's that stands in for them.
async fn house(providers: &[(&str, &Fake)]) -> (Bench, Door) {
    let bench = Bench::start().await;
    let door = bench.machine(Open).await;
    let provider = |(id, fake): &(&str, &Fake)| ProviderConfig {
        id: (*id).into(),
        key: Some(Secret::new(KEY)),
        base_url: Some(fake.url()),
        ..ProviderConfig::default()
    };
    let chain = |name: &str| (name.to_owned(), vec![GROQ.to_owned()]);
    let chains: BTreeMap<_, _> = [CLAUDE, GPT, GEMINI].map(chain).into();
    let config = GatewayConfig {
        providers: providers.iter().map(provider).collect(),
        fallbacks: Fallbacks { chains, first_byte_s: 50 },
        ..GatewayConfig::default()
    };
    bench.gateway.set_config(config).await.unwrap();
    tokio::time::pause();
    (bench, door)
}

fn question(path: &str, streams: bool) -> String {
    let hi = "hi";
    match path {
        MESSAGES => json!({"model": CLAUDE, "stream": streams, "max_tokens": 9,
            "messages": [{"role": "user", "content": hi}]}),
        CHAT => json!({"model": GPT, "stream": streams,
            "messages": [{"role": "user", "content": hi}]}),
        RESPONSES => json!({"model": GPT, "stream": streams, "input": hi}),
        _ => json!({"contents": [{"role": "user", "parts": [{"text": hi}]}]}),
    }
    .to_string()
}

async fn hangs() -> Fake {
    Fake::start(|mut conn| async move {
        conn.request().await;
        conn.gone().await;
    })
    .await
}

/// Says no after so long.
async fn refuses(after: Duration) -> Fake {
    Fake::start(move |mut conn| async move {
        conn.request().await;
        tokio::time::sleep(after).await;
        let body = json!({"error": {"message": "no room", "code": "full"}}).to_string();
        let head = "HTTP/1.1 503 X\r\ncontent-type: application/json\r\n";
        let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        conn.write(answer.as_bytes()).await;
    })
    .await
}

/// Signs of life of a provider, for as long as somebody listens.
async fn pings() -> Fake {
    Fake::start(|mut conn| async move {
        conn.request().await;
        conn.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
        while tokio::io::AsyncWriteExt::write_all(&mut conn.stream, b": still\n\n").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    })
    .await
}

async fn says_hello() -> Fake {
    let chunk = |delta: Value, finish: Value| json!({"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let (text, end) =
        (chunk(json!({"content": "Hello."}), Value::Null), chunk(json!({}), json!("stop")));
    Fake::answering(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {text}\n\ndata: {end}\n\n\
         data: [DONE]\n\n"
    ))
    .await
}

#[tokio::test]
async fn a_program_hears_signs_of_life_until_somebody_else_answers() {
    let hello = says_hello().await;
    // One says nothing at all, one says that it is there: neither is an answer.
    for silent in [hangs().await, pings().await] {
        let providers =
            [("anthropic", &silent), ("openai", &silent), ("google", &silent), ("groq", &hello)];
        let (bench, door) = house(&providers).await;
        for (path, sign) in [
            (MESSAGES, PING),
            (CHAT, ": waiting\n\n"),
            (RESPONSES, ": waiting\n\n"),
            (GENERATE, "\n\n"),
        ] {
            let (head, body) = ask(door.models, post(&door, path, &question(path, true))).await;
            let body = String::from_utf8(body).unwrap();
            assert_eq!(status(&head), 200, "{path} {body}");
            assert_eq!(header(&head, "content-type"), Some("text/event-stream"));
            let answer = body.strip_prefix(&sign.repeat(3));
            let answer = answer.unwrap_or_else(|| panic!("{path} {body:?}"));
            assert!(answer.starts_with(['d', 'e']), "three, and no more: {answer:?}");
            assert!(answer.contains("Hello."), "{answer}");
            bench.state.circuits.elapse();
            tokio::time::sleep(Duration::from_mins(10)).await;
        }
        assert_eq!(bench.usage_of(8).await.len(), 8);
        tokio::time::resume();
        bench.end().await;
    }
}

#[tokio::test]
async fn a_failure_after_signs_of_life_is_the_streams_last_event() {
    let slow = refuses(Duration::from_secs(20)).await;
    let providers = [("anthropic", &slow), ("openai", &slow), ("google", &slow), ("groq", &slow)];
    let (bench, door) = house(&providers).await;
    for (path, name, place) in [
        (MESSAGES, "error", "/error/message"),
        (CHAT, "", "/error/message"),
        (RESPONSES, "response.failed", "/response/error/message"),
        (GENERATE, "", "/error/message"),
    ] {
        let (head, body) = ask(door.models, post(&door, path, &question(path, true))).await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status(&head), 200, "{path} {body}");
        let last = body.trim_end().rsplit("\n\n").next().unwrap().trim_start();
        let (event, data) = match last.split_once('\n') {
            Some((event, data)) => (event.strip_prefix("event: ").unwrap(), data),
            None => ("", last),
        };
        assert_eq!(event, name, "{body}");
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        let words = data.pointer(place).and_then(Value::as_str).unwrap();
        assert!(words.contains("no room") && words.contains("in vain: groq/"), "{words}");
        if path == MESSAGES {
            assert_eq!(data["type"], "error");
        }
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
    // Who asked for no stream waits, and gets the status.
    let (head, _) = ask(door.models, post(&door, CHAT, &question(CHAT, false))).await;
    assert_eq!(status(&head), 503);
    tokio::time::resume();
    bench.end().await;
}

#[tokio::test]
async fn a_failure_that_comes_soon_has_its_status() {
    let fast = refuses(Duration::from_secs(1)).await;
    let providers = [("anthropic", &fast), ("groq", &fast)];
    let (bench, door) = house(&providers).await;
    let (head, _) = ask(door.models, post(&door, MESSAGES, &question(MESSAGES, true))).await;
    assert_eq!(status(&head), 503);
    tokio::time::resume();
    bench.end().await;
}

#[tokio::test]
async fn a_program_that_goes_while_it_waits_ends_the_call() {
    let silent = hangs().await;
    let (bench, door) = house(&[("anthropic", &silent), ("groq", &silent)]).await;
    let mut program = Conn::open(door.models).await;
    program.write(post(&door, MESSAGES, &question(MESSAGES, true)).as_bytes()).await;
    assert_eq!(status(&program.head().await), 200);
    assert_eq!(program.chunk().await.unwrap(), PING.as_bytes());
    tokio::time::resume();
    drop(program);
    let records = bench.usage_of(1).await;
    assert_eq!(records[0].error.as_deref(), Some("client_closed"));
    assert_eq!(bench.state.entries()[0].model_calls, 0);
    bench.end().await;
}
