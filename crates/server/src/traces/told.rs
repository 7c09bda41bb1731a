//! What events say that traces are made of. They come from inside a machine: what is not understood is
//! left out, and what is understood is bounded.

use serde::{Deserialize, de::DeserializeOwned};
use toft_model::{
    id::SessionId,
    message::{Block, Message},
};
use toft_store::NewEvent;

/// Kinds of events that are looked at.
pub(crate) const KINDS: [&str; 12] = [
    "agent_start",
    "agent_end",
    "message_start",
    "message_end",
    "message_restarted",
    "tool_start",
    "tool_end",
    "question",
    "auto_retry_start",
    "compaction_start",
    "compaction_end",
    "restored",
];

/// Those of them that end a span.
pub(crate) const ENDS: [&str; 6] =
    ["agent_end", "message_end", "message_restarted", "tool_end", "compaction_end", "restored"];

/// Longest name or id.
const NAME_BYTES_MAX: usize = 256;
/// Longest message of an error.
const WORDS_BYTES_MAX: usize = 1024;

/// What an event says.
#[derive(Debug)]
pub(crate) enum Told {
    AgentStart,
    AgentEnd(AgentEnd),
    MessageStart(MessageStart),
    Message(Box<Message>),
    Restarted(Restarted),
    ToolStart(ToolStart),
    ToolEnd(ToolEnd),
    Question(Question),
    Retry(Retry),
    CompactionStart(Compaction),
    CompactionEnd(Compaction),
    Restored(Restored),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AgentEnd {
    pub(crate) reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MessageStart {
    pub(crate) role: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Restarted {
    pub(crate) reason: String,
}

#[derive(Debug, Deserialize)]
struct MessageEnd {
    message: Message,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolStart {
    pub(crate) tool_call_id: String,
    pub(crate) tool_name: String,
    #[serde(default)]
    pub(crate) input: serde_json::Value,
    #[serde(default)]
    pub(crate) child_session: Option<SessionId>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolEnd {
    pub(crate) tool_call_id: String,
    #[serde(default)]
    pub(crate) is_error: bool,
    #[serde(default)]
    pub(crate) duration_ms: u64,
    #[serde(default)]
    pub(crate) result: ToolResult,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ToolResult {
    #[serde(default)]
    pub(crate) content: Vec<Block>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Question {
    pub(crate) tool_call_id: String,
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) child_session: Option<SessionId>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Retry {
    pub(crate) attempt: u64,
    pub(crate) delay_ms: u64,
    pub(crate) error_message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Compaction {
    pub(crate) reason: String,
    pub(crate) tokens_before: Option<u64>,
    pub(crate) error_message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Restored {
    pub(crate) sessions: Vec<Moved>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Moved {
    pub(crate) session_id: SessionId,
}

/// What an event says; `None`: nothing that matters here, or nothing that is understood.
pub(crate) fn told(event: &NewEvent) -> Option<Told> {
    let data = event.data.as_str();
    Some(match event.kind.as_str() {
        "agent_start" => Told::AgentStart,
        "agent_end" => Told::AgentEnd(read(data).unwrap_or_default()),
        "message_start" => Told::MessageStart(read(data)?),
        "message_end" => Told::Message(Box::new(read::<MessageEnd>(data)?.message)),
        "message_restarted" => Told::Restarted(read(data).unwrap_or_default()),
        "tool_start" => Told::ToolStart(read(data)?),
        "tool_end" => Told::ToolEnd(read(data)?),
        "question" => Told::Question(read(data)?),
        "auto_retry_start" => Told::Retry(read(data)?),
        "compaction_start" => Told::CompactionStart(read(data)?),
        "compaction_end" => Told::CompactionEnd(read(data).unwrap_or_default()),
        "restored" => Told::Restored(read(data)?),
        _ => return None,
    })
}

/// An event's place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) seq: u64,
    /// Unix milliseconds.
    pub(super) ms: u64,
}

impl Moment {
    pub(super) fn of(event: &NewEvent) -> Self {
        Self { seq: event.seq, ms: at_ms(event) }
    }
}

/// When it happened, in Unix milliseconds: as the machine says, and where it does not, when it was taken
/// in.
fn at_ms(event: &NewEvent) -> u64 {
    #[derive(Deserialize)]
    struct At {
        ts: u64,
    }
    read::<At>(&event.data).map_or(event.ts, |at| at.ts)
}

fn read<T: DeserializeOwned>(data: &str) -> Option<T> {
    serde_json::from_str(data).ok()
}

/// A name or an id, not longer than names are.
pub(crate) fn name(text: &str) -> String {
    cut(text, NAME_BYTES_MAX).to_owned()
}

/// What is said of a failure, shortened.
pub(crate) fn words(text: &str) -> String {
    cut(text, WORDS_BYTES_MAX).to_owned()
}

/// The beginning of a text.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
