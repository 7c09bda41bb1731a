//! Puts a conversation together from the pieces of a program's request, in their order. What one
//! side says without a break is one message.

use super::{
    Fields, Refused,
    seal::{self, Thought},
};
use crate::{
    ask::{Booking, ModelRequest, Options, ThinkingLevel},
    data_url,
};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet, VecDeque};
use toft_model::{
    message::{
        AssistantMessage, Block, INVALID_ARGUMENTS, Message, StopReason, ToolCall,
        ToolResultMessage, Usage, UserContent, UserMessage,
    },
    provider::{Api, ModelInfo},
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    system: Vec<String>,
    messages: Vec<Message>,
    said: Vec<Block>,
    /// Provider and format of the thinking in `said`.
    thought_by: Option<(String, String)>,
    /// Names of the calls so far, by their ids.
    names: HashMap<String, String>,
    calls: usize,
    /// Calls of the newest message of the model, by their names, the oldest first.
    open: HashMap<String, VecDeque<String>>,
    /// Calls that have a result.
    answered: HashSet<String>,
}

impl Conversation {
    /// Part of the system prompt.
    pub(super) fn system(&mut self, text: String) {
        if !text.trim().is_empty() {
            self.system.push(text);
        }
    }

    /// The same of content, of which images count for nothing.
    pub(super) fn system_blocks(&mut self, blocks: Vec<Block>) {
        for block in blocks {
            if let Block::Text { text, .. } = block {
                self.system(text);
            }
        }
    }

    /// What a person said.
    pub(super) fn user(&mut self, blocks: Vec<Block>) {
        self.close();
        if blocks.is_empty() {
            return;
        }
        let content = match blocks.as_slice() {
            [Block::Text { text, .. }] => UserContent::Text(text.clone()),
            _ => UserContent::Blocks(blocks),
        };
        self.messages.push(Message::User(UserMessage { content, timestamp: 0 }));
    }

    /// What a model said.
    pub(super) fn said(&mut self, block: Block) {
        self.said.push(block);
    }

    /// What a model thought: kept when it is ours, since no other provider may see it.
    pub(super) fn thought(&mut self, text: String, signature: &str) {
        let Some(thought) = seal::open(signature) else { return };
        let Thought { provider, api, signature, redacted, text: sealed } = thought;
        let by = (provider, api);
        if self.thought_by.as_ref().is_some_and(|first| *first != by) {
            return;
        }
        self.thought_by = Some(by);
        self.said.push(Block::Thinking {
            thinking: sealed.unwrap_or(text),
            thinking_signature: signature,
            redacted,
        });
    }

    /// A model's call.
    pub(super) fn call(&mut self, id: String, name: String, arguments: Map<String, Value>) {
        self.calls += 1;
        self.names.insert(id.clone(), name.clone());
        self.said.push(Block::ToolCall(ToolCall { id, name, arguments }));
    }

    /// A call's result.
    pub(super) fn result(&mut self, call_id: String, content: Vec<Block>, is_error: bool) {
        self.close();
        let tool_name = self.names.get(&call_id).cloned().unwrap_or_default();
        self.answered.insert(call_id.clone());
        self.messages.push(Message::ToolResult(ToolResultMessage {
            tool_call_id: call_id,
            tool_name,
            content,
            details: None,
            is_error,
            timestamp: 0,
        }));
    }

    /// The oldest call of a tool in the newest message of the model that has no result yet, for formats
    /// in which results name no call.
    pub(super) fn unanswered(&mut self, tool: &str) -> Option<String> {
        self.close();
        let queue = self.open.get_mut(tool)?;
        while queue.front().is_some_and(|id| self.answered.contains(id)) {
            queue.pop_front();
        }
        queue.front().cloned()
    }

    /// Calls so far, for ids where a program gives none.
    pub(super) fn calls_so_far(&self) -> usize {
        self.calls
    }

    /// The model's message ends.
    fn close(&mut self) {
        let (provider, api) = self.thought_by.take().unwrap_or_default();
        if self.said.is_empty() {
            return;
        }
        let content = std::mem::take(&mut self.said);
        self.open.clear();
        for block in &content {
            if let Block::ToolCall(call) = block {
                self.open.entry(call.name.clone()).or_default().push_back(call.id.clone());
            }
        }
        let calls = !self.open.is_empty();
        self.messages.push(Message::Assistant(AssistantMessage {
            content,
            api: if api.is_empty() { Api::Scripted.as_str().to_owned() } else { api },
            provider,
            model: String::new(),
            usage: Usage::default(),
            stop_reason: if calls { StopReason::ToolUse } else { StopReason::Stop },
            error_message: None,
            timestamp: 0,
        }));
    }

    /// As a request that asks for nothing in particular.
    pub(super) fn request(mut self, model: ModelInfo) -> ModelRequest {
        self.close();
        ModelRequest {
            model,
            system: self.system.join("\n\n"),
            messages: self.messages,
            tools: Vec::new(),
            thinking: ThinkingLevel::Off,
            max_tokens: None,
            session: String::new(),
            booking: Booking::default(),
            options: Options::default(),
        }
    }
}

/// Arguments that a program sends back as a text.
pub(super) fn arguments(text: &str) -> Map<String, Value> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => map,
        _ if text.trim().is_empty() => Map::new(),
        _ => Map::from_iter([(INVALID_ARGUMENTS.to_owned(), Value::from(text))]),
    }
}

/// Arguments as a text: what was no JSON stays as the model wrote it.
pub(super) fn arguments_text(arguments: &Map<String, Value>) -> String {
    match arguments.get(INVALID_ARGUMENTS) {
        Some(Value::String(text)) if arguments.len() == 1 => text.clone(),
        _ => serde_json::to_string(arguments).expect("arguments are JSON already"),
    }
}

/// An image out of a `data:` URL.
pub(super) fn image(url: &str, place: &str) -> Result<Block, Refused> {
    match data_url::read(url) {
        Some((mime_type, data)) => {
            Ok(Block::Image { data: data.to_owned(), mime_type: mime_type.to_owned() })
        }
        None => Err(Refused::new(format!(
            "{place}: an image has to be in the request itself, as data:image/…;base64,… . An \
             address is not fetched for a model of another provider."
        ))),
    }
}

/// How hard to think, by the words of the formats.
pub(super) fn level(word: &str, place: &str) -> Result<ThinkingLevel, Refused> {
    ThinkingLevel::of_word(word).ok_or_else(|| {
        Refused::new(format!("{place} has to be none, minimal, low, medium, high, xhigh or max."))
    })
}

/// Text, or a list of parts, of which `part` reads each.
pub(super) fn content(
    of: &mut Fields,
    key: &str,
    part: fn(Fields) -> Result<Block, Refused>,
) -> Result<Vec<Block>, Refused> {
    let place = of.at(key);
    match of.take(key) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Block::text(text)]),
        Some(Value::Array(parts)) => {
            let part = |(at, value)| part(Fields::of(value, format!("{place}[{at}]"))?);
            parts.into_iter().enumerate().map(part).collect()
        }
        Some(_) => Err(Refused::new(format!("{place} has to be a text or a list of parts."))),
    }
}
