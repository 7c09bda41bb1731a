//! One line of a session file. Reading is lenient (old versions, foreign roles, unknown kinds);
//! writing makes version 3. Format: Pi's session documentation, version 3.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use std::borrow::Cow;
use toft_model::{
    message::{
        AssistantMessage, CustomMessage, Message, SummaryMessage, ToolResultMessage, Usage,
        UserContent, UserMessage,
    },
    provider::ModelRef,
    time::rfc3339,
};

/// `customType`s that we write.
pub mod custom {
    /// The leaf was moved: nothing before it is unfinished work.
    pub const LEAF: &str = "toft.leaf";
    /// A person stopped the work; what is open below is to be closed, not done.
    pub const ABORT: &str = "toft.abort";
    /// A person's answer to a question: `{toolCallId, answer}`.
    pub const ANSWER: &str = "toft.answer";
    /// A person wants a failed answer asked anew: `{entryId}` names it; it no longer counts.
    pub const RETRY: &str = "toft.retry";
    /// A hint to a model that repeats itself.
    pub const NUDGE: &str = "toft.nudge";
}

/// A line after the header.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// 8 hex digits for ours; unique in the file.
    pub id: String,
    /// Place of the parent among the entries.
    pub parent: Option<usize>,
    /// Number of its line in the file; the header's is 1.
    pub line: u64,
    /// Unix milliseconds when it was written; 0 when the line does not say.
    pub at_ms: u64,
    /// What it holds.
    pub body: Body,
    /// Our own fields beside Pi's.
    pub extra: Extra,
}

impl Entry {
    /// The entry whose failed answer this one voids.
    pub fn retries(&self) -> Option<&str> {
        match &self.body {
            Body::Custom { custom_type, data } if custom_type == custom::RETRY => {
                Some(data["entryId"].as_str().unwrap_or_default())
            }
            _ => None,
        }
    }
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A message of the conversation.
    Message(Message),
    /// The session uses another model from here.
    ModelChange(ModelRef),
    /// The session uses another thinking level from here.
    ThinkingLevelChange {
        /// `off minimal low medium high xhigh`.
        level: String,
    },
    /// History before it is replaced by a summary.
    Compaction(Compaction),
    /// What happened on a branch that was left.
    BranchSummary {
        /// Leaf of that branch.
        from_id: String,
        /// In words.
        summary: String,
    },
    /// Changes what the model sees of an earlier entry.
    ContextEdit {
        /// Which.
        target_id: String,
        /// New content; `None` leaves the entry out.
        replacement: Option<Value>,
    },
    /// Data that the model never sees.
    Custom {
        /// Whose.
        custom_type: String,
        /// Free.
        data: Value,
    },
    /// A name for an entry; no text clears it.
    Label {
        /// Which entry.
        target_id: String,
        /// The name.
        label: Option<String>,
    },
    /// The session's name.
    SessionInfo {
        /// The name.
        name: Option<String>,
    },
    /// Tokens spent beside the conversation.
    Usage(Usage),
    /// A kind or role that this version does not know; it stays in the file.
    Unknown {
        /// Its `type`, or `message/<role>`.
        kind: String,
    },
}

/// See [`Body::Compaction`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compaction {
    /// Stands for everything before the first kept entry.
    pub summary: String,
    /// First entry that stays in the context as it is.
    #[serde(default)]
    pub first_kept_entry_id: String,
    /// Context tokens before, estimated.
    #[serde(default)]
    pub tokens_before: u64,
    /// What the summary cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// `{readFiles, modifiedFiles}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// Our fields on an entry, under the key `toft`; other readers skip them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Extra {
    /// Paths that a tool changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Milliseconds that a tool ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Set on a user message that came while the agent worked: it continues a prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<QueuedAs>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a user message waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum QueuedAs {
    /// Until the running tool ended.
    Steer,
    /// Until the agent would have stopped.
    FollowUp,
}

/// An entry as it is read, with its parent by id.
pub(super) struct Read {
    pub(super) id: Option<String>,
    pub(super) parent: Parent,
    pub(super) at_ms: u64,
    pub(super) body: Body,
    pub(super) extra: Extra,
}

