//! What is written down.

use super::CHAT;
use crate::testing::{Bench, Conn, Fake, ask, post};
use toft_model::machine::EgressLevel::Open;

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
            assert_eq!(
                (&*record.provider, record.project.as_ref()),
                (provider, Some(&door.project))
            );
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
