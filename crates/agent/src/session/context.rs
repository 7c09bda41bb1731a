//! What the model sees of a session: the branch from root to leaf, from the newest compaction on,
//! with context edits applied and without failed answers that were asked anew. Pairing calls with results and leaving out what a provider refuses
//! is the adapters' work (`toft_llm`).

use super::{
    entry::{self, Body, Entry},
    file::Session,
};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use toft_model::message::{Block, Message, StopReason, Usage, UserContent};

/// Estimate of what an image costs, in characters (Pi's: 1,200 tokens).
const IMAGE_CHARS: usize = 4_800;

impl Session {
    /// Messages for the model, oldest first.
    pub fn context(&self) -> Vec<Message> {
        let entries = self.context_entries();
        let edits = edits(&entries);
        let mut messages = Vec::with_capacity(entries.len());
        for entry in entries {
            match edits.get(entry.id.as_str()) {
                Some(None) => {}
                Some(Some(replacement)) => {
                    messages.extend(message_of(entry).map(|m| edited(m, replacement)));
                }
                None => messages.extend(message_of(entry)),
            }
        }
        messages
    }

    /// Entries that the context is made of: the newest compaction first, if there is one.
    pub fn context_entries(&self) -> Vec<&Entry> {
        self.context_parts().0
    }

    /// The same, and how many of them lie before the newest compaction in time (itself included).
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
    pub fn transcript(&self) -> impl Iterator<Item = (&Entry, Option<&str>, Message)> {
        self.branch()
            .into_iter()
            .filter_map(|entry| message_of(entry).map(|m| (entry, self.parent_id(entry), m)))
    }

    /// Sum of what the session's model calls used, other branches included.
    pub fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for entry in self.entries() {
            match &entry.body {
                Body::Message(Message::Assistant(message)) => add_usage(&mut sum, &message.usage),
                Body::Usage(usage)
                | Body::Compaction(entry::Compaction { usage: Some(usage), .. }) => {
                    add_usage(&mut sum, usage);
                }
                _ => {}
            }
        }
        sum
    }

    /// Tokens of the context: what the provider counted last, plus an estimate of what came after.
    pub fn context_tokens(&self) -> u64 {
        let (entries, old) = self.context_parts();
        // A count from before the compaction would count what is gone.
        let counted = entries.iter().enumerate().skip(old).rev().find_map(|(n, e)| match &e.body {
            Body::Message(Message::Assistant(m))
                if m.usage.total_tokens > 0
                    && m.stop_reason != StopReason::Error
                    && m.stop_reason != StopReason::Aborted =>
            {
                Some((n + 1, m.usage.total_tokens))
            }
            _ => None,
        });
        let (from, base) = counted.unwrap_or((0, 0));
        let tokens = |entry: &&Entry| match &entry.body {
            Body::Message(message) => message_tokens(message),
            Body::Compaction(entry::Compaction { summary, .. })
            | Body::BranchSummary { summary, .. } => (summary.len() as u64).div_ceil(4),
            _ => 0,
        };
        base + entries[from..].iter().map(tokens).sum::<u64>()
    }
}

/// Adds one call's usage to a sum.
pub(crate) fn add_usage(sum: &mut Usage, one: &Usage) {
    sum.input += one.input;
    sum.output += one.output;
    sum.cache_read += one.cache_read;
    sum.cache_write += one.cache_write;
    sum.total_tokens += one.total_tokens;
    if let Some(cost) = &one.cost {
        let total = sum.cost.get_or_insert_default();
        total.input += cost.input;
        total.output += cost.output;
        total.cache_read += cost.cache_read;
        total.cache_write += cost.cache_write;
        total.total += cost.total;
    }
}

fn message_of(entry: &Entry) -> Option<Message> {
    match &entry.body {
        Body::Message(message) => Some(message.clone()),
        other => entry::summary_message(other, entry.at_ms),
    }
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

fn edited(message: Message, replacement: &Value) -> Message {
    let blocks = || match serde_json::from_value::<UserContent>(replacement.clone()) {
        Ok(UserContent::Blocks(blocks)) => blocks,
        Ok(UserContent::Text(text)) => vec![Block::text(text)],
        Err(_) => vec![Block::text(replacement.to_string())],
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
        Message::CompactionSummary(mut m) => {
            m.summary = toft_model::message::text_of(&blocks());
            Message::CompactionSummary(m)
        }
        Message::BranchSummary(mut m) => {
            m.summary = toft_model::message::text_of(&blocks());
            Message::BranchSummary(m)
        }
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
