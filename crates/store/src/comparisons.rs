//! Several runs from one prompt, each in a fork of its own: which forks belong together, and what becomes of them. A
//! status is a step that is written before it is done, so that a server that dies leaves what the next one goes on
//! with. Not how a fork is made or kept.

use crate::{error::StoreError, runs::Artifact};
use async_trait::async_trait;
use toft_model::{
    id::ProjectId,
    run::{ComparisonId, JobId},
};

/// Where a comparison is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComparisonStatus {
    /// Its forks are being made.
    Making,
    /// Its candidates are there: they work, or wait for a decision.
    Open,
    /// The project takes over the state of one.
    Keeping,
    /// Its forks are being deleted.
    Dropping,
    /// One was kept, the others are gone.
    Kept,
    /// All are gone.
    Dropped,
    /// Its forks could not be made, and none is left.
    Failed,
}

impl ComparisonStatus {
    /// All, in the order of a comparison's life.
    pub const ALL: [Self; 7] = [
        Self::Making,
        Self::Open,
        Self::Keeping,
        Self::Dropping,
        Self::Kept,
        Self::Dropped,
        Self::Failed,
    ];

    /// The word in the database, and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Making => "making",
            Self::Open => "open",
            Self::Keeping => "keeping",
            Self::Dropping => "dropping",
            Self::Kept => "kept",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

/// A candidate that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCandidate {
    /// The id that its run will have.
    pub run: JobId,
    /// Provider that is to answer.
    pub provider: Option<String>,
    /// Model that is to answer.
    pub model: Option<String>,
}

/// A comparison that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewComparison {
    /// Its id, if it is a new one.
    pub id: ComparisonId,
    /// Whose.
    pub project: ProjectId,
    /// The key under which the same request is the same comparison; one of the project's, with those of its runs.
    pub key: String,
    /// What tells another request under the same key from this one.
    pub digest: String,
    /// Which server makes it.
    pub owner: String,
    /// What is to be done.
    pub prompt: String,
    /// How the runs are to be, as the server has it.
    pub options: String,
    /// In their order.
    pub candidates: Vec<NewCandidate>,
}

/// One of the runs that are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// From 1.
    pub number: u64,
    /// Its run, if there is one already.
    pub run: JobId,
    /// Provider that was asked for.
    pub provider: Option<String>,
    /// Model that was asked for.
    pub model: Option<String>,
    /// Its fork; `None` until it is made, and when it is gone.
    pub project: Option<ProjectId>,
    /// What its run came to, kept when the fork went.
    pub outcome: Option<String>,
}

/// A comparison that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Its id.
    pub id: ComparisonId,
    /// Whose; also when that is deleted.
    pub project: ProjectId,
    /// What is to be done.
    pub prompt: String,
    /// How the runs are to be, as the server has it.
    pub options: String,
    /// Where it is.
    pub status: ComparisonStatus,
    /// What went wrong last.
    pub error: Option<String>,
    /// The checkpoint that all forks were made from.
    pub base: Option<String>,
    /// The run that is kept.
    pub kept_run: Option<JobId>,
    /// The checkpoint that its candidate's state becomes in the project.
    pub keep_checkpoint: Option<String>,
    /// In their order.
    pub candidates: Vec<Candidate>,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds.
    pub updated_at: u64,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// It is a comparison now.
    New(ComparisonId),
    /// It was one before.
    Known(ComparisonId),
    /// Another request came under its key.
    Other,
    /// The project has as many as it may.
    TooMany,
    /// There is no such project.
    NoProject,
}

/// What became of the wish to keep a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepBegun {
    /// It is on its way, or done: by this wish, or the same one before.
    Yes,
    /// The project has a run that is not over.
    ProjectWorks,
    /// The candidate has one.
    CandidateWorks,
    /// The candidate's fork is gone.
    Gone,
    /// The comparison is at another step, or about another candidate.
    Elsewhere,
}

/// Comparisons.
#[async_trait]
pub trait Comparisons: Send + Sync {
    /// Writes down that one is to be made, on disk when this returns. `open_max`: how many of a project may be
    /// unsettled.
    async fn begin_comparison(
        &self,
        new: &NewComparison,
        open_max: u32,
        now_ms: u64,
    ) -> Result<Compared, StoreError>;
    /// The comparison that a request of a project became, with what made it that request.
    async fn comparison_of_key(
        &self,
        project: &ProjectId,
        key: &str,
    ) -> Result<Option<(ComparisonId, String)>, StoreError>;
    /// One of a project's, also of one that is deleted.
    async fn comparison(&self, id: &ComparisonId) -> Result<Option<Comparison>, StoreError>;
    /// The comparisons of a project, latest first.
    async fn comparisons(
        &self,
        project: &ProjectId,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<Comparison>, StoreError>;
    /// Those of a server that are in the middle of a step.
    async fn unsettled_comparisons(&self, owner: &str) -> Result<Vec<ComparisonId>, StoreError>;
    /// The checkpoint that its forks are made from, before they are.
    async fn set_comparison_base(
        &self,
        id: &ComparisonId,
        base: &str,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// Goes from one status to another, with what went wrong. `false`: it was at another one.
    async fn move_comparison(
        &self,
        id: &ComparisonId,
        from: ComparisonStatus,
        to: ComparisonStatus,
        error: Option<&str>,
        now_ms: u64,
    ) -> Result<bool, StoreError>;
    /// Begins to keep a candidate: from here on no run of the project is accepted until that is over. `checkpoint`:
    /// what its state will be in the project.
    async fn begin_keep(
        &self,
        id: &ComparisonId,
        run: &JobId,
        checkpoint: &str,
        now_ms: u64,
    ) -> Result<KeepBegun, StoreError>;
    /// What the runs of a candidate have left.
    async fn candidate_artifacts(&self, fork: &ProjectId) -> Result<Vec<Artifact>, StoreError>;
    /// The project has the state of the candidate that is kept: its runs are the project's latest from now on, with
    /// what they have left at other paths (`below` → `instead`), and all forks are to go.
    async fn finish_keep(
        &self,
        id: &ComparisonId,
        fork: &ProjectId,
        below: &str,
        instead: &str,
        now_ms: u64,
    ) -> Result<bool, StoreError>;
    /// All candidates are to go. `false`: it is no time for that.
    async fn begin_drop(&self, id: &ComparisonId, now_ms: u64) -> Result<bool, StoreError>;
    /// Keeps what a candidate's run came to.
    async fn set_outcome(
        &self,
        id: &ComparisonId,
        number: u64,
        outcome: &str,
    ) -> Result<(), StoreError>;
    /// All forks are gone; of a deleted project the comparison goes with them.
    async fn finish_drop(&self, id: &ComparisonId, now_ms: u64) -> Result<(), StoreError>;
    /// The project and the comparison that a fork is a candidate of.
    async fn candidate_of(
        &self,
        fork: &ProjectId,
    ) -> Result<Option<(ProjectId, ComparisonId)>, StoreError>;
}
