//! Reads a stream in Google's format. It has no end mark: a message is whole when the body ends after
//! a finish reason.

use crate::{
    assembly::Assembly, call::Decode, refusal::Words, sse::Splitter, text::Text, trouble::Trouble,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use toft_model::message::StopReason;

/// A chunk; fields that we do not know are left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    candidates: Option<Vec<Candidate<'a>>>,
    usage_metadata: Option<Value>,
    #[serde(borrow)]
    prompt_feedback: Option<Feedback<'a>>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow, default)]
    finish_reason: Text<'a>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    parts: Option<Vec<Part<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
    thought: Option<bool>,
    #[serde(borrow, default)]
    thought_signature: Text<'a>,
    #[serde(borrow)]
    function_call: Option<FunctionCall<'a>>,
}

#[derive(Deserialize)]
struct FunctionCall<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
    args: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback<'a> {
    #[serde(borrow, default)]
    block_reason: Text<'a>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Decoder {
    /// Thinking that waits for a part with its signature.
    thinking: Option<usize>,
    finish: Option<String>,
}

impl Decoder {
    fn part(&mut self, part: &Part<'_>, into: &mut Assembly) {
        if part.thought == Some(true) {
            if self.thinking.is_none() && !part.text.is_empty() {
                into.close_current();
                self.thinking = Some(into.open_thinking());
            }
            if let Some(mine) = self.thinking {
                into.push_thinking(mine, &part.text);
            }
            // A part of thinking that is signed itself.
            if !part.thought_signature.is_empty() {
                self.seal(&part.thought_signature, into);
            }
            return;
        }
        if !part.thought_signature.is_empty() {
            into.close_current();
            self.seal(&part.thought_signature, into);
        } else if (part.function_call.is_some() || !part.text.is_empty())
            && let Some(open) = self.thinking.take()
        {
            into.close(open);
        }
        into.text(&part.text);
        if let Some(call) = part.function_call.as_ref().filter(|call| !call.name.is_empty()) {
            into.close_current();
            let mine = into.open_tool(&call.id, &call.name);
            let args = call.args.as_ref().filter(|args| !args.is_empty());
            if let Some(args) = args {
                into.push_json(mine, &serde_json::to_string(args).expect("it was JSON"));
            }
            into.close(mine);
        }
    }

    fn seal(&mut self, signature: &str, into: &mut Assembly) {
        let mine = self.thinking.take().unwrap_or_else(|| {
            into.close_current();
            into.open_thinking()
        });
        into.push_signature(mine, signature);
        into.close(mine);
    }
}

impl Decode for Decoder {
    type Framing = Splitter;

    fn event(&mut self, _event: &str, data: &str, into: &mut Assembly) -> Result<bool, Trouble> {
        let wire: Wire<'_> = serde_json::from_str(data)?;
        if wire.error.as_ref().is_some_and(|e| !e.is_null()) {
            return Err(Trouble::Said(Words::of_body(data.as_bytes())));
        }
        if let Some(usage) = &wire.usage_metadata {
            into.usage.take_usage(usage);
        }
        if let Some(feedback) = wire.prompt_feedback.filter(|f| !f.block_reason.is_empty()) {
            return Err(Trouble::Filtered(feedback.block_reason.to_string()));
        }
        // We ask for one candidate.
        let Some(candidate) = wire.candidates.as_ref().and_then(|c| c.first()) else {
            return Ok(false);
        };
        for part in candidate.content.iter().flat_map(|c| c.parts.iter().flatten()) {
            self.part(part, into);
        }
        if !candidate.finish_reason.is_empty() {
            self.finish = Some(candidate.finish_reason.to_string());
        }
        Ok(false)
    }

    fn whole_without_mark(&self) -> bool {
        self.finish.is_some()
    }

    fn stop(&self) -> Result<StopReason, Trouble> {
        match self.finish.as_deref() {
            Some("MAX_TOKENS") => Ok(StopReason::Length),
            Some(
                why @ ("SAFETY"
                | "RECITATION"
                | "PROHIBITED_CONTENT"
                | "BLOCKLIST"
                | "SPII"
                | "IMAGE_SAFETY"
                | "IMAGE_PROHIBITED_CONTENT"
                | "IMAGE_RECITATION"
                | "LANGUAGE"
                | "MODEL_ARMOR"),
            ) => Err(Trouble::Filtered(why.to_owned())),
            Some(
                why @ ("MALFORMED_FUNCTION_CALL"
                | "MALFORMED_RESPONSE"
                | "UNEXPECTED_TOOL_CALL"
                | "TOO_MANY_TOOL_CALLS"
                | "OTHER"),
            ) => Err(Trouble::Broke(why.to_owned())),
            Some(why @ "MISSING_THOUGHT_SIGNATURE") => Err(Trouble::Refused(why.to_owned())),
            // `STOP`, and whatever comes to be.
            Some(_) | None => Ok(StopReason::Stop),
        }
    }
}
