//! Writes a whole message in OpenAI's chat format.

use super::{finish, usage};
use crate::answering::{Label, conversation::arguments_text};
use serde_json::{Value, json};
use toft_model::message::{AssistantMessage, Block};

/// See [`crate::answering::whole`].
pub(crate) fn write(label: &Label, message: &AssistantMessage) -> Value {
    let (mut text, mut thoughts, mut calls) = (Vec::new(), String::new(), Vec::new());
    for block in &message.content {
        match block {
            Block::Text { text: words, .. } => text.push(words.as_str()),
            Block::Thinking { thinking, .. } => thoughts.push_str(thinking),
            Block::ToolCall(call) => calls.push(json!({
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": arguments_text(&call.arguments)},
            })),
            Block::Image { .. } => {}
        }
    }
    let mut said = json!({
        "role": "assistant",
        "content": if text.is_empty() { Value::Null } else { json!(text.concat()) },
        "refusal": null,
    });
    if !thoughts.is_empty() {
        said["reasoning_content"] = json!(thoughts);
    }
    if !calls.is_empty() {
        said["tool_calls"] = Value::Array(calls);
    }
    json!({
        "id": format!("chatcmpl-{}", label.id),
        "object": "chat.completion",
        "created": label.created,
        "model": label.name,
        "choices": [{
            "index": 0,
            "message": said,
            "logprobs": null,
            "finish_reason": finish(message.stop_reason),
        }],
        "usage": usage(&message.usage),
    })
}
