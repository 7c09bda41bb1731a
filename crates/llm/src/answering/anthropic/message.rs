//! Writes a whole message in Anthropic's format.

use super::{stop_reason, usage};
use crate::{
    answering::{Label, seal::seal_block},
    assembly::is_broken,
};
use serde_json::{Value, json};
use toft_model::message::{AssistantMessage, Block, StopReason};

/// See [`crate::answering::whole`].
pub(crate) fn write(label: &Label, message: &AssistantMessage) -> Value {
    let content: Vec<Value> =
        message.content.iter().filter_map(|block| content(label, block)).collect();
    let calls = content.iter().any(|block| block["type"] == "tool_use");
    let stop = match message.stop_reason {
        StopReason::ToolUse if !calls => StopReason::Stop,
        stop => stop,
    };
    json!({
        "id": format!("msg_{}", label.id),
        "type": "message",
        "role": "assistant",
        "model": label.name,
        "content": content,
        "stop_reason": stop_reason(stop),
        "stop_sequence": null,
        "usage": usage(&message.usage),
    })
}

fn content(label: &Label, block: &Block) -> Option<Value> {
    Some(match block {
        Block::Text { text, .. } => json!({"type": "text", "text": text}),
        Block::Thinking { redacted: true, .. } => {
            json!({"type": "redacted_thinking", "data": seal_block(&label.model, block, false)})
        }
        Block::Thinking { thinking, .. } => json!({
            "type": "thinking",
            "thinking": thinking,
            "signature": seal_block(&label.model, block, false),
        }),
        // The format has no place for arguments that are no JSON.
        Block::ToolCall(call) if is_broken(&call.arguments) => return None,
        Block::ToolCall(call) => {
            json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments})
        }
        Block::Image { .. } => return None,
    })
}
