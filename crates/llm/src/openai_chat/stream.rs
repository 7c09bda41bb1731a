//! Reads a stream in OpenAI's chat format. A message is whole at `data: [DONE]` after a finish reason.

use super::errors;
use crate::{
    ask::{ModelFailure, Retry},
    assembly::Assembly,
    call::Decode,
    refusal::{self, Words},
    text::Text,
};
use serde::Deserialize;
use serde_json::Value;
use toft_model::message::{StopReason, Usage};

/// A chunk; fields that we do not know are left out.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    usage: Option<WireUsage>,
    x_groq: Option<Groq>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Groq {
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    /// Moonshot puts it here.
    usage: Option<WireUsage>,
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

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl From<&WireUsage> for Usage {
    fn from(wire: &WireUsage) -> Self {
        let details = wire.prompt_tokens_details.as_ref();
        let cache_read = details
            .and_then(|d| d.cached_tokens)
            .or(wire.prompt_cache_hit_tokens)
            .unwrap_or_default();
        let cache_write = details.and_then(|d| d.cache_write_tokens).unwrap_or_default();
        let prompt = wire.prompt_tokens.unwrap_or_default();
        let completion = wire.completion_tokens.unwrap_or_default();
        let thought = wire
            .completion_tokens_details
            .as_ref()
            .and_then(|d| d.reasoning_tokens)
            .unwrap_or_default();
        // xAI leaves thinking out of the completion's count; the total tells.
        let with_thought = completion.saturating_add(thought);
        let apart = thought > 0 && wire.total_tokens == Some(prompt.saturating_add(with_thought));
        Self {
            input: prompt.saturating_sub(cache_read.saturating_add(cache_write)),
            output: if apart { with_thought } else { completion },
            cache_read,
            cache_write,
            ..Self::default()
        }
    }
}

/// A call that is being told.
struct Open {
    index: Option<usize>,
    id: String,
    /// Block of the assembly.
    mine: usize,
}

/// See the module.
pub(crate) struct Decoder {
    provider: String,
    model: String,
    done_mark: bool,
    calls: Vec<Open>,
    usage: Usage,
    finish: Option<String>,
}

impl Decoder {
    pub(crate) fn new(provider: &str, model: &str, done_mark: bool) -> Self {
        Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            done_mark,
            calls: Vec::new(),
            usage: Usage::default(),
            finish: None,
        }
    }

    fn call(&mut self, call: &Call<'_>, into: &mut Assembly) {
        let name = call.function.as_ref().map_or("", |f| &*f.name);
        // Google gives every call of a message the index 0, each whole and with its own id.
        let begins_another = |open: &Open| {
            !name.is_empty() && !call.id.is_empty() && !open.id.is_empty() && open.id != *call.id
        };
        let known = self
            .calls
            .iter()
            .rev()
            .find(|open| match (call.index, open.index) {
                (Some(theirs), Some(mine)) => theirs == mine,
                _ => call.id.is_empty() || open.id == *call.id,
            })
            .filter(|open| !begins_another(open))
            .map(|open| open.mine);
        let mine = match known {
            Some(mine) => mine,
            // A piece that belongs to no call.
            None if name.is_empty() => return,
            None => {
                into.close_current();
                let mine = into.open_tool(&call.id, name);
                self.calls.push(Open { index: call.index, id: call.id.to_string(), mine });
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
    fn event(
        &mut self,
        event: &str,
        data: &str,
        into: &mut Assembly,
    ) -> Result<bool, ModelFailure> {
        if data == "[DONE]" {
            return if self.finish.is_some() {
                Ok(true)
            } else {
                Err(ModelFailure {
                    code: "cut".into(),
                    message: format!("{} ended its stream without finishing.", self.provider),
                    retry: Retry::Backoff,
                })
            };
        }
        if data.trim().is_empty() {
            return Ok(false);
        }
        let wire: Wire<'_> = serde_json::from_str(data)
            .map_err(|error| refusal::unreadable(&self.provider, &error))?;
        if wire.error.as_ref().is_some_and(|e| !e.is_null()) || event == "error" {
            let words = Words::of_body(data.as_bytes());
            return Err(refusal::in_stream(errors::named, &self.provider, &self.model, &words));
        }
        if let Some(usage) =
            wire.usage.as_ref().or(wire.x_groq.as_ref().and_then(|x| x.usage.as_ref()))
        {
            self.usage = usage.into();
        }
        // We ask for one choice.
        let Some(choice) = wire.choices.as_ref().and_then(|c| c.first()) else { return Ok(false) };
        if let Some(usage) = &choice.usage {
            self.usage = usage.into();
        }
        if let Some(delta) = &choice.delta {
            let thought: &str = if delta.reasoning_content.is_empty() {
                &delta.reasoning
            } else {
                &delta.reasoning_content
            };
            into.thinking(thought);
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
        }
        Ok(false)
    }

    fn whole_without_mark(&self) -> bool {
        !self.done_mark && self.finish.is_some()
    }

    fn usage(&self) -> Usage {
        self.usage.clone()
    }

    fn stop(&self) -> Result<StopReason, ModelFailure> {
        let failed = |message: String, retry| {
            Err(ModelFailure { code: "provider_error".into(), message, retry })
        };
        match self.finish.as_deref() {
            Some("tool_calls" | "function_call") => Ok(StopReason::ToolUse),
            Some("length" | "max_tokens" | "model_length") => Ok(StopReason::Length),
            Some("content_filter" | "sensitive" | "safety") => failed(
                format!("{} stopped the answer: its content filter objects.", self.provider),
                Retry::Never,
            ),
            Some("error" | "network_error") => failed(
                format!("{} failed in the middle of its answer.", self.provider),
                Retry::Backoff,
            ),
            // `stop`, `end`, `eos`, and whatever comes to be.
            Some(_) | None => Ok(StopReason::Stop),
        }
    }
}
