//! Writes a stream in OpenAI's Responses format: each block is one item, its place the item's index.

use super::{
    Item, ended, failed,
    item::{summary_part, text_part},
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
    shape: Shape,
    sequence: u64,
    begun: bool,
    items: Vec<Item>,
    /// Signature of the thinking that ends next, and whether that is hidden.
    sealed: (String, bool),
    /// A call whose arguments are nothing or no JSON, which waits for what comes next: the output
    /// limit may have cut it.
    doubtful: Option<(usize, Item)>,
    /// The call that was cut.
    cut: Option<usize>,
}

impl Encoder {
    pub(crate) fn new(label: Label, shape: Shape) -> Self {
        Self {
            label,
            shape,
            sequence: 0,
            begun: false,
            items: Vec::new(),
            sealed: (String::new(), false),
            doubtful: None,
            cut: None,
        }
    }

    fn send(&mut self, kind: &str, mut event: Value, out: &mut String) {
        event["type"] = json!(kind);
        event["sequence_number"] = json!(self.sequence);
        self.sequence += 1;
        sse::named(out, kind, &event);
    }

    /// An event of a part of an item.
    fn part(
        &mut self,
        kind: &str,
        index: usize,
        place: &str,
        with: (&str, Value),
        out: &mut String,
    ) {
        let Some(item) = self.items.get(index) else { return };
        let mut event = json!({"item_id": item.id(&self.label, index), "output_index": index});
        if !place.is_empty() {
            event[place] = json!(0);
        }
        if kind.starts_with("response.output_text.") {
            event["logprobs"] = json!([]);
        }
        event[with.0] = with.1;
        self.send(kind, event, out);
    }

    fn begin(&mut self, item: Item, out: &mut String) {
        let index = self.items.len();
        let event = json!({"output_index": index, "item": item.json(&self.label, index, true)});
        self.items.push(item);
        self.send("response.output_item.added", event, out);
    }

    fn end(&mut self, index: usize, out: &mut String) {
        let Some(item) = self.items.get(index) else { return };
        let event = json!({"output_index": index, "item": item.json(&self.label, index, false)});
        self.send("response.output_item.done", event, out);
    }

    fn output(&self) -> Vec<Value> {
        let items = self.items.iter().enumerate().filter(|(index, _)| Some(*index) != self.cut);
        items.map(|(index, item)| item.json(&self.label, index, false)).collect()
    }

    fn text_delta(&mut self, index: usize, delta: &str, out: &mut String) {
        let Some(Item::Message { text }) = self.items.get_mut(index) else { return };
        text.push_str(delta);
        let with = ("delta", json!(delta));
        self.part("response.output_text.delta", index, "content_index", with, out);
    }

    fn text_end(&mut self, index: usize, out: &mut String) {
        let Some(Item::Message { text }) = self.items.get(index) else { return };
        let (text, part) = (json!(text), text_part(text));
        self.part("response.output_text.done", index, "content_index", ("text", text), out);
        self.part("response.content_part.done", index, "content_index", ("part", part), out);
        self.end(index, out);
    }

    fn thinking_delta(&mut self, index: usize, delta: &str, out: &mut String) {
        let Some(Item::Reasoning { text, .. }) = self.items.get_mut(index) else { return };
        let fresh = text.is_empty();
        text.push_str(delta);
        if fresh {
            let with = ("part", summary_part(""));
            self.part("response.reasoning_summary_part.added", index, "summary_index", with, out);
        }
        let with = ("delta", json!(delta));
        self.part("response.reasoning_summary_text.delta", index, "summary_index", with, out);
    }

    fn thinking_end(&mut self, index: usize, out: &mut String) {
        let (signature, redacted) = std::mem::take(&mut self.sealed);
        let whole = seal(&self.label.model, &signature, redacted, None);
        let Some(Item::Reasoning { text, seal }) = self.items.get_mut(index) else { return };
        *seal = whole;
        if !text.is_empty() {
            let (text, part) = (json!(text), summary_part(text));
            let place = "summary_index";
            self.part("response.reasoning_summary_text.done", index, place, ("text", text), out);
            self.part("response.reasoning_summary_part.done", index, place, ("part", part), out);
        }
        self.end(index, out);
    }

