//! What a session needs next, told from its last entries alone. The running loop and a bridge that
//! comes back after a crash ask the same question, so both go the same way.

use super::{
    entry::{Body, Entry, custom},
    file::Session,
};
use std::collections::HashSet;
use toft_model::{
    id::RunId,
    message::{Message, StopReason, ToolCall},
};

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
        self.step_without(None)
    }

    /// The failed or stopped answer that the conversation ends with, if the model can be asked for
    /// another one in its place.
    pub fn failed_answer(&self) -> Option<&Entry> {
        let newest = self.ancestors().find(|entry| {
            entry.retries().is_some()
                || matches!(entry.body, Body::Message(Message::User(_) | Message::Assistant(_)))
        })?;
        let Body::Message(Message::Assistant(answer)) = &newest.body else { return None };
        (is_over(answer.stop_reason) && self.step_without(Some(&newest.id)) == Step::Ask)
            .then_some(newest)
    }

    /// The next step, with one answer voided beside those that are.
    fn step_without(&self, voided: Option<&str>) -> Step {
        let mut voided: HashSet<&str> = voided.into_iter().collect();
        let mut answered: HashSet<&str> = HashSet::new();
        for entry in self.ancestors() {
            if let Some(failed) = entry.retries() {
                voided.insert(failed);
                continue;
            }
            if entry.wants_repair() || entry.wants_turn() {
                return Step::Ask;
            }
            match &entry.body {
                // Marks of what a person has taken back by asking for another answer.
                Body::Custom { custom_type, .. }
                    if !voided.is_empty()
                        && (custom_type == custom::LEAF || custom_type == custom::ABORT) => {}
                // A moved leaf shows an old place; it is not work that was cut.
                Body::Custom { custom_type, .. } if custom_type == custom::LEAF => {
                    return Step::Rest;
                }
                Body::Custom { custom_type, .. } if custom_type == custom::ABORT => {
                    return Step::Abort;
                }
                Body::BranchSummary(_) => return Step::Rest,
                Body::Message(Message::User(_)) => return Step::Ask,
                Body::Message(Message::ToolResult(result)) => {
                    answered.insert(&result.tool_call_id);
                }
                Body::Message(Message::Assistant(_)) if voided.contains(entry.id.as_str()) => {}
                Body::Message(Message::Assistant(message)) => {
                    if is_over(message.stop_reason) {
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
            // What is asked anew has nothing open.
            if entry.retries().is_some() {
                break;
            }
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

    /// The run that the newest work belongs to: a retry, and what was said meanwhile, is the same.
    /// `None` before the first prompt, and for one of an imported file that has a strange id.
    pub fn run(&self) -> Option<RunId> {
        let prompt = self.ancestors().find(|entry| {
            matches!(entry.body, Body::Message(Message::User(_))) && entry.extra.queued.is_none()
        });
        prompt?.id.parse().ok()
    }

    /// Entries of the current piece of work, oldest first: from the newest user message that did not
    /// wait in a queue, or from where a person had it tried again.
    pub fn prompt_entries(&self) -> Vec<&Entry> {
        let mut entries = Vec::new();
        for entry in self.ancestors() {
            entries.push(entry);
            let prompt = matches!(entry.body, Body::Message(Message::User(_)))
                && entry.extra.queued.is_none();
            if prompt || entry.retries().is_some() {
                break;
            }
        }
        entries.reverse();
        entries
    }
}

/// Whether an answer ends the work because it failed or was stopped.
fn is_over(stop_reason: StopReason) -> bool {
    matches!(stop_reason, StopReason::Error | StopReason::Aborted)
}
