//! What events of the agent carry. What a machine's life tells is in `machine`.

use crate::{
    binding::Binding,
    id::SessionId,
    message::{AssistantMessage, Message, ToolCall, ToolResultMessage, Usage},
    provider::ModelRef,
    receipt::Claim,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// See [`super::EventBody::BridgeStarted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BridgeStarted {
    /// Version of the binary.
    pub version: String,
    /// Lines per session file at that moment.
    pub sessions: BTreeMap<String, u64>,
}

/// See [`super::EventBody::ExtensionError`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionError {
    /// Its name.
    pub extension: String,
    /// Which hook failed; `None`: it cannot be used at all.
    pub hook: Option<String>,
    /// What happened and what to do.
    pub message: String,
    /// The call that the hook was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// See [`super::EventBody::MessageStart`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageStart {
    /// Ties updates to the end; the entry id when the message is whole.
    pub message_id: String,
    /// `user`, `assistant` or `toolResult`.
    pub role: String,
}

/// See [`super::EventBody::MessageUpdate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageUpdate {
    /// Which message.
    #[serde(rename = "messageId")]
    pub message_id: String,
    /// What arrived.
    #[serde(flatten)]
    pub delta: Delta,
}

/// A piece of an assistant message. `content_index` counts the blocks of the message from 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "field names are the wire format's own, explained above")]
pub enum Delta {
    TextStart { content_index: usize },
    TextDelta { content_index: usize, delta: String },
    TextEnd { content_index: usize },
    ThinkingStart { content_index: usize },
    ThinkingDelta { content_index: usize, delta: String },
    ThinkingEnd { content_index: usize },
    ToolcallStart { content_index: usize, id: String, tool_name: String },
    ToolcallDelta { content_index: usize, delta: String },
    ToolcallEnd { content_index: usize, tool_call: ToolCall },
}

/// See [`super::EventBody::MessageEnd`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageEnd {
    /// As in [`MessageStart`].
    pub message_id: String,
    /// Id of the line in the session file.
    pub entry_id: String,
    /// Id of the line before it on its branch.
    pub parent_id: Option<String>,
    /// The whole message.
    pub message: Message,
}

/// See [`super::EventBody::MessageRestarted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRestarted {
    /// Which message is void.
    pub message_id: String,
    /// Why, in words.
    pub reason: String,
}

/// See [`super::EventBody::ToolStart`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolStart {
    /// The call's id.
    pub tool_call_id: String,
    /// The tool's name.
    pub tool_name: String,
    /// Its arguments.
    pub input: Value,
    /// The conversation in which it does its work, if it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_session: Option<SessionId>,
}

/// See [`super::EventBody::ToolUpdate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUpdate {
    /// The call's id.
    pub tool_call_id: String,
    /// The tool's name.
    pub tool_name: String,
    /// Output that is new since the last update, bounded.
    pub delta: String,
    /// What wrote it, where the tool keeps them apart.
    #[serde(default, skip_serializing_if = "OutputStream::is_stdout")]
    pub stream: OutputStream,
}

/// Where a program writes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    /// Its output; of tools that keep no streams apart, all that is shown.
    #[default]
    Stdout,
    /// Its errors.
    Stderr,
}

impl OutputStream {
    /// Its name, as it is serialised.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_stdout(&self) -> bool {
        *self == Self::Stdout
    }
}

/// See [`super::EventBody::ToolEnd`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolEnd {
    /// The call's id.
    pub tool_call_id: String,
    /// The tool's name.
    pub tool_name: String,
    /// What the model gets, and details for people.
    pub result: ToolResultMessage,
    /// Whether it failed.
    pub is_error: bool,
    /// Milliseconds it ran.
    pub duration_ms: u64,
}

/// See [`super::EventBody::TurnEnd`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnEnd {
    /// The assistant's message.
    pub message: AssistantMessage,
    /// How many tool results followed.
    pub tool_results: usize,
}

