//! What every wire format must withstand, in one table: each hazard is run against each adapter.

mod formats;
mod garbage;
mod refusals;

use crate::{
    ask::{ModelEvent, Retry},
    testing::{BodyEnd, MemoryTransport, PreparedAnswer, assistant, call, result, user},
};
use bytes::Bytes;
use formats::{FORMATS, IDLE};
use futures_util::StreamExt as _;
use std::time::Duration;
use toft_model::message::{Block, INVALID_ARGUMENTS, StopReason};
use tokio_util::sync::CancellationToken;

fn chunked(body: &[u8], size: usize) -> PreparedAnswer {
    PreparedAnswer {
        chunks: body.chunks(size).map(Bytes::copy_from_slice).collect(),
        ..PreparedAnswer::stream("")
    }
}

#[tokio::test]
async fn a_whole_answer_is_the_same_however_it_is_chunked() {
    for format in FORMATS {
        let body = format.whole();
        let whole = format.ask(PreparedAnswer::stream(body.clone())).await;
        assert_eq!(whole.failure, None);
        assert_eq!(whole.message.stop_reason, StopReason::ToolUse);
        assert_eq!(whole.calls(), [("a", "{\"command\":\"ls\"}".into()), ("b", "{}".into())]);
        assert_eq!(whole.message.usage.output, 9);
        // Who watches sees each block end, also one that nothing comes after.
        assert_eq!((whole.count("start"), whole.count("end")), (3, 3), "{}", format.name);
        let last = format!("{}{}", (format.text)("last"), format.end);
        let last = format.ask(PreparedAnswer::stream(last)).await;
        assert_eq!((last.count("start"), last.count("end")), (1, 1), "{}", format.name);
        for size in [1, 2, 3, 7, 64] {
            let cut = format.ask(chunked(body.as_bytes(), size)).await;
            assert_eq!(cut.message, whole.message, "{} in pieces of {size}", format.name);
            assert_eq!(cut.deltas, whole.deltas, "{} in pieces of {size}", format.name);
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_at_any_byte_never_yields_a_call() {
    for format in FORMATS {
        let body = format.whole();
        // The last byte is the end of the blank line that makes the end mark an event.
        let last = body.len() - 1;
        // A body that ends by itself after the reason to stop is whole in the chat format: not all who
        // speak it send its mark.
        let reason = body.find("\"finish_reason\"").map(|at| at + body[at..].find("\n\n").unwrap());
        for (end, whole) in
            [(BodyEnd::Clean, reason.map_or(last, |at| at + 1)), (BodyEnd::Broken, last)]
        {
            for cut in 0..whole {
                let answer = chunked(&body.as_bytes()[..cut], 50).ending(end.clone());
                let got = format.ask(answer).await;
                assert_eq!(got.code(), "cut", "{} at byte {cut}", format.name);
                assert_eq!(got.failure.as_ref().unwrap().retry, Retry::Backoff);
                assert_eq!(got.calls(), [], "{} at byte {cut}", format.name);
            }
        }
    }
}

#[tokio::test]
async fn events_without_data_and_marks_of_another_format_are_passed_over() {
    for format in FORMATS {
        let alive = "event: ping\ndata:\n\ndata: {\"type\":\"ping\"}\n\n: alive\n\n";
        // OpenAI's mark, sent by some who speak another format.
        let mark = if format.name == "openai" { "" } else { "data: [DONE]\n\n" };
        let body = format!("{alive}{}{alive}{mark}{}", (format.text)("hi"), format.end);
        let got = format.ask(PreparedAnswer::stream(body)).await;
        assert_eq!((got.code(), &got.message.content[..]), ("", &[Block::text("hi")][..]));
        // Without a call there is none to make, whatever the provider gives as its reason.
        assert_eq!(got.message.stop_reason, StopReason::Stop, "{}", format.name);
    }
}

#[tokio::test]
async fn counts_that_cannot_be_do_not_cost_the_answer() {
    for format in FORMATS {
        for (odd, output) in
            [("-9", 0), ("9.5", 0), ("\"9\"", 0), ("18446744073709551615", u64::MAX)]
        {
            let end =
                format.end.replace(":9", &format!(":{odd}")).replace(":3", &format!(":{odd}"));
            let got = format.ask(PreparedAnswer::stream((format.text)("hi") + &end)).await;
            assert_eq!(got.code(), "", "{} {odd}: {}", format.name, got.words());
            assert_eq!(got.message.usage.output, output, "{} {odd}", format.name);
            assert!(got.message.usage.total_tokens >= output, "{} {odd}", format.name);
        }
    }
}

#[tokio::test]
async fn a_call_without_a_name_is_none() {
    for format in FORMATS {
        let nameless = (format.call)(0, "a", "{\"x\":1}").replace("\"bash\"", "\"\"");
        let body = format!("{nameless}{}{}", (format.call)(1, "b", "{}"), format.end);
        let got = format.ask(PreparedAnswer::stream(body)).await;
        assert_eq!((got.code(), got.calls()), ("", vec![("b", "{}".into())]), "{}", format.name);
    }
}

#[tokio::test]
async fn a_message_is_that_of_the_model_which_stands_in() {
    for format in FORMATS {
        let ask = async |model: Option<&str>| {
            let answer = PreparedAnswer::stream(format.whole());
            let answer = match model {
                Some(model) => answer.header("x-toft-model", model),
                None => answer,
            };
            let events = format.ask_with(answer, vec![user("hi")], CancellationToken::new());
            match events.collect::<Vec<_>>().await.pop() {
                Some(ModelEvent::Done { message, failure: None }) => message,
                other => panic!("{}: {other:?}", format.name),
            }
        };
        let asked = ask(None).await;
        let own = format!("{}/{}", asked.provider, asked.model);
        assert_eq!(ask(Some(&own)).await, asked);
        assert_eq!(ask(Some("nonsense")).await, asked);
        let got = ask(Some("xai/grok-unheard-of")).await;
        assert_eq!((&*got.provider, &*got.model), ("xai", "grok-unheard-of"), "{}", format.name);
        assert_eq!((&got.api, got.usage.cost), (&asked.api, None), "its own price, none here");
    }
}

#[tokio::test]
async fn an_empty_stream_is_a_cut_one() {
    for format in FORMATS {
        let got = format.ask(PreparedAnswer::stream("")).await;
        assert_eq!((got.code(), got.message.content.len()), ("cut", 0));
        assert!(got.words().contains("before its answer"), "{}", got.words());
    }
}

#[tokio::test]
async fn what_had_arrived_before_a_cut_is_kept() {
    for format in FORMATS.into_iter().filter(|f| f.calls_in_pieces) {
        let body = format!("{}{}", (format.text)("half"), (format.call)(0, "a", "{\"comm"));
        let got = format.ask(PreparedAnswer::stream(body).ending(BodyEnd::Broken)).await;
        assert_eq!(got.message.content, [Block::text("half")]);
        assert!(got.words().contains("connection reset"), "{}", got.words());
    }
}

#[tokio::test]
async fn arguments_that_are_no_json_reach_the_tool_as_such() {
    for format in FORMATS.into_iter().filter(|f| f.calls_in_pieces) {
        let body = format!("{}{}", (format.call)(0, "a", "{\"command\": \"ls"), format.end);
        let got = format.ask(PreparedAnswer::stream(body)).await;
        assert_eq!(got.failure, None);
        let call = got.message.tool_calls().next().unwrap();
        assert_eq!(call.arguments[INVALID_ARGUMENTS], "{\"command\": \"ls");
    }
}

#[tokio::test]
async fn ids_that_were_used_before_are_made_unique() {
    for format in FORMATS {
        let body =
            format!("{}{}{}", (format.call)(0, "a", "{}"), (format.call)(1, "a", "{}"), format.end);
        let history = vec![user("hi"), assistant(vec![call("a", "bash", "{}")]), result("a", "x")];
        let got = format.ask_after(PreparedAnswer::stream(body), history).await;
        let ids: Vec<&str> = got.message.tool_calls().map(|c| c.id.as_str()).collect();
        // With one id for both, a format that tells calls apart by index alone has two of them.
        assert_eq!(ids, ["a_1", "a_2"], "{}", format.name);
    }
}

#[tokio::test]
async fn an_error_in_the_middle_keeps_the_text_and_drops_the_calls() {
    for format in FORMATS {
        let body =
            format!("{}{}{}", (format.text)("so far"), (format.call)(0, "a", "{}"), format.error);
        let got = format.ask(PreparedAnswer::stream(body)).await;
        assert_eq!(
            (got.code(), &got.message.content[..]),
            ("overloaded", &[Block::text("so far")][..])
        );
    }
}

#[tokio::test]
async fn nothing_at_the_gateway_is_told() {
    for format in FORMATS {
        let answer = format.ask_through(
            MemoryTransport::new([]),
            vec![user("hi")],
            CancellationToken::new(),
        );
        let events: Vec<_> = answer.collect().await;
        let [ModelEvent::Done { failure: Some(failure), .. }] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!((failure.code.as_str(), failure.retry), ("unreachable", Retry::Backoff));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_is_given_up() {
    for format in FORMATS {
        let answer = PreparedAnswer::stream((format.text)("hm")).ending(BodyEnd::Silent);
        let began = tokio::time::Instant::now();
        let got = format.ask(answer).await;
        assert_eq!(began.elapsed(), IDLE);
        assert_eq!(
            (got.code(), &got.message.content[..]),
            ("idle_timeout", &[Block::text("hm")][..])
        );
        assert!(got.words().contains("300 seconds"), "{}", got.words());
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_a_call_at_once_and_keeps_the_text() {
    for format in FORMATS {
        let body = format!("{}{}", (format.text)("so far"), (format.call)(0, "a", "{}"));
        let answer = PreparedAnswer::stream(body).ending(BodyEnd::Silent);
        let cancel = CancellationToken::new();
        let mut stream = format.ask_with(answer, vec![user("hi")], cancel.clone());
        // As many deltas as there are; then it would wait for more.
        let began = tokio::time::Instant::now();
        let mut seen = 0;
        let done = loop {
            match tokio::time::timeout(Duration::from_secs(1), stream.next()).await {
                Ok(Some(ModelEvent::Delta(_) | ModelEvent::Sealed { .. })) => seen += 1,
                Ok(Some(ModelEvent::Done { message, failure })) => break (message, failure),
                Ok(None) => panic!("no Done"),
                Err(_) => cancel.cancel(),
            }
        };
        assert_eq!(began.elapsed(), Duration::from_secs(1), "no wait after the cancel");
        assert!(seen >= 3);
        assert_eq!(done.0.stop_reason, StopReason::Aborted);
        assert_eq!(done.0.content, [Block::text("so far")]);
        assert_eq!(done.1.unwrap().code, "aborted");
    }
}

#[tokio::test]
async fn a_call_that_was_cancelled_before_it_began_sends_nothing() {
    for format in FORMATS {
        let transport = MemoryTransport::new([]);
        let cancel = CancellationToken::new();
        cancel.cancel();
        let answer = format.ask_through(transport.clone(), vec![user("hi")], cancel);
        let events: Vec<_> = answer.collect().await;
        assert!(matches!(events.as_slice(), [ModelEvent::Done { .. }]));
        assert!(transport.sent().is_empty());
    }
}

#[tokio::test]
async fn a_huge_delta_and_wrong_bytes_are_taken() {
    for format in FORMATS {
        let huge = "é".repeat(1 << 20);
        let body = format!("{}{}", (format.text)(&huge), format.end);
        let got = format.ask(chunked(body.as_bytes(), 16_000)).await;
        assert_eq!((got.code(), &got.message.content[..]), ("", &[Block::text(huge)][..]));
        let mut body = (format.text)("a~b").into_bytes();
        let at = body.windows(3).position(|w| w == b"a~b").unwrap() + 1;
        body[at] = 0xff;
        body.extend_from_slice(format.end.as_bytes());
        let got = format.ask(PreparedAnswer::stream(body)).await;
        assert_eq!((got.code(), &got.message.content[..]), ("", &[Block::text("a\u{fffd}b")][..]));
    }
}

#[tokio::test]
async fn an_endless_event_is_refused() {
    for format in FORMATS {
        let chunk = Bytes::from(vec![b'x'; 1 << 20]);
        let chunks =
            std::iter::once(Bytes::from_static(b"data: ")).chain(std::iter::repeat_n(chunk, 17));
        let answer = PreparedAnswer { chunks: chunks.collect(), ..PreparedAnswer::stream("") };
        let got = format.ask(answer).await;
        assert_eq!(got.code(), "bad_answer");
    }
}
