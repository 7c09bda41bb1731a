//! What can be asked of an open session, and why it may say no. Carried out by [`crate::actor`].

use crate::{
    compaction::Compacted,
    navigate::Arrived,
    queue::WAITING_MAX,
    session::{QueuedAs, SessionError},
};
use toft_model::{
    event::QueueUpdate,
    message::UserContent,
    plan::{Mode, Plan, PlanReady},
    provider::ModelRef,
};
use tokio::sync::oneshot;

/// Takes the answer to a command.
pub type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// What holds from a prompt on.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Another model.
    pub model: Option<ModelRef>,
    /// What the agent may do.
    pub mode: Mode,
}

/// What can be asked of a session.
#[derive(Debug)]
pub enum Command {
    /// Begin work, or wait for the work that goes on.
    Prompt {
        /// Id of the entry that it will be, if the caller has one: a known one is not said again.
        id: Option<String>,
        /// What a person says.
        content: UserContent,
        /// How to wait while work goes on. Not said: it does not wait, and is refused.
        waiting: Option<QueuedAs>,
        /// What holds from it on, if it does not wait.
        setting: Option<Setting>,
        /// Answers once it is on disk.
        reply: Reply<Prompted>,
    },
    /// Stop the work.
    Abort {
        /// Whether waiting messages are dropped.
        clear_queue: bool,
        /// Answers the texts that waited, once the work has stopped.
        reply: Reply<QueueUpdate>,
    },
    /// Replace the waiting texts.
    Queue {
        /// Both lists; `None` keeps one.
        steering: Option<Vec<String>>,
        /// See above.
        follow_up: Option<Vec<String>>,
        /// Answers what waits now.
        reply: Reply<QueueUpdate>,
    },
    /// Use another model, level or name from here on.
    Change {
        /// Another model.
        model: Option<ModelRef>,
        /// Another thinking level.
        thinking_level: Option<String>,
        /// Another name.
        name: Option<String>,
        /// Answers once it is on disk.
        reply: Reply<()>,
    },
    /// Compact now.
    Compact {
        /// Wishes for the summary.
        instructions: Option<String>,
        /// Answers when it is done.
        reply: Reply<Compacted>,
    },
    /// Go to an entry.
    Navigate {
        /// Which.
        entry_id: String,
        /// Whether the model summarises what is left behind.
        summarize: bool,
        /// Wishes for the summary.
        instructions: Option<String>,
        /// Answers when it is there.
        reply: Reply<Arrived>,
    },
    /// Name an entry.
    Label {
        /// Which.
        entry_id: String,
        /// The name; `None` takes it away.
        label: Option<String>,
        /// Answers once it is on disk.
        reply: Reply<()>,
    },
    /// Say what the agent may do from here on.
    Mode {
        /// That.
        mode: Mode,
        /// Answers once it is on disk.
        reply: Reply<()>,
    },
    /// Have a plan carried out.
    Approve {
        /// Which; the newest one when not said. Asked again for one that is approved, it answers the same.
        plan_id: Option<String>,
        /// What a person made of it.
        plan: Option<Plan>,
        /// Answers once it is on disk.
        reply: Reply<Approved>,
    },
    /// Have the last words of plan mode put forward as a plan, where the agent made none.
    Propose {
        /// Answers with it.
        reply: Reply<PlanReady>,
    },
    /// Want another plan.
    Reject {
        /// Which; the newest one when not said.
        plan_id: Option<String>,
        /// What is wrong with it: said to the agent, which goes on planning.
        reason: Option<String>,
        /// Answers the entry of the reason, once it is on disk.
        reply: Reply<Option<String>>,
    },
    /// Answer an open question.
    Answer {
        /// The call that asked, or the question's own id.
        tool_call_id: String,
        /// What the person says.
        answer: String,
        /// Answers once it is on disk.
        reply: Reply<()>,
    },
    /// Ask again in place of an answer that failed or was stopped.
    Retry {
        /// Answers once that is on disk.
        reply: Reply<()>,
    },
    /// Wait until no work goes on.
    Rested {
        /// Answers then.
        reply: Reply<()>,
    },
    /// Go on with work that was cut, if there is some.
    Resume,
}

/// What became of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompted {
    /// Its entry, unless it waits.
    pub entry_id: Option<String>,
    /// How it waits.
    pub queued: Option<QueuedAs>,
}

/// A plan that is being carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// Its entry; another one than was asked for when a person changed it.
    pub plan_id: String,
    /// The message that began the work.
    pub entry_id: String,
}

/// A command that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The disk refuses; nothing was taken.
    #[error("{0}")]
    Disk(String),
    /// Work goes on that must end first.
    #[error("the agent is working: wait until it has ended, or stop it first")]
    Busy,
    /// There is too little history.
    #[error("there is nothing to compact yet: the conversation is short")]
    NothingToCompact,
    /// The last answer neither failed nor was stopped.
    #[error(
        "there is nothing to retry: the last turn did not end in an error or an abort. Send a message"
    )]
    NothingToRetry,
    /// No plan waits for a person.
    #[error(
        "no such plan waits for an answer: it is being carried out, another one came after it, or there \
         is none. `GET /toft/sessions/{{id}}/plan` shows the newest"
    )]
    NoPlan,
    /// What a person made of a plan is none.
    #[error("{0}")]
    BadPlan(String),
    /// The summary failed.
    #[error("{0}")]
    Compaction(String),
    /// The conversation has no such entry.
    #[error("the conversation has no entry {0:?}: `GET /toft/sessions/{{id}}/tree` lists them")]
    NoEntry(String),
    /// No such question is open.
    #[error("no open question has the call id {0:?}: it was answered or its work was stopped")]
    NoQuestion(String),
    /// The conversation belongs to a task.
    #[error(
        "this conversation does the work of a task and takes no messages: say it in the conversation \
         that the task belongs to"
    )]
    Task,
    /// Too many messages wait.
    #[error("{WAITING_MAX} messages wait already: let the agent work, or drop some")]
    QueueFull,
    /// The session was closed.
    #[error("the session was closed: try again")]
    Closed,
}

impl From<SessionError> for Refused {
    fn from(error: SessionError) -> Self {
        Self::Disk(error.to_string())
    }
}
