//! What a session needs next, told from its last entries alone. The running loop and a bridge that
//! comes back after a crash ask the same question, so both go the same way.

use super::{
    entry::{Body, Entry, custom},
    file::Session,
};
use std::collections::HashSet;
use toft_model::message::{Message, StopReason, ToolCall};

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Ask the model.
    Ask,
    /// Run the calls of this answer that have no result yet.
    Calls {
        /// Entry of the answer.
        entry_id: String,
        /// Place among the answer's calls, and the call.
        missing: Vec<(usize, ToolCall)>,
    },
    /// A person stopped the work: close what is open.
    Abort,
    /// Nothing: the last prompt is finished, failed or aborted.
    Rest,
}

impl Session {
    /// See [`Step`].
    pub fn step(&self) -> Step {
        let mut answered: HashSet<&str> = HashSet::new();
        for entry in self.ancestors() {
            match &entry.body {
                // A moved leaf shows an old place; it is not work that was cut.
                Body::Custom { custom_type, .. } if custom_type == custom::LEAF => {
                    return Step::Rest;
                }
                Body::Custom { custom_type, .. } if custom_type == custom::ABORT => {
                    return Step::Abort;
                }
                Body::BranchSummary { .. } => return Step::Rest,
                Body::Message(Message::User(_)) => return Step::Ask,
                Body::Message(Message::ToolResult(result)) => {
                    answered.insert(&result.tool_call_id);
                }
                Body::Message(Message::Assistant(message)) => {
                    if matches!(message.stop_reason, StopReason::Error | StopReason::Aborted) {
                        return Step::Rest;
                    }
                    let missing: Vec<_> = message
                        .tool_calls()
                        .enumerate()
                        .filter(|(_, call)| !answered.contains(call.id.as_str()))
                        .map(|(n, call)| (n, call.clone()))
                        .collect();
                    return if !missing.is_empty() {
                        Step::Calls { entry_id: entry.id.clone(), missing }
                    } else if answered.is_empty() {
                        Step::Rest
                    } else {
                        Step::Ask
                    };
                }
                Body::Message(
                    Message::Custom(_) | Message::CompactionSummary(_) | Message::BranchSummary(_),
                )
                | Body::ModelChange(_)
                | Body::ThinkingLevelChange { .. }
                | Body::Compaction(_)
                | Body::ContextEdit { .. }
                | Body::Custom { .. }
                | Body::Label { .. }
                | Body::SessionInfo { .. }
                | Body::Usage(_)
                | Body::Unknown { .. } => {}
            }
        }
        Step::Rest
    }

    /// Calls of the newest answer that have no result yet, and its entry.
    pub fn open_calls(&self) -> (String, Vec<(usize, ToolCall)>) {
        let mut answered: HashSet<&str> = HashSet::new();
        for entry in self.ancestors() {
            match &entry.body {
                Body::Message(Message::ToolResult(result)) => {
                    answered.insert(&result.tool_call_id);
                }
                Body::Message(Message::Assistant(message)) => {
                    let missing = message.tool_calls().enumerate();
                    let missing = missing.filter(|(_, call)| !answered.contains(call.id.as_str()));
                    return (entry.id.clone(), missing.map(|(n, c)| (n, c.clone())).collect());
                }
                Body::Message(Message::User(_)) => break,
                _ => {}
            }
        }
        (String::new(), Vec::new())
    }

    /// Entries of the current prompt, oldest first: from the newest user message that did not wait
    /// in a queue.
    pub fn prompt_entries(&self) -> Vec<&Entry> {
        let mut entries = Vec::new();
        for entry in self.ancestors() {
            entries.push(entry);
            if matches!(entry.body, Body::Message(Message::User(_))) && entry.extra.queued.is_none()
            {
                break;
            }
        }
        entries.reverse();
        entries
    }
}
