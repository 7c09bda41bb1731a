//! Writes a stream in OpenAI's chat format. A failure in the middle is one event with an `error`, and
//! no end mark comes after it.

use super::{finish, usage};
use crate::{
    answering::{Encode, Label, Shape, WireFormat, failure},
    ask::ModelEvent,
    sse,
};
use serde_json::{Value, json};
use std::collections::HashMap;
use toft_model::{event::Delta, message::StopReason};

/// See [`crate::answering::encoder`].
pub(crate) struct Encoder {
    label: Label,
    usage_chunk: bool,
    begun: bool,
    /// Blocks that are calls, with their number in this format.
    calls: HashMap<usize, usize>,
    /// Whether a call has arguments, by its number.
    argued: Vec<bool>,
}

impl Encoder {
    pub(crate) fn new(label: Label, shape: &Shape) -> Self {
        let usage_chunk = shape.usage_chunk;
        Self { label, usage_chunk, begun: false, calls: HashMap::new(), argued: Vec::new() }
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

    /// Programs read the arguments as JSON, and nothing is none. What was cut before its first
    /// argument is left as it is, so that it is not taken for whole.
    fn complete(&mut self, stop: StopReason, out: &mut String) {
        let cut = if stop == StopReason::Length { self.argued.len().checked_sub(1) } else { None };
        for number in 0..self.argued.len() {
            if !self.argued[number] && cut != Some(number) {
                self.arguments(number, "{}", out);
            }
        }
    }

    fn arguments(&mut self, number: usize, piece: &str, out: &mut String) {
        self.argued[number] = true;
        let call = json!({"index": number, "function": {"arguments": piece}});
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
                let number = self.argued.len();
                self.calls.insert(*content_index, number);
                self.argued.push(false);
                let call = json!({
                    "index": number,
                    "id": id,
                    "type": "function",
                    "function": {"name": tool_name, "arguments": ""},
                });
                self.delta(&json!({"tool_calls": [call]}), None, out);
            }
            ModelEvent::Delta(Delta::ToolcallDelta { content_index, delta }) => {
                if let Some(number) = self.calls.get(content_index).copied() {
                    self.arguments(number, delta, out);
                }
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
                self.complete(message.stop_reason, out);
                self.delta(&json!({}), Some(finish(message.stop_reason)), out);
                if self.usage_chunk {
                    sse::data(out, &self.chunk(&json!([]), Some(usage(&message.usage))));
                }
                out.push_str("data: [DONE]\n\n");
            }
        }
    }
}
