//! What is written down.

use super::{CHAT, code};
use crate::{
    folder,
    records::usage::{UsageLine, UsageRecord},
    testing::{Bench, Conn, Fake, Names, ask, post},
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use toft_model::{
    id::{RunId, SessionId},
    machine::EgressLevel::Open,
};

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
            let before = crate::records::journal::now_ms();
            let (_, body) = ask(door.models, post(&door, path, "{}")).await;
            assert_eq!(body, text.as_bytes());
            let records = bench.usage_of(1).await;
            let [record] = &records[..] else { panic!("{records:?}") };
            let tokens = [record.input, record.output, record.cache_read, record.cache_write];
            assert_eq!(tokens, expected);
            assert_eq!(record.model.as_deref(), Some(model));
            assert_eq!(
                (&*record.provider, record.project.as_ref()),
                (provider, Some(&door.project))
            );
            assert_eq!((record.status, &record.error), (200, &None));
            assert!(record.ts >= before && record.first_byte_ms.is_some());
            let position = bench.gateway.usage_position().await.unwrap();
            assert_eq!(crate::records::usage::read(bench.data_dir(), 0, 9).unwrap().1, position);
            bench.end().await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_is_seen_as_cut() {
    let fake = Fake::answering(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
         9\r\nhello\nyou\r\n",
    )
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    let mut conn = Conn::open(door.models).await;
    conn.write(post(&door, CHAT, "{}").as_bytes()).await;
    let head = conn.head().await;
    assert_eq!(conn.body(&head).await, (b"hello\n".to_vec(), false));
    assert_eq!(bench.usage_of(1).await[0].error.as_deref(), Some("cut"));
    bench.end().await;
}

/// A provider that counts and remembers what it gets, and reports usage of a priced model.
async fn priced(status: u16, body: &'static str) -> (Fake, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let fake = Fake::start(move |mut conn| {
        let seen = Arc::clone(&seen);
        async move {
            let (head, _) = conn.request().await;
            seen.lock().unwrap().push(head);
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            conn.write(answer.as_bytes()).await;
        }
    })
    .await;
    (fake, heads)
}

/// The one record of a call with these headers.
async fn record_of(method: &str, path: &str, headers: &str, fake: &Fake) -> UsageRecord {
    let bench = Bench::start().await;
    bench.provider("anthropic", fake.url()).await;
    let door = bench.machine(Open).await;
    let body = r#"{"model":"claude-haiku-4-5"}"#;
    let request = post(&door, &format!("/llm/anthropic{path}"), body)
        .replacen("POST", method, 1)
        .replacen("\r\n", &format!("\r\n{headers}"), 1);
    ask(door.models, request).await;
    let record = bench.usage_of(1).await.remove(0);
    bench.end().await;
    record
}

#[tokio::test]
async fn a_call_is_booked_on_conversation_and_run_and_the_provider_sees_neither() {
    let usage = r#"{"model":"claude-haiku-4-5","usage":{"input_tokens":1000,"output_tokens":10}}"#;
    let (fake, heads) = priced(200, usage).await;
    for (headers, session, run) in [
        ("x-toft-session: s-1\r\nx-toft-run: a1b2\r\n", Some("s-1"), Some("a1b2")),
        ("x-toft-session: s-1\r\n", Some("s-1"), None),
        ("x-toft-session: ../s\r\nx-toft-run: a b\r\n", None, None),
        (&format!("x-toft-run: {}\r\n", "a".repeat(81)), None, None),
    ] {
        let record = record_of("POST", "/v1/messages", headers, &fake).await;
        assert_eq!(record.session.as_ref().map(SessionId::as_str), session, "{headers}");
        assert_eq!(record.run.as_ref().map(RunId::as_str), run, "{headers}");
        assert!(record.cost.is_some_and(|nanos| nanos > 0), "{record:?}");
        let head = heads.lock().unwrap().pop().unwrap();
        assert!(!head.to_lowercase().contains("x-toft"), "{head}");
    }
}

