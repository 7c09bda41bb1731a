//! Answers that end where they should not, or do not end: what comes of them, in one format.

use super::{
    formats::{Format, Frame},
    streams,
};
use crate::ask::Retry;
use toft_model::message::{Block, INVALID_ARGUMENTS, StopReason};

/// The end of an answer, with a format's other word for why; none where it has no such word.
fn end(format: &Format, words: &[(&str, &str, &str)]) -> Option<Vec<Frame>> {
    let (_, old, new) = words.iter().find(|(name, ..)| *name == format.name)?;
    Some((format.end)().into_iter().map(|frame| frame.with(old, new)).collect())
}

/// It was cut, and is not done.
pub(super) async fn full_context(format: &Format) {
    let word = "model_context_window_exceeded";
    let words = [
        ("anthropic", "tool_use", word),
        ("openai", "tool_calls", word),
        ("bedrock", "tool_use", word),
    ];
    let Some(end) = end(format, &words) else { return };
    let got = format.ask(format.body(&[(format.text)("so"), end])).await;
    assert_eq!((got.code(), &got.message.content[..]), ("", &[Block::text("so")][..]));
    assert_eq!(got.message.stop_reason, StopReason::Length, "{}", format.name);
}

/// A call that the output limit left without arguments is not one that has none.
pub(super) async fn no_room_for_arguments(format: &Format) {
    let words = [
        ("anthropic", "tool_use", "max_tokens"),
        ("openai", "tool_calls", "length"),
        ("responses", "response.completed", "response.incomplete"),
        ("bedrock", "tool_use", "max_tokens"),
    ];
    // In the other format they come whole or not at all.
    let Some(end) = end(format, &words) else { return };
    let calls = |json| [(format.call)(0, "a", "{}"), (format.call)(1, "b", json)].concat();
    let got = format.ask(format.body(&[calls(""), end.clone()])).await;
    assert_eq!((got.code(), got.message.stop_reason), ("", StopReason::ToolUse), "{}", format.name);
    let [first, last] = got.message.tool_calls().collect::<Vec<_>>()[..] else { panic!() };
    assert!(first.arguments.is_empty() && last.arguments.contains_key(INVALID_ARGUMENTS));
    // What the model gave counts, also as the last thing that it had room for.
    let got = format.ask(format.body(&[calls("{}"), end])).await;
    assert!(got.message.tool_calls().all(|call| call.arguments.is_empty()), "{}", format.name);
    // Without a limit that was met, nothing is what it wrote.
    let got = format.ask(format.body(&[calls(""), (format.end)()])).await;
    assert!(got.message.tool_calls().all(|call| call.arguments.is_empty()), "{}", format.name);
}

/// It is given up before it fills the memory.
pub(super) async fn endless_answer(format: &Format) {
    let long = "x".repeat(8 << 20);
    let body = format.body(&vec![(format.text)(&long); 9]).chunks.concat();
    let got = format.ask(streams::chunked(&body, 1 << 20)).await;
    assert_eq!(got.code(), "bad_answer", "{}: {}", format.name, got.words());
    assert_eq!(got.failure.as_ref().map(|f| f.retry), Some(Retry::Never), "{}", format.name);
    assert!(got.words().contains("more than any answer"), "{}", got.words());
}
