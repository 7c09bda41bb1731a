//! What a tool may ask of the place that it runs in. The bridge implements these for a machine;
//! tests implement them on the local system.

use crate::outcome::ToolOutcome;
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use toft_model::{
    binding::Binding,
    event::{LimitHit, LimitKind, Notify, Question},
    init::{ExecExit, ExecSpec, ExecStatus},
    mask::Mask,
    tool::ToolSpec,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// A tool: what the model sees and what it does.
#[async_trait]
pub trait Tool: Send + Sync {
    /// Name, purpose, arguments.
    fn spec(&self) -> ToolSpec;
    /// Runs one call. Bad arguments and failures are outcomes with `is_error`, told in words that
    /// help the model to do better. Must end soon after `ctx.cancel`.
    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome;
    /// The outcome is durably stored: what was kept so that a repeated run finds it may be dropped.
    async fn settled(&self, _ctx: &ToolContext, _outcome: &ToolOutcome) {}
}

/// What one call gets.
#[derive(Clone)]
pub struct ToolContext {
    /// Id of the call; unique in its session.
    pub call_id: String,
    /// `{session}:{call}`-like name that is unique in the machine and fit for [`ExecSpec::id`].
    pub run_id: String,
    /// The project's folder; relative paths start here.
    pub cwd: PathBuf,
    /// Runs programs.
    pub shell: Arc<dyn Shell>,
    /// Remembers what a call is about to do, so that a bridge that died in the middle neither
    /// repeats nor forgets it.
    pub journal: Arc<dyn Journal>,
    /// Reaches people.
    pub people: Arc<dyn People>,
    /// Knows which secrets the machine has.
    pub secrets: Arc<dyn Secrets>,
    /// Output as it comes, for people; dropped when nobody keeps up.
    pub updates: mpsc::Sender<String>,
    /// Ends the call.
    pub cancel: CancellationToken,
}

/// Runs programs, outside the bridge's own process so that they outlive it.
#[async_trait]
pub trait Shell: Send + Sync {
    /// Starts a program, or attaches to the one with the same `spec.id` (from its first byte).
    async fn start(&self, spec: ExecSpec) -> Result<ShellRun, ShellError>;
    /// Ends a program and everything that it started; returns when none is left.
    async fn kill(&self, id: &str, grace_ms: u64) -> Result<(), ShellError>;
    /// Drops what is kept of an ended program.
    async fn forget(&self, id: &str) -> Result<(), ShellError>;
    /// Programs that run, and ended ones that are kept, oldest first.
    async fn list(&self) -> Result<Vec<ExecStatus>, ShellError> {
        Err(ShellError {
            code: "invalid".into(),
            message: "Programs cannot be listed here.".into(),
        })
    }
    /// A limit of the machine of this kind that was reached since then. Who says so is outside and may be
    /// a moment late: waits for the news that long.
    async fn limit_hit(
        &self,
        _kind: LimitKind,
        _since: Instant,
        _wait: Duration,
    ) -> Option<LimitHit> {
        None
    }
    /// What `~` stands for.
    fn home(&self) -> PathBuf {
        PathBuf::from("/root")
    }
}

/// A program that runs.
pub struct ShellRun {
    /// Its id.
    pub id: String,
    /// Its pid inside the machine.
    pub pid: u32,
    /// Output as it comes, then one `Exit`. Dropping it leaves a detached program running.
    pub events: BoxStream<'static, ShellEvent>,
}

/// What a program does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellEvent {
    /// Bytes of output (both streams merged when asked so).
    Output(Vec<u8>),
    /// Output up to this byte is no longer kept and was skipped.
    Gap(u64),
    /// The end.
    Exit(ExecExit),
    /// The connection to init broke; the program goes on. Attach again.
    Lost,
}

/// A program could not be run or reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ShellError {
    /// `not_found`, `invalid`, `spawn`, `io`, `lost`.
    pub code: String,
    /// What happened.
    pub message: String,
}

/// Intents of calls, on disk before their effect.
#[async_trait]
pub trait Journal: Send + Sync {
    /// What was recorded for this run id, if anything.
    async fn recorded(&self, run_id: &str) -> Option<Value>;
    /// Records durably; at most once per run id.
    async fn record(&self, run_id: &str, intent: &Value) -> Result<(), String>;
}

/// Knows which secrets new processes of the machine find in their environment. Tools are told names.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Those of the names that are not there.
    async fn missing(&self, names: &[String]) -> Vec<String>;
    /// Resolves when all of them are.
    async fn until_set(&self, names: &[String]);
    /// Of those of the names that are there and brokered, where the values go.
    async fn bindings(&self, names: &[String]) -> BTreeMap<String, Binding>;
    /// Takes their values out of what is shown.
    fn mask(&self) -> Arc<Mask>;
}

/// Reaches people.
#[async_trait]
pub trait People: Send + Sync {
    /// Tells people something, once per call id.
    async fn notify(&self, notify: Notify);
    /// Asks and waits for the answer, however long; survives restarts of the bridge because the
    /// same call asks again and finds the answer or goes on waiting.
    async fn ask(&self, question: Question, cancel: &CancellationToken) -> Option<String>;
}