/// Where an entry hangs.
#[derive(Default)]
pub(super) enum Parent {
    /// The field is absent (version 1): below the line before.
    #[default]
    Before,
    /// It is null.
    Root,
    /// Below this one.
    Of(String),
}

impl<'de> Deserialize<'de> for Parent {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Option::<String>::deserialize(d)?.map_or(Self::Root, Self::Of))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parent_id: Parent,
    #[serde(default, borrow)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
    #[serde(default)]
    toft: Option<Extra>,
}

#[derive(Deserialize)]
struct Role<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
}

/// Reads one line. `None`: it is not JSON of an entry at all.
pub(super) fn read(line: &str) -> Option<Read> {
    let head: Line<'_> = serde_json::from_str(line).ok()?;
    let at = head.timestamp.as_deref().map_or(0, unix_ms);
    let body = match head.message {
        Some(raw) if head.kind == "message" => read_message(raw.get(), at),
        _ => read_body(&head.kind, line, at),
    };
    let body = body.unwrap_or_else(|| Body::Unknown { kind: head.kind.to_string() });
    Some(Read {
        id: head.id,
        parent: head.parent_id,
        at_ms: at,
        body,
        extra: head.toft.unwrap_or_default(),
    })
}

fn read_message(raw: &str, at: u64) -> Option<Body> {
    let role: Role<'_> = serde_json::from_str(raw).ok()?;
    let message = match &*role.role {
        "user" => Message::User(serde_json::from_str::<UserMessage>(raw).ok()?),
        "assistant" => Message::Assistant(serde_json::from_str::<AssistantMessage>(raw).ok()?),
        "toolResult" => Message::ToolResult(serde_json::from_str::<ToolResultMessage>(raw).ok()?),
        "custom" | "hookMessage" => Message::Custom(serde_json::from_str(raw).ok()?),
        "compactionSummary" => Message::CompactionSummary(serde_json::from_str(raw).ok()?),
        "branchSummary" => Message::BranchSummary(serde_json::from_str(raw).ok()?),
        "bashExecution" => return Some(read_bash(raw, at)),
        other => return Some(Body::Unknown { kind: format!("message/{other}") }),
    };
    Some(Body::Message(message))
}

