//! What the bridge's routes read, for the document. The bridge has its own types of them; that these fit is shown by who asks
//! a real one by the document.

#![expect(dead_code, reason = "only their schemas are used")]

use schemars::JsonSchema;
use serde_json::Value;
use toft_model::plan::{Mode, Plan};

/// Which conversation.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfSession {
    /// The conversation; the current one when absent.
    session_id: Option<String>,
}

/// Where to begin in the events.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Follow {
    /// Only this conversation's.
    session_id: Option<String>,
    /// The number of the last event that is known; without it only what comes.
    after: Option<u64>,
}

/// Which file or folder.
#[derive(JsonSchema)]
pub(super) struct At {
    /// Relative to the project's folder, which is meant when it is absent.
    path: Option<String>,
}

/// What goes into an archive.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Archive {
    /// Relative to the project's folder, which is meant when it is absent.
    path: Option<String>,
    /// Bytes at most.
    bytes_max: Option<u64>,
    /// Files at most.
    files_max: Option<u64>,
}

/// A part of a conversation's tree.
#[derive(JsonSchema)]
pub(super) struct Part {
    /// The entry after which it begins.
    after: Option<String>,
    /// Entries at most: 1 to 5000.
    limit: Option<u32>,
}

/// From which byte.
#[derive(JsonSchema)]
pub(super) struct From {
    /// The position of the first byte that is wanted.
    from: Option<u64>,
}

/// A part of the receipts.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipts {
    /// Only this conversation's.
    session_id: Option<String>,
    /// The number of the last receipt that is known.
    after: Option<u64>,
    /// Receipts at most: 1 to 500.
    limit: Option<u32>,
}

/// Which conversations.
#[derive(JsonSchema)]
pub(super) struct Listed {
    /// Those of tasks too.
    tasks: Option<bool>,
}

/// Something for the agent.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Prompt {
    message: String,
    #[serde(default)]
    images: Vec<Image>,
    /// What becomes of it while the agent works: it waits, unless it is to steer.
    streaming_behavior: Option<Behavior>,
    /// The conversation; the current one when absent.
    session_id: Option<String>,
    /// Its name: sent again under it, it is not said twice.
    #[schemars(regex(pattern = "^[A-Za-z0-9_-]{8,64}$"))]
    entry_id: Option<String>,
}

/// What becomes of a message while the agent works.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Behavior {
    Steer,
    FollowUp,
}

/// An image.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Image {
    /// In base64.
    data: String,
    mime_type: String,
}

/// Stops the agent.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Abort {
    session_id: Option<String>,
    /// Whether what waits is dropped: yes, unless it says no.
    clear_queue: Option<bool>,
}

/// What waits to be said. What is left out stays.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Queue {
    session_id: Option<String>,
    steering: Option<Vec<String>>,
    follow_up: Option<Vec<String>>,
}

/// An answer to a question.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    tool_call_id: String,
    answer: String,
    session_id: Option<String>,
}

/// How the agent works. What is left out stays.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    provider: Option<String>,
    model_id: Option<String>,
    /// `off`, `minimal`, `low`, `medium`, `high` or `xhigh`.
    thinking_level: Option<String>,
    app_port: Option<u16>,
    /// `all` or `one-at-a-time`.
    steering_mode: Option<String>,
    /// `all` or `one-at-a-time`.
    follow_up_mode: Option<String>,
    auto_compaction_enabled: Option<bool>,
    /// Replaced whole.
    rules: Option<Vec<Value>>,
    /// Replaced whole.
    limits: Option<Value>,
    auto_check: Option<bool>,
    check_command: Option<String>,
    session_name: Option<String>,
    session_id: Option<String>,
}

/// A new conversation.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct New {
    name: Option<String>,
    /// The file of the one that it comes from.
    parent_session: Option<String>,
    /// Whether it becomes the current one: yes, unless it says no.
    current: Option<bool>,
}

/// One of both.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Switch {
    session_id: Option<String>,
    session_path: Option<String>,
}

/// Sums up a conversation.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Compact {
    custom_instructions: Option<String>,
    session_id: Option<String>,
}

/// Copies a branch.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Forked {
    /// Its last entry; where the conversation stands when absent.
    entry_id: Option<String>,
    name: Option<String>,
    /// Whether it becomes the current one: yes, unless it says no.
    current: Option<bool>,
}

/// Goes elsewhere in a conversation.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Navigate {
    entry_id: String,
    #[serde(default)]
    summarize: bool,
    custom_instructions: Option<String>,
}

/// Names an entry.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Label {
    entry_id: String,
    /// Without it, it has no name any more.
    label: Option<String>,
}

/// Plan, or build.
#[derive(JsonSchema)]
pub(super) struct Wanted {
    mode: Mode,
}

/// A person's word on a plan.
#[derive(JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub(super) enum Decision {
    Approve {
        plan_id: Option<String>,
        /// The plan as it was changed.
        plan: Option<Plan>,
    },
    Reject {
        plan_id: Option<String>,
        reason: Option<String>,
    },
}

/// Approves a plan.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Approve {
    plan_id: Option<String>,
    /// The plan as it was changed.
    plan: Option<Plan>,
}

/// Sends a plan back.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Reject {
    plan_id: Option<String>,
    reason: Option<String>,
}

/// Whose word counts.
#[derive(JsonSchema)]
pub(super) struct Cancel {
    fence: u64,
}

/// A terminal.
#[derive(JsonSchema)]
pub(super) struct Open {
    cols: u16,
    rows: u16,
    cwd: Option<String>,
    /// A shell when absent.
    command: Option<String>,
}

/// A folder.
#[derive(JsonSchema)]
pub(super) struct Make {
    path: String,
}

/// From where to where.
#[derive(JsonSchema)]
pub(super) struct Move {
    from: String,
    to: String,
}
