//! A conversation as text that a model summarises, and the files that it was about.

use crate::session::Entry;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Write as _};
use toft_model::message::{Block, Message, text_of};

/// Characters of one tool result, or of a call's arguments (Pi's number).
const RESULT_CHARS_MAX: usize = 2_000;

/// Files that were read and changed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Files {
    read: BTreeSet<String>,
    modified: BTreeSet<String>,
}

impl Files {
    /// Those that an earlier summary carries.
    pub(super) fn carry(&mut self, details: Option<&Value>) {
        let Some(details) = details else { return };
        self.read.extend(strings(&details["readFiles"]));
        self.modified.extend(strings(&details["modifiedFiles"]));
    }

    /// Those of a message, and those that its entry says were changed.
    pub(super) fn take(&mut self, entry: &Entry, message: &Message) {
        self.modified.extend(entry.extra.changed.iter().cloned());
        let Message::Assistant(message) = message else { return };
        for call in message.tool_calls() {
            let Some(path) = call.arguments.get("path").and_then(Value::as_str) else { continue };
            match call.name.as_str() {
                "read" => self.read.insert(path.to_owned()),
                "write" | "edit" => self.modified.insert(path.to_owned()),
                _ => false,
            };
        }
    }

    /// As entries keep them: what was changed is not said to be read.
    pub(super) fn details(&self) -> Value {
        let read: Vec<&String> = self.read.difference(&self.modified).collect();
        json!({ "readFiles": read, "modifiedFiles": self.modified })
    }

    /// A summary with the files at its end.
    pub(super) fn below(&self, mut summary: String) -> String {
        let mut list = |name: &str, files: Vec<&String>| {
            if !files.is_empty() {
                let _ = write!(summary, "\n\n<{name}>");
                for file in files {
                    let _ = write!(summary, "\n{file}");
                }
                let _ = write!(summary, "\n</{name}>");
            }
        };
        list("read-files", self.read.difference(&self.modified).collect());
        list("modified-files", self.modified.iter().collect());
        summary
    }
}

fn strings(value: &Value) -> impl Iterator<Item = String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

/// Adds a message to a text.
pub(super) fn write_message(text: &mut String, message: &Message) {
    let _ = match message {
        Message::User(m) => write!(text, "[User]: {}\n\n", m.content.text()),
        Message::Custom(m) => write!(text, "[Note]: {}\n\n", m.content.text()),
        Message::CompactionSummary(m) => write!(text, "[Summary]: {}\n\n", m.summary),
        Message::BranchSummary(m) => {
            write!(text, "[Summary of another branch]: {}\n\n", m.summary)
        }
        Message::ToolResult(m) => {
            let result = text_of(&m.content);
            let (short, cut) = head(&result);
            write!(text, "[Result of {}]: {short}{cut}\n\n", m.tool_name)
        }
        Message::Assistant(m) => {
            for block in &m.content {
                let _ = match block {
                    Block::Text { text: said, .. } => write!(text, "[Assistant]: {said}\n\n"),
                    Block::ToolCall(call) => {
                        let arguments = Value::Object(call.arguments.clone()).to_string();
                        let (short, cut) = head(&arguments);
                        write!(text, "[Assistant calls {}]: {short}{cut}\n\n", call.name)
                    }
                    Block::Thinking { .. } | Block::Image { .. } => Ok(()),
                };
            }
            Ok(())
        }
    };
}

fn head(text: &str) -> (&str, &'static str) {
    match text.char_indices().nth(RESULT_CHARS_MAX) {
        Some((end, _)) => (&text[..end], " [cut]"),
        None => (text, ""),
    }
}

/// Leaves out the middle of a text that is too long: its beginning has the goal, its end the state.
pub(super) fn middle_out(text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let floor = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let head = floor(bytes_max / 3);
    let tail = floor(text.len() - bytes_max * 2 / 3);
    format!("{}\n[… left out …]\n{}", &text[..head], &text[tail..])
}
