//! What a tool may ask of the place that it runs in. The bridge implements these for a machine;
//! tests implement them on the local system.

use crate::{
    about::{About, Again},
    outcome::ToolOutcome,
    seen::Seen,
};
use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::BoxStream};
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use toft_model::{
    binding::Binding,
    event::{LimitHit, LimitKind, Notify, OutputStream, Question},
    id::SessionId,
    init::{ExecExit, ExecSpec, ExecStatus},
    mask::Mask,
    receipt::Receipt,
    tool::ToolSpec,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// A tool: what the model sees and what it does.
#[async_trait]
pub trait Tool: Send + Sync {
    /// Name, purpose, arguments.
    fn spec(&self) -> ToolSpec;
    /// The tool, and its arguments, that a call uses in truth: it is judged as a call of that one.
    fn stands_for(&self, _arguments: &Value) -> Option<(String, Value)> {
        None
    }
    /// Another tool that can do all that this one can: what is said of that one, by rules or to extensions, is said of
    /// this one too.
    fn can_do_as(&self) -> Option<&'static str> {
        None
    }
    /// What a call is about: rules are held against that.
    fn about(&self, arguments: &Value) -> About {
        About::Text(arguments.to_string())
    }
    /// Whether a call that began, and whose end nobody knows, can be done again.
    fn again(&self, _arguments: &Value) -> Again {
        Again::Unsure
    }
    /// Whether it changes nothing in a call that may change nothing: what it runs only reads
    /// ([`ToolContext::read_only`]).
    fn keeps_read_only(&self) -> bool {
        false
    }
    /// Runs one call. Bad arguments and failures are outcomes with `is_error`, told in words that
    /// help the model to do better. Must end soon after `ctx.cancel`.
    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome;
    /// The outcome is durably stored: what was kept so that a repeated run finds it may be dropped.
    async fn settled(&self, _ctx: &ToolContext, _outcome: &ToolOutcome) {}
}

/// What one call gets.
#[derive(Clone)]
pub struct ToolContext {
    /// The conversation.
    pub session_id: SessionId,
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
    /// Has pieces of work done elsewhere.
    pub tasks: Arc<dyn Tasks>,
    /// What this conversation saw of files.
    pub seen: Arc<Seen>,
    /// The call may change nothing (plan mode): programs that it starts only read
    /// ([`ExecSpec::read_only`]).
    pub read_only: bool,
    /// Output as it comes, for people; dropped when nobody keeps up.
    pub updates: mpsc::Sender<Update>,
    /// Ends the call.
    pub cancel: CancellationToken,
}

/// Output on its way to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What came.
    pub text: String,
    /// What wrote it.
    pub stream: OutputStream,
}

impl From<String> for Update {
    fn from(text: String) -> Self {
        Self { text, stream: OutputStream::Stdout }
    }
}

/// Runs programs, outside the bridge's own process so that they outlive it.
#[async_trait]
pub trait Shell: Send + Sync {
    /// Starts a program, or attaches to the one with the same `spec.id` (from its first byte).
    async fn start(&self, spec: ExecSpec) -> Result<ShellRun, ShellError>;
    /// Whether it can start programs that only read. Else it refuses them.
    async fn has_read_only(&self) -> bool {
        false
    }
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
    /// Follows a known program from byte `from` of its output on; a `from` beyond it follows what
    /// comes.
    async fn attach(&self, id: &str, from: u64) -> Result<ShellRun, ShellError> {
        // A known id is attached to; an unknown one cannot be started without a program.
        let spec = ExecSpec { id: Some(id.to_owned()), detach: true, ..ExecSpec::default() };
        Ok(self.start(spec).await?.starting_at(from))
    }
    /// Writes to the standard input of a program that was started with [`ExecSpec::stdin`], and ends
    /// that input if `close`.
    async fn input(&self, _id: &str, _bytes: &[u8], _close: bool) -> Result<(), ShellError> {
        Err(ShellError {
            code: "invalid".into(),
            message: "Programs cannot be given input here.".into(),
        })
    }
    /// Program and first arguments that run a part of Toft as a program of its own (see
    /// [`crate::aside`]); empty when there is none.
    fn own_program(&self) -> Vec<String> {
        Vec::new()
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
    /// The newest receipts of programs that this conversation had run, oldest first.
    async fn receipts(&self, _session: &SessionId) -> Result<Vec<Receipt>, ShellError> {
        Ok(Vec::new())
    }
    /// Names the life of what runs programs: with a new one, all programs of the one before are gone and
    /// none of them is known. Empty when that is not known.
    fn life(&self) -> String {
        String::new()
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

impl ShellRun {
    /// The same without the output before that byte.
    pub(crate) fn starting_at(self, from: u64) -> Self {
        let mut at = 0u64;
        let events = self.events.filter_map(move |event| {
            let mut rest = |mut bytes: Vec<u8>| {
                let skip = from.saturating_sub(at).min(bytes.len() as u64);
                at += bytes.len() as u64;
                bytes.drain(..usize::try_from(skip).unwrap_or(bytes.len()));
                Some(bytes).filter(|bytes| !bytes.is_empty())
            };
            let kept = match event {
                ShellEvent::Output(bytes) => rest(bytes).map(ShellEvent::Output),
                ShellEvent::Errors(bytes) => rest(bytes).map(ShellEvent::Errors),
                ShellEvent::Gap(to) => {
                    at = to;
                    Some(ShellEvent::Gap(to))
                }
                other => Some(other),
            };
            std::future::ready(kept)
        });
        Self { events: events.boxed(), ..self }
    }
}

/// What a program does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellEvent {
    /// Bytes of output (of both streams when asked so).
    Output(Vec<u8>),
    /// Bytes of the stream of errors, unless both were to be one.
    Errors(Vec<u8>),
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
    /// `not_found`, `invalid`, `spawn`, `not_executable`, `not_read_only`, `io`, `lost`.
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
    /// The value of a variable that is a setting of the agent's own.
    async fn setting(&self, _name: &str) -> Option<String> {
        None
    }
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

/// A piece of work that an agent has another one do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOrder {
    /// In a few words, for people.
    pub description: String,
    /// All that the other one is told.
    pub prompt: String,
    /// Another model than the agent's own: `provider/id`, or an id.
    pub model: Option<String>,
}

/// What a task came to.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskEnd {
    /// The last answer.
    pub text: String,
    /// Where the whole conversation is.
    pub file: PathBuf,
    /// `done`, `error`, `aborted` or `limit`.
    pub reason: String,
    /// For people and programs: the conversation's id, its usage and counts.
    pub details: Value,
    /// Absolute paths that it changed.
    pub changed: Vec<PathBuf>,
}

/// Has pieces of work done in conversations of their own. The same call finds the same conversation.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Has it done, and returns at its end. An error is for the model.
    async fn run(&self, ctx: &ToolContext, order: TaskOrder) -> Result<TaskEnd, String>;
}
