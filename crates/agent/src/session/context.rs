//! What the model sees of a session: the branch from root to leaf, from the newest compaction on,
//! with context edits applied and without failed answers that were asked anew. Pairing calls with results and leaving out what a provider refuses
//! is the adapters' work (`toft_llm`).

use super::{
    entry::{self, Body, Entry},
    file::Session,
};
use serde::Deserialize as _;
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};
use toft_model::{
    message::{Block, Message, StopReason, ToolResultMessage, Usage, UserContent},
    tool::TASK,
};

/// Estimate of what an image costs, in characters (Pi's: 1,200 tokens).
const IMAGE_CHARS: usize = 4_800;

impl Session {
    /// Messages for the model, oldest first.
    pub fn context(&self) -> Vec<Message> {
        self.projection().into_iter().filter_map(|(_, m)| m.map(Cow::into_owned)).collect()
    }

    /// Entries that the context is made of, with what the model sees of each, if anything.
    pub fn projection(&self) -> Vec<(&Entry, Option<Cow<'_, Message>>)> {
        project(&self.context_parts().0)
    }

    /// Entries that the context is made of, the newest compaction first if there is one, and how many of them
    /// lie before it in time (itself included).
    fn context_parts(&self) -> (Vec<&Entry>, usize) {
        let mut branch = self.branch();
        let voided: HashSet<&str> = branch.iter().filter_map(|entry| entry.retries()).collect();
        let newest = branch.iter().enumerate().rev().find_map(|(at, entry)| match &entry.body {
            Body::Compaction(compaction) => Some((at, compaction)),
            _ => None,
        });
        let counts = |entry: &&Entry| !voided.contains(entry.id.as_str());
        let Some((at, compaction)) = newest else {
            branch.retain(counts);
            return (branch, 0);
        };
        let before = &branch[..at];
        let first =
            before.iter().position(|e| e.id == compaction.first_kept_entry_id).unwrap_or(at);
        let mut entries = vec![branch[at]];
        let kept = before[first..].iter().filter(|e| !matches!(e.body, Body::Compaction(_)));
        entries.extend(kept.filter(|e| counts(e)));
        let old = entries.len();
        entries.extend(branch[at + 1..].iter().filter(|e| counts(e)));
        (entries, old)
    }

    /// Messages for people: the whole branch, compacted history included, with the entry's id and
    /// its parent's.
    pub fn transcript(&self) -> impl Iterator<Item = (&Entry, Option<&str>, Cow<'_, Message>)> {
        self.branch()
            .into_iter()
            .filter_map(|entry| entry.message().map(|m| (entry, self.parent_id(entry), m)))
    }

    /// How many messages [`Session::transcript`] has.
    pub fn message_count(&self) -> usize {
        self.ancestors().filter(|entry| is_message(entry)).count()
    }

    /// Sum of what the session's model calls used, other branches included.
    pub fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for entry in self.entries() {
            match &entry.body {
                Body::Message(Message::Assistant(message)) => sum.add(&message.usage),
                Body::Message(Message::ToolResult(result)) => {
                    if let Some(usage) = task_usage(result) {
                        sum.add(&usage);
                    }
                }
                Body::Usage(usage)
                | Body::Compaction(entry::Compaction { usage: Some(usage), .. })
                | Body::BranchSummary(entry::BranchSummary { usage: Some(usage), .. }) => {
                    sum.add(usage);
                }
                _ => {}
            }
        }
        sum
    }

    /// Tokens of the context: what the provider counted last, plus an estimate of what came after.
    pub fn context_tokens(&self) -> u64 {
        let (entries, old) = self.context_parts();
        // A count from before a compaction or an edit would count what is gone.
        let last_edit = entries
            .iter()
            .rposition(|e| matches!(e.body, Body::ContextEdit { .. }))
            .map_or(old, |at| old.max(at + 1));
        let projection = project(&entries);
        let counted =
            projection.iter().enumerate().skip(last_edit).rev().find_map(|(n, (_, m))| {
                match m.as_deref() {
                    Some(Message::Assistant(m))
                        if m.usage.total_tokens > 0
                            && m.stop_reason != StopReason::Error
                            && m.stop_reason != StopReason::Aborted =>
                    {
                        Some((n + 1, m.usage.total_tokens))
                    }
                    _ => None,
                }
            });
        let (from, base) = counted.unwrap_or((0, 0));
        let tokens = projection[from..].iter().filter_map(|(_, m)| m.as_deref());
        base + tokens.map(message_tokens).sum::<u64>()
    }
}

