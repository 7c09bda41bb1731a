//! Sessions that are open: made, opened, the current one of them, let go after long idleness.

use super::{AgentRuntime, RuntimeError, blocking, children::Children, failed};
use std::{collections::HashMap, sync::Arc};
use toft_agent::{Command, Conversation, Handle, session::Session, shown::Shown, spawn};
use toft_model::{
    event::{EventBody, SessionNamed},
    id::SessionId,
};

impl AgentRuntime {
    /// Makes one, under the lock of those that are open.
    pub(super) async fn create_in(
        &self,
        open: &mut HashMap<SessionId, Handle>,
        name: Option<String>,
        parent_session: Option<String>,
        current: bool,
    ) -> Result<Handle, RuntimeError> {
        let (dir, cwd) = (self.sessions_dir(), self.boot.cwd.clone());
        let now_ms = (self.around.clock)();
        let session = blocking(move || Ok(Session::create(&dir, &cwd, parent_session, now_ms)))
            .await
            .map_err(failed("making a session"))??;
        let handle = self.made_in(open, session, name.clone())?;
        if name.is_some() {
            let change = |reply| Command::Change { model: None, thinking_level: None, name, reply };
            if let Err(error) = handle.ask(change).await {
                tracing::warn!(%error, "a new session could not be named");
            }
        }
        if current {
            self.make_current(&handle).await?;
        }
        Ok(handle)
    }

    /// One that was just made is open, and that is told.
    pub(super) fn made_in(
        &self,
        open: &mut HashMap<SessionId, Handle>,
        session: Session,
        name: Option<String>,
    ) -> Result<Handle, RuntimeError> {
        let handle = self.spawn(session, Shown::default())?;
        let conversation = Arc::clone(handle.conversation());
        conversation.emit(EventBody::SessionCreated(SessionNamed { name }));
        conversation.settle();
        open.insert(conversation.id().clone(), handle.clone());
        Ok(handle)
    }

    /// The newest one that people speak in, or a new one, as the current one.
    pub(super) async fn another_in(
        &self,
        open: &mut HashMap<SessionId, Handle>,
    ) -> Result<Handle, RuntimeError> {
        // A task's conversation is nobody's but its call's.
        match self.list().await?.iter().find(|one| one.task.is_none()) {
            Some(newest) => {
                let handle = self.open_in(open, &newest.id).await?;
                self.make_current(&handle).await?;
                Ok(handle)
            }
            None => self.create_in(open, None, None, true).await,
        }
    }

    /// The one that is meant where none is named.
    pub(super) async fn make_current(&self, handle: &Handle) -> Result<(), RuntimeError> {
        let id = handle.conversation().id();
        if self.memory.current().as_ref() == Some(id) {
            return Ok(());
        }
        self.memory.set_current(id.clone()).await.map_err(failed("writing agent.json"))?;
        let name = handle.conversation().session().name().map(str::to_owned);
        self.log.append(Some(id), EventBody::SessionSwitched(SessionNamed { name }));
        Ok(())
    }

    /// One that is there, opened unless it is open.
    pub(super) async fn open_in(
        &self,
        open: &mut HashMap<SessionId, Handle>,
        id: &SessionId,
    ) -> Result<Handle, RuntimeError> {
        self.let_go_in(open, id);
        if let Some(handle) = open.get(id) {
            return Ok(handle.clone());
        }
        let listed = self.list().await?;
        let found = listed.into_iter().find(|one| one.id == *id);
        let found = found.ok_or_else(|| RuntimeError::NoSession(id.to_string()))?;
        let path = found.path;
        let session = blocking(move || Ok(Session::open(&path)))
            .await
            .map_err(failed("opening a session"))??;
        let told = self.told().remove(id);
        let told = told.unwrap_or_else(|| {
            let mut told = Shown::default();
            told.settle(session.lines());
            told
        });
        let handle = self.spawn(session, told)?;
        open.insert(id.clone(), handle.clone());
        Ok(handle)
    }

    /// Its actor, with what was told of it.
    pub(super) fn spawn(&self, session: Session, told: Shown) -> Result<Handle, RuntimeError> {
        let conversation = Conversation::new(session, told, Arc::clone(&self.around))
            .map_err(failed("reading waiting messages"))?;
        let id = conversation.id().clone();
        let sessions = Arc::new(Children(self.me.clone()));
        let handle = spawn(conversation, sessions, self.stop.child_token());
        let (closed, me) = (handle.closed(), self.me.clone());
        // Ends with the actor, which ends with this runtime.
        tokio::spawn(async move {
            closed.await;
            if let Some(me) = me.upgrade() {
                me.let_go_in(&mut *me.open.lock().await, &id);
            }
        });
        Ok(handle)
    }

    /// Drops a session that was closed after long idleness, with its memory. What it knew of the log
    /// is still true.
    fn let_go_in(&self, open: &mut HashMap<SessionId, Handle>, id: &SessionId) {
        if open.get(id).is_some_and(Handle::is_closed)
            && let Some(handle) = open.remove(id)
        {
            self.told().insert(id.clone(), handle.conversation().told());
        }
    }
}
