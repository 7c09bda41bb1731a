//! What people, models and tools said, in the form that the GenAI conventions give to messages. Bounded
//! everywhere: a trace is no copy of a conversation.

use super::told::cut;
use serde_json::{Value, json};
use toft_model::message::{Block, Message, StopReason, ToolCall, UserContent, text_of};

/// Bytes of one piece of content.
const PIECE_BYTES_MAX: usize = 8 << 10;
/// Pieces of one message: with the bound above, 64 KiB.
const PIECES_MAX: usize = 8;
/// Messages in one attribute: the newest ones.
pub(super) const MESSAGES_MAX: usize = 16;
/// Stands behind what was shortened.
const CUT: &str = "…";

/// What may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    /// Prompts, arguments, results as the model reads them.
    pub(crate) inputs: bool,
    /// Answers, results as a tool gives them.
    pub(crate) outputs: bool,
}

fn clipped(text: &str) -> String {
    let kept = cut(text, PIECE_BYTES_MAX);
    if kept.len() == text.len() { text.to_owned() } else { format!("{kept}{CUT}") }
}

fn text_part(text: &str) -> Value {
    json!({"type": "text", "content": clipped(text)})
}

/// JSON as it is, or the beginning of its text where it is long.
pub(super) fn arguments(value: &Value) -> Value {
    let text = value.to_string();
    if text.len() <= PIECE_BYTES_MAX { value.clone() } else { Value::String(clipped(&text)) }
}

/// What a tool returned.
pub(super) fn result(content: &[Block]) -> Value {
    Value::String(clipped(&text_of(content)))
}

fn call_part(call: &ToolCall) -> Value {
    let arguments = arguments(&Value::Object(call.arguments.clone()));
    json!({"type": "tool_call", "id": call.id, "name": call.name, "arguments": arguments})
}

fn parts(blocks: &[Block]) -> Vec<Value> {
    let part = |block: &Block| match block {
        Block::Text { text, .. } => text_part(text),
        Block::Thinking { thinking, .. } => {
            json!({"type": "reasoning", "content": clipped(thinking)})
        }
        // Its bytes say nothing to who reads traces.
        Block::Image { mime_type, .. } => json!({"type": "image", "mime_type": cut(mime_type, 64)}),
        Block::ToolCall(call) => call_part(call),
    };
    blocks.iter().take(PIECES_MAX).map(part).collect()
}

fn said(content: &UserContent) -> Vec<Value> {
    match content {
        UserContent::Text(text) => vec![text_part(text)],
        UserContent::Blocks(blocks) => parts(blocks),
    }
}

/// The convention's word for how an answer ended.
pub(super) fn finish_reason(stop: StopReason) -> Option<&'static str> {
    match stop {
        StopReason::Stop => Some("stop"),
        StopReason::Length => Some("length"),
        StopReason::ToolUse => Some("tool_call"),
        StopReason::Error => Some("error"),
        // A person ended it, and no model did.
        StopReason::Aborted => None,
    }
}

/// A message as the conventions have it.
pub(super) fn message(message: &Message) -> Value {
    match message {
        Message::User(user) => json!({"role": "user", "parts": said(&user.content)}),
        Message::Custom(custom) => json!({"role": "user", "parts": said(&custom.content)}),
        Message::CompactionSummary(summary) | Message::BranchSummary(summary) => {
            json!({"role": "user", "parts": [text_part(&summary.summary)]})
        }
        Message::ToolResult(of) => {
            let part = json!({"type": "tool_call_response", "id": of.tool_call_id,
                "response": result(&of.content)});
            json!({"role": "tool", "parts": [part]})
        }
        Message::Assistant(answer) => {
            let mut told = json!({"role": "assistant", "parts": parts(&answer.content)});
            if let Some(reason) = finish_reason(answer.stop_reason) {
                told["finish_reason"] = reason.into();
            }
            told
        }
    }
}

/// Adds a message, and lets the oldest go when there are too many.
pub(super) fn push(messages: &mut Vec<Value>, new: Value) {
    if messages.len() >= MESSAGES_MAX {
        messages.remove(0);
    }
    messages.push(new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use toft_model::message::{ToolResultMessage, UserMessage};

    #[test]
    fn messages_have_the_form_of_the_conventions() {
        let user =
            Message::User(UserMessage { content: UserContent::Text("Hi".into()), timestamp: 1 });
        assert_eq!(
            message(&user),
            json!({"role": "user", "parts": [{"type": "text", "content": "Hi"}]})
        );
        let result = Message::ToolResult(ToolResultMessage {
            tool_call_id: "c1".into(),
            tool_name: "ls".into(),
            content: vec![Block::text("a.txt")],
            details: None,
            is_error: false,
            timestamp: 1,
        });
        assert_eq!(
            message(&result),
            json!({"role": "tool",
                "parts": [{"type": "tool_call_response", "id": "c1", "response": "a.txt"}]})
        );
    }

    #[test]
    fn what_is_long_is_shortened_between_two_characters() {
        let long = "ä".repeat(PIECE_BYTES_MAX);
        let kept = clipped(&long);
        assert!(
            kept.len() <= PIECE_BYTES_MAX + CUT.len() && kept.ends_with("ä…"),
            "{}",
            kept.len()
        );
        let large = json!({ "text": long });
        assert!(matches!(arguments(&large), Value::String(_)));
        let mut messages = Vec::new();
        for n in 0..100 {
            push(&mut messages, json!(n));
        }
        assert_eq!((messages.len(), messages.last()), (MESSAGES_MAX, Some(&json!(99))));
    }
}
