//! Items of an answer in OpenAI's Responses format.

use crate::answering::{Label, Shape, conversation::arguments_text, seal::seal_block};
use serde_json::{Value, json};
use toft_model::message::{Block, ToolCall};

/// One of them, as far as it came.
#[derive(Debug)]
pub(super) enum Item {
    Message { text: String },
    Reasoning { text: String, seal: String },
    Call { call_id: String, name: String, arguments: String },
    FreeText { call_id: String, name: String, input: String },
}

impl Item {
    /// `None` for what no model says.
    pub(super) fn of(label: &Label, shape: &Shape, block: &Block) -> Option<Self> {
        Some(match block {
            Block::Text { text, .. } => Self::Message { text: text.clone() },
            Block::Thinking { thinking, .. } => Self::Reasoning {
                text: thinking.clone(),
                seal: seal_block(&label.model, block, false),
            },
            Block::ToolCall(call) => Self::call(shape, call),
            Block::Image { .. } => return None,
        })
    }

    pub(super) fn call(shape: &Shape, call: &ToolCall) -> Self {
        let (call_id, name) = (call.id.clone(), call.name.clone());
        if shape.free_text_tools.contains(&call.name) {
            let input = match call.arguments.get("input") {
                Some(Value::String(input)) => input.clone(),
                _ => arguments_text(&call.arguments),
            };
            Self::FreeText { call_id, name, input }
        } else {
            Self::Call { call_id, name, arguments: arguments_text(&call.arguments) }
        }
    }

    /// Its id: the answer's and its place.
    pub(super) fn id(&self, label: &Label, index: usize) -> String {
        let kind = match self {
            Self::Message { .. } => "msg",
            Self::Reasoning { .. } => "rs",
            Self::Call { .. } => "fc",
            Self::FreeText { .. } => "ctc",
        };
        format!("{kind}_{}_{index}", label.id)
    }

    /// As JSON; `begun`: it has nothing in it yet.
    pub(super) fn json(&self, label: &Label, index: usize, begun: bool) -> Value {
        let id = self.id(label, index);
        let status = if begun { "in_progress" } else { "completed" };
        match self {
            Self::Message { text } => {
                let content = if begun { Vec::new() } else { vec![text_part(text)] };
                json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
            }
            Self::Reasoning { text, seal } => {
                let told = !begun && !text.is_empty();
                let summary = if told { vec![summary_part(text)] } else { Vec::new() };
                let seal = if begun { Value::Null } else { json!(seal) };
                json!({"id": id, "type": "reasoning", "summary": summary, "encrypted_content": seal})
            }
            Self::Call { call_id, name, arguments } => {
                let arguments = if begun { "" } else { arguments };
                json!({"id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name, "arguments": arguments})
            }
            Self::FreeText { call_id, name, input } => {
                let input = if begun { "" } else { input };
                json!({"id": id, "type": "custom_tool_call", "status": status, "call_id": call_id, "name": name, "input": input})
            }
        }
    }
}

/// A text as a part of a message.
pub(super) fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// A text as a part of reasoning.
pub(super) fn summary_part(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}
