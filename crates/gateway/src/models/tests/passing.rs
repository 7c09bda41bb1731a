//! What passes through, and that it is not held up.

use super::CHAT;
use crate::testing::{Bench, Conn, Fake, KEY, ask, header, post, status};
use std::sync::{Arc, Mutex};
use toft_model::machine::EgressLevel::Open;
use tokio::sync::mpsc;

#[tokio::test]
async fn a_stream_arrives_byte_for_byte_however_its_chunks_fall() {
    let stream: Vec<u8> =
        (0u32..5_000).flat_map(|i| format!("data: {i} é\n\n").into_bytes()).collect();
    let sent = stream.clone();
    let fake = Fake::start(move |mut conn| {
        let stream = sent.clone();
        async move {
            conn.request().await;
            conn.write(
                b"HTTP/1.1 200 Fine\r\nContent-Type: text/event-stream\r\nX-Request-Id: r1\r\n\
                  Transfer-Encoding: chunked\r\n\r\n",
            )
            .await;
            let (mut at, mut size) = (0, 1);
            while at < stream.len() {
                let end = (at + size).min(stream.len());
                let mut chunk = format!("{:x}\r\n", end - at).into_bytes();
                chunk.extend(&stream[at..end]);
                chunk.extend(b"\r\n");
                conn.write(&chunk).await;
                (at, size) = (end, size % 977 + 13);
            }
            conn.write(b"0\r\n\r\n").await;
        }
    })
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    let (head, body) = ask(door.models, post(&door, CHAT, "{}")).await;
    assert_eq!(status(&head), 200);
    assert_eq!(header(&head, "content-type"), Some("text/event-stream"));
    assert_eq!(header(&head, "x-request-id"), Some("r1"));
    assert!(body == stream);
    bench.end().await;
}

#[tokio::test]
async fn the_provider_gets_its_own_key_in_its_own_way_and_never_the_token() {
    for (provider, base, path, expected_path, key_header, key_value) in [
        ("openai", "/v1", CHAT, "/v1/chat/completions", "authorization", format!("Bearer {KEY}")),
        (
            "anthropic",
            "",
            "/llm/anthropic/v1/messages?beta=true",
            "/v1/messages?beta=true",
            "x-api-key",
            KEY.into(),
        ),
        (
            "google",
            "",
            "/llm/gemini/v1beta/models/g:generateContent",
            "/v1beta/models/g:generateContent",
            "x-goog-api-key",
            KEY.into(),
        ),
    ] {
        let seen = Arc::new(Mutex::new((String::new(), Vec::new())));
        let store = Arc::clone(&seen);
        let fake = Fake::start(move |mut conn| {
            let store = Arc::clone(&store);
            async move {
                let request = conn.request().await;
                *store.lock().unwrap() = request;
                conn.write(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        })
        .await;
        let bench = Bench::start().await;
        bench.provider(provider, format!("{}{base}", fake.url())).await;
        let door = bench.machine(Open).await;
        for credential in [
            format!("authorization: Bearer {}", door.token),
            format!("x-api-key: {}", door.token),
            format!("X-Goog-Api-Key: {}", door.token),
        ] {
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: gateway.internal\r\n{credential}\r\n\
                 accept-encoding: gzip, br\r\nanthropic-version: 2023-06-01\r\ncookie: a=b\r\n\
                 x-toft-session: s\r\nconnection: x-gone\r\nx-gone: 1\r\ncontent-length: 2\r\n\r\nhi"
            );
            let (head, body) = ask(door.models, request).await;
            assert_eq!((status(&head), body.len()), (204, 0), "{head}");
            let (head, body) = seen.lock().unwrap().clone();
            assert!(head.starts_with(&format!("POST {expected_path} HTTP/1.1\r\n")), "{head}");
            assert_eq!(header(&head, key_header), Some(&*key_value));
            assert_eq!(header(&head, "host"), Some(&*fake.addr.to_string()));
            assert_eq!(header(&head, "accept-encoding"), Some("identity"));
            assert_eq!(header(&head, "anthropic-version"), Some("2023-06-01"));
            for gone in ["cookie", "x-toft-session", "x-gone", "connection"] {
                assert_eq!(header(&head, gone), None, "{gone}");
            }
            assert!(!head.contains(&door.token));
            assert_eq!(body, b"hi");
        }
        bench.end().await;
    }
}

#[tokio::test]
async fn big_bodies_pass_unchanged_both_ways() {
    let fake = Fake::start(|mut conn| async move {
        let (head, body) = conn.request().await;
        let kind = if header(&head, "content-length").is_some() { "known" } else { "chunked" };
        conn.write(
            format!("HTTP/1.1 200 OK\r\nx-kind: {kind}\r\ncontent-length: {}\r\n\r\n", body.len())
                .as_bytes(),
        )
        .await;
        conn.write(&body).await;
    })
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    let big: String = (0u32..2_000_000).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
    let mut request = post(&door, CHAT, &big);
    for kind in ["known", "chunked"] {
        let (head, body) = ask(door.models, &request).await;
        assert_eq!(header(&head, "x-kind"), Some(kind));
        assert!(body == big.as_bytes());
        request = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: g\r\nx-api-key: {}\r\ntransfer-encoding: chunked\r\n\r\n\
             {:x}\r\n{big}\r\n0\r\n\r\n",
            door.token,
            big.len()
        );
    }
    bench.end().await;
}

