//! What runs for one connection, and ends with it.

use crate::state::State;
use hyper::rt::Executor;
use std::sync::Arc;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Runs what it is given until its owner lets go.
#[derive(Clone)]
pub(super) struct Tasks {
    state: Arc<State>,
    own: TaskTracker,
    cancel: CancellationToken,
}

/// Ends them when it is dropped.
pub(super) struct Owner {
    own: TaskTracker,
    _ends: DropGuard,
}

impl Tasks {
    pub(super) fn new(state: &Arc<State>) -> (Self, Owner) {
        let (own, cancel) = (TaskTracker::new(), state.cancel.child_token());
        let owner = Owner { own: own.clone(), _ends: cancel.clone().drop_guard() };
        (Self { state: Arc::clone(state), own, cancel }, owner)
    }
}

impl Owner {
    /// Whether nothing runs any more.
    pub(super) fn is_over(&self) -> bool {
        self.own.is_empty()
    }
}

impl<F: Future + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let cancel = self.cancel.clone();
        let task = async move { drop(cancel.run_until_cancelled(task).await) };
        self.own.spawn(self.state.tasks.track_future(task));
    }
}
