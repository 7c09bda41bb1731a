//! How far the work of a run is, told from its conversation's entries alone. The driver that goes on and a bridge
//! that comes back after a crash ask the same question.

use super::RUN_PREFIX;
use toft_agent::session::{Body, Entry, Session, Step};
use toft_model::{
    message::{Message, StopReason},
    plan::{Mode, PlanReady, PlanState},
    run::JobId,
};

/// The name of a run's prompt in its conversation.
pub(super) fn prompt_of(id: &JobId) -> String {
    format!("{RUN_PREFIX}{id}")
}

/// What a conversation that rests has come to, from a prompt on.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// It does not stand behind that prompt.
    Elsewhere,
    /// The work was cut: its file could not be written.
    Cut,
    /// A person stopped it.
    Stopped,
    /// The newest answer failed.
    Failed {
        /// Its entry.
        answer: String,
        /// Why.
        error: String,
    },
    /// It did what there was to do.
    Done {
        /// The newest plan, and what became of it.
        plan: Option<(PlanReady, PlanState)>,
        /// What the agent may do; beside a plan, what it might when it answered last.
        mode: Mode,
    },
}

/// The plan of which a message after the prompt says that it is approved.
pub(super) fn approved(session: &Session, prompt: &str) -> Option<String> {
    let mut approved = None;
    for entry in session.ancestors() {
        if entry.id == prompt {
            return approved;
        }
        approved = approved.or_else(|| entry.extra.approves.clone());
    }
    None
}

/// Whether the newest words behind the prompt were said in a mode in which the agent builds: a person has it work
/// without a plan.
pub(super) fn builds(session: &Session, prompt: &str) -> bool {
    let is_words = |entry: &&Entry| matches!(&entry.body, Body::Message(Message::User(_)));
    let mut before = session.ancestors().skip_while(|entry| !is_words(entry)).peekable();
    let is_behind = before.peek().is_some_and(|entry| entry.id != prompt)
        && session.ancestors().any(|entry| entry.id == prompt);
    is_behind && before.find_map(Entry::sets_mode) == Some(Mode::Build)
}

/// What the agent might do when it answered last. While a plan waits, a mode that a person sets is no word on it: what
/// they say in that mode is.
fn mode_of_answer(session: &Session) -> Mode {
    let is_answer = |entry: &&Entry| matches!(&entry.body, Body::Message(Message::Assistant(_)));
    let mut before = session.ancestors().skip_while(|entry| !is_answer(entry));
    before.find_map(Entry::sets_mode).unwrap_or_default()
}

/// See [`Found`].
pub(super) fn found(session: &Session, prompt: &str) -> Found {
    let mut answer = None;
    let mut plans = false;
    let mut there = false;
    for entry in session.ancestors() {
        if entry.id == prompt {
            there = true;
            break;
        }
        plans |= entry.proposes().is_some();
        if let Body::Message(Message::Assistant(message)) = &entry.body {
            answer.get_or_insert((entry.id.clone(), message));
        }
    }
    if !there {
        return Found::Elsewhere;
    }
    if session.step() != Step::Rest {
        return Found::Cut;
    }
    match answer {
        Some((_, answer)) if answer.stop_reason == StopReason::Aborted => Found::Stopped,
        Some((id, answer)) if answer.stop_reason == StopReason::Error => {
            let error = answer.error_message.clone();
            Found::Failed { answer: id, error: error.unwrap_or_else(|| "The model failed.".into()) }
        }
        Some(_) | None => {
            // One of an earlier run is not this one's.
            let plan = session.plan().filter(|_| plans);
            let mode = if plan.is_some() { mode_of_answer(session) } else { session.mode() };
            Found::Done { plan, mode }
        }
    }
}
