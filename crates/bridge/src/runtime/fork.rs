//! A conversation grown from a branch of another one. Its file is whole before anything is told; what it
//! holds is told as after a crash, so that the server's copy has it like any other conversation.

use super::{AgentRuntime, RuntimeError, blocking, failed};
use toft_agent::{
    Handle, Refused,
    session::{Copy, Place},
    shown::Shown,
};
use toft_model::id::SessionId;

/// Closes what the branch was in the middle of.
const CUT: &str = "Not finished in this copy: it was made while this was under way, and only the original went \
                   on. Say \"go on\" to continue here.";

/// What is wanted of a fork.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fork {
    /// Where, by the rule of [`toft_agent::session::Session::place_of`]; where the conversation stands when
    /// absent.
    pub(crate) entry_id: Option<String>,
    /// Its name.
    pub(crate) name: Option<String>,
    /// Whether it becomes the current one.
    pub(crate) current: bool,
}

impl AgentRuntime {
    /// Makes a fork of a session; gives it with what was said at the entry. The session may work meanwhile.
    pub(crate) async fn fork(
        &self,
        from: &SessionId,
        wanted: Fork,
    ) -> Result<(Handle, Option<String>), ForkError> {
        let source = self.session(Some(from)).await?;
        let (branch, text) = {
            let session = source.conversation().session();
            let place = match wanted.entry_id {
                Some(id) => session.place_of(&id).ok_or(Refused::NoEntry(id))?,
                None => Place { leaf: session.leaf().map(|leaf| leaf.id.clone()), text: None },
            };
            (session.branch_to(place.leaf.as_deref()), place.text)
        };
        let (dir, cwd) = (self.sessions_dir(), self.boot.cwd.clone());
        let (name, now_ms) = (wanted.name, (self.around.clock)());
        let copy =
            move || Ok(branch.copy(Copy { dir: &dir, cwd: &cwd, name, why_cut: CUT, now_ms }));
        let session = blocking(copy)
            .await
            .map_err(failed("copying a session"))?
            .map_err(RuntimeError::from)?;
        let mut open = self.open.lock().await;
        let handle = self.spawn(session, Shown::default())?;
        let conversation = handle.conversation();
        conversation.catch_up();
        conversation.settle();
        open.insert(conversation.id().clone(), handle.clone());
        if wanted.current {
            self.make_current(&handle).await?;
        }
        Ok((handle, text))
    }
}

/// A fork that was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForkError {
    /// There is no such session, or its file cannot be used.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// There is no such entry.
    #[error(transparent)]
    Refused(#[from] Refused),
}
