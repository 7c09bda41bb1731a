//! Streams that are not as they should be: what comes of them, in one format.

use super::formats::{Format, Frame, IDLE};
use crate::{
    ask::{ModelEvent, Retry},
    testing::{BodyEnd, MemoryTransport, PreparedAnswer, assistant, call, result, user},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use toft_model::message::{Block, INVALID_ARGUMENTS, StopReason};
use tokio_util::sync::CancellationToken;

/// A body in pieces of this size.
pub(super) fn chunked(body: &[u8], size: usize) -> PreparedAnswer {
    PreparedAnswer {
        chunks: body.chunks(size).map(Bytes::copy_from_slice).collect(),
        ..PreparedAnswer::stream("")
    }
}

/// A whole answer is the same however it is chunked.
pub(super) async fn chunks(format: &Format) {
    let body = format.whole();
    let whole = format.ask(PreparedAnswer::stream(body.clone())).await;
    assert_eq!(whole.failure, None, "{}", format.name);
    assert_eq!(whole.message.stop_reason, StopReason::ToolUse);
    assert_eq!(whole.calls(), [("a", "{\"command\":\"ls\"}".into()), ("b", "{}".into())]);
    assert_eq!(whole.message.usage.output, 9);
    // Who watches sees each block end, also one that nothing comes after.
    assert_eq!((whole.count("start"), whole.count("end")), (3, 3), "{}", format.name);
    let last = format.ask(format.body(&[(format.text)("last"), (format.end)()])).await;
    assert_eq!((last.count("start"), last.count("end")), (1, 1), "{}", format.name);
    for size in [1, 2, 3, 7, 64] {
        let cut = format.ask(chunked(&body, size)).await;
        assert_eq!(cut.message, whole.message, "{} in pieces of {size}", format.name);
        assert_eq!(cut.deltas, whole.deltas, "{} in pieces of {size}", format.name);
    }
}

/// No call comes of a stream that is cut, wherever it is.
pub(super) async fn cut_at_every_byte(format: &Format) {
    let body = format.whole();
    let (clean, broken) = format.enough();
    for (end, whole) in [(BodyEnd::Clean, clean), (BodyEnd::Broken, broken)] {
        for cut in 0..whole {
            let answer = chunked(&body[..cut], 50).ending(end.clone());
            let got = format.ask(answer).await;
            assert_eq!(got.code(), "cut", "{} at byte {cut}", format.name);
            assert_eq!(got.failure.as_ref().unwrap().retry, Retry::Backoff);
            assert_eq!(got.calls(), [], "{} at byte {cut}", format.name);
        }
    }
}

/// Events without data and marks of another format are passed over.
pub(super) async fn signs_of_life(format: &Format) {
    let alive = format.framing.alive();
    // OpenAI's mark, sent by some who speak another format.
    let mark = if format.name == "openai" { vec![] } else { vec![Frame::new("", "[DONE]")] };
    let part = |frames: &[Frame]| format.body(&[frames.to_vec()]).chunks.concat();
    let (text, end) = (part(&(format.text)("hi")), part(&(format.end)()));
    let body = [&alive, &*text, &alive, &part(&mark), &end].concat();
    let got = format.ask(PreparedAnswer::stream(body)).await;
    assert_eq!((got.code(), &got.message.content[..]), ("", &[Block::text("hi")][..]));
    // Without a call there is none to make, whatever the provider gives as its reason.
    assert_eq!(got.message.stop_reason, StopReason::Stop, "{}", format.name);
}

/// Counts that cannot be do not cost the answer.
pub(super) async fn impossible_counts(format: &Format) {
    for (odd, output) in [("-9", 0), ("9.5", 0), ("\"9\"", 0), ("18446744073709551615", u64::MAX)] {
        let odds =
            |frame: Frame| frame.with(":9", &format!(":{odd}")).with(":3", &format!(":{odd}"));
        let end = (format.end)().into_iter().map(odds).collect();
        let got = format.ask(format.body(&[(format.text)("hi"), end])).await;
        assert_eq!(got.code(), "", "{} {odd}: {}", format.name, got.words());
        assert_eq!(got.message.usage.output, output, "{} {odd}", format.name);
        assert!(got.message.usage.total_tokens >= output, "{} {odd}", format.name);
    }
}

/// A call without a name is none.
pub(super) async fn nameless_calls(format: &Format) {
    let nameless = (format.call)(0, "a", "{\"x\":1}").into_iter();
    let nameless = nameless.map(|frame| frame.with("\"bash\"", "\"\"")).collect();
    let parts = [nameless, (format.call)(1, "b", "{}"), (format.end)()];
    let got = format.ask(format.body(&parts)).await;
    assert_eq!((got.code(), got.calls()), ("", vec![("b", "{}".into())]), "{}", format.name);
}

/// A message is that of the model which stands in.
pub(super) async fn another_model_answers(format: &Format) {
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

/// An empty stream is a cut one.
pub(super) async fn empty(format: &Format) {
    let got = format.ask(PreparedAnswer::stream("")).await;
    assert_eq!((got.code(), got.message.content.len()), ("cut", 0));
    assert!(got.words().contains("before its answer"), "{}", got.words());
}

/// What had arrived before a cut is kept, but for calls.
pub(super) async fn cut_in_a_call(format: &Format) {
    if !format.calls_in_pieces {
        return;
    }
    let body = format.body(&[(format.text)("half"), (format.call)(0, "a", "{\"comm")]);
    let got = format.ask(body.ending(BodyEnd::Broken)).await;
    assert_eq!(got.message.content, [Block::text("half")]);
    assert!(got.words().contains("connection reset"), "{}", got.words());
}

/// Arguments that are no JSON reach the tool as such, or are asked for again.
pub(super) async fn bad_json(format: &Format) {
    if !format.calls_in_pieces {
        let texts = (format.call)(0, "a", "{}").into_iter();
        let texts = texts.map(|frame| frame.with("\"args\":{}", "\"args\":\"{\"")).collect();
        let got = format.ask(format.body(&[texts, (format.end)()])).await;
        assert_eq!((got.code(), got.calls()), ("bad_answer", vec![]), "{}", format.name);
        assert_eq!(got.failure.as_ref().map(|f| f.retry), Some(Retry::Backoff));
        return;
    }
    let parts = [(format.call)(0, "a", "{\"command\": \"ls"), (format.end)()];
    let got = format.ask(format.body(&parts)).await;
    assert_eq!(got.failure, None);
    let call = got.message.tool_calls().next().unwrap();
    assert_eq!(call.arguments[INVALID_ARGUMENTS], "{\"command\": \"ls");
}

/// Ids that were used before are made unique.
pub(super) async fn duplicate_tool_ids(format: &Format) {
    let body =
        format.body(&[(format.call)(0, "a", "{}"), (format.call)(1, "a", "{}"), (format.end)()]);
    let history = vec![user("hi"), assistant(vec![call("a", "bash", "{}")]), result("a", "x")];
    let got = format.ask_after(body, history).await;
    let ids: Vec<&str> = got.message.tool_calls().map(|c| c.id.as_str()).collect();
    // With one id for both, a format that tells calls apart by index alone has two of them.
    assert_eq!(ids, ["a_1", "a_2"], "{}", format.name);
}

/// The text stays, the calls go.
pub(super) async fn error_in_the_middle(format: &Format) {
    let said = [(format.text)("so far"), (format.call)(0, "a", "{}"), vec![(format.error)()]];
    let got = format.ask(format.body(&said)).await;
    assert_eq!(
        (got.code(), &got.message.content[..]),
        ("overloaded", &[Block::text("so far")][..])
    );
}

/// It is told, and tried again.
pub(super) async fn no_gateway(format: &Format) {
    let answer =
        format.ask_through(MemoryTransport::new([]), vec![user("hi")], CancellationToken::new());
    let events: Vec<_> = answer.collect().await;
    let [ModelEvent::Done { failure: Some(failure), .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((failure.code.as_str(), failure.retry), ("unreachable", Retry::Backoff));
}

/// A silent provider is given up.
pub(super) async fn idle(format: &Format) {
    let answer = format.body(&[(format.text)("hm")]).ending(BodyEnd::Silent);
    let began = tokio::time::Instant::now();
    let got = format.ask(answer).await;
    assert_eq!(began.elapsed(), IDLE);
    assert_eq!((got.code(), &got.message.content[..]), ("idle_timeout", &[Block::text("hm")][..]));
    assert!(got.words().contains("300 seconds"), "{}", got.words());
}

/// It ends a call at once and keeps the text.
pub(super) async fn abort(format: &Format) {
    let answer = format.body(&[(format.text)("so far"), (format.call)(0, "a", "{}")]);
    let answer = answer.ending(BodyEnd::Silent);
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

/// Nothing is sent.
pub(super) async fn abort_before_it_began(format: &Format) {
    let transport = MemoryTransport::new([]);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let answer = format.ask_through(transport.clone(), vec![user("hi")], cancel);
    let events: Vec<_> = answer.collect().await;
    assert!(matches!(events.as_slice(), [ModelEvent::Done { .. }]));
    assert!(transport.sent().is_empty());
}

/// A huge delta and wrong bytes are taken.
pub(super) async fn bad_utf8(format: &Format) {
    let huge = "é".repeat(1 << 20);
    let body = format.body(&[(format.text)(&huge), (format.end)()]).chunks.concat();
    let got = format.ask(chunked(&body, 16_000)).await;
    assert_eq!((got.code(), &got.message.content[..]), ("", &[Block::text(huge)][..]));
    let mut text = (format.text)("a~b");
    for frame in &mut text {
        if let Some(at) = frame.data.windows(3).position(|w| w == b"a~b") {
            frame.data[at + 1] = 0xff;
        }
    }
    let got = format.ask(format.body(&[text, (format.end)()])).await;
    assert_eq!((got.code(), &got.message.content[..]), ("", &[Block::text("a\u{fffd}b")][..]));
}

/// It is refused before it fills the memory.
pub(super) async fn endless_event(format: &Format) {
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    let chunks = std::iter::once(Bytes::from(format.framing.endless()))
        .chain(std::iter::repeat_n(chunk, 17));
    let answer = PreparedAnswer { chunks: chunks.collect(), ..PreparedAnswer::stream("") };
    let got = format.ask(answer).await;
    assert_eq!(got.code(), "bad_answer");
}

/// Fields, events and kinds of blocks that nobody knows yet change nothing.
pub(super) async fn unknown_fields(format: &Format) {
    let known = format.ask(PreparedAnswer::stream(format.whole())).await;
    let mut frames: Vec<Frame> = format.frames();
    for frame in &mut frames {
        if let Ok(mut event) = serde_json::from_slice::<Value>(&frame.data) {
            add_unknown(&mut event);
            frame.data = event.to_string().into_bytes();
        }
    }
    let events = [
        Frame::new("brand_new", json!({"type": "brand_new", "index": 0, "object": "brand_new"})),
        Frame::new("", json!({})),
    ];
    for at in [0, 1, frames.len() / 2] {
        frames.splice(at..at, events.clone());
    }
    let got = format.ask(format.body(&[frames])).await;
    assert_eq!(
        (got.code(), &got.message),
        ("", &known.message),
        "{}: {}",
        format.name,
        got.words()
    );
    assert_eq!(got.deltas, known.deltas, "{}", format.name);
}

/// In each object but those that are a tool's arguments.
fn add_unknown(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (_, value) in
                map.iter_mut().filter(|(key, _)| !["args", "input"].contains(&key.as_str()))
            {
                add_unknown(value);
            }
            map.insert("brand_new".into(), json!({"deep": [null, {"type": "brand_new"}]}));
        }
        Value::Array(list) => list.iter_mut().for_each(add_unknown),
        _ => {}
    }
}
