//! What one line of a session file holds. Reading and writing lines is in [`super::line`].

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use toft_model::{
    message::{Message, SummaryMessage, Usage},
    permission::Reached,
    provider::ModelRef,
};

/// `customType`s that we write.
pub mod custom {
    /// The leaf was moved: nothing before it is unfinished work.
    pub const LEAF: &str = "toft.leaf";
    /// A person stopped the work; what is open below is to be closed, not done.
    pub const ABORT: &str = "toft.abort";
    /// A person's answer to a question: `{toolCallId, questionId?, kind?, answer}`.
    pub const ANSWER: &str = "toft.answer";
    /// A person wants a failed answer asked anew: `{entryId}` names it; it no longer counts.
    pub const RETRY: &str = "toft.retry";
    /// A hint to a model that repeats itself.
    pub const NUDGE: &str = "toft.nudge";
    /// What the agent may do from here: `{mode}`, as data when a person set it, as a message when the model
    /// was told.
    pub const MODE: &str = "toft.mode";
    /// A plan: `{state: proposed, plan, source, of}`, or `{state: rejected, planId}`.
    pub const PLAN: &str = "toft.plan";
    /// The project's own check: `{command}` as data when it begins, as a message with what it said.
    pub const CHECK: &str = "toft.check";
    /// The work stands still because it needs a person, or goes on: `{of, over}`.
    pub const PAUSE: &str = "toft.pause";
    /// What hooks of extensions said.
    pub const HOOK: &str = "toft.hook";
    /// A message of an extension: `{of, extension, turn}`.
    pub const EXTENSION: &str = "toft.extension";
    /// What a person allowed for the rest of the session: `{rules: [Rule]}`, those that asked for it.
    pub const ALLOW: &str = "toft.allow";
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
    /// The message that it is, or that stands for it in a conversation.
    pub fn message(&self) -> Option<Cow<'_, Message>> {
        let summary =
            |summary: &str| SummaryMessage { summary: summary.to_owned(), timestamp: self.at_ms };
        Some(match &self.body {
            Body::Message(message) => Cow::Borrowed(message),
            Body::Compaction(c) => Cow::Owned(Message::CompactionSummary(summary(&c.summary))),
            Body::BranchSummary(b) => Cow::Owned(Message::BranchSummary(summary(&b.summary))),
            Body::ModelChange(_)
            | Body::ThinkingLevelChange { .. }
            | Body::ContextEdit { .. }
            | Body::Custom { .. }
            | Body::Label { .. }
            | Body::SessionInfo { .. }
            | Body::Usage(_)
            | Body::Unknown { .. } => return None,
        })
    }

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
    BranchSummary(BranchSummary),
    /// Changes what the model sees of an earlier entry.
    ContextEdit {
        /// Which.
        target_id: String,
        /// `{content}` takes the place of its content; `None` leaves the entry out.
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

impl Body {
    /// Its `type` in the file.
    pub fn kind(&self) -> &str {
        match self {
            Self::Message(Message::Custom(_)) => "custom_message",
            Self::Message(_) => "message",
            Self::ModelChange(_) => "model_change",
            Self::ThinkingLevelChange { .. } => "thinking_level_change",
            Self::Compaction(_) => "compaction",
            Self::BranchSummary(_) => "branch_summary",
            Self::ContextEdit { .. } => "context_edit",
            Self::Custom { .. } => "custom",
            Self::Label { .. } => "label",
            Self::SessionInfo { .. } => "session_info",
            Self::Usage(_) => "usage",
            Self::Unknown { kind } => kind,
        }
    }
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

/// See [`Body::BranchSummary`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BranchSummary {
    /// Leaf of that branch; `root` when there was none.
    #[serde(default)]
    pub from_id: String,
    /// In words.
    pub summary: String,
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
    /// Set on an answer with calls: the life of what runs programs when they were handed out. In another
    /// one it is not known which of them were done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub life: Option<String>,
    /// Set on an answer of ours that ends a prompt at a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Reached>,
    /// Set on the user message that has a plan carried out: the plan's entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approves: Option<String>,
    /// Set on the user message that wants another plan: the plan's entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejects: Option<String>,
}

impl Extra {
    pub(super) fn is_empty(&self) -> bool {
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
