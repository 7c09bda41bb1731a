//! The model API on real sockets, with a provider played byte by byte.

use crate::{
    config::{GatewayConfig, ProviderConfig},
    machine::MODEL_CALLS_MAX,
    secret::Secret,
    testing::{Bench, Conn, Door, Fake, KEY, ask, eventually, header, post, status},
};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use toft_model::machine::EgressLevel::Open;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const CHAT: &str = "/llm/openai/v1/chat/completions";

fn code(head: &str, body: &[u8]) -> (u16, String) {
    let json: Value = serde_json::from_slice(body).unwrap();
    let code = json["error"]["code"].as_str().unwrap().to_owned();
    assert_eq!(header(head, "x-toft-error"), Some(&*code));
    assert!(json["error"]["type"].is_string() && json["error"]["message"].is_string());
    (status(head), code)
}

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
                conn.write(b"1\r\nx\r\n").await;
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
        assert_eq!(conn.chunk().await.unwrap(), b"x");
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
                conn.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
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
            assert_eq!(conn.chunk().await.unwrap(), b"x");
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
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
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

#[tokio::test]
async fn usage_of_every_format_is_written_down_once() {
    let anthropic = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\
        \"claude-x\",\"usage\":{\"input_tokens\":11,\"cache_read_input_tokens\":5,\
        \"cache_creation_input_tokens\":2,\"output_tokens\":1}}}\n\ndata: {\"type\":\
        \"message_delta\",\"usage\":{\"output_tokens\":33}}\n\n";
    let chat = "data: {\"model\":\"gpt-x\",\"choices\":[]}\n\ndata: {\"choices\":[],\"usage\":\
        {\"prompt_tokens\":20,\"completion_tokens\":4,\"prompt_tokens_details\":\
        {\"cached_tokens\":8}}}\n\ndata: [DONE]\n\n";
    let json = "{\"model\":\"gpt-x\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}";
    let events = "text/event-stream";
    for (provider, path, kind, text, model, expected) in [
        (
            "anthropic",
            "/llm/anthropic/v1/messages",
            events,
            anthropic,
            "claude-x",
            [Some(11), Some(33), Some(5), Some(2)],
        ),
        ("openai", CHAT, events, chat, "gpt-x", [Some(12), Some(4), Some(8), None]),
        ("openai", CHAT, "application/json", json, "gpt-x", [Some(3), Some(4), None, None]),
    ] {
        // Of known length, and until the connection closes.
        for length in [format!("content-length: {}\r\n", text.len()), String::new()] {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{length}\r\n{text}");
            let fake = Fake::answering(answer).await;
            let bench = Bench::start().await;
            bench.provider(provider, fake.url()).await;
            let door = bench.machine(Open).await;
            let before = crate::journal::now_ms();
            let (_, body) = ask(door.models, post(&door, path, "{}")).await;
            assert_eq!(body, text.as_bytes());
            let records = bench.usage_of(1).await;
            let [record] = &records[..] else { panic!("{records:?}") };
            let tokens = [record.input, record.output, record.cache_read, record.cache_write];
            assert_eq!(tokens, expected);
            assert_eq!(record.model.as_deref(), Some(model));
            assert_eq!((&*record.provider, &record.project), (provider, &door.project));
            assert_eq!((record.status, &record.error), (200, &None));
            assert!(record.ts >= before && record.first_byte_ms.is_some());
            let position = bench.gateway.usage_position().await.unwrap();
            assert_eq!(crate::usage::read(bench.data_dir(), 0, 9).unwrap().1, position);
            bench.end().await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_is_seen_as_cut() {
    let fake = Fake::answering(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n",
    )
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    let mut conn = Conn::open(door.models).await;
    conn.write(post(&door, CHAT, "{}").as_bytes()).await;
    let head = conn.head().await;
    assert_eq!(conn.body(&head).await, (b"hello".to_vec(), false));
    assert_eq!(bench.usage_of(1).await[0].error.as_deref(), Some("cut"));
    bench.end().await;
}

#[tokio::test]
async fn silence_has_an_end_before_and_in_the_middle_of_an_answer() {
    let fake = Fake::start(|mut conn| async move {
        let (head, _) = conn.request().await;
        if head.contains("/begun ") {
            conn.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n").await;
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
    assert_eq!(begun.chunk().await.unwrap(), b"x");
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
async fn a_server_that_adopts_the_gateway_cuts_nothing() {
    let (go, gate) = mpsc::channel::<()>(1);
    let gate = Arc::new(tokio::sync::Mutex::new(gate));
    let fake = Fake::start(move |mut conn| {
        let gate = Arc::clone(&gate);
        async move {
            conn.request().await;
            conn.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n").await;
            gate.lock().await.recv().await;
            conn.write(b"1\r\nb\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    let mut call = Conn::open(door.models).await;
    call.write(post(&door, CHAT, "{}").as_bytes()).await;
    call.head().await;
    assert_eq!(call.chunk().await.unwrap(), b"a");

    // The old server's connection ends, a new server says everything again.
    let new_server = crate::Gateway::connect(bench.data_dir()).await.unwrap();
    assert_eq!(new_server.hello().machines, 1);
    new_server.add_machine(&door.project, &door.token, Open, door.descriptors()).await.unwrap();
    go.send(()).await.unwrap();
    assert_eq!(call.chunk().await.unwrap(), b"b");
    assert_eq!(call.chunk().await.unwrap(), b"");

    // Another token means another machine: the old one's calls end with it.
    let mut call = Conn::open(door.models).await;
    call.write(post(&door, CHAT, "{}").as_bytes()).await;
    call.head().await;
    assert_eq!(call.chunk().await.unwrap(), b"a");
    new_server.add_machine(&door.project, "another-token", Open, door.descriptors()).await.unwrap();
    assert_eq!(call.chunk().await, None);
    let (head, _) = ask(door.models, post(&door, CHAT, "{}")).await;
    assert_eq!(status(&head), 401);

    new_server.remove_machine(&door.project).await.unwrap();
    assert_eq!(new_server.machines().await.unwrap(), []);
    bench.end().await;
}

#[tokio::test]
async fn the_list_of_models_follows_the_keys() {
    let bench = Bench::start().await;
    let door = bench.machine(Open).await;
    let get = format!(
        "GET /llm/models HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {}\r\n\r\n",
        door.token
    );
    let (_, body) = ask(door.models, &get).await;
    let list: toft_model::provider::ModelList = serde_json::from_slice(&body).unwrap();
    assert!(list.models.iter().all(|m| m.demo) && !list.models.is_empty());
    assert_eq!((&*list.default.provider, list.providers.len()), ("demo", 0));

    let provider = |id: &str, key: &str| ProviderConfig {
        id: id.into(),
        key: Some(Secret::new(key)),
        ..ProviderConfig::default()
    };
    let own = ProviderConfig {
        base_url: Some("http://127.0.0.1:9/v1".into()),
        api: Some(toft_model::provider::Api::OpenaiCompletions),
        ..provider("my-own", "some-key")
    };
    let mut config = GatewayConfig {
        providers: vec![provider("anthropic", "some-key"), provider("openai", ""), own],
        default_thinking_level: Some("high".into()),
        ..GatewayConfig::default()
    };
    bench.gateway.set_config(config.clone()).await.unwrap();
    let (_, body) = ask(door.models, &get).await;
    let list: toft_model::provider::ModelList = serde_json::from_slice(&body).unwrap();
    let ids: Vec<_> = list.providers.iter().map(|p| &*p.id).collect();
    assert_eq!(ids, ["anthropic", "my-own"]);
    assert_eq!((&*list.default.provider, &*list.default_thinking_level), ("anthropic", "high"));
    assert!(
        list.models.iter().any(|m| m.demo) && list.models.iter().any(|m| m.provider == "anthropic")
    );
    assert_eq!(bench.gateway.models().await.unwrap(), list);

    // A default that cannot be called is not one; one of a provider without a catalogue is.
    let wish = |provider: &str| {
        Some(toft_model::provider::ModelRef { provider: provider.into(), id: "m".into() })
    };
    config.default_model = wish("openai");
    bench.gateway.set_config(config.clone()).await.unwrap();
    assert_eq!(bench.gateway.models().await.unwrap().default.provider, "anthropic");
    config.default_model = wish("my-own");
    bench.gateway.set_config(config.clone()).await.unwrap();
    let list = bench.gateway.models().await.unwrap();
    assert!(list.models.iter().any(|m| m.provider == "my-own" && m.id == "m"));
    config.demo_only = true;
    bench.gateway.set_config(config).await.unwrap();
    let list = bench.gateway.models().await.unwrap();
    assert!(list.models.iter().all(|m| m.demo) && list.providers.is_empty());
    let (head, _) = ask(door.models, post(&door, "/llm/anthropic/v1/messages", "{}")).await;
    assert_eq!(status(&head), 424);
    bench.end().await;
}

#[tokio::test]
async fn a_test_of_a_provider_tells_its_own_words_and_never_the_key() {
    let refusal = format!(r#"{{"error":{{"message":"Incorrect API key provided: {KEY}"}}}}"#);
    for (answer, ok, said) in [
        (r#"200 OK|{"data":[{"id":"a"},{"id":"b"}]}"#.to_owned(), true, "2 models"),
        (format!("401 Unauthorized|{refusal}"), false, "Incorrect API key provided: [the key]"),
        ("404 Not Found|nothing here".to_owned(), false, "could not be tried"),
    ] {
        let (line, body) = answer.split_once('|').unwrap();
        let fake = Fake::answering(format!(
            "HTTP/1.1 {line}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        let bench = Bench::start().await;
        bench.provider("anthropic", fake.url()).await;
        let test = bench.gateway.test_provider("anthropic").await.unwrap();
        assert_eq!(test.ok, ok);
        assert!(test.message.contains(said) && !test.message.contains(KEY), "{}", test.message);
        for (id, code) in [("openai", "no_key"), ("nobody", "unknown_provider")] {
            let refused = bench.gateway.test_provider(id).await.unwrap_err();
            assert!(matches!(&refused, crate::ControlError::Refused { code: c, .. } if c == code));
        }
        bench.end().await;
    }
}

#[tokio::test]
async fn a_provider_that_repeats_its_key_does_not_tell_the_machine() {
    let echo = format!("{{\"error\":\"bad key {KEY} given\"}}");
    let (first, second) = echo.split_at(24);
    let fake = Fake::answering(format!(
        "HTTP/1.1 401 No\r\nx-echo: {KEY}\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len()
    ))
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    let (head, body) = ask(door.models, post(&door, CHAT, "{}")).await;
    let text = String::from_utf8(body).unwrap();
    assert!(!text.contains(KEY) && !head.contains(KEY), "{head}{text}");
    assert_eq!(text.len(), echo.len());
    assert!(text.starts_with("{\"error\":\"bad key ") && text.ends_with(" given\"}"), "{text}");
    bench.end().await;
}

#[tokio::test]
async fn a_machine_is_only_taken_with_two_real_listeners() {
    let bench = Bench::start().await;
    let door = Door::new();
    let file = || std::os::fd::OwnedFd::from(tempfile::tempfile().unwrap());
    let refused = bench.gateway.add_machine(&door.project, "t", Open, vec![file(), file()]).await;
    assert!(matches!(refused, Err(crate::ControlError::Refused { .. })), "{refused:?}");
    let refused = bench.gateway.add_machine(&door.project, "t", Open, vec![file()]).await;
    assert!(matches!(refused, Err(crate::ControlError::Invalid(_))));
    let level = toft_model::machine::EgressLevel::AllowList(vec!["https://a.test".into()]);
    let refused = bench.gateway.add_machine(&door.project, "t", level, door.descriptors()).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("https://a.test"), "{said}");
    assert_eq!(bench.gateway.machines().await.unwrap(), []);
    // The connection is as good as before.
    bench.gateway.add_machine(&door.project, "t", Open, door.descriptors()).await.unwrap();
    assert_eq!(bench.gateway.machines().await.unwrap().len(), 1);
    bench.end().await;
}
