//! Runs of the runs API: what was asked for, who works on it, and what it has told. A row is a run and its place in
//! the queue. Not how a run is worked on.
//!
//! Whoever claims a run gets a *fence*, a number that grows with each owner. All that an owner writes names it, and
//! changes nothing once another one has the run. State, events and what is to be told to others are one transaction.

use crate::{checkpoints::Durable, error::StoreError};
use async_trait::async_trait;
use toft_model::{
    id::{ProjectId, SessionId},
    run::{JobId, Phase, RunStatus, WaitsFor},
};

/// What is read of a run. Each by its name, as everywhere: of a table to which a newer version has just added something,
/// PostgreSQL refuses to show "all" to a connection that has asked before.
macro_rules! read_of_run {
    () => {
        "SELECT r.public_id, r.run_index, CAST(CASE WHEN EXISTS (SELECT 1 FROM run n WHERE n.project_id = r.project_id \
         AND n.run_index > r.run_index) THEN 0 ELSE 1 END AS BIGINT) AS writable, r.parent, r.prompt, r.input, \
         r.asked_provider, r.asked_model, r.backend, r.approval, r.request_key, r.request_digest, r.priority, r.attempts_max, r.status, r.phase, \
         r.waits_for, r.output, r.error, r.attempt, r.not_before, r.session, r.taken_seq, r.provider, r.model, \
         r.model_source, r.input_tokens, r.output_tokens, r.cached_input_tokens, r.reasoning_output_tokens, r.cost, \
         r.currency, r.pricing_version, r.duration_ms, r.commit_sha, r.checkpoint, r.sandbox, r.started_at, \
         r.completed_at, r.host_away, r.cancel_requested, r.fence, r.crashes, r.last_seq, r.created_at, r.updated_at, \
         p.public_id AS project FROM "
    };
}
pub(crate) use read_of_run;

/// A run that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Its id, if it is a new one.
    pub id: JobId,
    /// Whose.
    pub project: ProjectId,
    /// The key under which the same request is the same run; one of the project's.
    pub key: String,
    /// What tells another request under the same key from this one.
    pub digest: String,
    /// What is to be done.
    pub prompt: String,
    /// Whether it goes on in the conversation of the run before it.
    pub continues: bool,
    /// JSON that came with it.
    pub input: Option<String>,
    /// Provider that was asked for.
    pub provider: Option<String>,
    /// Model that was asked for.
    pub model: Option<String>,
    /// Backend that was asked for.
    pub backend: Option<String>,
    /// Whether a person decides on its plan.
    pub approval: bool,
    /// Larger ones go first.
    pub priority: i64,
    /// How often it may be tried.
    pub attempts_max: u32,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is a run now, the project's writable one.
    New(Run),
    /// It was one before.
    Known(Run),
    /// Another request came under its key.
    Other,
    /// The project is just taking over the state of a candidate: it is asked again after that.
    Keeping,
    /// There is no such project.
    NoProject,
}

/// Tokens, by the answers of providers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunUsage {
    /// All that was read, from the cache too.
    pub input: u64,
    /// All that was written.
    pub output: u64,
    /// Of `input`: read from the cache.
    pub cached_input: u64,
    /// Of `output`: not shown.
    pub reasoning_output: u64,
}

/// What it comes to by the table of prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCost {
    /// Billionths of the currency.
    pub nanos: u64,
    /// `USD`.
    pub currency: String,
    /// Which prices.
    pub version: String,
}

/// What changes of a run while it is worked on. Its owner writes all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunState {
    /// Where it is.
    pub status: RunStatus,
    /// The step that it is at inside its machine.
    pub phase: Phase,
    /// What it waits for.
    pub waits_for: Option<WaitsFor>,
    /// What it said at its end.
    pub output: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// How often it was tried; from 1 when it has begun.
    pub attempt: u32,
    /// Unix milliseconds before which it is not begun.
    pub not_before: u64,
    /// The conversation that it goes on in.
    pub session: Option<SessionId>,
    /// The last number of the project's copy that was made into its events.
    pub taken_seq: u64,
    /// Provider that answers.
    pub provider: Option<String>,
    /// Model that answers.
    pub model: Option<String>,
    /// Who chose it.
    pub model_source: Option<String>,
    /// What it used.
    pub usage: Option<RunUsage>,
    /// What that costs.
    pub cost: Option<RunCost>,
    /// Milliseconds that it was worked on.
    pub duration_ms: Option<u64>,
    /// Hash of its commit.
    pub commit: Option<String>,
    /// The checkpoint before it.
    pub checkpoint: Option<String>,
    /// Id of the sandbox that its machine was in, at somebody else's.
    pub sandbox: Option<String>,
    /// Unix milliseconds when it was begun for the first time.
    pub started_at: Option<u64>,
    /// Unix milliseconds of its end.
    pub completed_at: Option<u64>,
}