    fn call_end(&mut self, index: usize, whole: Item, out: &mut String) {
        let Some(item) = self.items.get_mut(index) else { return };
        match (&mut *item, whole) {
            // As the model wrote them, which is not always JSON.
            (Item::Call { arguments, .. }, _) => {
                if arguments.is_empty() {
                    arguments.push_str("{}");
                }
                let with = ("arguments", json!(arguments));
                self.part("response.function_call_arguments.done", index, "", with, out);
            }
            (Item::FreeText { input, .. }, Item::FreeText { input: told, .. }) => {
                *input = told;
                let whole = json!(input);
                let delta = ("delta", whole.clone());
                self.part("response.custom_tool_call_input.delta", index, "", delta, out);
                self.part("response.custom_tool_call_input.done", index, "", ("input", whole), out);
            }
            _ => {}
        }
        self.end(index, out);
    }
}

impl Encode for Encoder {
    fn event(&mut self, event: &ModelEvent, out: &mut String) {
        if !std::mem::replace(&mut self.begun, true) {
            let begun = json!({"response": response(&self.label, "in_progress", &[])});
            self.send("response.created", begun.clone(), out);
            self.send("response.in_progress", begun, out);
        }
        if let Some((index, whole)) = self.doubtful.take() {
            match event {
                ModelEvent::Done { failure: Some(_), .. } => {}
                ModelEvent::Done { message, .. } if message.stop_reason == StopReason::Length => {
                    self.cut = Some(index);
                }
                ModelEvent::Done { .. } | ModelEvent::Delta(_) | ModelEvent::Sealed { .. } => {
                    self.call_end(index, whole, out);
                }
            }
        }
        match event {
            ModelEvent::Delta(Delta::TextStart { content_index }) => {
                self.begin(Item::Message { text: String::new() }, out);
                let with = ("part", text_part(""));
                self.part(
                    "response.content_part.added",
                    *content_index,
                    "content_index",
                    with,
                    out,
                );
            }
            ModelEvent::Delta(Delta::TextDelta { content_index, delta }) => {
                self.text_delta(*content_index, delta, out);
            }
            ModelEvent::Delta(Delta::TextEnd { content_index }) => {
                self.text_end(*content_index, out);
            }
            ModelEvent::Delta(Delta::ThinkingStart { .. }) => {
                self.begin(Item::Reasoning { text: String::new(), seal: String::new() }, out);
            }
            ModelEvent::Delta(Delta::ThinkingDelta { content_index, delta }) => {
                self.thinking_delta(*content_index, delta, out);
            }
            ModelEvent::Sealed { signature, redacted, .. } => {
                self.sealed = (signature.clone(), *redacted);
            }
            ModelEvent::Delta(Delta::ThinkingEnd { content_index }) => {
                self.thinking_end(*content_index, out);
            }
            ModelEvent::Delta(Delta::ToolcallStart { id, tool_name, .. }) => {
                let (call_id, name) = (id.clone(), tool_name.clone());
                let item = if self.shape.free_text_tools.contains(tool_name) {
                    Item::FreeText { call_id, name, input: String::new() }
                } else {
                    Item::Call { call_id, name, arguments: String::new() }
                };
                self.begin(item, out);
            }
            ModelEvent::Delta(Delta::ToolcallDelta { content_index, delta }) => {
                // Free text comes wrapped in JSON: it is told at its end.
                if let Some(Item::Call { arguments, .. }) = self.items.get_mut(*content_index) {
                    arguments.push_str(delta);
                    let with = ("delta", json!(delta));
                    let kind = "response.function_call_arguments.delta";
                    self.part(kind, *content_index, "", with, out);
                }
            }
            ModelEvent::Delta(Delta::ToolcallEnd { content_index, tool_call }) => {
                let whole = Item::call(&self.shape, tool_call);
                if tool_call.arguments.is_empty() || is_broken(&tool_call.arguments) {
                    self.doubtful = Some((*content_index, whole));
                } else {
                    self.call_end(*content_index, whole, out);
                }
            }
            ModelEvent::Done { failure: Some(failure), .. } => {
                let body = failure::answer(WireFormat::OpenaiResponses, failure).body;
                self.send("response.failed", failed(&self.label, &body), out);
            }
            ModelEvent::Done { message, failure: None } => {
                let whole = ended(&self.label, &self.output(), message.stop_reason, &message.usage);
                let kind = match whole["status"].as_str() {
                    Some("incomplete") => "response.incomplete",
                    _ => "response.completed",
                };
                self.send(kind, json!({"response": whole}), out);
            }
        }
    }
}