/// A command that a person ran by hand in Pi: in the context as text.
fn read_bash(raw: &str, at: u64) -> Body {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    #[derive(Default)]
    struct Bash {
        command: String,
        output: String,
        exclude_from_context: bool,
        timestamp: u64,
    }
    let bash: Bash = serde_json::from_str(raw).unwrap_or_default();
    if bash.exclude_from_context {
        return Body::Unknown { kind: "message/bashExecution".into() };
    }
    let text = format!("Ran `{}`\n```\n{}\n```", bash.command, bash.output);
    Body::Message(Message::Custom(CustomMessage {
        custom_type: "bashExecution".into(),
        content: UserContent::Text(text),
        display: true,
        details: None,
        timestamp: if bash.timestamp == 0 { at } else { bash.timestamp },
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    provider: Option<String>,
    model_id: Option<String>,
    thinking_level: Option<String>,
    from_id: Option<String>,
    summary: Option<String>,
    target_id: Option<String>,
    #[serde(default)]
    replacement: Option<Value>,
    custom_type: Option<String>,
    #[serde(default)]
    data: Value,
    content: Option<UserContent>,
    #[serde(default)]
    display: bool,
    details: Option<Value>,
    label: Option<String>,
    name: Option<String>,
    usage: Option<Usage>,
}

fn read_body(kind: &str, line: &str, at: u64) -> Option<Body> {
    if kind == "compaction" {
        return serde_json::from_str(line).ok().map(Body::Compaction);
    }
    let known = [
        "model_change",
        "thinking_level_change",
        "branch_summary",
        "context_edit",
        "custom",
        "custom_message",
        "label",
        "session_info",
        "usage",
    ];
    if !known.contains(&kind) {
        return None;
    }
    let f: Fields = serde_json::from_str(line).ok()?;
    Some(match kind {
        "model_change" => Body::ModelChange(ModelRef { provider: f.provider?, id: f.model_id? }),
        "thinking_level_change" => Body::ThinkingLevelChange { level: f.thinking_level? },
        "branch_summary" => {
            Body::BranchSummary { from_id: f.from_id.unwrap_or_default(), summary: f.summary? }
        }
        "context_edit" => Body::ContextEdit { target_id: f.target_id?, replacement: f.replacement },
        "custom" => Body::Custom { custom_type: f.custom_type?, data: f.data },
        "custom_message" => Body::Message(Message::Custom(CustomMessage {
            custom_type: f.custom_type?,
            content: f.content?,
            display: f.display,
            details: f.details,
            timestamp: at,
        })),
        "label" => Body::Label { target_id: f.target_id?, label: f.label },
        "session_info" => Body::SessionInfo { name: f.name },
        _ => Body::Usage(f.usage?),
    })
}

/// Unix milliseconds of an RFC 3339 text; 0 when it is none.
pub(super) fn unix_ms(text: &str) -> u64 {
    text.parse::<jiff::Timestamp>()
        .ok()
        .and_then(|t| u64::try_from(t.as_millisecond()).ok())
        .unwrap_or(0)
}

/// Writes one line, without its newline. `None` for what we never write.
pub(super) fn write(
    id: &str,
    parent: Option<&str>,
    at_ms: u64,
    body: &Body,
    extra: &Extra,
) -> Option<String> {
    let (kind, fields) = match body {
        Body::Message(Message::Custom(m)) => (
            "custom_message",
            json!({"customType": m.custom_type, "content": m.content, "display": m.display,
                   "details": m.details}),
        ),
        Body::Message(message) => ("message", json!({ "message": message })),
        Body::ModelChange(m) => ("model_change", json!({"provider": m.provider, "modelId": m.id})),
        Body::ThinkingLevelChange { level } => {
            ("thinking_level_change", json!({ "thinkingLevel": level }))
        }
        Body::Compaction(c) => ("compaction", serde_json::to_value(c).ok()?),
        Body::BranchSummary { from_id, summary } => {
            ("branch_summary", json!({"fromId": from_id, "summary": summary}))
        }
        Body::ContextEdit { target_id, replacement } => {
            ("context_edit", json!({"targetId": target_id, "replacement": replacement}))
        }
        Body::Custom { custom_type, data } => {
            ("custom", json!({"customType": custom_type, "data": data}))
        }
        Body::Label { target_id, label } => {
            ("label", json!({"targetId": target_id, "label": label}))
        }
        Body::SessionInfo { name } => ("session_info", json!({ "name": name })),
        Body::Usage(usage) => ("usage", json!({"kind": "toft", "usage": usage})),
        Body::Unknown { .. } => return None,
    };
    let mut line = Map::new();
    line.insert("type".into(), kind.into());
    line.insert("id".into(), id.into());
    line.insert("parentId".into(), parent.into());
    line.insert("timestamp".into(), rfc3339(at_ms).into());
    if let Value::Object(fields) = fields {
        // Absent and null mean the same except for `replacement`, where null is the meaning.
        line.extend(fields.into_iter().filter(|(key, v)| !v.is_null() || key == "replacement"));
    }
    if !extra.is_empty() {
        line.insert("toft".into(), serde_json::to_value(extra).ok()?);
    }
    serde_json::to_string(&line).ok()
}

/// The message that stands for a compaction or branch summary in the context.
pub(super) fn summary_message(body: &Body, timestamp: u64) -> Option<Message> {
    match body {
        Body::Compaction(c) => Some(Message::CompactionSummary(SummaryMessage {
            summary: c.summary.clone(),
            timestamp,
        })),
        Body::BranchSummary { summary, .. } => {
            Some(Message::BranchSummary(SummaryMessage { summary: summary.clone(), timestamp }))
        }
        Body::Message(_)
        | Body::ModelChange(_)
        | Body::ThinkingLevelChange { .. }
        | Body::ContextEdit { .. }
        | Body::Custom { .. }
        | Body::Label { .. }
        | Body::SessionInfo { .. }
        | Body::Usage(_)
        | Body::Unknown { .. } => None,
    }
}
