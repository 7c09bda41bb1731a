//! Answers in every format, read back by the adapters and by the readers of requests.

mod cut;
mod echo;
mod garbage;
mod many;
mod refusals;
mod requests;

use super::*;
use crate::{
    ask::{Model as _, ModelFailure, Retry},
    assembly::Assembly,
    ends,
    route::Models,
    sse,
    testing::{MemoryTransport, PreparedAnswer, model_info, request, user},
};
use futures_util::StreamExt as _;
use proptest::prelude::*;
use serde_json::Map;
use toft_model::message::{StopReason, ToolCall, Usage};
use tokio_util::sync::CancellationToken;

const ALL: [WireFormat; 4] = [
    WireFormat::OpenaiChat,
    WireFormat::OpenaiResponses,
    WireFormat::Anthropic,
    WireFormat::Gemini,
];

fn label() -> Label {
    Label {
        id: "abc".into(),
        created: 7,
        name: "anthropic/claude-opus-4-6".into(),
        model: model_info("anthropic", "claude-opus-4-6"),
    }
}

/// A message with everything that a model says.
fn message() -> impl Strategy<Value = AssistantMessage> {
    let text = "[ -~é🎈\n\"\\\\]{1,30}";
    let thinking = ("[ -~é]{0,20}", prop::option::of("[a-zA-Z0-9+/=]{1,20}"), any::<bool>());
    let block = prop_oneof![
        text.prop_map(Block::text),
        thinking.prop_map(|(thinking, signature, redacted)| {
            let hidden = redacted && signature.is_some();
            let thinking = match (hidden, signature.is_some()) {
                (true, _) => String::new(),
                // Thinking without word or signature is nothing.
                (false, false) => format!("{thinking}."),
                (false, true) => thinking,
            };
            Block::Thinking { thinking, thinking_signature: signature, redacted: hidden }
        }),
        ("[a-z_]{1,8}", "[ -~é\"]{0,12}", any::<i32>()).prop_map(|(name, text, n)| {
            let arguments = Map::from_iter([("a".into(), text.into()), (name.clone(), n.into())]);
            Block::ToolCall(ToolCall { id: String::new(), name, arguments })
        }),
    ];
    let usage = (0u64..1_000, 1u64..1_000, 0u64..1_000, any::<bool>());
    (prop::collection::vec(block, 1..7), usage).prop_map(|(mut content, usage)| {
        for (at, block) in content.iter_mut().enumerate() {
            if let Block::ToolCall(call) = block {
                call.id = format!("call_{at}_x");
            }
        }
        let mut message = ends::empty_message(&label().model);
        message.content = content;
        let calls = message.tool_calls().next().is_some();
        message.stop_reason = match (calls, usage.3) {
            (true, _) => StopReason::ToolUse,
            (false, true) => StopReason::Length,
            (false, false) => StopReason::Stop,
        };
        message.usage =
            Usage { input: usage.0, output: usage.1, cache_read: usage.2, ..Usage::default() };
        message
    })
}

/// The events that it comes in; `piece`: bytes of each, at most.
fn events(message: &AssistantMessage, piece: usize) -> Vec<ModelEvent> {
    let mut assembly = Assembly::default();
    let pieces = |text: &str| -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        chars.chunks(piece).map(|part| part.iter().collect()).collect()
    };
    for block in &message.content {
        match block {
            Block::Text { text, .. } => {
                let at = assembly.open_text();
                for p in pieces(text) {
                    assembly.push_text(at, &p);
                }
                assembly.close(at);
            }
            Block::Thinking { thinking_signature: Some(signature), redacted: true, .. } => {
                let at = assembly.redacted_thinking(signature);
                assembly.close(at);
            }
            Block::Thinking { thinking, thinking_signature, .. } => {
                let at = assembly.open_thinking();
                for p in pieces(thinking) {
                    assembly.push_thinking(at, &p);
                }
                assembly.push_signature(at, thinking_signature.as_deref().unwrap_or_default());
                assembly.close(at);
            }
            Block::ToolCall(call) => {
                let at = assembly.open_tool(&call.id, &call.name);
                let json = Value::Object(call.arguments.clone()).to_string();
                for p in pieces(&json) {
                    assembly.push_json(at, &p);
                }
                assembly.close(at);
            }
            Block::Image { .. } => {}
        }
    }
    let mut events: Vec<ModelEvent> = std::iter::from_fn(|| assembly.next_event()).collect();
    events.push(ModelEvent::Done { message: message.clone(), failure: None });
    events
}

fn encode(format: WireFormat, events: &[ModelEvent]) -> String {
    let shape = Shape { usage_chunk: true, ..Shape::default() };
    let mut encoder = encoder(format, label(), shape);
    let mut out = String::new();
    for event in events {
        encoder.event(event, &mut out);
    }
    out
}

fn provider(format: WireFormat) -> &'static str {
    match format {
        WireFormat::OpenaiChat | WireFormat::OpenaiResponses => "openai",
        WireFormat::Anthropic => "anthropic",
        WireFormat::Gemini => "google",
    }
}

