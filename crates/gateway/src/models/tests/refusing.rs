//! What the gateway refuses by itself, and its limits.

use super::{CHAT, code};
use crate::machine::MODEL_CALLS_MAX;
use crate::testing::{Bench, Conn, Fake, KEY, ask, eventually, header, post, refusing, status};
use toft_model::machine::EgressLevel::Open;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn only_the_token_of_this_very_machine_is_taken() {
    let fake = Fake::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let (door, other) = (bench.machine(Open).await, bench.machine(Open).await);
    for wrong in [&*other.token, "", "x", KEY] {
        let line = format!("authorization: Bearer {wrong}\r\n");
        for (credential, path) in [(&*line, CHAT), ("", CHAT), (&*line, "/llm/models"), ("", "/")] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: g\r\n{credential}\r\n");
            let (head, body) = ask(door.models, request).await;
            assert_eq!(code(&head, &body), (401, "unauthenticated".into()));
        }
    }
    assert_eq!(status(&ask(door.models, post(&door, CHAT, "{}")).await.0), 200);
    assert_eq!(bench.usage_of(1).await.len(), 1);
    bench.end().await;
}

#[tokio::test]
async fn what_the_gateway_refuses_has_a_code_and_a_way_out() {
    let (_closed, closed) = refusing();
    let bench = Bench::start().await;
    bench.provider("openai", format!("http://{closed}/v1")).await;
    let door = bench.machine(Open).await;
    for (path, expected, said) in [
        (CHAT, (502, "upstream_unreachable"), "OpenAI could not be reached (Connection refused"),
        ("/llm/anthropic/v1/messages", (424, "no_key"), "Settings"),
        ("/llm/nobody/v1", (404, "unknown_provider"), "anthropic"),
        ("/llm/demo/v1", (404, "unknown_provider"), "script"),
        ("/llm/openai", (404, "not_found"), "path"),
        ("/llm/openai/v1/../admin", (400, "invalid_request"), ".."),
        ("/", (404, "not_found"), "/llm/models"),
        ("/llm/models", (404, "not_found"), "GET"),
    ] {
        let (head, body) = ask(door.models, post(&door, path, "{}")).await;
        assert_eq!(code(&head, &body), (expected.0, expected.1.into()), "{path}");
        assert!(String::from_utf8(body).unwrap().contains(said), "{path} {said}");
    }
    bench.provider("openai", "nonsense".into()).await;
    let (head, body) = ask(door.models, post(&door, CHAT, "{}")).await;
    assert_eq!(code(&head, &body), (502, "bad_base_url".into()));
    bench.end().await;
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_whether_announced_or_not() {
    let fake = Fake::start(|mut conn| async move {
        conn.request().await;
    })
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: g\r\nx-api-key: {}\r\n", door.token);
    let announced = format!("{head}content-length: {}\r\n\r\n", (32 << 20) + 1);
    let (answer, body) = ask(door.models, announced).await;
    assert_eq!(code(&answer, &body), (413, "payload_too_large".into()));

    let stream = tokio::net::TcpStream::connect(door.models).await.unwrap();
    let (read, mut write) = stream.into_split();
    let writing = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let begin = format!("{head}transfer-encoding: chunked\r\n\r\n");
        write.write_all(begin.as_bytes()).await.unwrap();
        let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
        for _ in 0..33 {
            // It may hang up before it has read everything.
            if write.write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
        write
    });
    let mut answer = String::new();
    let mut read = tokio::io::BufReader::new(read);
    tokio::io::AsyncBufReadExt::read_line(&mut read, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    drop((read, writing));
    bench.end().await;
}

#[tokio::test]
async fn calls_beyond_the_limit_are_told_to_wait_and_places_come_free() {
    let release = CancellationToken::new();
    let held = release.clone();
    let fake = Fake::start(move |mut conn| {
        let held = held.clone();
        async move {
            conn.request().await;
            held.cancelled().await;
            conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let (door, other) = (bench.machine(Open).await, bench.machine(Open).await);
    let request = post(&door, CHAT, "{}");
    let mut calls = Vec::new();
    for _ in 0..MODEL_CALLS_MAX {
        let mut conn = Conn::open(door.models).await;
        conn.write(request.as_bytes()).await;
        calls.push(conn);
    }
    let entries = || bench.state.entries();
    eventually(|| entries().iter().any(|m| m.model_calls == MODEL_CALLS_MAX).then_some(())).await;
    let (head, body) = ask(door.models, &request).await;
    assert_eq!(code(&head, &body), (429, "too_many_calls".into()));
    assert_eq!(header(&head, "retry-after"), Some("1"));
    // Another machine has its own places.
    let mut others = Conn::open(other.models).await;
    others.write(post(&other, CHAT, "{}").as_bytes()).await;
    eventually(|| entries().iter().find(|m| m.model_calls == 1).map(|_| ())).await;
    release.cancel();
    for conn in &mut calls {
        assert_eq!(status(&conn.head().await), 200);
    }
    eventually(|| entries().iter().all(|m| m.model_calls == 0).then_some(())).await;
    bench.end().await;
}

#[tokio::test]
async fn silence_has_an_end_before_and_in_the_middle_of_an_answer() {
    let fake = Fake::start(|mut conn| async move {
        let (head, _) = conn.request().await;
        if head.contains("/begun ") {
            conn.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nx\n\r\n").await;
        }
        conn.gone().await;
    })
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    let mut begun = Conn::open(door.models).await;
    begun.write(post(&door, "/llm/openai/v1/begun", "{}").as_bytes()).await;
    begun.head().await;
    assert_eq!(begun.chunk().await.unwrap(), b"x\n");
    let mut silent = Conn::open(door.models).await;
    silent.write(post(&door, "/llm/openai/v1/silent", "{}").as_bytes()).await;
    eventually(|| (bench.state.entries()[0].model_calls == 2).then_some(())).await;
    // From here on time jumps whenever everybody waits.
    tokio::time::pause();
    let head = silent.head().await;
    let body = silent.body(&head).await.0;
    assert_eq!(code(&head, &body), (504, "upstream_timeout".into()));
    assert_eq!(begun.chunk().await, None);
    tokio::time::resume();
    let mut errors: Vec<_> =
        bench.usage_of(2).await.into_iter().map(|r| r.error.unwrap()).collect();
    errors.sort();
    assert_eq!(errors, ["idle_timeout", "upstream_timeout"]);
    bench.end().await;
}

#[tokio::test]
async fn a_refusal_arrives_also_while_a_program_writes_on() {
    let bench = Bench::start().await;
    bench.provider("openai", "http://127.0.0.1:1".into()).await;
    let door = bench.machine(Open).await;
    let large = "x".repeat(8 << 20);
    for (path, token, body, want) in [
        (CHAT, "wrong", &*large, (401, "unauthenticated")),
        ("/llm/nobody/v1/x", &door.token, &large, (404, "unknown_provider")),
        ("/llm/anthropic/v1/messages", &door.token, &large, (424, "no_key")),
        (CHAT, &door.token, &large.repeat(5), (413, "payload_too_large")),
    ] {
        for expect in ["", "expect: 100-continue\r\n"] {
            let mut conn = Conn::open(door.models).await;
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: g\r\nx-api-key: {token}\r\n{expect}content-length: {}\r\n\r\n",
                body.len()
            );
            conn.write(head.as_bytes()).await;
            conn.write(body.as_bytes()).await;
            let mut head = conn.head().await;
            while status(&head) == 100 {
                head = conn.head().await;
            }
            let answer = conn.body(&head).await.0;
            assert_eq!(code(&head, &answer), (want.0, want.1.into()), "{path} {expect}");
            assert_eq!(header(&head, "connection"), Some("close"));
        }
    }
    bench.end().await;
}

#[tokio::test]
async fn a_refusal_arrives_before_a_small_body_that_comes_piece_by_piece() {
    let bench = Bench::start().await;
    let door = bench.machine(Open).await;
    let mut conn = Conn::open(door.models).await;
    conn.write(b"POST /llm/x/y HTTP/1.1\r\nhost: g\r\ncontent-length: 50\r\n\r\n").await;
    let mut first = [0];
    conn.stream.peek(&mut first).await.unwrap();
    for _ in 0..50 {
        conn.write(b"x").await;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let head = conn.head().await;
    assert_eq!(code(&head, &conn.body(&head).await.0), (401, "unauthenticated".into()));
    bench.end().await;
}
