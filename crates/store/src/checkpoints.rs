//! Checkpoints of projects as they are remembered: rows, the rule by which they go, and what the copy
//! of events says of conversations at a moment. Not the copies of disks.

use crate::error::StoreError;
use async_trait::async_trait;
use toft_model::{
    checkpoint::{Checkpoint, CheckpointId, KeepRule, Place},
    id::ProjectId,
};

/// A checkpoint with what only the server needs of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenCheckpoint {
    /// What is told of it.
    pub checkpoint: Checkpoint,
    /// Name of the backend that has its copy, when the project was moved to another since.
    pub away: Option<String>,
    /// Where its message's conversation is to stand after a restore: it was taken when the message had
    /// already come.
    pub place: Option<Place>,
}

/// Whether a row must be on disk when a call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// Yes: somebody relies on it.
    Now,
    /// It may go with the power, not with the process.
    Soon,
}

/// Which checkpoints of a project are taken by themselves, and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointRule {
    /// Which are kept.
    pub keep: KeepRule,
    /// Whether one is taken before each prompt.
    pub automatic: bool,
}

impl Default for CheckpointRule {
    fn default() -> Self {
        Self { keep: KeepRule::default(), automatic: true }
    }
}

/// A step of a conversation, as the copy of events has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConversationStep {
    /// A whole message.
    Said {
        /// Number of its event; 0 when it was said before the project was forked.
        seq: u64,
        /// Unix milliseconds at which it was said; 0 when early versions did not tell.
        ts: u64,
        /// Its entry.
        entry_id: String,
        /// The entry before it.
        parent_id: Option<String>,
        /// Whether a person said it.
        by_user: bool,
    },
    /// The place moved: by a restore, or because a person went to an entry.
    Moved {
        /// As in [`ConversationStep::Said`].
        seq: u64,
        /// To which entry; none: before the first.
        to: Option<String>,
        /// Id of the checkpoint that it went back to; none: a person went there.
        checkpoint_id: Option<String>,
        /// Its label then.
        label: Option<String>,
        /// Unix milliseconds of the checkpoint.
        taken_at: Option<u64>,
        /// Unix milliseconds of the move.
        at: u64,
    },
}

/// Checkpoints.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Remembers a checkpoint that was taken. `Missing`: there is no such project any more.
    async fn add_checkpoint(
        &self,
        taken: &TakenCheckpoint,
        durable: Durable,
    ) -> Result<(), StoreError>;
    /// One of a project.
    async fn checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Option<TakenCheckpoint>, StoreError>;
    /// All of a project, newest first.
    async fn checkpoints(&self, project: &ProjectId) -> Result<Vec<TakenCheckpoint>, StoreError>;
    /// How many it has.
    async fn checkpoint_count(&self, project: &ProjectId) -> Result<u64, StoreError>;
    /// The one that was taken before a user message.
    async fn checkpoint_before(
        &self,
        project: &ProjectId,
        message: &Place,
    ) -> Result<Option<TakenCheckpoint>, StoreError>;
    /// Says before which message one was taken. False: it is gone, or was taken before another.
    async fn bind_checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        message: &Place,
    ) -> Result<bool, StoreError>;
    /// Gives one a label or takes it off. False: there is none.
    async fn label_checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        label: Option<&str>,
    ) -> Result<bool, StoreError>;
    /// Forgets some. How many there were.
    async fn delete_checkpoints(
        &self,
        project: &ProjectId,
        ids: &[CheckpointId],
        durable: Durable,
    ) -> Result<u64, StoreError>;
    /// The rule of a project.
    async fn checkpoint_rule(&self, project: &ProjectId) -> Result<CheckpointRule, StoreError>;
    /// Another rule.
    async fn put_checkpoint_rule(
        &self,
        project: &ProjectId,
        rule: &CheckpointRule,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// Number of the copy's last event, and where each conversation stands with it: its last message,
    /// or where a restore moved it since. By session.
    async fn places(&self, project: &ProjectId) -> Result<(u64, Vec<Place>), StoreError>;
    /// What was said in a conversation and where its place moved, in order and without the texts.
    async fn steps(
        &self,
        project: &ProjectId,
        session: &str,
    ) -> Result<Vec<ConversationStep>, StoreError>;
}
