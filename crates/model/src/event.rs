//! Events: one numbered line for everything that happened in a machine's bridge. One closed enum;
//! the same line lies in the event log, in the server's copy and (as SSE) on the wire.
//!
//! A stored line is `{"seq","ts","session","kind","data"}`. On the wire it is `event: <kind>`,
//! `id: <seq>`, and `data` with `type` (Pi's name), `ts` and `sessionId` added: see
//! [`Event::wire_data`].

mod agent;
mod machine;

pub use agent::{
    AgentEnd, Answered, BridgeStarted, CompactionEnd, Delta, ExtensionError, MessageEnd,
    MessageRestarted, MessageStart, MessageUpdate, ModelChange, Notify, OutputStream, Question,
    QuestionKind, QueueUpdate, RetryEnd, RetryStart, SessionNamed, ToolEnd, ToolStart, ToolUpdate,
    TurnEnd,
};
pub use machine::{
    Forked, LimitHit, LimitKind, Moved, Navigated, Observed, Outcome, Restored, ScheduleFired,
    ServiceChange, Told,
};

use crate::{
    id::SessionId,
    inspect::Inspect,
    mcp::McpChange,
    plan::{AutoCheck, Mode, PlanReady, PlanSettled},
    receipt::Receipt,
    run::RunStep,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// 1, 2, 3 … without a gap, for the life of the project; never reused.
    pub seq: u64,
    /// Unix milliseconds; 0 when it is not known (a line without it, or one that cannot be read).
    #[serde(default)]
    pub ts: u64,
    /// The conversation that it belongs to, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened. Names are those of the bridge's SSE stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum EventBody {
    /// A bridge began to serve; `sessions` maps session id to its number of file lines then.
    BridgeStarted(BridgeStarted),
    /// The agent took up work.
    AgentStart {},
    /// A model call with its tools begins.
    TurnStart {},
    /// A message begins.
    MessageStart(MessageStart),
    /// A piece of an assistant message arrived.
    MessageUpdate(MessageUpdate),
    /// A message is whole and on disk.
    MessageEnd(MessageEnd),
    /// What was shown of a message is void: it is asked again.
    MessageRestarted(MessageRestarted),
    /// A tool begins.
    ToolStart(ToolStart),
    /// A tool printed something.
    ToolUpdate(ToolUpdate),
    /// A tool ended.
    ToolEnd(ToolEnd),
    /// The turn's message and its tool results are whole.
    TurnEnd(TurnEnd),
    /// The agent has nothing more to do for this prompt.
    AgentEnd(AgentEnd),
    /// Waiting messages changed.
    QueueUpdate(QueueUpdate),
    /// A session was made.
    SessionCreated(SessionNamed),
    /// The default session is another one now.
    SessionSwitched(SessionNamed),
    /// A session was named.
    SessionInfoChanged(SessionNamed),
    /// A session uses another model.
    ModelChange(ModelChange),
    /// What a session's agent may do has changed.
    ModeChange {
        /// What it may do now.
        mode: Mode,
    },
    /// A session has a plan that waits for a person.
    PlanReady(PlanReady),
    /// A person has approved or rejected it.
    PlanSettled(PlanSettled),
    /// The project's own check of what was built.
    AutoCheck(AutoCheck),
    /// A check that the agent ran has ended, or the tree that it ran on was read.
    Receipt(Box<Receipt>),
    /// A run has gone a step.
    RunStep(RunStep),
    /// A session uses another thinking level.
    ThinkingLevelChange {
        /// `off minimal low medium high xhigh`.
        level: String,
    },
    /// Compaction begins.
    CompactionStart {
        /// `manual`, `threshold` or `overflow`.
        reason: String,
    },
    /// Compaction ended.
    CompactionEnd(CompactionEnd),
    /// A failed model call will be tried again.
    AutoRetryStart(RetryStart),
    /// Trying again is over.
    AutoRetryEnd(RetryEnd),
    /// The agent (or the system) tells people something.
    Notify(Notify),
    /// The model asks the person a question.
    Question(Question),
    /// A person answered it. Not told when the bridge ended in that very moment.
    Answered(Answered),
    /// The app listens on another port.
    AppPort {
        /// The port.
        port: u16,
        /// `detected` or `set`.
        source: String,
    },
    /// The inspect database changed; holds all rows.
    Inspect(Inspect),
    /// A terminal was opened.
    TerminalOpened {
        /// Its id.
        id: String,
        /// What runs in it.
        label: String,
    },
    /// A terminal ended.
    TerminalClosed {
        /// Its id.
        id: String,
    },
    /// Files, inspect database and conversations went back to a checkpoint.
    Restored(Restored),
    /// A conversation stands somewhere else: a person went to an entry of it.
    Navigated(Navigated),
    /// An entry of a conversation was given a name, or lost it.
    LabelChange {
        /// Which entry.
        #[serde(rename = "targetId")]
        target_id: String,
        /// The name; `None`: it has none any more.
        label: Option<String>,
    },
    /// This project was grown from another one's disk. Always the first event.
    Forked(Forked),
    /// A limit of the machine was reached.
    Limit(LimitHit),
    /// A supervised service changed.
    Service(ServiceChange),
    /// A schedule's slot was due, and what became of it.
    Schedule(ScheduleFired),
    /// An MCP server of the project is in another state.
    McpServer(McpChange),
    /// An extension of the project, or one of its hooks, failed.
    ExtensionError(ExtensionError),
    /// Something failed that belongs to no message.
    Error {
        /// Stable code.
        code: String,
        /// What happened and what to do.
        message: String,
    },
}

