//! Writes a stream in Anthropic's format. Usage is known at the end: `message_start` says zero, and
//! `message_delta` all of it.

use super::{stop_reason, usage};
use crate::{
    answering::{Encode, Label, WireFormat, failure, seal::seal},
    ask::ModelEvent,
    sse,
};
use serde_json::{Value, json};
use toft_model::{event::Delta, message::Usage};

/// See [`crate::answering::encoder`].
pub(crate) struct Encoder {
    label: Label,
    begun: bool,
    /// Signature of the thinking that ends next, and whether that is hidden.
    sealed: (String, bool),
    /// Thinking that began without a word yet: it may turn out to be hidden.
    thinking_open: bool,
}

impl Encoder {
    pub(crate) fn new(label: Label) -> Self {
        Self { label, begun: false, sealed: (String::new(), false), thinking_open: false }
    }

    fn begin(&self, out: &mut String) {
        let message = json!({
            "id": format!("msg_{}", self.label.id),
            "type": "message",
            "role": "assistant",
            "model": self.label.name,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage(&Usage::default()),
        });
        let start = json!({"type": "message_start", "message": message});
        sse::named(out, "message_start", &start);
    }

    fn open_thinking(&mut self, index: usize, out: &mut String) {
        if !std::mem::replace(&mut self.thinking_open, true) {
            start(out, index, &json!({"type": "thinking", "thinking": "", "signature": ""}));
        }
    }

    fn end_thinking(&mut self, index: usize, out: &mut String) {
        let (signature, redacted) = std::mem::take(&mut self.sealed);
        let seal = seal(&self.label.model, &signature, redacted, None);
        if redacted && !self.thinking_open {
            start(out, index, &json!({"type": "redacted_thinking", "data": seal}));
        } else {
            self.open_thinking(index, out);
            delta(out, index, &json!({"type": "signature_delta", "signature": seal}));
        }
        stop(out, index);
    }
}

fn start(out: &mut String, index: usize, block: &Value) {
    let event = json!({"type": "content_block_start", "index": index, "content_block": block});
    sse::named(out, "content_block_start", &event);
}

fn delta(out: &mut String, index: usize, delta: &Value) {
    let event = json!({"type": "content_block_delta", "index": index, "delta": delta});
    sse::named(out, "content_block_delta", &event);
}

fn stop(out: &mut String, index: usize) {
    let event = json!({"type": "content_block_stop", "index": index});
    sse::named(out, "content_block_stop", &event);
}

impl Encode for Encoder {
    fn event(&mut self, event: &ModelEvent, out: &mut String) {
        if !std::mem::replace(&mut self.begun, true) {
            self.begin(out);
        }
        match event {
            ModelEvent::Delta(Delta::TextStart { content_index }) => {
                start(out, *content_index, &json!({"type": "text", "text": ""}));
            }
            ModelEvent::Delta(Delta::TextDelta { content_index, delta: text }) => {
                delta(out, *content_index, &json!({"type": "text_delta", "text": text}));
            }
            ModelEvent::Delta(Delta::ThinkingStart { .. }) => self.thinking_open = false,
            ModelEvent::Delta(Delta::ThinkingDelta { content_index, delta: text }) => {
                self.open_thinking(*content_index, out);
                delta(out, *content_index, &json!({"type": "thinking_delta", "thinking": text}));
            }
            ModelEvent::Sealed { signature, redacted, .. } => {
                self.sealed = (signature.clone(), *redacted);
            }
            ModelEvent::Delta(Delta::ThinkingEnd { content_index }) => {
                self.end_thinking(*content_index, out);
            }
            ModelEvent::Delta(Delta::ToolcallStart { content_index, id, tool_name }) => {
                let block = json!({"type": "tool_use", "id": id, "name": tool_name, "input": {}});
                start(out, *content_index, &block);
            }
            ModelEvent::Delta(Delta::ToolcallDelta { content_index, delta: json }) => {
                let piece = json!({"type": "input_json_delta", "partial_json": json});
                delta(out, *content_index, &piece);
            }
            ModelEvent::Delta(
                Delta::TextEnd { content_index } | Delta::ToolcallEnd { content_index, .. },
            ) => stop(out, *content_index),
            ModelEvent::Done { failure: Some(failure), .. } => {
                let body = failure::answer(WireFormat::Anthropic, failure).body;
                sse::named(out, "error", &body);
            }
            ModelEvent::Done { message, failure: None } => {
                let end = json!({
                    "type": "message_delta",
                    "delta": {
                        "stop_reason": stop_reason(message.stop_reason),
                        "stop_sequence": null,
                    },
                    "usage": usage(&message.usage),
                });
                sse::named(out, "message_delta", &end);
                sse::named(out, "message_stop", &json!({"type": "message_stop"}));
            }
        }
    }
}
