//! Reads a stream in OpenAI's chat format. A message is whole at `data: [DONE]` after a finish
//! reason, or when the body ends after one: not all who speak it send the mark.

use super::details::Details;
use crate::{
    assembly::Assembly, call::Decode, refusal::Words, sse::Splitter, text::Text, trouble::Trouble,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use toft_model::message::StopReason;

/// A chunk; fields that we do not know are left out.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    usage: Option<Value>,
    x_groq: Option<Groq>,
    error: Option<Value>,
    /// `error` in vLLM's own shape of one.
    #[serde(borrow, default)]
    object: Text<'a>,
}

#[derive(Deserialize)]
struct Groq {
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    /// Moonshot puts it here.
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow, default)]
    refusal: Text<'a>,
    /// DeepSeek, Z.ai, Moonshot, Qwen, xAI and others.
    #[serde(borrow, default)]
    reasoning_content: Text<'a>,
    /// OpenRouter, Groq, Cerebras, Together.
    #[serde(borrow, default)]
    reasoning: Text<'a>,
    /// OpenRouter.
    reasoning_details: Option<Value>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
}

/// Text, or Mistral's list of parts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content<'a> {
    #[serde(borrow)]
    Text(Text<'a>),
    Parts(Vec<ContentPart>),
}

#[derive(Deserialize)]
struct ContentPart {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thinking: Option<Vec<ContentPart>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    index: Option<usize>,
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<Arguments<'a>>,
}

/// Text in pieces, or (some compatible providers) an object at once.
#[derive(Deserialize)]
#[serde(untagged)]
enum Arguments<'a> {
    #[serde(borrow)]
    Text(Text<'a>),
    Whole(Value),
}

/// See the module.
#[derive(Default)]
pub(crate) struct Decoder {
    /// Calls so far, as blocks of the assembly.
    calls: Vec<usize>,
    /// The newest of each number; one without a number has that of its place.
    by_index: HashMap<usize, Open>,
    by_id: HashMap<String, usize>,
    details: Details,
    /// The first thinking, which carries them.
    thought: Option<usize>,
    finish: Option<String>,
}

/// A call that is being told.
struct Open {
    id: String,
    mine: usize,
}

impl Decoder {
    /// The call that a piece belongs to.
    fn known(&self, call: &Call<'_>, name: &str) -> Option<usize> {
        let Some(index) = call.index else {
            return if call.id.is_empty() {
                self.calls.last().copied()
            } else {
                self.by_id.get(&*call.id).copied()
            };
        };
        let open = self.by_index.get(&index)?;
        // Google gives every call of a message the index 0, each whole and with its own id.
        let begins_another =
            !name.is_empty() && !call.id.is_empty() && !open.id.is_empty() && open.id != *call.id;
        (!begins_another).then_some(open.mine)
    }

    fn think(&mut self, delta: &Delta<'_>, into: &mut Assembly) {
        let details = delta.reasoning_details.as_ref().and_then(Value::as_array);
        let sealed = details.map(|pieces| self.details.take(pieces)).unwrap_or_default();
        into.weigh(self.details.grown());
        let words: [&str; 3] = [&delta.reasoning_content, &delta.reasoning, &sealed];
        let words = words.into_iter().find(|words| !words.is_empty()).unwrap_or_default();
        let before = into.len();
        into.thinking(words);
        if into.len() > before {
            self.thought.get_or_insert(before);
        }
    }

    /// What the provider sealed goes with the thinking, also where none of it was shown.
    fn seal(&mut self, into: &mut Assembly) {
        if self.details.is_empty() {
            return;
        }
        let mine = self.thought.take().unwrap_or_else(|| {
            into.close_current();
            into.open_thinking()
        });
        into.push_signature(mine, &std::mem::take(&mut self.details).seal());
        into.close(mine);
    }

    fn call(&mut self, call: &Call<'_>, into: &mut Assembly) {
        let name = call.function.as_ref().map_or("", |f| &*f.name);
        let mine = match self.known(call, name) {
            Some(mine) => mine,
            // A piece that belongs to no call.
            None if name.is_empty() => return,
            None => {
                into.close_current();
                let mine = into.open_tool(&call.id, name);
                let id = call.id.to_string();
                let index = call.index.unwrap_or(self.calls.len());
                self.calls.push(mine);
                self.by_id.insert(id.clone(), mine);
                self.by_index.insert(index, Open { id, mine });
                mine
            }
        };
        match call.function.as_ref().and_then(|f| f.arguments.as_ref()) {
            Some(Arguments::Text(piece)) => into.push_json(mine, piece),
            Some(Arguments::Whole(Value::Null)) | None => {}
            Some(Arguments::Whole(value)) => into.push_json(mine, &value.to_string()),
        }
    }
}

impl Decode for Decoder {
    type Framing = Splitter;

    fn event(&mut self, event: &str, data: &str, into: &mut Assembly) -> Result<bool, Trouble> {
        let wire: Wire<'_> = serde_json::from_str(data)?;
        let failed = wire.error.as_ref().is_some_and(|e| !e.is_null());
        if failed || event == "error" || &*wire.object == "error" {
            return Err(Trouble::Said(Words::of_body(data.as_bytes())));
        }
        let groqs = wire.x_groq.as_ref().and_then(|x| x.usage.as_ref());
        if let Some(usage) = wire.usage.as_ref().or(groqs) {
            into.usage.take_usage(usage);
        }
        // We ask for one choice.
        let Some(choice) = wire.choices.as_ref().and_then(|c| c.first()) else { return Ok(false) };
        if let Some(usage) = &choice.usage {
            into.usage.take_usage(usage);
        }
        if let Some(delta) = &choice.delta {
            self.think(delta, into);
            match &delta.content {
                Some(Content::Text(text)) => into.text(text),
                Some(Content::Parts(parts)) => {
                    for part in parts {
                        for thought in part.thinking.iter().flatten() {
                            into.thinking(thought.text.as_deref().unwrap_or_default());
                        }
                        into.text(part.text.as_deref().unwrap_or_default());
                    }
                }
                None => {}
            }
            into.text(&delta.refusal);
            for call in delta.tool_calls.iter().flatten() {
                self.call(call, into);
            }
        }
        if let Some(reason) = choice.finish_reason.as_ref().filter(|r| !r.is_empty()) {
            self.finish = Some(reason.to_string());
            self.seal(into);
        }
        Ok(false)
    }

    fn done(&self) -> Result<bool, Trouble> {
        if self.finish.is_some() { Ok(true) } else { Err(Trouble::Unfinished) }
    }

    fn whole_without_mark(&self) -> bool {
        self.finish.is_some()
    }

    fn stop(&self) -> Result<StopReason, Trouble> {
        match self.finish.as_deref() {
            Some("tool_calls" | "function_call") => Ok(StopReason::ToolUse),
            // The last one is Z.ai's: its context is full.
            Some("length" | "max_tokens" | "model_length" | "model_context_window_exceeded") => {
                Ok(StopReason::Length)
            }
            Some("content_filter" | "sensitive" | "safety") => {
                Err(Trouble::Filtered(String::new()))
            }
            Some("error" | "network_error") => Err(Trouble::Broke(String::new())),
            // `stop`, `end`, `eos`, and whatever comes to be.
            Some(_) | None => Ok(StopReason::Stop),
        }
    }
}