#[tokio::test]
async fn each_piece_is_passed_on_before_the_next_one_is_made() {
    let (go, gate) = mpsc::channel::<()>(1);
    let gate = Arc::new(tokio::sync::Mutex::new(gate));
    let fake = Fake::start(move |mut conn| {
        let gate = Arc::clone(&gate);
        async move {
            conn.request().await;
            conn.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            for _ in 0..20 {
                gate.lock().await.recv().await;
                conn.write(b"2\r\nx\n\r\n").await;
            }
            conn.write(b"0\r\n\r\n").await;
        }
    })
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    let mut conn = Conn::open(door.models).await;
    conn.write(post(&door, CHAT, "{}").as_bytes()).await;
    assert_eq!(status(&conn.head().await), 200);
    for _ in 0..20 {
        go.send(()).await.unwrap();
        assert_eq!(conn.chunk().await.unwrap(), b"x\n");
    }
    assert_eq!(conn.chunk().await.unwrap(), b"");
    bench.end().await;
}

#[tokio::test]
async fn a_machine_that_goes_away_ends_the_call_at_the_provider() {
    let (tell, mut told) = mpsc::channel::<&str>(8);
    let fake = Fake::start(move |mut conn| {
        let tell = tell.clone();
        async move {
            let (head, _) = conn.request().await;
            if head.contains("/stream ") {
                conn.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nx\n\r\n")
                    .await;
            }
            tell.send("asked").await.unwrap();
            conn.gone().await;
            tell.send("gone").await.unwrap();
        }
    })
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    for (path, begun) in [("/llm/openai/v1/stream", true), ("/llm/openai/v1/silent", false)] {
        let mut conn = Conn::open(door.models).await;
        conn.write(post(&door, path, r#"{"model":"m-1"}"#).as_bytes()).await;
        assert_eq!(told.recv().await, Some("asked"));
        if begun {
            conn.head().await;
            assert_eq!(conn.chunk().await.unwrap(), b"x\n");
        }
        drop(conn);
        assert_eq!(told.recv().await, Some("gone"));
    }
    let records = bench.usage_of(2).await;
    let seen: Vec<_> = records
        .iter()
        .map(|r| (r.status, r.error.as_deref(), r.model.as_deref(), r.first_byte_ms.is_some()))
        .collect();
    let closed = Some("client_closed");
    assert_eq!(seen, [(200, closed, Some("m-1"), true), (499, closed, Some("m-1"), false)]);
    bench.end().await;
}

#[tokio::test]
async fn what_a_provider_refuses_passes_unchanged() {
    for (status_line, extra) in [
        ("401 Unauthorized", ""),
        ("429 Too Many Requests", "retry-after: 7\r\n"),
        ("500 Internal Server Error", ""),
        ("529 Overloaded", ""),
        ("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n"),
    ] {
        let body = r#"{"error":{"message":"the provider's own words"}}"#;
        let answer = format!(
            "HTTP/1.1 {status_line}\r\n{extra}content-type: application/json\r\n\
             x-toft-error: forged\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let fake = Fake::answering(answer).await;
        let bench = Bench::start().await;
        bench.provider("openai", fake.url()).await;
        let door = bench.machine(Open).await;
        let (head, got) = ask(door.models, post(&door, CHAT, r#"{"model":"asked-for"}"#)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {}", &status_line[..3])), "{head}");
        assert_eq!(got, body.as_bytes());
        assert_eq!(header(&head, "x-toft-error"), None);
        let expected = extra.trim().split_once(": ").map(|(name, value)| (name, Some(value)));
        if let Some((name, value)) = expected {
            assert_eq!(header(&head, name), value);
        }
        let record = bench.usage_of(1).await.remove(0);
        assert_eq!(record.status.to_string(), status_line[..3]);
        assert_eq!((record.model.as_deref(), record.error), (Some("asked-for"), None));
        assert_eq!(record.input, None);
        bench.end().await;
    }
}
