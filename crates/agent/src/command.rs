//! What can be asked of an open session, and why it may say no. Carried out by [`crate::actor`].

use crate::{
    compaction::Compacted,
    queue::WAITING_MAX,
    session::{QueuedAs, SessionError},
};
use toft_model::{event::QueueUpdate, message::UserContent, provider::ModelRef};
use tokio::sync::oneshot;

/// Takes the answer to a command.
pub type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// What can be asked of a session.
#[derive(Debug)]
pub enum Command {
    /// Begin work, or wait for the work that goes on.
    Prompt {
        /// Id of the entry that it will be, if the caller has one: a known one is not said again.
        id: Option<String>,
        /// What a person says.
        content: UserContent,
        /// How to wait while work goes on; a follow-up when not said.
        waiting: QueuedAs,
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
    /// Answer an open question.
    Answer {
        /// The call that asked.
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
    /// The summary failed.
    #[error("{0}")]
    Compaction(String),
    /// No such question is open.
    #[error("no open question has the call id {0:?}: it was answered or its work was stopped")]
    NoQuestion(String),
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
