//! Reads a stream in Anthropic's format. A message is whole at `message_stop`.

use crate::{
    assembly::Assembly, call::Decode, refusal::Words, sse::Splitter, text::Text, trouble::Trouble,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashMap;
use toft_model::message::StopReason;

/// Any event; fields that we do not know are left out.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Text<'a>,
    index: Option<usize>,
    #[serde(borrow)]
    content_block: Option<WireBlock<'a>>,
    #[serde(borrow)]
    delta: Option<WireDelta<'a>>,
    message: Option<WireStart>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct WireStart {
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct WireBlock<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    thinking: Text<'a>,
    #[serde(borrow, default)]
    signature: Text<'a>,
    #[serde(borrow, default)]
    data: Text<'a>,
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
    input: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct WireDelta<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    thinking: Text<'a>,
    #[serde(borrow, default)]
    signature: Text<'a>,
    #[serde(borrow, default)]
    partial_json: Text<'a>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
}

/// Kinds of event that we read.
const KNOWN: [&str; 7] = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
];

/// Whether an event that cannot be read is of a kind that came to be later: then it may look as it
/// likes.
fn is_new(data: &str) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: String,
    }
    serde_json::from_str::<Kind>(data).is_ok_and(|k| !KNOWN.contains(&k.kind.as_str()))
}

/// See the module.
#[derive(Default)]
pub(crate) struct Decoder {
    /// Block number of the provider → the newest block of that number.
    blocks: HashMap<usize, usize>,
    stop: Option<String>,
}

impl Decoder {
    fn open(&mut self, index: usize, block: &WireBlock<'_>, into: &mut Assembly) {
        let mine = match &*block.kind {
            "text" => {
                let mine = into.open_text();
                into.push_text(mine, &block.text);
                mine
            }
            "thinking" => {
                let mine = into.open_thinking();
                into.push_thinking(mine, &block.thinking);
                into.push_signature(mine, &block.signature);
                mine
            }
            "redacted_thinking" => into.redacted_thinking(&block.data),
            "tool_use" if !block.name.is_empty() => {
                let mine = into.open_tool(&block.id, &block.name);
                // Some compatible providers send all arguments here.
                if let Some(input) = block.input.as_ref().filter(|input| !input.is_empty()) {
                    into.push_json(mine, &serde_json::to_string(input).unwrap_or_default());
                }
                mine
            }
            // A call of nothing, and blocks of the provider's own tools, which we do not ask for.
            _ => return,
        };
        self.blocks.insert(index, mine);
    }

    /// Our block for the provider's number.
    fn mine(&self, index: Option<usize>) -> Option<usize> {
        self.blocks.get(&index?).copied()
    }
}

impl Decode for Decoder {
    type Framing = Splitter;

    fn event(&mut self, _event: &str, data: &str, into: &mut Assembly) -> Result<bool, Trouble> {
        let wire: Wire<'_> = match serde_json::from_str(data) {
            Ok(wire) => wire,
            Err(_) if is_new(data) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        match &*wire.kind {
            "message_start" => {
                if let Some(usage) = wire.message.and_then(|m| m.usage) {
                    into.usage.take_usage(&usage);
                }
            }
            "content_block_start" => {
                if let (Some(index), Some(block)) = (wire.index, &wire.content_block) {
                    self.open(index, block, into);
                }
            }
            "content_block_delta" => {
                if let (Some(mine), Some(delta)) = (self.mine(wire.index), &wire.delta) {
                    match &*delta.kind {
                        "text_delta" => into.push_text(mine, &delta.text),
                        "thinking_delta" => into.push_thinking(mine, &delta.thinking),
                        "signature_delta" => into.push_signature(mine, &delta.signature),
                        "input_json_delta" => into.push_json(mine, &delta.partial_json),
                        _ => {}
                    }
                }
            }
            "content_block_stop" => {
                if let Some(mine) = self.mine(wire.index) {
                    into.close(mine);
                }
            }
            "message_delta" => {
                if let Some(reason) =
                    wire.delta.and_then(|d| d.stop_reason).filter(|r| !r.is_empty())
                {
                    self.stop = Some(reason.to_string());
                }
                if let Some(usage) = &wire.usage {
                    into.usage.take_usage(usage);
                }
            }
            "message_stop" => return Ok(true),
            "error" => return Err(Trouble::Said(Words::of_body(data.as_bytes()))),
            // `ping`, and whatever comes to be.
            _ => {}
        }
        Ok(false)
    }

    fn stop(&self) -> Result<StopReason, Trouble> {
        match self.stop.as_deref() {
            Some("tool_use") => Ok(StopReason::ToolUse),
            Some("max_tokens" | "model_context_window_exceeded") => Ok(StopReason::Length),
            Some("refusal") => Err(Trouble::Declined),
            // `end_turn`, `stop_sequence`, `pause_turn`, and whatever comes to be.
            Some(_) | None => Ok(StopReason::Stop),
        }
    }
}
