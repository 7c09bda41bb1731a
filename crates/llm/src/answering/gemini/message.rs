//! Writes a whole message in Google's format.

use super::response;
use crate::{
    answering::{Label, seal::seal_block},
    assembly::is_broken,
};
use serde_json::{Value, json};
use toft_model::message::{AssistantMessage, Block, StopReason};

/// See [`crate::answering::whole`].
pub(crate) fn write(label: &Label, message: &AssistantMessage) -> Value {
    let mut parts: Vec<Value> = Vec::new();
    let mut seal: Option<String> = None;
    let mut broken = false;
    for block in &message.content {
        let mut part = match block {
            Block::Text { text, .. } => json!({"text": text}),
            Block::ToolCall(call) if is_broken(&call.arguments) => {
                broken = true;
                continue;
            }
            Block::ToolCall(call) => {
                json!({"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}})
            }
            Block::Thinking { thinking, .. } => {
                parts.extend(seal.take().as_deref().map(alone));
                if !thinking.is_empty() {
                    parts.push(json!({"text": thinking, "thought": true}));
                }
                seal = Some(seal_block(&label.model, block, true));
                continue;
            }
            Block::Image { .. } => continue,
        };
        if let Some(seal) = seal.take() {
            part["thoughtSignature"] = json!(seal);
        }
        parts.push(part);
    }
    parts.extend(seal.as_deref().map(alone));
    let mut whole = response(label, &parts, Some((message.stop_reason, &message.usage)));
    if broken {
        malformed(&mut whole, message.stop_reason);
    }
    whole
}

/// A call is left out since its arguments are no JSON: what Google itself says then.
pub(super) fn malformed(response: &mut Value, stop: StopReason) {
    if stop != StopReason::Length {
        response["candidates"][0]["finishReason"] = json!("MALFORMED_FUNCTION_CALL");
    }
}

/// A seal that no part comes after.
pub(super) fn alone(seal: &str) -> Value {
    json!({"text": "", "thoughtSignature": seal})
}
