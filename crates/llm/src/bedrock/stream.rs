//! Reads a stream in Bedrock's Converse format. A message is whole at `metadata` after `messageStop`, or
//! when the body ends after that: usage comes last.

use crate::{
    assembly::Assembly, call::Decode, event_stream::Splitter, text::Text, trouble::Trouble,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use toft_model::message::StopReason;

/// Any event; fields that we do not know are left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    content_block_index: Option<usize>,
    #[serde(borrow)]
    start: Option<Start<'a>>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    stop_reason: Text<'a>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    #[serde(borrow)]
    tool_use: Option<ToolStart<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolStart<'a> {
    #[serde(borrow, default)]
    tool_use_id: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delta<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    tool_use: Option<ToolDelta<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Reasoning<'a>>,
}

#[derive(Deserialize)]
struct ToolDelta<'a> {
    #[serde(borrow, default)]
    input: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    signature: Text<'a>,
    #[serde(borrow, default)]
    redacted_content: Text<'a>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Decoder {
    /// Block number of the provider → the newest block of that number.
    blocks: HashMap<usize, usize>,
    /// Hidden thinking so far, by our block: it comes in pieces, each written as base64 by itself.
    hidden: BTreeMap<usize, Vec<u8>>,
    stop: Option<String>,
}

impl Decoder {
    fn delta(&mut self, index: usize, delta: &Delta<'_>, into: &mut Assembly) {
        // Only calls are begun; text and thinking are there with their first piece.
        let known = self.blocks.get(&index).copied();
        if let Some(text) = &delta.text {
            let mine = known.unwrap_or_else(|| into.open_text());
            self.blocks.insert(index, mine);
            into.push_text(mine, text);
        } else if let Some(reasoning) = &delta.reasoning_content {
            let mine = known.unwrap_or_else(|| into.open_thinking());
            self.blocks.insert(index, mine);
            into.push_thinking(mine, &reasoning.text);
            if !self.hidden.contains_key(&mine) {
                into.push_signature(mine, &reasoning.signature);
            }
            if !reasoning.redacted_content.is_empty() {
                into.weigh(reasoning.redacted_content.len());
                let piece = BASE64_STANDARD.decode(&*reasoning.redacted_content);
                self.hidden.entry(mine).or_default().extend(piece.unwrap_or_default());
            }
        } else if let (Some(tool), Some(mine)) = (&delta.tool_use, known) {
            into.push_json(mine, &tool.input);
        }
    }

    fn close(&mut self, mine: usize, into: &mut Assembly) {
        if let Some(hidden) = self.hidden.remove(&mine) {
            into.redact(mine, &BASE64_STANDARD.encode(hidden));
        }
        into.close(mine);
    }
}

impl Decode for Decoder {
    type Framing = Splitter;

    fn event(&mut self, event: &str, data: &str, into: &mut Assembly) -> Result<bool, Trouble> {
        const KNOWN: [&str; 5] = [
            "contentBlockStart",
            "contentBlockDelta",
            "contentBlockStop",
            "messageStop",
            "metadata",
        ];
        // `messageStart`, which says nothing, and whatever comes to be.
        if !KNOWN.contains(&event) {
            return Ok(false);
        }
        let wire: Wire<'_> = serde_json::from_str(data)?;
        match (event, wire.content_block_index) {
            ("contentBlockStart", Some(index)) => {
                let tool = wire.start.as_ref().and_then(|start| start.tool_use.as_ref());
                // The next block of a number, whatever it is.
                self.blocks.remove(&index);
                if let Some(tool) = tool.filter(|tool| !tool.name.is_empty()) {
                    self.blocks.insert(index, into.open_tool(&tool.tool_use_id, &tool.name));
                }
            }
            ("contentBlockDelta", Some(index)) => {
                if let Some(delta) = &wire.delta {
                    self.delta(index, delta, into);
                }
            }
            ("contentBlockStop", Some(index)) => {
                if let Some(mine) = self.blocks.remove(&index) {
                    self.close(mine, into);
                }
            }
            ("messageStop", _) => {
                let open: Vec<usize> = self.hidden.keys().copied().collect();
                for mine in open {
                    self.close(mine, into);
                }
                self.stop = Some(wire.stop_reason.to_string());
            }
            ("metadata", _) => {
                if let Some(usage) = &wire.usage {
                    into.usage.take_usage(usage);
                }
                return Ok(self.stop.is_some());
            }
            _ => {}
        }
        Ok(false)
    }

    fn whole_without_mark(&self) -> bool {
        self.stop.is_some()
    }

    fn stop(&self) -> Result<StopReason, Trouble> {
        match self.stop.as_deref() {
            Some("tool_use") => Ok(StopReason::ToolUse),
            Some("max_tokens" | "model_context_window_exceeded") => Ok(StopReason::Length),
            Some(why @ ("guardrail_intervened" | "content_filtered")) => {
                Err(Trouble::Filtered(why.to_owned()))
            }
            Some(why @ ("malformed_model_output" | "malformed_tool_use")) => {
                Err(Trouble::Broke(why.to_owned()))
            }
            Some("refusal") => Err(Trouble::Declined),
            // `end_turn`, `stop_sequence`, and whatever comes to be.
            Some(_) | None => Ok(StopReason::Stop),
        }
    }
}
