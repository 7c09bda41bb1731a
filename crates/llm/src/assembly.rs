//! Puts the pieces of an answer together: blocks on one side, deltas for those who watch on the
//! other. Shared by the adapters; knows no wire format.

use crate::{ask::ModelEvent, usage::Tokens};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet, VecDeque};
use toft_model::{
    event::Delta,
    message::{Block, INVALID_ARGUMENTS, Message, ToolCall},
};

/// Characters of broken arguments that are shown to the model again; enough to see what went wrong.
const INVALID_SHOWN_CHARS_MAX: usize = 2_000;

/// Bytes of an answer that are kept: text, thinking, what is sealed and arguments. The longest that any model
/// gives has some hundred thousand tokens, about a megabyte.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Blocks of an answer.
const BLOCKS_MAX: usize = 100_000;

/// The answer so far.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    parts: Vec<Part>,
    /// Text or thinking that grows, for formats that do not number their blocks.
    current: Option<usize>,
    used_ids: HashSet<String>,
    /// Numbers that come next for ids that were taken.
    numbers: HashMap<String, u32>,
    /// What the provider reported so far.
    pub(crate) usage: Tokens,
    bytes: usize,
    out: VecDeque<ModelEvent>,
}

#[derive(Debug)]
enum Part {
    Text { text: String, open: bool },
    Thinking { text: String, signature: String, redacted: bool, open: bool },
    Tool { id: String, name: String, json: String, call: Option<ToolCall> },
}

impl Assembly {
    /// For an answer to `history`: ids of calls will differ from all in it.
    pub(crate) fn after(history: &[Message]) -> Self {
        let used_ids = history
            .iter()
            .filter_map(|m| match m {
                Message::Assistant(a) => Some(a.tool_calls().map(|c| c.id.clone())),
                _ => None,
            })
            .flatten()
            .collect();
        Self { used_ids, ..Self::default() }
    }

    /// The next event to show; never `Done`.
    pub(crate) fn next_event(&mut self) -> Option<ModelEvent> {
        self.out.pop_front()
    }

    fn show(&mut self, delta: Delta) {
        self.out.push_back(ModelEvent::Delta(delta));
    }

    /// Counts what is kept of an answer, here or by its decoder.
    pub(crate) fn weigh(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether it is more than any answer has: whoever sends it would go on until the memory is full.
    pub(crate) fn is_too_much(&self) -> bool {
        self.bytes > ANSWER_BYTES_MAX || self.parts.len() > BLOCKS_MAX
    }

    /// Whether nothing arrived.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How many blocks there are.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(crate) fn open_text(&mut self) -> usize {
        self.parts.push(Part::Text { text: String::new(), open: true });
        let content_index = self.parts.len() - 1;
        self.show(Delta::TextStart { content_index });
        content_index
    }

    pub(crate) fn open_thinking(&mut self) -> usize {
        self.parts.push(Part::Thinking {
            text: String::new(),
            signature: String::new(),
            redacted: false,
            open: true,
        });
        let content_index = self.parts.len() - 1;
        self.show(Delta::ThinkingStart { content_index });
        content_index
    }

    /// Thinking that the provider hides: all there is of it is `data`.
    pub(crate) fn redacted_thinking(&mut self, data: &str) -> usize {
        let index = self.open_thinking();
        self.redact(index, data);
        index
    }

    /// See [`Assembly::redacted_thinking`]; for an open block.
    pub(crate) fn redact(&mut self, index: usize, data: &str) {
        self.weigh(data.len());
        if let Some(Part::Thinking { signature, redacted, open: true, .. }) =
            self.parts.get_mut(index)
        {
            data.clone_into(signature);
            *redacted = true;
        }
    }

    /// Opens a call. An id that is empty or was used before in the conversation gets a number: ids
    /// must be unique there, and not all providers keep them so.
    pub(crate) fn open_tool(&mut self, id: &str, name: &str) -> usize {
        self.weigh(id.len() + name.len());
        let id = self.unique_id(id);
        let content_index = self.parts.len();
        self.show(Delta::ToolcallStart {
            content_index,
            id: id.clone(),
            tool_name: name.to_owned(),
        });
        self.parts.push(Part::Tool { id, name: name.to_owned(), json: String::new(), call: None });
        content_index
    }

