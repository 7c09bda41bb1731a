//! Reads a stream in OpenAI's Responses format. A message is whole at `response.completed` or
//! `response.incomplete`.

use super::free_text::INPUT;
use crate::{
    assembly::Assembly, call::Decode, refusal::Words, sse::Splitter, text::Text, trouble::Trouble,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use toft_model::message::StopReason;

/// What a reasoning item is known by to the provider; kept as the signature of its thinking.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) id: String,
    pub(crate) encrypted_content: String,
}

/// Any event; fields that we do not know are left out.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Text<'a>,
    output_index: Option<u64>,
    summary_index: Option<u64>,
    #[serde(borrow, default)]
    delta: Text<'a>,
    #[serde(borrow)]
    item: Option<Item<'a>>,
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Text<'a>,
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    call_id: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Text<'a>,
    /// What a call of free text says.
    #[serde(borrow, default)]
    input: Text<'a>,
    #[serde(borrow, default)]
    encrypted_content: Text<'a>,
    content: Option<Value>,
    summary: Option<Value>,
}

#[derive(Deserialize)]
struct Response {
    usage: Option<Value>,
    incomplete_details: Option<Incomplete>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

/// An item that is being told.
struct Open {
    kind: Kind,
    /// Block of the assembly.
    mine: usize,
    /// Whether a piece of it came.
    fed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Call,
    /// A call of free text.
    FreeText,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Decoder {
    /// The newest of each number.
    items: HashMap<u64, Open>,
    incomplete: Option<String>,
}

impl Decoder {
    fn open(&mut self, index: u64, item: &Item<'_>, into: &mut Assembly) {
        let (kind, mine) = match &*item.kind {
            "message" => (Kind::Text, into.open_text()),
            "reasoning" => (Kind::Thinking, into.open_thinking()),
            "function_call" if !item.name.is_empty() => {
                let id = if item.call_id.is_empty() { &item.id } else { &item.call_id };
                (Kind::Call, into.open_tool(id, &item.name))
            }
            "custom_tool_call" if !item.name.is_empty() => {
                let id = if item.call_id.is_empty() { &item.id } else { &item.call_id };
                let mine = into.open_tool(id, &item.name);
                into.push_json(mine, &format!("{{{}:\"", json!(INPUT)));
                (Kind::FreeText, mine)
            }
            // A call of nothing, and the provider's own tools, which we do not ask for.
            _ => return,
        };
        self.items.insert(index, Open { kind, mine, fed: false });
    }

    fn item(&mut self, index: Option<u64>) -> Option<&mut Open> {
        self.items.get_mut(&index?)
    }

    fn piece(&mut self, index: Option<u64>, piece: &str, into: &mut Assembly) {
        let Some(open) = self.item(index) else { return };
        open.fed |= !piece.is_empty();
        match open.kind {
            Kind::Text => into.push_text(open.mine, piece),
            Kind::Thinking => into.push_thinking(open.mine, piece),
            Kind::Call => into.push_json(open.mine, piece),
            Kind::FreeText => into.push_json(open.mine, &escaped(piece)),
        }
    }

    /// What an item holds at its end, where it was not told in pieces.
    fn end(&mut self, index: Option<u64>, item: &Item<'_>, into: &mut Assembly) {
        let Some(open) = self.item(index) else { return };
        match open.kind {
            _ if open.fed => {}
            Kind::Text => into.push_text(open.mine, &texts(item.content.as_ref()).concat()),
            Kind::Call => into.push_json(open.mine, &item.arguments),
            Kind::FreeText => into.push_json(open.mine, &escaped(&item.input)),
            Kind::Thinking => {
                let summary = texts(item.summary.as_ref());
                let told = if summary.is_empty() { texts(item.content.as_ref()) } else { summary };
                into.push_thinking(open.mine, &told.join("\n\n"));
            }
        }
        if open.kind == Kind::FreeText {
            into.push_json(open.mine, "\"}");
        }
        if open.kind == Kind::Thinking && !item.encrypted_content.is_empty() {
            let seal = Seal {
                id: item.id.to_string(),
                encrypted_content: item.encrypted_content.to_string(),
            };
            let seal = serde_json::to_string(&seal).expect("texts are JSON");
            into.push_signature(open.mine, &seal);
        }
        into.close(open.mine);
    }
}

/// A text as it stands between the quotes of JSON.
fn escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("texts are JSON");
    quoted[1..quoted.len() - 1].to_owned()
}

/// Texts of an item's parts, which may be refusals.
fn texts(parts: Option<&Value>) -> Vec<&str> {
    let parts = parts.and_then(Value::as_array).into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str().or(part["refusal"].as_str())).collect()
}

impl Decode for Decoder {
    type Framing = Splitter;

    fn event(&mut self, _event: &str, data: &str, into: &mut Assembly) -> Result<bool, Trouble> {
        let wire: Wire<'_> = serde_json::from_str(data)?;
        match &*wire.kind {
            "response.output_item.added" => {
                if let (Some(index), Some(item)) = (wire.output_index, &wire.item) {
                    self.open(index, item, into);
                }
            }
            "response.output_text.delta"
            | "response.refusal.delta"
            | "response.reasoning_summary_text.delta"
            | "response.reasoning_text.delta"
            | "response.function_call_arguments.delta"
            | "response.custom_tool_call_input.delta" => {
                self.piece(wire.output_index, &wire.delta, into);
            }
            "response.reasoning_summary_part.added" if wire.summary_index > Some(0) => {
                self.piece(wire.output_index, "\n\n", into);
            }
            "response.output_item.done" => {
                if let Some(item) = &wire.item {
                    self.end(wire.output_index, item, into);
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                let response = wire.response.as_ref();
                if let Some(usage) = response.and_then(|r| r.usage.as_ref()) {
                    into.usage.take_usage(usage);
                }
                let error = response.and_then(|r| r.error.as_ref()).filter(|e| !e.is_null());
                if let Some(error) = error {
                    return Err(Trouble::Said(Words::of_value(error)));
                }
                match &*wire.kind {
                    "response.failed" => return Err(Trouble::Said(Words::default())),
                    "response.incomplete" => {
                        let why = response.and_then(|r| r.incomplete_details.as_ref());
                        let reason = why.and_then(|i| i.reason.clone());
                        self.incomplete = Some(reason.unwrap_or_default());
                    }
                    _ => {}
                }
                return Ok(true);
            }
            "error" => return Err(Trouble::Said(Words::of_body(data.as_bytes()))),
            // Told twice, or whatever comes to be.
            _ => {}
        }
        Ok(false)
    }

    fn stop(&self) -> Result<StopReason, Trouble> {
        match self.incomplete.as_deref() {
            Some("content_filter") => Err(Trouble::Filtered(String::new())),
            Some(_) => Ok(StopReason::Length),
            None => Ok(StopReason::Stop),
        }
    }
}
