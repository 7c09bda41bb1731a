//! Writes a stream in Google's format: events, or one JSON array for programs that ask for no events.

use super::{
    message::{alone, malformed},
    response,
};
use crate::{
    answering::{Encode, Label, Shape, WireFormat, failure, seal::seal},
    ask::ModelEvent,
    assembly::is_broken,
    sse,
};
use serde_json::{Value, json};
use toft_model::{event::Delta, message::StopReason};

/// See [`crate::answering::encoder`].
pub(crate) struct Encoder {
    label: Label,
    array: bool,
    begun: bool,
    /// The thinking that is being told, its signature, and whether it is hidden.
    thought: String,
    sealed: (String, bool),
    /// Goes with the next part.
    seal: Option<String>,
    /// A call without arguments waits for what comes next: the output limit may have cut it.
    bare: Option<Value>,
    /// Whether a call was left out.
    broken: bool,
}

impl Encoder {
    pub(crate) fn new(label: Label, shape: &Shape) -> Self {
        Self {
            label,
            array: shape.array,
            begun: false,
            thought: String::new(),
            sealed: (String::new(), false),
            seal: None,
            bare: None,
            broken: false,
        }
    }

    fn send(&mut self, value: &Value, out: &mut String) {
        if self.array {
            out.push_str(if std::mem::replace(&mut self.begun, true) { ",\n" } else { "[" });
            out.push_str(&value.to_string());
        } else {
            sse::data(out, value);
        }
    }

    fn part(&mut self, mut part: Value, out: &mut String) {
        if let Some(seal) = self.seal.take() {
            part["thoughtSignature"] = json!(seal);
        }
        self.send(&response(&self.label, &[part], None), out);
    }

    fn seal_alone(&mut self, out: &mut String) {
        if let Some(seal) = self.seal.take() {
            self.send(&response(&self.label, &[alone(&seal)], None), out);
        }
    }

    fn end(&mut self, out: &mut String) {
        if self.array {
            out.push(']');
        }
    }
}

impl Encode for Encoder {
    fn event(&mut self, event: &ModelEvent, out: &mut String) {
        if let Some(part) = self.bare.take() {
            let cut = match event {
                ModelEvent::Done { message, failure } => {
                    failure.is_some() || message.stop_reason == StopReason::Length
                }
                ModelEvent::Delta(_) | ModelEvent::Sealed { .. } => false,
            };
            if !cut {
                self.part(part, out);
            }
        }
        match event {
            ModelEvent::Delta(Delta::TextDelta { delta, .. }) => {
                self.part(json!({"text": delta}), out);
            }
            ModelEvent::Delta(Delta::ThinkingStart { .. }) => {
                self.seal_alone(out);
                self.thought.clear();
            }
            ModelEvent::Delta(Delta::ThinkingDelta { delta, .. }) => {
                self.thought.push_str(delta);
                let part = json!({"text": delta, "thought": true});
                self.send(&response(&self.label, &[part], None), out);
            }
            ModelEvent::Sealed { signature, redacted, .. } => {
                self.sealed = (signature.clone(), *redacted);
            }
            ModelEvent::Delta(Delta::ThinkingEnd { .. }) => {
                let (signature, redacted) = std::mem::take(&mut self.sealed);
                let text = Some(self.thought.as_str());
                self.seal = Some(seal(&self.label.model, &signature, redacted, text));
            }
            ModelEvent::Delta(Delta::ToolcallEnd { tool_call: call, .. }) => {
                if is_broken(&call.arguments) {
                    self.broken = true;
                    return;
                }
                let told = json!({"id": call.id, "name": call.name, "args": call.arguments});
                let part = json!({"functionCall": told});
                if call.arguments.is_empty() {
                    self.bare = Some(part);
                } else {
                    self.part(part, out);
                }
            }
            ModelEvent::Delta(
                Delta::TextStart { .. }
                | Delta::TextEnd { .. }
                | Delta::ToolcallStart { .. }
                | Delta::ToolcallDelta { .. },
            ) => {}
            ModelEvent::Done { failure: Some(failure), .. } => {
                self.send(&failure::answer(WireFormat::Gemini, failure).body, out);
                self.end(out);
            }
            ModelEvent::Done { message, failure: None } => {
                self.seal_alone(out);
                let end = Some((message.stop_reason, &message.usage));
                let mut last = response(&self.label, &[], end);
                if self.broken {
                    malformed(&mut last, message.stop_reason);
                }
                self.send(&last, out);
                self.end(out);
            }
        }
    }
}