    fn unique_id(&mut self, id: &str) -> String {
        if !id.is_empty() && self.used_ids.insert(id.to_owned()) {
            return id.to_owned();
        }
        let base = if id.is_empty() { "call" } else { id };
        let next = self.numbers.entry(base.to_owned()).or_default();
        loop {
            *next += 1;
            let numbered = format!("{base}_{next}");
            if self.used_ids.insert(numbered.clone()) {
                return numbered;
            }
        }
    }

    /// Adds to an open block; a block of another kind is left alone.
    pub(crate) fn push_text(&mut self, index: usize, delta: &str) {
        self.weigh(delta.len());
        if let Some(Part::Text { text, open: true }) = self.parts.get_mut(index)
            && !delta.is_empty()
        {
            text.push_str(delta);
            self.show(Delta::TextDelta { content_index: index, delta: delta.to_owned() });
        }
    }

    /// See [`Assembly::push_text`].
    pub(crate) fn push_thinking(&mut self, index: usize, delta: &str) {
        self.weigh(delta.len());
        if let Some(Part::Thinking { text, open: true, .. }) = self.parts.get_mut(index)
            && !delta.is_empty()
        {
            text.push_str(delta);
            let delta = delta.to_owned();
            self.show(Delta::ThinkingDelta { content_index: index, delta });
        }
    }

    /// See [`Assembly::push_text`].
    pub(crate) fn push_signature(&mut self, index: usize, delta: &str) {
        self.weigh(delta.len());
        if let Some(Part::Thinking { signature, .. }) = self.parts.get_mut(index) {
            signature.push_str(delta);
        }
    }

    /// See [`Assembly::push_text`].
    pub(crate) fn push_json(&mut self, index: usize, delta: &str) {
        self.weigh(delta.len());
        if let Some(Part::Tool { json, call: None, .. }) = self.parts.get_mut(index)
            && !delta.is_empty()
        {
            json.push_str(delta);
            let delta = delta.to_owned();
            self.show(Delta::ToolcallDelta { content_index: index, delta });
        }
    }

    /// Closes a block; a call's arguments are read now. Twice does nothing.
    pub(crate) fn close(&mut self, index: usize) {
        match self.parts.get_mut(index) {
            Some(Part::Text { open, .. }) if *open => {
                *open = false;
                self.show(Delta::TextEnd { content_index: index });
            }
            Some(Part::Thinking { open, signature, redacted, .. }) if *open => {
                *open = false;
                let (signature, redacted) = (signature.clone(), *redacted);
                if !signature.is_empty() {
                    let content_index = index;
                    self.out.push_back(ModelEvent::Sealed { content_index, signature, redacted });
                }
                self.show(Delta::ThinkingEnd { content_index: index });
            }
            Some(Part::Tool { id, name, json, call }) if call.is_none() => {
                let arguments = parse_arguments(json);
                let whole = ToolCall { id: id.clone(), name: name.clone(), arguments };
                *call = Some(whole.clone());
                self.show(Delta::ToolcallEnd { content_index: index, tool_call: whole });
            }
            _ => {}
        }
        if self.current == Some(index) {
            self.current = None;
        }
    }

    /// Text for a format without numbered blocks: goes on with the open text or begins a new one.
    pub(crate) fn text(&mut self, delta: &str) {
        if delta.is_empty() {
            return;
        }
        let index = match self.current {
            Some(i) if matches!(self.parts[i], Part::Text { .. }) => i,
            _ => {
                self.close_current();
                let index = self.open_text();
                self.current = Some(index);
                index
            }
        };
        self.push_text(index, delta);
    }

    /// See [`Assembly::text`].
    pub(crate) fn thinking(&mut self, delta: &str) {
        if delta.is_empty() {
            return;
        }
        let index = match self.current {
            Some(i) if matches!(self.parts[i], Part::Thinking { .. }) => i,
            _ => {
                self.close_current();
                let index = self.open_thinking();
                self.current = Some(index);
                index
            }
        };
        self.push_thinking(index, delta);
    }

    /// Closes the text or thinking that grows.
    pub(crate) fn close_current(&mut self) {
        if let Some(index) = self.current {
            self.close(index);
        }
    }

    /// Closes all blocks that are open, in order.
    pub(crate) fn close_all(&mut self) {
        for index in 0..self.parts.len() {
            self.close(index);
        }
    }

    /// The output limit cut the answer: a last call that had not begun its arguments is not one without any.
    pub(crate) fn doubt_the_last_call(&mut self) {
        self.close_all();
        if let Some(Part::Tool { json, call: Some(call), .. }) = self.parts.last_mut()
            && json.trim().is_empty()
        {
            call.arguments = invalid("");
        }
    }

