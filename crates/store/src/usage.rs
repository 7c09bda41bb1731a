//! Model calls and their cost, as read from the gateway's journal. Not where that journal is, nor what a
//! call costs: that was decided when it was made.

use crate::error::StoreError;
use async_trait::async_trait;

/// A model call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// That of the gateway's record.
    pub id: String,
    /// Unix milliseconds at its begin.
    pub ts: u64,
    /// Public id; `None` for a program outside.
    pub project: Option<String>,
    /// Its conversation.
    pub session: Option<String>,
    /// Its run.
    pub run: Option<String>,
    /// Provider id.
    pub provider: String,
    /// Model, when it is known.
    pub model: Option<String>,
    /// HTTP status.
    pub status: Option<u16>,
    /// Tokens read that were not in the cache.
    pub input: Option<u64>,
    /// Tokens written.
    pub output: Option<u64>,
    /// Tokens read from the provider's cache.
    pub cache_read: Option<u64>,
    /// Tokens written to it.
    pub cache_write: Option<u64>,
    /// Billionths of a US dollar.
    pub cost: Option<u64>,
    /// What budgets held back for it, in the same.
    pub reserved: Option<u64>,
    /// Milliseconds until its end.
    pub duration_ms: Option<u64>,
    /// Milliseconds until the first byte of its answer.
    pub first_byte_ms: Option<u64>,
    /// What ended it early.
    pub error: Option<String>,
}

/// What one line of the journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageEntry {
    /// A call goes out.
    Granted(UsageRow),
    /// A call has ended.
    Ended(UsageRow),
    /// Another gateway began: calls that stand open have ended with the one before.
    Restarted,
}

/// What calls are added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageBy {
    /// All together.
    All,
    /// Days in UTC, the oldest first.
    Day,
    /// Projects, the dearest first; so with all that follow.
    Project,
    /// Conversations.
    Session,
    /// Runs.
    Run,
    /// Models, each of its provider.
    Model,
    /// Providers.
    Provider,
}

/// Which calls.
#[derive(Debug, Clone)]
pub struct UsageAsk<'a> {
    /// First day, since 1970.
    pub from_day: u64,
    /// Last day.
    pub to_day: u64,
    /// Of this project only, also a deleted one.
    pub project: Option<&'a str>,
    /// Added up by this.
    pub by: UsageBy,
    /// Sums at most.
    pub limit: u32,
}

/// Calls added up. Which they are says what they were added up by; the rest is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageSum {
    /// Day, since 1970.
    pub day: Option<u64>,
    /// Public id of the project.
    pub project: Option<String>,
    /// The project's name, also of a deleted one.
    pub project_name: Option<String>,
    /// Whether the project is deleted.
    pub project_deleted: bool,
    /// Conversation.
    pub session: Option<String>,
    /// Run.
    pub run: Option<String>,
    /// Provider id.
    pub provider: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Calls that have ended.
    pub calls: u64,
    /// Those of them that were refused, or cut before their end.
    pub failed: u64,
    /// Tokens read that were not in a cache, as far as reported.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens read from caches.
    pub cache_read: u64,
    /// Tokens written to caches.
    pub cache_write: u64,
    /// Billionths of a US dollar, of the calls whose cost is known.
    pub cost: u64,
    /// Calls whose cost is not known.
    pub unpriced: u64,
}

/// Model calls.
#[async_trait]
pub trait UsageRecords: Send + Sync {
    /// How far the journal was read.
    async fn usage_position(&self) -> Result<u64, StoreError>;
    /// Takes lines of the journal, in its order, and how far it is read with them; all or nothing.
    /// A call is there once, however often its lines come.
    async fn add_usage(&self, entries: &[UsageEntry], position: u64) -> Result<(), StoreError>;
    /// Adds calls up.
    async fn usage(&self, ask: &UsageAsk<'_>) -> Result<Vec<UsageSum>, StoreError>;
}