impl EventBody {
    /// The kind's name: SSE event name, column, log field.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BridgeStarted(_) => "bridge_started",
            Self::AgentStart {} => "agent_start",
            Self::TurnStart {} => "turn_start",
            Self::MessageStart(_) => "message_start",
            Self::MessageUpdate(_) => "message_update",
            Self::MessageEnd(_) => "message_end",
            Self::MessageRestarted(_) => "message_restarted",
            Self::ToolStart(_) => "tool_start",
            Self::ToolUpdate(_) => "tool_update",
            Self::ToolEnd(_) => "tool_end",
            Self::TurnEnd(_) => "turn_end",
            Self::AgentEnd(_) => "agent_end",
            Self::QueueUpdate(_) => "queue_update",
            Self::SessionCreated(_) => "session_created",
            Self::SessionSwitched(_) => "session_switched",
            Self::SessionInfoChanged(_) => "session_info_changed",
            Self::ModelChange(_) => "model_change",
            Self::ModeChange { .. } => "mode_change",
            Self::PlanReady(_) => "plan_ready",
            Self::PlanSettled(_) => "plan_settled",
            Self::AutoCheck(_) => "auto_check",
            Self::Receipt(_) => "receipt",
            Self::RunStep(_) => "run_step",
            Self::ThinkingLevelChange { .. } => "thinking_level_change",
            Self::CompactionStart { .. } => "compaction_start",
            Self::CompactionEnd(_) => "compaction_end",
            Self::AutoRetryStart(_) => "auto_retry_start",
            Self::AutoRetryEnd(_) => "auto_retry_end",
            Self::Notify(_) => "notify",
            Self::Question(_) => "question",
            Self::Answered(_) => "answered",
            Self::AppPort { .. } => "app_port",
            Self::Inspect(_) => "inspect",
            Self::TerminalOpened { .. } => "terminal_opened",
            Self::TerminalClosed { .. } => "terminal_closed",
            Self::Restored(_) => "restored",
            Self::Navigated(_) => "navigated",
            Self::LabelChange { .. } => "label_change",
            Self::Forked(_) => "forked",
            Self::Limit(_) => "limit",
            Self::Service(_) => "service",
            Self::Schedule(_) => "schedule",
            Self::McpServer(_) => "mcp_server",
            Self::ExtensionError(_) => "extension_error",
            Self::Error { .. } => "error",
        }
    }
}

/// Pi's name for a kind, used as `type` in `data` where the data has none of its own.
pub fn pi_type(kind: &str) -> &str {
    match kind {
        "tool_start" => "tool_execution_start",
        "tool_update" => "tool_execution_update",
        "tool_end" => "tool_execution_end",
        other => other,
    }
}

impl Event {
    /// The event as one line of the log, without the newline.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("events hold only JSON-able data")
    }

    /// `data` of the SSE frame.
    pub fn wire_data(&self) -> Value {
        let mut line = serde_json::to_value(self).expect("events hold only JSON-able data");
        wire_data(
            self.body.kind(),
            self.session.as_ref().map(SessionId::as_str),
            self.ts,
            line.get_mut("data").map(Value::take).unwrap_or_default(),
        )
    }
}

/// [`Event::wire_data`] for a line whose data is not parsed into [`EventBody`] (the server's copy).
/// A `ts` of 0 is not known and left out.
pub fn wire_data(kind: &str, session: Option<&str>, ts: u64, data: Value) -> Value {
    let mut out = serde_json::Map::new();
    if data.get("type").is_none() {
        out.insert("type".into(), pi_type(kind).into());
    }
    match data {
        Value::Object(fields) => out.extend(fields),
        Value::Null => {}
        other => {
            out.insert("value".into(), other);
        }
    }
    if ts > 0 {
        out.insert("ts".into(), ts.into());
    }
    if let Some(session) = session {
        out.insert("sessionId".into(), session.into());
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(body: EventBody) -> Event {
        Event { seq: 7, ts: 1_700_000_000_000, session: Some("s1".parse().unwrap()), body }
    }

    #[test]
    fn the_wire_has_the_names_of_the_starter_document() {
        let delta = event(EventBody::MessageUpdate(MessageUpdate {
            message_id: "m".into(),
            delta: Delta::TextDelta { content_index: 0, delta: "Here's".into() },
        }));
        assert_eq!(delta.body.kind(), "message_update");
        assert_eq!(
            delta.wire_data(),
            json!({"messageId":"m","type":"text_delta","contentIndex":0,"delta":"Here's",
                   "ts":1_700_000_000_000_u64,"sessionId":"s1"})
        );
        let tool = event(EventBody::ToolStart(ToolStart {
            tool_call_id: "c".into(),
            tool_name: "bash".into(),
            input: json!({"command":"ls"}),
            child_session: None,
        }));
        assert_eq!(
            tool.wire_data(),
            json!({"type":"tool_execution_start","toolCallId":"c","toolName":"bash",
                   "input":{"command":"ls"},"ts":1_700_000_000_000_u64,"sessionId":"s1"})
        );
    }

    #[test]
    fn a_line_without_a_time_is_read_and_shown_without_one() {
        let line = r#"{"seq":3,"session":"s1","kind":"agent_start","data":{}}"#;
        let event: Event = serde_json::from_str(line).unwrap();
        assert_eq!((event.seq, event.ts), (3, 0));
        assert_eq!(event.wire_data(), json!({"type":"agent_start","sessionId":"s1"}));
    }

    #[test]
    fn a_line_is_read_back_as_it_was_written() {
        for body in [
            EventBody::AgentStart {},
            EventBody::AppPort { port: 5173, source: "detected".into() },
            EventBody::Inspect(Inspect::default()),
        ] {
            let event = event(body);
            assert_eq!(serde_json::from_str::<Event>(&event.to_line()).unwrap(), event);
        }
    }
}
