//! Reads a stream in OpenAI's Responses format. A message is whole at `response.completed` or
//! `response.incomplete`.

use crate::{
    ask::{ModelFailure, Retry},
    assembly::Assembly,
    call::Decode,
    openai_chat::errors,
    refusal::{self, Words},
    text::Text,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toft_model::message::{StopReason, Usage};

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
    #[serde(borrow, default)]
    encrypted_content: Text<'a>,
    content: Option<Value>,
}

#[derive(Deserialize)]
struct Response {
    usage: Option<WireUsage>,
    incomplete_details: Option<Incomplete>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<InputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

impl From<&WireUsage> for Usage {
    fn from(wire: &WireUsage) -> Self {
        let details = wire.input_tokens_details.as_ref();
        let cache_read = details.and_then(|d| d.cached_tokens).unwrap_or_default();
        let cache_write = details.and_then(|d| d.cache_write_tokens).unwrap_or_default();
        let input = wire.input_tokens.unwrap_or_default();
        Self {
            input: input.saturating_sub(cache_read.saturating_add(cache_write)),
            output: wire.output_tokens.unwrap_or_default(),
            cache_read,
            cache_write,
            ..Self::default()
        }
    }
}

/// An item that is being told.
struct Open {
    index: u64,
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
}

/// See the module.
pub(crate) struct Decoder {
    provider: String,
    model: String,
    items: Vec<Open>,
    usage: Usage,
    incomplete: Option<String>,
}

impl Decoder {
    pub(crate) fn new(provider: &str, model: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            items: Vec::new(),
            usage: Usage::default(),
            incomplete: None,
        }
    }

    fn open(&mut self, index: u64, item: &Item<'_>, into: &mut Assembly) {
        let (kind, mine) = match &*item.kind {
            "message" => (Kind::Text, into.open_text()),
            "reasoning" => (Kind::Thinking, into.open_thinking()),
            "function_call" => {
                let id = if item.call_id.is_empty() { &item.id } else { &item.call_id };
                (Kind::Call, into.open_tool(id, &item.name))
            }
            // The provider's own tools, which we do not ask for.
            _ => return,
        };
        self.items.push(Open { index, kind, mine, fed: false });
    }

    /// The newest item of that number.
    fn item(&mut self, index: Option<u64>) -> Option<&mut Open> {
        self.items.iter_mut().rev().find(|open| Some(open.index) == index)
    }

    fn piece(&mut self, index: Option<u64>, piece: &str, into: &mut Assembly) {
        let Some(open) = self.item(index) else { return };
        open.fed |= !piece.is_empty();
        match open.kind {
            Kind::Text => into.push_text(open.mine, piece),
            Kind::Thinking => into.push_thinking(open.mine, piece),
            Kind::Call => into.push_json(open.mine, piece),
        }
    }

    /// What an item holds at its end, where it was not told in pieces.
    fn end(&mut self, index: Option<u64>, item: &Item<'_>, into: &mut Assembly) {
        let Some(open) = self.item(index) else { return };
        match open.kind {
            Kind::Text if !open.fed => {
                for part in item.content.iter().filter_map(Value::as_array).flatten() {
                    into.push_text(open.mine, part["text"].as_str().unwrap_or_default());
                }
            }
            Kind::Call if !open.fed => into.push_json(open.mine, &item.arguments),
            Kind::Thinking if !item.encrypted_content.is_empty() => {
                let seal = Seal {
                    id: item.id.to_string(),
                    encrypted_content: item.encrypted_content.to_string(),
                };
                let seal = serde_json::to_string(&seal).expect("texts are JSON");
                into.push_signature(open.mine, &seal);
            }
            Kind::Text | Kind::Call | Kind::Thinking => {}
        }
        into.close(open.mine);
    }

    fn failed(&self, words: &Words) -> ModelFailure {
        refusal::in_stream(errors::named, &self.provider, &self.model, words)
    }
}

impl Decode for Decoder {
    fn event(
        &mut self,
        _event: &str,
        data: &str,
        into: &mut Assembly,
    ) -> Result<bool, ModelFailure> {
        if data.trim().is_empty() || data == "[DONE]" {
            return Ok(false);
        }
        let wire: Wire<'_> = serde_json::from_str(data)
            .map_err(|error| refusal::unreadable(&self.provider, &error))?;
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
            | "response.function_call_arguments.delta" => {
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
                    self.usage = usage.into();
                }
                let error = response.and_then(|r| r.error.as_ref()).filter(|e| !e.is_null());
                if let Some(error) = error {
                    return Err(self.failed(&Words::of_value(error)));
                }
                match &*wire.kind {
                    "response.failed" => return Err(self.failed(&Words::default())),
                    "response.incomplete" => {
                        let why = response.and_then(|r| r.incomplete_details.as_ref());
                        let reason = why.and_then(|i| i.reason.clone());
                        self.incomplete = Some(reason.unwrap_or_default());
                    }
                    _ => {}
                }
                return Ok(true);
            }
            "error" => return Err(self.failed(&Words::of_body(data.as_bytes()))),
            // Told twice, or whatever comes to be.
            _ => {}
        }
        Ok(false)
    }

    fn whole_without_mark(&self) -> bool {
        false
    }

    fn usage(&self) -> Usage {
        self.usage.clone()
    }

    fn stop(&self) -> Result<StopReason, ModelFailure> {
        match self.incomplete.as_deref() {
            Some("content_filter") => Err(ModelFailure {
                code: "provider_error".into(),
                message: format!(
                    "{} stopped the answer: its content filter objects.",
                    self.provider
                ),
                retry: Retry::Never,
            }),
            Some(_) => Ok(StopReason::Length),
            None => Ok(StopReason::Stop),
        }
    }
}