/// See [`super::EventBody::AgentEnd`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentEnd {
    /// `done`, `aborted`, `error`, `limit` (one of the prompt's limits was reached) or `waiting` (a
    /// question stands open).
    pub reason: String,
    /// Sum over the prompt's model calls.
    pub usage: Usage,
    /// Model calls.
    pub turns: u64,
    /// Tool calls.
    pub tools: u64,
    /// Paths that tools changed, relative to the project's folder where possible.
    pub changed: Vec<String>,
    /// Milliseconds from prompt to end.
    pub duration_ms: u64,
    /// Whether the scripted model did it.
    pub demo: bool,
    /// What the agent's last words claim of tests, lints and builds, and what receipts say of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
}

/// See [`super::EventBody::QueueUpdate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueUpdate {
    /// Delivered after the running tools.
    pub steering: Vec<String>,
    /// Delivered when the agent would stop.
    pub follow_up: Vec<String>,
}

/// See [`super::EventBody::SessionCreated`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionNamed {
    /// Its name, if it has one.
    pub name: Option<String>,
}

/// See [`super::EventBody::ModelChange`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelChange {
    /// The new one.
    #[serde(flatten)]
    pub model: ModelRef,
    /// Whether it is the scripted one.
    pub demo: bool,
}

/// See [`super::EventBody::CompactionEnd`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompactionEnd {
    /// `manual`, `threshold` or `overflow`.
    pub reason: String,
    /// The summary, when it worked.
    pub summary: Option<String>,
    /// Context tokens before, estimated.
    pub tokens_before: u64,
    /// Why it failed.
    pub error_message: Option<String>,
}

/// See [`super::EventBody::AutoRetryStart`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryStart {
    /// 1 for the first retry.
    pub attempt: u32,
    /// The last one that will be made.
    pub max_attempts: u32,
    /// Milliseconds until then.
    pub delay_ms: u64,
    /// Why.
    pub error_message: String,
    /// Whether a person has to do something first: no retry helps until then, and they go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks: bool,
    /// Whether the tries of a moment are over: nobody watches the work, so it waits until the provider is back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
}

/// See [`super::EventBody::AutoRetryEnd`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryEnd {
    /// Whether the call worked in the end.
    pub success: bool,
    /// Retries made.
    pub attempt: u32,
    /// The last error, when it did not.
    pub final_error: Option<String>,
}

/// See [`super::EventBody::Notify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notify {
    /// What to tell.
    pub message: String,
    /// `info`, `success`, `warning` or `error`.
    pub level: String,
    /// Whether app panels should reload.
    pub refresh_iframe: bool,
    /// The call that asked for it: the same call never notifies twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// See [`super::EventBody::Question`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// The question.
    pub question: String,
    /// Answers to choose from; free text is always allowed too.
    pub options: Vec<String>,
    /// Names of secrets that are asked for: their values go to `POST /v1/projects/{id}/secrets`, not
    /// into an answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Where the agent proposes that their values go: those of these names would be brokered. A person
    /// decides.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bindings: BTreeMap<String, Binding>,
    /// The call that asked, or that is asked about.
    pub tool_call_id: String,
    /// Names it where a call may be asked about more than once; else the call does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why it is asked.
    #[serde(default, skip_serializing_if = "QuestionKind::is_tool")]
    pub kind: QuestionKind,
    /// The conversation of a task that waits for the answer: the question is about one of its calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_session: Option<SessionId>,
}

impl Question {
    /// What names it in its conversation.
    pub fn key(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.tool_call_id)
    }
}

/// See [`super::EventBody::Answered`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// As in the [`Question`].
    pub tool_call_id: String,
    /// As there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// As there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_session: Option<SessionId>,
}

impl Answered {
    /// That this one is.
    pub fn of(question: Question) -> Self {
        let Question { tool_call_id, id, child_session, .. } = question;
        Self { tool_call_id, id, child_session }
    }
}

/// Why a question is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuestionKind {
    /// A tool asks it.
    #[default]
    Tool,
    /// A rule wants a person's word before a call is done.
    Permission,
    /// A call may have been done before the machine ended.
    Doubt,
    /// The model goes round in circles.
    Loop,
}

impl QuestionKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
    fn is_tool(&self) -> bool {
        *self == Self::Tool
    }
}
