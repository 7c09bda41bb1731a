//! A session as the tree that it is: what each entry is in a line, which ones the conversation stands on,
//! what they are called, and where one stands that goes to an entry.

use super::{
    entry::{Body, Entry},
    file::Session,
};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use toft_model::message::{Block, Message, UserContent, text_of};

/// Characters of an entry's text that a tree shows.
const TEXT_CHARS_MAX: usize = 200;

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The entry.
    pub id: String,
    /// The one that it hangs on; `None`: nothing.
    pub parent_id: Option<String>,
    /// Its type in the file.
    pub kind: String,
    /// Who speaks, where it is a message or stands for some.
    pub role: Option<&'static str>,
    /// The beginning of what it says, at most 200 characters.
    pub text: String,
    /// What it was called last.
    pub label: Option<String>,
    /// Unix milliseconds; 0 when the file does not say.
    pub timestamp: u64,
    /// Whether the conversation stands on it or behind it.
    pub on_path: bool,
}

/// Where one stands that goes to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The last entry of the branch; `None`: before the first.
    pub leaf: Option<String>,
    /// What was said at the entry, to be said anew.
    pub text: Option<String>,
}

impl Session {
    /// An entry, and those above it up to the root.
    pub(super) fn up_from<'a>(
        &'a self,
        entry: Option<&'a Entry>,
    ) -> impl Iterator<Item = &'a Entry> {
        // By place: ids may come twice in a file. A parent lies before its children, so this cannot circle.
        std::iter::successors(entry, |entry| entry.parent.map(|place| &self.entries()[place]))
    }

    /// Entries from the leaf up to the root.
    pub fn ancestors(&self) -> impl Iterator<Item = &Entry> {
        self.up_from(self.leaf())
    }

    /// Entries from the root to the leaf.
    pub fn branch(&self) -> Vec<&Entry> {
        let mut branch: Vec<&Entry> = self.ancestors().collect();
        branch.reverse();
        branch
    }

    /// What entries are called now: the name given last counts, on whatever branch.
    pub fn labels(&self) -> HashMap<&str, &Entry> {
        let mut labels = HashMap::new();
        for entry in self.entries() {
            if let Body::Label { target_id, label } = &entry.body {
                if label.as_deref().is_some_and(|text| !text.is_empty()) {
                    labels.insert(target_id.as_str(), entry);
                } else {
                    labels.remove(target_id.as_str());
                }
            }
        }
        labels
    }

    /// Which one an entry is in the order of the file, from 0.
    pub fn place(&self, entry_id: &str) -> Option<usize> {
        self.entry(entry_id)?;
        self.entries().iter().position(|entry| entry.id == entry_id)
    }

    /// What an entry is called now.
    pub fn label_of(&self, entry_id: &str) -> Option<String> {
        self.entries().iter().rev().find_map(|entry| match &entry.body {
            Body::Label { target_id, label } if target_id == entry_id => {
                Some(label.clone().filter(|text| !text.is_empty()))
            }
            _ => None,
        })?
    }

    /// At most `max` entries in the order of the file, from the `from`th on.
    pub fn nodes(&self, from: usize, max: usize) -> Vec<Node> {
        let labels = self.labels();
        let on_path: HashSet<u64> = self.ancestors().map(|entry| entry.line).collect();
        let node = |entry: &Entry| Node {
            id: entry.id.clone(),
            parent_id: self.parent_id(entry).map(str::to_owned),
            kind: entry.body.kind().to_owned(),
            role: role(&entry.body),
            text: head(&text(&entry.body)),
            label: labels.get(entry.id.as_str()).and_then(|given| label(given)),
            timestamp: entry.at_ms,
            on_path: on_path.contains(&entry.line),
        };
        self.entries().iter().skip(from).take(max).map(node).collect()
    }

    /// Where one stands that goes to an entry, by Pi's rule: before what a person or an extension said,
    /// to say it anew; at anything else. `None`: there is no such entry.
    pub fn place_of(&self, entry_id: &str) -> Option<Place> {
        let entry = self.entry(entry_id)?;
        let said = match &entry.body {
            Body::Message(Message::User(m)) => Some(m.content.text()),
            Body::Message(Message::Custom(m)) => Some(m.content.text()),
            _ => None,
        };
        Some(match said {
            Some(text) => {
                Place { leaf: self.parent_id(entry).map(str::to_owned), text: Some(text) }
            }
            None => Place { leaf: Some(entry.id.clone()), text: None },
        })
    }

    /// What a move to `to` leaves behind, oldest first: the branch from where both part.
    pub fn left_behind(&self, to: Option<&str>) -> Vec<&Entry> {
        let to = to.and_then(|id| self.entry(id));
        let stays: HashSet<u64> = self.up_from(to).map(|entry| entry.line).collect();
        let mut left: Vec<&Entry> =
            self.ancestors().take_while(|entry| !stays.contains(&entry.line)).collect();
        left.reverse();
        left
    }
}

/// What a label entry calls its target.
pub(super) fn label(entry: &Entry) -> Option<String> {
    match &entry.body {
        Body::Label { label, .. } => label.clone(),
        _ => None,
    }
}

fn role(body: &Body) -> Option<&'static str> {
    match body {
        Body::Message(message) => Some(message.role()),
        Body::Compaction(_) => Some("compactionSummary"),
        Body::BranchSummary(_) => Some("branchSummary"),
        _ => None,
    }
}

fn text(body: &Body) -> String {
    match body {
        Body::Message(message) => said(message),
        Body::Compaction(c) => c.summary.clone(),
        Body::BranchSummary(b) => b.summary.clone(),
        Body::ModelChange(model) => format!("{}/{}", model.provider, model.id),
        Body::ThinkingLevelChange { level } => level.clone(),
        Body::ContextEdit { target_id, .. } => target_id.clone(),
        Body::Custom { custom_type, .. } => custom_type.clone(),
        Body::Label { label, .. } => label.clone().unwrap_or_default(),
        Body::SessionInfo { name } => name.clone().unwrap_or_default(),
        Body::Usage(_) | Body::Unknown { .. } => String::new(),
    }
}

fn said(message: &Message) -> String {
    let of_content = |content: &UserContent| content.text();
    match message {
        Message::User(m) => of_content(&m.content),
        Message::Custom(m) => of_content(&m.content),
        Message::ToolResult(m) => text_of(&m.content),
        Message::CompactionSummary(m) | Message::BranchSummary(m) => m.summary.clone(),
        Message::Assistant(m) => {
            let words = text_of(&m.content);
            let calls = m.content.iter().filter_map(|block| match block {
                Block::ToolCall(call) => {
                    let arguments = serde_json::to_string(&call.arguments).unwrap_or_default();
                    Some(format!("{} {arguments}", call.name))
                }
                Block::Text { .. } | Block::Thinking { .. } | Block::Image { .. } => None,
            });
            let words = Some(words).filter(|words| !words.trim().is_empty());
            let all: Vec<String> = words.into_iter().chain(calls).collect();
            if all.is_empty() {
                m.error_message.clone().unwrap_or_default()
            } else {
                all.join("\n")
            }
        }
    }
}

fn head(text: &str) -> String {
    text.trim().chars().take(TEXT_CHARS_MAX).collect()
}
