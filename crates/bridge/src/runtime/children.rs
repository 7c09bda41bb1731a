//! Conversations of tasks: open sessions like any other, made when a call needs them, gone on with only by
//! that call.

use super::{AgentRuntime, RuntimeError, blocking, failed};
use async_trait::async_trait;
use std::sync::Weak;
use toft_agent::{Child, Handle, Sessions, session::Session};
use toft_model::id::SessionId;

/// See the module.
pub(super) struct Children(pub(super) Weak<AgentRuntime>);

#[async_trait]
impl Sessions for Children {
    async fn child(&self, child: Child) -> Result<Handle, String> {
        let Some(runtime) = self.0.upgrade() else {
            // The bridge ends, and whoever asks with it.
            return std::future::pending().await;
        };
        runtime.child(child).await.map_err(|error| format!("The task could not be begun: {error}."))
    }

    async fn known_child(&self, id: &SessionId) -> Option<Handle> {
        let runtime = self.0.upgrade()?;
        let mut open = runtime.open.lock().await;
        runtime.open_in(&mut open, id).await.ok()
    }
}

impl AgentRuntime {
    async fn child(&self, child: Child) -> Result<Handle, RuntimeError> {
        let mut open = self.open.lock().await;
        match self.open_in(&mut open, &child.id).await {
            Err(RuntimeError::NoSession(_)) => {}
            other => return other,
        }
        let (dir, cwd) = (self.sessions_dir(), self.boot.cwd.clone());
        let now_ms = (self.around.clock)();
        let Child { id, task, parent_file } = child;
        let parent = Some(parent_file.display().to_string());
        let make = move || Ok(Session::create_task(&dir, id, &cwd, parent, task, now_ms));
        let session =
            blocking(make).await.map_err(failed("making the conversation of a task"))??;
        self.made_in(&mut open, session, None)
    }
}