    /// The blocks of a whole answer.
    pub(crate) fn into_blocks(mut self) -> Vec<Block> {
        self.close_all();
        self.parts.into_iter().filter_map(|part| part.into_block(true)).collect()
    }

    /// The blocks of an answer that was cut: without its calls, which may lack their end, and
    /// without thinking signatures that may.
    pub(crate) fn into_partial_blocks(self) -> Vec<Block> {
        self.parts.into_iter().filter_map(|part| part.into_block(false)).collect()
    }
}

impl Part {
    fn into_block(self, whole: bool) -> Option<Block> {
        match self {
            Self::Text { text, .. } => {
                (whole || !text.is_empty()).then(|| Block::Text { text, text_signature: None })
            }
            Self::Thinking { text, signature, redacted, open } => {
                let thinking_signature =
                    (!signature.is_empty() && (whole || !open)).then_some(signature);
                (whole || !text.is_empty() || thinking_signature.is_some())
                    .then_some(Block::Thinking { thinking: text, thinking_signature, redacted })
            }
            Self::Tool { call, .. } => call.filter(|_| whole).map(Block::ToolCall),
        }
    }
}

/// Whether arguments are no object of the model's own, but the mark of what was none.
pub(crate) fn is_broken(arguments: &Map<String, Value>) -> bool {
    arguments.len() == 1 && matches!(arguments.get(INVALID_ARGUMENTS), Some(Value::String(_)))
}

/// Arguments as an object. Nothing at all means no arguments. What is no object is put under
/// [`INVALID_ARGUMENTS`]: the tool then answers with an error, and the model can try again.
fn parse_arguments(json: &str) -> Map<String, Value> {
    if json.trim().is_empty() {
        return Map::new();
    }
    match serde_json::from_str::<Value>(json) {
        Ok(Value::Object(map)) => map,
        Ok(Value::Null) => Map::new(),
        // Some models wrap the object into a string.
        Ok(Value::String(text)) if matches!(serde_json::from_str(&text), Ok(Value::Object(_))) => {
            serde_json::from_str(&text).unwrap_or_default()
        }
        Ok(_) | Err(_) => invalid(json),
    }
}

/// The mark of arguments that are none.
fn invalid(json: &str) -> Map<String, Value> {
    let shown: String = json.chars().take(INVALID_SHOWN_CHARS_MAX).collect();
    Map::from_iter([(INVALID_ARGUMENTS.to_owned(), Value::String(shown))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_are_an_object_or_marked_as_invalid() {
        let check = |text: &str, expected: Value| {
            assert_eq!(Value::Object(parse_arguments(text)), expected, "{text}");
        };
        check("", json!({}));
        check("null", json!({}));
        check(r#"{"a":1}"#, json!({"a":1}));
        check(r#""{\"a\":1}""#, json!({"a":1}));
        check(r#"{"a":"#, json!({"_invalidArguments": r#"{"a":"#}));
        check("[1]", json!({"_invalidArguments": "[1]"}));
        check("\"text\"", json!({"_invalidArguments": "\"text\""}));
    }

    #[test]
    fn an_answer_of_very_many_blocks_is_too_much() {
        let mut assembly = Assembly::default();
        for _ in 0..BLOCKS_MAX {
            assembly.open_text();
        }
        assert!(!assembly.is_too_much());
        assembly.open_text();
        assert!(assembly.is_too_much());
    }

    #[test]
    fn ids_are_unique_in_the_conversation() {
        let mut assembly = Assembly::default();
        for (given, expected) in
            [("a", "a"), ("a", "a_1"), ("a", "a_2"), ("", "call_1"), ("", "call_2"), ("b", "b")]
        {
            let index = assembly.open_tool(given, "bash");
            let Part::Tool { id, .. } = &assembly.parts[index] else { unreachable!() };
            assert_eq!(id, expected);
        }
    }

    #[test]
    fn a_cut_answer_keeps_its_text_and_loses_its_calls() {
        let mut assembly = Assembly::default();
        assembly.thinking("hm");
        assembly.text("I will");
        let call = assembly.open_tool("c", "bash");
        assembly.push_json(call, "{}");
        assembly.close(call);
        let blocks = assembly.into_partial_blocks();
        assert_eq!(blocks.len(), 2);
        assert_eq!(blocks[1], Block::text("I will"));
    }
}