/// What our own adapter reads of a stream.
fn decode(format: WireFormat, stream: &str) -> (AssistantMessage, Option<ModelFailure>) {
    let transport = MemoryTransport::new([PreparedAnswer::stream(stream.to_owned())]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut asked = request(provider(format), "any", vec![user("hi")]);
    asked.model.api = format.api();
    let answer = Models::new(transport).ask(asked, CancellationToken::new());
    let events: Vec<ModelEvent> = runtime.block_on(answer.collect());
    match events.into_iter().last() {
        Some(ModelEvent::Done { message, failure }) => (message, failure),
        other => panic!("{other:?}"),
    }
}

/// Blocks as a format can tell them.
fn told(format: WireFormat, content: &[Block]) -> Vec<Block> {
    let mut out: Vec<Block> = Vec::new();
    for block in content {
        let told = match (format, block) {
            (WireFormat::OpenaiChat, Block::Thinking { thinking, .. }) if thinking.is_empty() => {
                continue;
            }
            (WireFormat::OpenaiChat, Block::Thinking { thinking, .. }) => Block::Thinking {
                thinking: thinking.clone(),
                thinking_signature: None,
                redacted: false,
            },
            (_, Block::Thinking { thinking, redacted, .. }) => {
                let with_text = format == WireFormat::Gemini;
                let mut signature = seal::seal_block(&label().model, block, with_text);
                if format == WireFormat::OpenaiResponses {
                    let id = format!("rs_abc_{}", out.len());
                    signature =
                        serde_json::json!({"id": id, "encrypted_content": signature}).to_string();
                }
                Block::Thinking {
                    thinking: thinking.clone(),
                    thinking_signature: Some(signature),
                    redacted: *redacted && format == WireFormat::Anthropic,
                }
            }
            (_, block) => block.clone(),
        };
        // Formats that do not number their blocks join what follows itself.
        let numbered = matches!(format, WireFormat::Anthropic | WireFormat::OpenaiResponses);
        match (out.last_mut(), &told) {
            (Some(Block::Text { text, .. }), Block::Text { text: more, .. }) if !numbered => {
                text.push_str(more);
            }
            (Some(Block::Thinking { thinking, .. }), Block::Thinking { thinking: more, .. })
                if format == WireFormat::OpenaiChat =>
            {
                thinking.push_str(more);
            }
            _ => out.push(told),
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_stream_in_any_format_says_what_the_model_said(message in message(), piece in 1usize..20) {
        let events = events(&message, piece);
        for format in ALL {
            let stream = encode(format, &events);
            let (got, failure) = decode(format, &stream);
            prop_assert_eq!(&failure, &None, "{:?}: {}", format, stream);
            prop_assert_eq!(&got.content, &told(format, &message.content), "{:?}: {}", format, stream);
            prop_assert_eq!(got.stop_reason, message.stop_reason, "{:?}", format);
            let counts = |u: &Usage| (u.input, u.output, u.cache_read, u.cache_write);
            prop_assert_eq!(counts(&got.usage), counts(&message.usage), "{:?}", format);
        }
    }

    #[test]
    fn a_failure_in_the_middle_is_a_failure_in_any_format(message in message()) {
        let mut events = events(&message, 5);
        events.pop();
        let failure = ModelFailure {
            code: "overloaded".into(),
            message: "Anthropic is overloaded: Overloaded".into(),
            retry: Retry::Backoff,
        };
        let broken = ends::empty_message(&label().model);
        events.push(ModelEvent::Done { message: broken, failure: Some(failure) });
        for format in ALL {
            let (_, got) = decode(format, &encode(format, &events));
            let got = got.expect("it failed");
            prop_assert_eq!(&*got.code, "overloaded", "{:?}", format);
            prop_assert!(got.message.contains("Anthropic is overloaded"), "{}", got.message);
        }
    }
}

#[test]
fn calls_that_are_told_at_once_come_one_after_the_other() {
    let mut assembly = Assembly::default();
    let text = assembly.open_text();
    assembly.push_text(text, "both");
    assembly.close(text);
    let calls = ["a", "b", "c"].map(|id| assembly.open_tool(id, "ls"));
    for piece in ["{\"x\"", ":1", "}"] {
        for call in calls {
            assembly.push_json(call, piece);
        }
    }
    assembly.close_all();
    let mut events: Vec<ModelEvent> = std::iter::from_fn(|| assembly.next_event()).collect();
    let mut message = ends::empty_message(&label().model);
    message.content = assembly.into_blocks();
    message.stop_reason = StopReason::ToolUse;
    events.push(ModelEvent::Done { message: message.clone(), failure: None });
    for (format, begin, end) in [
        (WireFormat::Anthropic, "event: content_block_start", "event: content_block_stop"),
        (
            WireFormat::OpenaiResponses,
            "event: response.output_item.added",
            "event: response.output_item.done",
        ),
    ] {
        let stream = encode(format, &events);
        let marks: Vec<bool> = stream
            .lines()
            .filter(|line| *line == begin || *line == end)
            .map(|line| line == begin)
            .collect();
        assert_eq!(marks, [true, false].repeat(4), "{stream}");
        assert_eq!(decode(format, &stream).0.content, message.content, "{stream}");
    }
}

#[test]
fn a_stream_without_events_is_one_array() {
    let mut message = ends::empty_message(&label().model);
    message.content = vec![Block::text("ab")];
    let shape = Shape { array: true, ..Shape::default() };
    let mut encoder = encoder(WireFormat::Gemini, label(), shape);
    let mut out = String::new();
    for event in events(&message, 1) {
        encoder.event(&event, &mut out);
    }
    let list: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(list.len(), 3);
    assert_eq!(list[1]["candidates"][0]["content"]["parts"][0]["text"], "b");
    assert_eq!(list[2]["candidates"][0]["finishReason"], "STOP");
}