impl RunState {
    /// Of a run that has just been asked for.
    pub const fn queued() -> Self {
        Self {
            status: RunStatus::Queued,
            phase: Phase::Plan,
            waits_for: None,
            output: None,
            error: None,
            attempt: 0,
            not_before: 0,
            session: None,
            taken_seq: 0,
            provider: None,
            model: None,
            model_source: None,
            usage: None,
            cost: None,
            duration_ms: None,
            commit: None,
            checkpoint: None,
            sandbox: None,
            started_at: None,
            completed_at: None,
        }
    }
}

/// A run that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: JobId,
    /// Whose.
    pub project: ProjectId,
    /// Its number in the project, from 1.
    pub index: u64,
    /// Whether it is the project's latest.
    pub is_writable: bool,
    /// The run that it goes on from.
    pub parent: Option<JobId>,
    /// What is to be done.
    pub prompt: String,
    /// JSON that came with it.
    pub input: Option<String>,
    /// Provider that was asked for.
    pub asked_provider: Option<String>,
    /// Model that was asked for.
    pub asked_model: Option<String>,
    /// Backend that was asked for; of one that works, the one that it works with.
    pub backend: Option<String>,
    /// Whether a person decides on its plan.
    pub approval: bool,
    /// The key of its request.
    pub key: String,
    /// Larger ones go first.
    pub priority: i64,
    /// How often it may be tried.
    pub attempts_max: u32,
    /// Where it is.
    pub state: RunState,
    /// Whether the server that has its machine does not answer.
    pub host_away: bool,
    /// Whether somebody wants it ended.
    pub cancel_requested: bool,
    /// Its owner's number.
    pub fence: u64,
    /// How often in a row its owner was gone before it told anything.
    pub crashes: u32,
    /// The number of its last event.
    pub last_seq: u64,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds.
    pub updated_at: u64,
}

impl Run {
    /// What its texts come to: of any length, they come from requests and from inside machines.
    pub fn text_bytes(&self) -> usize {
        let texts = [&self.input, &self.state.output, &self.state.error];
        self.prompt.len() + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }
}

/// Something that a run tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRunEvent {
    /// Unix milliseconds.
    pub ts: u64,
    /// `status`, `token`, …
    pub kind: String,
    /// One line of JSON.
    pub data: String,
}

/// Something that a run has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEvent {
    /// Its number in the run, from 1, without gaps.
    pub seq: u64,
    /// What.
    pub event: NewRunEvent,
}

/// What was said to a run, and by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMessage {
    /// Its id.
    pub id: String,
    /// `user` or `assistant`.
    pub role: String,
    /// Its words.
    pub content: String,
    /// JSON that came with it.
    pub input: Option<String>,
    /// Unix milliseconds.
    pub created_at: u64,
}

/// A file that a run has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// `workspace`.
    pub name: String,
    /// Where it is kept.
    pub path: String,
    /// Its type.
    pub mime: String,
    /// Bytes.
    pub size: u64,
    /// Files in it.
    pub files: u64,
    /// Unix milliseconds.
    pub created_at: u64,
}

/// Who wants to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Which server.
    pub owner: &'a str,
    /// Milliseconds for which a claimed run is the owner's, unless it is renewed.
    pub lease_ms: u64,
    /// How many runs.
    pub limit: u32,
    /// How many of a project may be worked on at once, by all servers.
    pub per_project: u32,
    /// The same of a team.
    pub per_team: u32,
}

/// What an owner leaves with a change of state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// What the run said.
    pub said: Option<String>,
    /// What it made.
    pub artifact: Option<Artifact>,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// It is written; the number of the run's last event.
    Done(u64),
    /// The same, and somebody wants the run ended, which this did not do.
    Ending(u64),
    /// Others told of the run's host meanwhile, up to this number: it is to be written behind that.
    Behind(u64),
    /// The run has another owner, is over, or is gone.
    Lost,
    /// It was to end well, or as failed, or to be tried again, and whoever cancelled it was told that it is cancelled:
    /// nothing is written.
    Cancelled,
}

