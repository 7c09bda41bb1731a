//! Writes a stream in OpenAI's chat format. A failure in the middle is one event with an `error`, and
//! no end mark comes after it.

use super::{finish, usage};
use crate::{
    answering::{Encode, Label, Shape, WireFormat, failure, sse},
    ask::ModelEvent,
};
use serde_json::{Value, json};
use toft_model::event::Delta;

/// See [`crate::answering::encoder`].
pub(crate) struct Encoder {
    label: Label,
    usage_chunk: bool,
    begun: bool,
    /// Blocks that are calls, in order: their place is their number in this format.
    calls: Vec<usize>,
    /// Whether the newest call has arguments.
    argued: bool,
}

impl Encoder {
    pub(crate) fn new(label: Label, shape: &Shape) -> Self {
        let usage_chunk = shape.usage_chunk;
        Self { label, usage_chunk, begun: false, calls: Vec::new(), argued: false }
    }

    fn chunk(&self, choices: &Value, with: Option<Value>) -> Value {
        let mut chunk = json!({
            "id": format!("chatcmpl-{}", self.label.id),
            "object": "chat.completion.chunk",
            "created": self.label.created,
            "model": self.label.name,
            "choices": choices,
        });
        if self.usage_chunk {
            chunk["usage"] = with.unwrap_or_default();
        }
        chunk
    }

    fn delta(&self, delta: &Value, finish: Option<&str>, out: &mut String) {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        sse::data(out, &self.chunk(&json!([choice]), None));
    }

    fn number(&self, block: usize) -> usize {
        self.calls.iter().position(|call| *call == block).unwrap_or_default()
    }

    fn arguments(&mut self, block: usize, piece: &str, out: &mut String) {
        self.argued = true;
        let call = json!({"index": self.number(block), "function": {"arguments": piece}});
        self.delta(&json!({"tool_calls": [call]}), None, out);
    }
}

impl Encode for Encoder {
    fn event(&mut self, event: &ModelEvent, out: &mut String) {
        if !std::mem::replace(&mut self.begun, true) {
            self.delta(&json!({"role": "assistant", "content": ""}), None, out);
        }
        match event {
            ModelEvent::Delta(Delta::TextDelta { delta, .. }) => {
                self.delta(&json!({"content": delta}), None, out);
            }
            ModelEvent::Delta(Delta::ThinkingDelta { delta, .. }) => {
                self.delta(&json!({"reasoning_content": delta}), None, out);
            }
            ModelEvent::Delta(Delta::ToolcallStart { content_index, id, tool_name }) => {
                self.calls.push(*content_index);
                self.argued = false;
                let call = json!({
                    "index": self.calls.len() - 1,
                    "id": id,
                    "type": "function",
                    "function": {"name": tool_name, "arguments": ""},
                });
                self.delta(&json!({"tool_calls": [call]}), None, out);
            }
            ModelEvent::Delta(Delta::ToolcallDelta { content_index, delta }) => {
                self.arguments(*content_index, delta, out);
            }
            // Programs read the arguments as JSON, and nothing is none.
            ModelEvent::Delta(Delta::ToolcallEnd { content_index, .. }) if !self.argued => {
                self.arguments(*content_index, "{}", out);
            }
            ModelEvent::Delta(
                Delta::TextStart { .. }
                | Delta::TextEnd { .. }
                | Delta::ThinkingStart { .. }
                | Delta::ThinkingEnd { .. }
                | Delta::ToolcallEnd { .. },
            )
            | ModelEvent::Sealed { .. } => {}
            ModelEvent::Done { failure: Some(failure), .. } => {
                sse::data(out, &failure::answer(WireFormat::OpenaiChat, failure).body);
            }
            ModelEvent::Done { message, failure: None } => {
                self.delta(&json!({}), Some(finish(message.stop_reason)), out);
                if self.usage_chunk {
                    sse::data(out, &self.chunk(&json!([]), Some(usage(&message.usage))));
                }
                out.push_str("data: [DONE]\n\n");
            }
        }
    }
}
