//! The copy of bridge events and of a bridge's last answers. What comes from inside a machine is
//! kept as it came and never replaces what is kept.

use crate::error::StoreError;
use async_trait::async_trait;
use toft_model::id::ProjectId;

/// An event that came from a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its number in the project.
    pub seq: u64,
    /// Unix milliseconds when it was taken in.
    pub ts: u64,
    /// Its conversation.
    pub session: Option<String>,
    /// Its kind.
    pub kind: String,
    /// `data` of the SSE frame: one line of JSON.
    pub data: String,
}

/// An event that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// The event.
    pub event: NewEvent,
    /// Its link of the hash chain.
    pub hash: [u8; 32],
}

/// The end of a project's copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Number of the last event; 0 when there is none.
    pub seq: u64,
    /// Its hash; zeroes when there is none.
    pub hash: [u8; 32],
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Appended {
    /// Number of the last event before.
    pub before: u64,
    /// Number of the last event now: all events of the batch in `before+1..=head` were added.
    pub head: u64,
    /// Numbers that came again with other content. What was kept stays.
    pub tampered: Vec<u64>,
    /// A number that came too early; it and what followed was not taken.
    pub gap: Option<u64>,
}

/// An event that came under a number that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tamper {
    /// The number.
    pub seq: u64,
    /// Unix milliseconds.
    pub ts: u64,
    /// Kind of what came.
    pub kind: String,
    /// What came, cut at 4 KiB.
    pub data: String,
}

/// A conversation of which the copy holds messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its session.
    pub session: String,
    /// `message_end` events.
    pub messages: u64,
    /// Number of the first of them.
    pub first_seq: u64,
    /// Number of the last.
    pub last_seq: u64,
}

/// Which of a bridge's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotKind {
    /// `GET inspect`.
    Inspect,
    /// `GET state`.
    State,
    /// `GET sessions`.
    Sessions,
}

impl SnapshotKind {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::State => "state",
            Self::Sessions => "sessions",
        }
    }
}

/// Copies of events and answers.
#[async_trait]
pub trait Events: Send + Sync {
    /// Adds events in order. Known ones are ignored when they are the same, recorded as tampering
    /// when not; nothing is added after a gap. One caller per project at a time.
    async fn append_events(
        &self,
        project: &ProjectId,
        events: &[NewEvent],
    ) -> Result<Appended, StoreError>;
    /// The end of the copy.
    async fn head(&self, project: &ProjectId) -> Result<Head, StoreError>;
    /// Events after `after`, in order: at most `rows_max`, and about `bytes_max` of data (at least
    /// one row when there is one).
    async fn events_after(
        &self,
        project: &ProjectId,
        after: u64,
        rows_max: u32,
        bytes_max: usize,
    ) -> Result<Vec<NewEvent>, StoreError>;
    /// `message_end` events of a conversation, in order; what a fork has from its origin comes first,
    /// with number 0.
    async fn messages(
        &self,
        project: &ProjectId,
        session: &str,
    ) -> Result<Vec<NewEvent>, StoreError>;
    /// The `message_end` event of one message, by its entry.
    async fn message(
        &self,
        project: &ProjectId,
        session: &str,
        entry: &str,
    ) -> Result<Option<NewEvent>, StoreError>;
    /// The conversations of a project that have messages, the one that was spoken in last first; at
    /// most 1000.
    async fn conversations(&self, project: &ProjectId) -> Result<Vec<Conversation>, StoreError>;
    /// The last event that says what the agent does or which conversation is current:
    /// `agent_start agent_end question session_created session_switched`, of the given kinds.
    async fn last_mark(
        &self,
        project: &ProjectId,
        kinds: &[&str],
    ) -> Result<Option<NewEvent>, StoreError>;
    /// The last event of some kinds up to a number. For kinds that come now and then: it looks at each
    /// event after it.
    async fn last_of(
        &self,
        project: &ProjectId,
        kinds: &[&str],
        until: u64,
    ) -> Result<Option<NewEvent>, StoreError>;
    /// Walks the hash chain. The first number that does not fit, if there is one.
    async fn verify_events(&self, project: &ProjectId) -> Result<Option<u64>, StoreError>;
    /// What came under taken numbers, oldest first, at most 100.
    async fn tampering(&self, project: &ProjectId) -> Result<Vec<Tamper>, StoreError>;
    /// Keeps a bridge's answer.
    async fn put_snapshot(
        &self,
        project: &ProjectId,
        kind: SnapshotKind,
        json: &str,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// A bridge's last answer.
    async fn snapshot(
        &self,
        project: &ProjectId,
        kind: SnapshotKind,
    ) -> Result<Option<String>, StoreError>;
}
