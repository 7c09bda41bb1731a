//! Answers that no provider means to send: whatever the bytes are, an answer ends once, and means
//! the same however it was cut.

use super::{
    formats::{FORMATS, Frame, Outcome},
    streams::chunked,
};
use crate::testing::PreparedAnswer;
use proptest::prelude::*;
use serde_json::{Value, json};

fn ask(format: usize, answer: PreparedAnswer) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(FORMATS[format].ask(answer))
}

/// Names of events, for formats that go by them.
const KINDS: &[&str] = &[
    "",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
    "error",
];

/// JSON made of the formats' own words, in places where they do not belong.
fn event() -> impl Strategy<Value = Value> {
    const NAMES: &[&str] = &[
        "args",
        "arguments",
        "call_id",
        "candidates",
        "choices",
        "content",
        "content_block",
        "contentBlockIndex",
        "delta",
        "error",
        "finish_reason",
        "finishReason",
        "function",
        "functionCall",
        "id",
        "index",
        "input",
        "item",
        "message",
        "name",
        "output_index",
        "partial_json",
        "parts",
        "reasoning",
        "reasoningContent",
        "redactedContent",
        "response",
        "signature",
        "start",
        "stopReason",
        "stop_reason",
        "text",
        "thinking",
        "thought",
        "thoughtSignature",
        "toolUse",
        "toolUseId",
        "tool_calls",
        "type",
        "usage",
    ];
    const WORDS: &[&str] = &[
        "",
        "content_block_delta",
        "content_block_start",
        "content_block_stop",
        "function_call",
        "input_json_delta",
        "message_delta",
        "message_start",
        "message_stop",
        "reasoning",
        "response.completed",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
        "stop",
        "text",
        "text_delta",
        "tool_calls",
        "tool_use",
        "{\"a\":",
        "}",
    ];
    let leaf = prop_oneof![
        prop::sample::select(WORDS).prop_map(Value::from),
        prop_oneof![Just(json!(null)), Just(json!(-1)), Just(json!(0)), Just(json!(u64::MAX))],
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(NAMES), inner), 0..5)
                .prop_map(|pairs| pairs.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn bytes_that_changed_on_the_way_mean_the_same_however_they_are_cut(
        format in 0..FORMATS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        size in 1usize..90,
    ) {
        let mut body = FORMATS[format].whole();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let whole = ask(format, PreparedAnswer::stream(body.clone()));
        let cut = ask(format, chunked(&body, size));
        prop_assert_eq!(cut.failure, whole.failure);
        prop_assert_eq!(cut.message, whole.message);
        prop_assert_eq!(cut.deltas, whole.deltas);
    }

    #[test]
    fn events_of_any_shape_end_in_one_answer(
        format in 0..FORMATS.len(),
        events in prop::collection::vec((prop::sample::select(KINDS), event()), 0..12),
    ) {
        let frames = events.iter().map(|(name, event)| Frame::new(name, event)).collect();
        let whole = ask(format, FORMATS[format].body(&[frames, (FORMATS[format].end)()]));
        // Without a failure there is nothing half in it: every call has an object of arguments.
        if whole.failure.is_none() {
            prop_assert!(whole.message.tool_calls().all(|call| !call.name.is_empty()));
        }
    }

    #[test]
    fn refusals_of_any_shape_are_told_in_words(
        format in 0..FORMATS.len(),
        status in 400u16..600,
        body in prop_oneof![event().prop_map(|e| e.to_string()), ".{0,200}"],
    ) {
        let got = ask(format, PreparedAnswer::json(status, &body));
        let failure = got.failure.expect("it is a refusal");
        prop_assert!(!failure.code.is_empty() && !failure.message.trim().is_empty());
    }
}
