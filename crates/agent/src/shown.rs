//! What the event log has told of a session, so that a bridge that comes back tells the rest and
//! nothing twice. Kept by [`Shown::take`] from the log's lines; a snapshot of it saves reading old
//! lines again. Telling the rest is [`Conversation::catch_up`].

use crate::{
    conversation::Conversation,
    session::{Body, Session},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use toft_model::{
    event::{
        CompactionEnd, EventBody, MessageEnd, MessageRestarted, MessageStart, ModelChange,
        QueueUpdate, RetryEnd, SessionNamed, ToolEnd,
    },
    message::Message,
    provider::DEMO_PROVIDER,
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
    message_open: Option<String>,
    tools_open: BTreeSet<String>,
    retry_open: Option<u32>,
    compaction_open: Option<String>,
    notified: BTreeSet<String>,
    asked: BTreeSet<String>,
    /// Entries with a `message_end` since the snapshot.
    ended: BTreeSet<String>,
    /// Changes told since the snapshot.
    changes: Changes,
    queue: QueueTexts,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Changes {
    model: usize,
    thinking: usize,
    name: usize,
    compaction: usize,
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
            EventBody::TurnStart {} => self.turn_open = true,
            EventBody::TurnEnd(_) => self.turn_open = false,
            EventBody::MessageStart(m) => self.message_open = Some(m.message_id.clone()),
            EventBody::MessageEnd(m) => {
                self.message_open = None;
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
            EventBody::AutoRetryStart(r) => self.retry_open = Some(r.attempt),
            EventBody::AutoRetryEnd(_) => self.retry_open = None,
            EventBody::Notify(n) => self.notified.extend(n.tool_call_id.clone()),
            EventBody::Question(q) => {
                self.asked.insert(q.tool_call_id.clone());
            }
            EventBody::BridgeStarted(_)
            | EventBody::MessageUpdate(_)
            | EventBody::ToolUpdate(_)
            | EventBody::SessionSwitched(_)
            | EventBody::AppPort { .. }
            | EventBody::Inspect(_)
            | EventBody::TerminalOpened { .. }
            | EventBody::TerminalClosed { .. }
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

    /// Whether this call's `tool_start` was told and its end was not.
    pub(crate) fn tool_open(&self, call_id: &str) -> bool {
        self.tools_open.contains(call_id)
    }

    /// Whether this call has told people what it had to tell.
    pub(crate) fn was_notified(&self, call_id: &str) -> bool {
        self.notified.contains(call_id)
    }

    /// Whether this call's question was told.
    pub(crate) fn was_asked(&self, call_id: &str) -> bool {
        self.asked.contains(call_id)
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
    }
}

impl Conversation {
    /// Tells what the session's file holds and the log does not, and voids what was shown of a
    /// message that never became whole.
    pub fn catch_up(&self) {
        let mut events = Vec::new();
        {
            let session = self.session();
            let shown = self.shown();
            if !shown.created {
                events.push(EventBody::SessionCreated(SessionNamed { name: None }));
            }
            missing_entries(&session, &shown, &mut events);
            if let Some(attempt) = shown.retry_open {
                events.push(EventBody::AutoRetryEnd(RetryEnd {
                    success: false,
                    attempt,
                    final_error: Some("the bridge was restarted; the model is asked anew".into()),
                }));
            }
            if let Some(reason) = &shown.compaction_open
                && !events.iter().any(|e| matches!(e, EventBody::CompactionEnd(_)))
            {
                events.push(EventBody::CompactionEnd(CompactionEnd {
                    reason: reason.clone(),
                    summary: None,
                    tokens_before: session.context_tokens(),
                    error_message: Some("the bridge was restarted".into()),
                }));
            }
            if let Some(id) = &shown.message_open
                && session.entry(id).is_none()
            {
                events.push(EventBody::MessageRestarted(MessageRestarted {
                    message_id: id.clone(),
                    reason: "the bridge was restarted".into(),
                }));
            }
        }
        for event in events {
            self.emit(event);
        }
    }

    /// Tells what waits, if the log says something else.
    pub(crate) fn catch_up_queue(&self, now: QueueUpdate) {
        let told = {
            let shown = self.shown();
            shown.queue.steering == now.steering && shown.queue.follow_up == now.follow_up
        };
        if !told {
            self.emit(EventBody::QueueUpdate(now));
        }
    }
}

fn missing_entries(session: &Session, shown: &Shown, events: &mut Vec<EventBody>) {
    let mut skip = shown.changes.clone();
    // Counts of changes are told in order, so the first ones of each kind are those that were.
    let told = |left: &mut usize| {
        let was = *left > 0;
        *left = left.saturating_sub(1);
        was
    };
    for entry in session.entries().iter().filter(|e| e.line > shown.lines) {
        match &entry.body {
            Body::Message(message) => {
                if shown.ended.contains(&entry.id) {
                    continue;
                }
                if let Message::ToolResult(result) = message
                    && shown.tools_open.contains(&result.tool_call_id)
                {
                    events.push(EventBody::ToolEnd(ToolEnd {
                        tool_call_id: result.tool_call_id.clone(),
                        tool_name: result.tool_name.clone(),
                        result: result.clone(),
                        is_error: result.is_error,
                        duration_ms: entry.extra.duration_ms.unwrap_or(0),
                    }));
                }
                if shown.message_open.as_deref() != Some(entry.id.as_str()) {
                    events.push(EventBody::MessageStart(MessageStart {
                        message_id: entry.id.clone(),
                        role: role_of(message).into(),
                    }));
                }
                events.push(EventBody::MessageEnd(MessageEnd {
                    message_id: entry.id.clone(),
                    entry_id: entry.id.clone(),
                    parent_id: session.parent_id(entry).map(str::to_owned),
                    message: message.clone(),
                }));
            }
            Body::ModelChange(model) if !told(&mut skip.model) => {
                events.push(EventBody::ModelChange(ModelChange {
                    demo: model.provider == DEMO_PROVIDER,
                    model: model.clone(),
                }));
            }
            Body::ThinkingLevelChange { level } if !told(&mut skip.thinking) => {
                events.push(EventBody::ThinkingLevelChange { level: level.clone() });
            }
            Body::SessionInfo { name } if !told(&mut skip.name) => {
                events.push(EventBody::SessionInfoChanged(SessionNamed { name: name.clone() }));
            }
            Body::Compaction(compaction) if !told(&mut skip.compaction) => {
                events.push(EventBody::CompactionEnd(CompactionEnd {
                    reason: shown.compaction_open.clone().unwrap_or_else(|| "manual".into()),
                    summary: Some(compaction.summary.clone()),
                    tokens_before: compaction.tokens_before,
                    error_message: None,
                }));
            }
            Body::ModelChange(_)
            | Body::ThinkingLevelChange { .. }
            | Body::SessionInfo { .. }
            | Body::Compaction(_)
            | Body::BranchSummary { .. }
            | Body::ContextEdit { .. }
            | Body::Custom { .. }
            | Body::Label { .. }
            | Body::Usage(_)
            | Body::Unknown { .. } => {}
        }
    }
}

/// The role as events name it.
pub(crate) fn role_of(message: &Message) -> &'static str {
    match message {
        Message::User(_) => "user",
        Message::Assistant(_) => "assistant",
        Message::ToolResult(_) => "toolResult",
        Message::Custom(_) => "custom",
        Message::CompactionSummary(_) => "compactionSummary",
        Message::BranchSummary(_) => "branchSummary",
    }
}
