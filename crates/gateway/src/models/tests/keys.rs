//! Providers that say back what must not be said: their own key, in the ways that there are.

use super::{CHAT, code};
use crate::testing::{Bench, Conn, Door, Fake, KEY, ask, header, post, status};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use std::io::Write as _;
use toft_model::machine::EgressLevel::Open;

/// A house whose provider answers this.
async fn answering(answer: impl Into<Vec<u8>>) -> (Fake, Bench, Door) {
    let fake = Fake::answering(answer).await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    (fake, bench, door)
}

fn whole(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{head}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn chunked(pieces: &[&[u8]], trailers: &str) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for piece in pieces {
        answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        answer.extend_from_slice(piece);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    answer
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_provider_that_repeats_its_key_does_not_tell_the_machine() {
    let echo = format!("{{\"error\":\"bad key {KEY} given\"}}");
    let (first, second) = echo.as_bytes().split_at(24);
    let answer = String::from_utf8(chunked(&[first, second], "")).unwrap();
    let head = format!("HTTP/1.1 401 bad key {KEY}\r\nx-echo: {KEY}\r\nx-{KEY}: 1\r\n");
    let (_fake, bench, door) = answering(answer.replacen("HTTP/1.1 200 OK\r\n", &head, 1)).await;
    let (head, body) = ask(door.models, post(&door, CHAT, "{}")).await;
    let text = String::from_utf8(body).unwrap();
    assert!(!head.to_lowercase().contains(KEY), "{head}");
    assert_eq!(text, echo.replace(KEY, &"*".repeat(KEY.len())), "not a part of it");
    bench.end().await;
}

#[tokio::test]
async fn a_key_comes_in_no_form_that_programs_read() {
    let wide: Vec<u8> = KEY.bytes().flat_map(|c| [c, 0]).collect();
    let each = |write: &dyn Fn(u8) -> String| KEY.bytes().map(write).collect::<String>();
    for written in [
        STANDARD.encode(KEY).trim_end_matches('=').into(),
        STANDARD.encode(format!("k:{KEY}:x")).into_bytes(),
        each(&|c| format!("{c:02x}")).into(),
        each(&|c| format!("%{c:02X}")).into(),
        each(&|c| format!("\\u{c:04x}")).into(),
        each(&|c| format!("&#{c};")).into(),
        wide,
    ] {
        let text = [b"{\"said\":\"", &*written, b"\"}"].concat();
        let one = String::from_utf8(written.clone()).ok().filter(|text| !text.contains('\0'));
        let head = one.map(|text| format!("x-echo: {text}\r\n")).unwrap_or_default();
        let (_fake, bench, door) = answering(whole(&head, &text)).await;
        let (head, body) = ask(door.models, post(&door, CHAT, "{}")).await;
        let told = String::from_utf8_lossy(&written).into_owned();
        let inner = &written[4..written.len() - 4];
        assert!(!body.windows(inner.len()).any(|part| part == inner), "{told}");
        assert_eq!(body.len(), text.len(), "{told}");
        let inner = String::from_utf8_lossy(inner);
        assert!(!head.contains(&*inner), "{told}");
        bench.end().await;
    }
}

#[tokio::test]
async fn where_pieces_of_an_answer_end_tells_nothing_of_a_key() {
    let mut first = Vec::new();
    for guess in [&KEY[..12], &KEY[..1], "sk-canary-oth", "something else"] {
        let said = format!("a line\n{}{guess}", "x".repeat(2_000 - guess.len()));
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = format!("{head}{:x}\r\n{said}\r\n", said.len());
        let fake = Fake::start(move |mut conn| {
            let answer = answer.clone();
            async move {
                conn.request().await;
                conn.write(answer.as_bytes()).await;
                conn.gone().await;
            }
        })
        .await;
        let bench = Bench::start().await;
        bench.provider("openai", fake.url()).await;
        let door = bench.machine(Open).await;
        let mut conn = Conn::open(door.models).await;
        conn.write(post(&door, CHAT, "{}").as_bytes()).await;
        conn.head().await;
        first.push(conn.chunk().await.unwrap().len());
        drop(conn);
        bench.end().await;
    }
    assert!(first.iter().all(|length| *length == first[0]), "{first:?}");
}

#[tokio::test]
async fn a_key_whose_end_is_cut_off_is_not_given_out() {
    for kept in [KEY.len() - 1, KEY.len() - 5] {
        let said = format!("key: {}", &KEY[..kept]);
        for answer in [
            whole("", said.as_bytes()),
            chunked(&[said.as_bytes()], ""),
            format!("HTTP/1.0 200 OK\r\n\r\n{said}").into_bytes(),
        ] {
            let (_fake, bench, door) = answering(answer).await;
            let (_, body) = ask(door.models, post(&door, CHAT, "{}")).await;
            let text = String::from_utf8(body).unwrap();
            assert_eq!(text, format!("key: {}", "*".repeat(kept)));
            bench.end().await;
        }
    }
}

#[tokio::test]
async fn what_comes_packed_all_the_same_is_unpacked_and_looked_through_and_counted() {
    let text = format!(
        r#"{{"model":"gpt-5","said":"{KEY}","usage":{{"prompt_tokens":7,"completion_tokens":3}}}}"#
    );
    let head = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    let (_fake, bench, door) = answering(whole(head, &gzip(text.as_bytes()))).await;
    let (head, body) = ask(door.models, post(&door, CHAT, r#"{"model":"gpt-5"}"#)).await;
    assert_eq!((status(&head), header(&head, "content-encoding")), (200, None));
    let body = String::from_utf8(body).unwrap();
    assert_eq!(body, text.replace(KEY, &"*".repeat(KEY.len())));
    let record = bench.usage_of(1).await.remove(0);
    assert_eq!((record.input, record.output), (Some(7), Some(3)));
    bench.end().await;
}

#[tokio::test]
async fn what_cannot_be_unpacked_is_refused_and_counts_as_it_was_reserved() {
    let (_fake, bench, door) =
        answering(whole("content-encoding: br\r\n", b"\x0b\x02\x80hello\x03")).await;
    let (head, body) = ask(door.models, post(&door, CHAT, r#"{"model":"gpt-5"}"#)).await;
    assert_eq!(code(&head, &body), (502, "answer_encoded".to_owned()));
    let record = bench.usage_of(1).await.remove(0);
    assert_eq!((record.status, record.error.as_deref()), (502, Some("answer_encoded")));
    assert!(record.cost.is_none() && record.counted.is_some_and(|nanos| nanos > 0), "{record:?}");
    bench.end().await;
}

#[tokio::test]
async fn an_answer_that_is_no_answer_is_quoted_without_the_key() {
    let (_fake, bench, door) = answering(whole("", STANDARD.encode(KEY).as_bytes())).await;
    let question =
        r#"{"model":"openai/gpt-5","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    let request = post(&door, "/llm/anthropic/v1/messages", question);
    let (_, body) = ask(door.models, request).await;
    let text = String::from_utf8(body).unwrap();
    assert!(!text.contains(&STANDARD.encode(KEY)[..8]), "{text}");
    bench.end().await;
}
