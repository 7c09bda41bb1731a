//! What the event log has told of a session, so that a bridge that comes back tells the rest and
//! nothing twice. Kept by [`Shown::take`] from the log's lines; a snapshot of it saves reading old
//! lines again. Telling the rest is in `catch_up`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use toft_model::{
    event::{Answered, EventBody, Question, QueueUpdate},
    message::Message,
};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Shown {
    /// Whether the log says that the session was made.
    pub created: bool,
    /// File lines up to which everything was told when the snapshot was made.
    pub lines: u64,
    agent_open: bool,
    turn_open: bool,
    /// The open turn has its answer.
    turn_answered: bool,
    pub(crate) message_open: Option<String>,
    pub(crate) tools_open: BTreeSet<String>,
    pub(crate) retry_open: Option<u32>,
    pub(crate) compaction_open: Option<String>,
    notified: BTreeSet<String>,
    asked: BTreeSet<String>,
    /// Questions with names of their own.
    questions: BTreeSet<String>,
    /// Entries with a `message_end` since the snapshot.
    pub(crate) ended: BTreeSet<String>,
    /// Changes told since the snapshot.
    pub(crate) changes: Changes,
    queue: QueueTexts,
}

/// How many changes of each kind were told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Changes {
    pub(crate) model: usize,
    pub(crate) thinking: usize,
    pub(crate) name: usize,
    pub(crate) compaction: usize,
    pub(crate) moves: usize,
    pub(crate) labels: usize,
    pub(crate) modes: usize,
    pub(crate) plans: usize,
    pub(crate) settled_plans: usize,
    pub(crate) checks: usize,
}

/// [`QueueUpdate`] with a default: nothing waits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct QueueTexts {
    steering: Vec<String>,
    follow_up: Vec<String>,
}

impl Shown {
    /// Takes one event of this session.
    pub fn take(&mut self, event: &EventBody) {
        match event {
            EventBody::AgentStart {} => self.agent_open = true,
            EventBody::AgentEnd(_) => {
                self.agent_open = false;
                self.turn_open = false;
            }
            EventBody::TurnStart {} => {
                self.turn_open = true;
                self.turn_answered = false;
            }
            EventBody::TurnEnd(_) => self.turn_open = false,
            EventBody::MessageStart(m) => self.message_open = Some(m.message_id.clone()),
            EventBody::MessageEnd(m) => {
                self.message_open = None;
                self.turn_answered |= matches!(m.message, Message::Assistant(_));
                self.ended.insert(m.entry_id.clone());
            }
            EventBody::MessageRestarted(_) => self.message_open = None,
            EventBody::ToolStart(t) => {
                self.tools_open.insert(t.tool_call_id.clone());
            }
            EventBody::ToolEnd(t) => {
                self.tools_open.remove(&t.tool_call_id);
            }
            EventBody::QueueUpdate(q) => {
                self.queue =
                    QueueTexts { steering: q.steering.clone(), follow_up: q.follow_up.clone() };
            }
            EventBody::SessionCreated(_) => self.created = true,
            EventBody::SessionInfoChanged(_) => self.changes.name += 1,
            EventBody::ModelChange(_) => self.changes.model += 1,
            EventBody::ThinkingLevelChange { .. } => self.changes.thinking += 1,
            EventBody::CompactionStart { reason } => self.compaction_open = Some(reason.clone()),
            EventBody::CompactionEnd(c) => {
                self.compaction_open = None;
                self.changes.compaction += usize::from(c.summary.is_some());
            }
            EventBody::Navigated(_) => self.changes.moves += 1,
            EventBody::LabelChange { .. } => self.changes.labels += 1,
            EventBody::AutoCheck(_) => self.changes.checks += 1,
            EventBody::ModeChange { .. } => self.changes.modes += 1,
            EventBody::PlanReady(_) => self.changes.plans += 1,
            EventBody::PlanSettled(_) => self.changes.settled_plans += 1,
            EventBody::AutoRetryStart(r) => self.retry_open = Some(r.attempt),
            EventBody::AutoRetryEnd(_) => self.retry_open = None,
            EventBody::Notify(n) => self.notified.extend(n.tool_call_id.clone()),
            EventBody::Question(q) => {
                match &q.id {
                    Some(id) => self.questions.insert(id.clone()),
                    None => self.asked.insert(q.tool_call_id.clone()),
                };
            }
            EventBody::Answered(Answered { id: Some(id), .. }) => {
                self.questions.remove(id);
            }
            EventBody::Answered(Answered { tool_call_id, .. }) => {
                self.asked.remove(tool_call_id);
            }
            EventBody::Receipt(_)
            | EventBody::RunStep(_)
            | EventBody::BridgeStarted(_)
            | EventBody::MessageUpdate(_)
            | EventBody::ToolUpdate(_)
            | EventBody::SessionSwitched(_)
            | EventBody::AppPort { .. }
            | EventBody::Inspect(_)
            | EventBody::TerminalOpened { .. }
            | EventBody::TerminalClosed { .. }
            | EventBody::Restored(_)
            | EventBody::Forked(_)
            | EventBody::Limit(_)
            | EventBody::Service(_)
            | EventBody::Schedule(_)
            | EventBody::McpServer(_)
            | EventBody::ExtensionError(_)
            | EventBody::Error { .. } => {}
        }
    }

    /// Whether the log stopped in the middle of something.
    pub fn is_open(&self) -> bool {
        self.agent_open
            || self.turn_open
            || self.message_open.is_some()
            || !self.tools_open.is_empty()
            || self.retry_open.is_some()
            || self.compaction_open.is_some()
            || self.queue != QueueTexts::default()
    }

    /// Whether `agent_start` was told and `agent_end` was not.
    pub(crate) fn agent_open(&self) -> bool {
        self.agent_open
    }

    /// Whether `turn_start` was told and `turn_end` was not.
    pub(crate) fn turn_open(&self) -> bool {
        self.turn_open
    }

    /// Whether the open turn's answer was told: without one it is still to be asked for.
    pub(crate) fn turn_answered(&self) -> bool {
        self.turn_open && self.turn_answered
    }

    /// What was told to wait.
    pub(crate) fn told_queue(&self) -> QueueUpdate {
        let QueueTexts { steering, follow_up } = self.queue.clone();
        QueueUpdate { steering, follow_up }
    }

    /// Whether this call's `tool_start` was told and its end was not.
    pub(crate) fn tool_open(&self, call_id: &str) -> bool {
        self.tools_open.contains(call_id)
    }

    /// Whether this call has told people what it had to tell.
    pub(crate) fn was_notified(&self, call_id: &str) -> bool {
        self.notified.contains(call_id)
    }

    /// Whether this question was told, and not that it is answered.
    pub(crate) fn was_asked(&self, question: &Question) -> bool {
        match &question.id {
            Some(id) => self.questions.contains(id),
            None => self.asked.contains(&question.tool_call_id),
        }
    }

    /// Whether an entry's `message_end` was told.
    pub(crate) fn has_ended(&self, entry_id: &str, line: u64) -> bool {
        line <= self.lines || self.ended.contains(entry_id)
    }

    /// Marks everything in the session's file as told; what is still open stays open.
    pub fn settle(&mut self, lines: u64) {
        self.created = true;
        self.lines = lines;
        self.ended.clear();
        self.changes = Changes::default();
        // A call that has its result neither tells nor asks again.
        let Self { notified, asked, tools_open, .. } = self;
        notified.retain(|id| tools_open.contains(id));
        asked.retain(|id| tools_open.contains(id));
        if !self.agent_open {
            self.questions.clear();
        }
    }
}