/// What became of a wish to end a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// The run afterwards.
    pub run: Run,
    /// Whether this wish ends it: it is the project's latest, and was not over.
    pub is_cancelled: bool,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The number of its last event.
    pub last_seq: u64,
    /// Whether that is its end.
    pub is_over: bool,
}

/// Runs.
#[async_trait]
pub trait Runs: Send + Sync {
    /// Makes runs of requests, in order, in one transaction: on disk when this returns. Each begins with an event
    /// `status` and a message.
    async fn accept_runs(
        &self,
        requests: &[NewRun],
        now_ms: u64,
    ) -> Result<Vec<Accepted>, StoreError>;
    /// One run of a project.
    async fn run(&self, project: &ProjectId, id: &JobId) -> Result<Option<Run>, StoreError>;
    /// How far it is: a few bytes, where a whole run may be megabytes.
    async fn run_reached(
        &self,
        project: &ProjectId,
        id: &JobId,
    ) -> Result<Option<Reached>, StoreError>;
    /// The run that came under a key of a project's, with what tells another request from its own.
    async fn run_of_key(
        &self,
        project: &ProjectId,
        key: &str,
    ) -> Result<Option<(Run, String)>, StoreError>;
    /// The runs of a project, latest first: fewer where their texts come to more than `bytes_max`, but one at least.
    async fn runs(
        &self,
        project: &ProjectId,
        limit: u32,
        offset: u32,
        bytes_max: usize,
    ) -> Result<Vec<Run>, StoreError>;
    /// The run of a project that somebody works on now.
    async fn working_run(&self, project: &ProjectId) -> Result<Option<Run>, StoreError>;
    /// How many runs of all projects have each status.
    async fn count_runs(&self) -> Result<Vec<(RunStatus, u64)>, StoreError>;
    /// Gives queued runs that it can do to an owner (whose name is its server's id): teams in turn, of a team those of
    /// the largest priority first, then the oldest; of a project always in order.
    async fn claim_runs(&self, claim: &Claim<'_>, now_ms: u64) -> Result<Vec<Run>, StoreError>;
    /// Gives runs to an owner whose own owner did not renew them, or let them go.
    async fn take_over_runs(&self, claim: &Claim<'_>, now_ms: u64) -> Result<Vec<Run>, StoreError>;
    /// Keeps runs for their owner; those of them that it has lost.
    async fn renew_runs(
        &self,
        claim: &Claim<'_>,
        held: &[(JobId, u64)],
        now_ms: u64,
    ) -> Result<Vec<JobId>, StoreError>;
    /// An owner ends, or begins and has nothing yet: others may have what it held. Not counted as a crash if it
    /// `is_in_order`.
    async fn let_go_runs(&self, owner: &str, is_in_order: bool) -> Result<(), StoreError>;
    /// Writes how a run is and what it tells, after the last event that `run` names. A run that is over tells its
    /// subscribers too. Written again, because it was not heard that it was written, it is written once.
    async fn write_run(
        &self,
        run: &Run,
        events: &[NewRunEvent],
        left: &Left,
        durable: Durable,
        now_ms: u64,
    ) -> Result<Wrote, StoreError>;
    /// Wants a run ended. One that nobody works on, or whose host does not answer, is ended by this.
    async fn cancel_run(
        &self,
        project: &ProjectId,
        id: &JobId,
        now_ms: u64,
    ) -> Result<Option<Cancelled>, StoreError>;
    /// Events of a run after `after`, in order: at most `rows_max`, and about `bytes_max` of data (at least one row
    /// when there is one).
    async fn run_events(
        &self,
        id: &JobId,
        after: u64,
        rows_max: u32,
        bytes_max: usize,
    ) -> Result<Vec<RunEvent>, StoreError>;
    /// What was said to a run, and by it, oldest first; at most 200.
    async fn run_messages(&self, id: &JobId) -> Result<Vec<RunMessage>, StoreError>;
    /// Files of a project's runs before the newest `keep` that left any, the oldest first; some at a time.
    async fn old_artifacts(
        &self,
        project: &ProjectId,
        keep: u32,
    ) -> Result<Vec<String>, StoreError>;
    /// Forgets a file that is not kept any more, by where it was.
    async fn forget_artifact(&self, project: &ProjectId, path: &str) -> Result<(), StoreError>;
    /// The newest file of that name.
    async fn artifact(&self, id: &JobId, name: &str) -> Result<Option<Artifact>, StoreError>;
}
