//! Reaches an open session: what is said there goes to its actor. And how conversations of tasks are
//! opened, by whoever keeps the project's.

use crate::{
    command::{Command, Prompted, Refused, Reply},
    conversation::Conversation,
    session::{QueuedAs, TaskOf},
};
use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc};
use toft_model::{id::SessionId, message::UserContent};
use tokio::sync::{mpsc, oneshot};

/// Reaches an open session.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    conversation: Arc<Conversation>,
}

impl Handle {
    /// `commands`: where its actor takes them from.
    pub(crate) fn new(commands: mpsc::Sender<Command>, conversation: Arc<Conversation>) -> Self {
        Self { commands, conversation }
    }

    /// Whether the actor has ended; a new one must be spawned then.
    pub fn is_closed(&self) -> bool {
        self.commands.is_closed()
    }

    /// Resolves when the actor has ended. Holds neither it nor the conversation.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let commands = self.commands.clone();
        async move { commands.closed().await }
    }

    /// The session for reading.
    pub fn conversation(&self) -> &Arc<Conversation> {
        &self.conversation
    }

    /// Sends a command that answers.
    pub async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Refused::Closed)?;
        answer.await.map_err(|_| Refused::Closed)?
    }

    /// Says something; `waiting` as in [`Command::Prompt`].
    pub async fn prompt(
        &self,
        id: Option<String>,
        content: UserContent,
        waiting: Option<QueuedAs>,
    ) -> Result<Prompted, Refused> {
        self.ask(|reply| Command::Prompt { id, content, waiting, setting: None, reply }).await
    }

    /// Goes on with cut work, if there is some.
    pub async fn resume(&self) -> Result<(), Refused> {
        self.commands.send(Command::Resume).await.map_err(|_| Refused::Closed)
    }
}

/// A conversation that is to be there for a task.
#[derive(Debug, Clone)]
pub struct Child {
    /// Its id: the same for the same call.
    pub id: SessionId,
    /// The call.
    pub task: TaskOf,
    /// The file of the conversation that the call belongs to.
    pub parent_file: PathBuf,
}

/// The conversations of the project.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Opens the conversation of a task, which is made unless it is there. The error is in words.
    async fn child(&self, child: Child) -> Result<Handle, String>;
    /// Opens it if it is there.
    async fn known_child(&self, id: &SessionId) -> Option<Handle>;
}