/// What a task used, of whose call this is the result.
pub(crate) fn task_usage(result: &ToolResultMessage) -> Option<Usage> {
    let details = result.details.as_ref().filter(|_| result.tool_name == TASK)?;
    Usage::deserialize(details.get("usage")?).ok()
}

/// What the model sees of each entry.
fn project<'a>(entries: &[&'a Entry]) -> Vec<(&'a Entry, Option<Cow<'a, Message>>)> {
    let edits = edits(entries);
    let seen = |entry: &'a Entry| match edits.get(entry.id.as_str()) {
        Some(None) => None,
        Some(Some(replacement)) => {
            entry.message().map(|m| Cow::Owned(edited(m.into_owned(), replacement)))
        }
        None => entry.message(),
    };
    entries.iter().map(|entry| (*entry, seen(entry))).collect()
}

/// Whether it is a message, or one stands for it.
fn is_message(entry: &Entry) -> bool {
    matches!(entry.body, Body::Message(_) | Body::Compaction(_) | Body::BranchSummary(_))
}

/// The latest edit of each entry; `None` leaves it out.
fn edits<'a>(entries: &[&'a Entry]) -> HashMap<&'a str, Option<&'a Value>> {
    entries
        .iter()
        .filter_map(|e| match &e.body {
            Body::ContextEdit { target_id, replacement } => {
                Some((target_id.as_str(), replacement.as_ref()))
            }
            _ => None,
        })
        .collect()
}

/// A message with other content. Summaries stay as they are, as in Pi.
fn edited(message: Message, replacement: &Value) -> Message {
    let content = replacement.get("content").unwrap_or(replacement);
    let blocks = || match UserContent::deserialize(content) {
        Ok(UserContent::Blocks(blocks)) => blocks,
        Ok(UserContent::Text(text)) => vec![Block::text(text)],
        Err(_) => vec![Block::text(content.to_string())],
    };
    match message {
        Message::User(mut m) => {
            m.content = UserContent::Blocks(blocks());
            Message::User(m)
        }
        Message::Assistant(mut m) => {
            m.content = blocks();
            Message::Assistant(m)
        }
        Message::ToolResult(mut m) => {
            m.content = blocks();
            Message::ToolResult(m)
        }
        Message::Custom(mut m) => {
            m.content = UserContent::Blocks(blocks());
            Message::Custom(m)
        }
        summary @ (Message::CompactionSummary(_) | Message::BranchSummary(_)) => summary,
    }
}

/// Tokens of a message, estimated as characters / 4 (Pi's rule).
pub fn message_tokens(message: &Message) -> u64 {
    let chars = match message {
        Message::User(m) => content_chars(&m.content),
        Message::Assistant(m) => m.content.iter().map(block_chars).sum(),
        Message::ToolResult(m) => m.content.iter().map(block_chars).sum(),
        Message::Custom(m) => content_chars(&m.content),
        Message::CompactionSummary(m) | Message::BranchSummary(m) => m.summary.len(),
    };
    (chars as u64).div_ceil(4)
}

fn content_chars(content: &UserContent) -> usize {
    match content {
        UserContent::Text(text) => text.len(),
        UserContent::Blocks(blocks) => blocks.iter().map(block_chars).sum(),
    }
}

fn block_chars(block: &Block) -> usize {
    match block {
        Block::Text { text, .. } => text.len(),
        Block::Thinking { thinking, .. } => thinking.len(),
        Block::Image { .. } => IMAGE_CHARS,
        Block::ToolCall(call) => {
            call.name.len() + serde_json::to_string(&call.arguments).map_or(0, |text| text.len())
        }
    }
}