#[tokio::test]
async fn what_asks_no_model_costs_nothing_and_what_is_not_known_is_null() {
    for (method, path, status, body, cost) in [
        ("POST", "/v1/messages", 200, r#"{"usage":{"input_tokens":0,"output_tokens":0}}"#, Some(0)),
        ("POST", "/v1/messages", 200, r#"{"model":"claude-haiku-4-5"}"#, None),
        ("POST", "/v1/messages", 429, r#"{"error":{"message":"slow down"}}"#, Some(0)),
        ("POST", "/v1/messages/count_tokens", 200, r#"{"input_tokens":9}"#, Some(0)),
        ("GET", "/v1/files", 200, r#"{"data":[]}"#, Some(0)),
    ] {
        let (fake, _) = priced(status, body).await;
        let record = record_of(method, path, "", &fake).await;
        assert_eq!((record.status, record.cost), (status, cost), "{method} {path} {body}");
    }
}

#[tokio::test]
async fn what_costs_nothing_is_one_line() {
    let (fake, _) = priced(200, "{}").await;
    let bench = Bench::start().await;
    bench.provider("anthropic", fake.url()).await;
    let door = bench.machine(Open).await;
    let list = post(&door, "/llm/anthropic/v1/files", "").replacen("POST", "GET", 1);
    ask(door.models, list).await;
    let ended = bench.usage_of(1).await.remove(0);
    let (lines, _) = crate::records::usage::read(bench.data_dir(), 0, 9).unwrap();
    assert!(
        matches!(&lines[..], [UsageLine::Started(_), UsageLine::Ended(it)] if *it == ended),
        "{lines:?}"
    );
    bench.end().await;
}

#[tokio::test]
async fn a_call_is_written_down_before_it_goes_out() {
    let reached = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reached);
    let fake = Fake::start(move |mut conn| {
        let counted = Arc::clone(&counted);
        async move {
            conn.request().await;
            counted.fetch_add(1, Ordering::Relaxed);
            conn.gone().await;
        }
    })
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    let mut conn = Conn::open(door.models).await;
    conn.write(post(&door, CHAT, "{}").as_bytes()).await;
    crate::testing::eventually(|| (reached.load(Ordering::Relaxed) == 1).then_some(())).await;
    let (lines, _) = crate::records::usage::read(bench.data_dir(), 0, 9).unwrap();
    let [UsageLine::Started(_), UsageLine::Granted(granted)] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!((granted.project.as_ref(), &*granted.provider), (Some(&door.project), "openai"));
    drop(conn);
    let ended = bench.usage_of(1).await.remove(0);
    assert_eq!((&ended.id, ended.error.as_deref()), (&granted.granted, Some("client_closed")));
    bench.end().await;
}

#[tokio::test]
async fn a_call_that_cannot_be_written_down_is_not_made() {
    let (fake, heads) = priced(200, "{}").await;
    let dir = tempfile::tempdir().unwrap();
    folder::prepare(dir.path()).unwrap();
    // A journal on a disk that is full.
    let journal = folder::usage_dir(dir.path()).join("journal.jsonl");
    std::os::unix::fs::symlink("/dev/full", journal).unwrap();
    let bench = Bench::on(dir, Arc::new(Names::default())).await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    let (head, body) = ask(door.models, post(&door, CHAT, "{}")).await;
    assert_eq!(code(&head, &body), (507, "disk_full".to_owned()));
    assert_eq!(heads.lock().unwrap().len(), 0, "nothing went out");
    bench.end().await;
}

#[tokio::test]
async fn who_goes_away_after_the_end_mark_has_all_of_it() {
    for (last, error) in [("data: [DONE]\n\n", None), ("data: {}\n\n", Some("client_closed"))] {
        let fake = Fake::start(move |mut conn| async move {
            conn.request().await;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            conn.write(format!("{head}{last}").as_bytes()).await;
            conn.gone().await;
        })
        .await;
        let bench = Bench::start().await;
        bench.provider("openai", fake.url()).await;
        let door = bench.machine(Open).await;
        let mut conn = Conn::open(door.models).await;
        conn.write(post(&door, CHAT, "{}").as_bytes()).await;
        conn.head().await;
        conn.chunk().await;
        drop(conn);
        assert_eq!(bench.usage_of(1).await[0].error.as_deref(), error, "{last}");
        bench.end().await;
    }
}
