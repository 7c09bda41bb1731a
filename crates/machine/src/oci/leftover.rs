//! Containers that the engine could not remove, because it was away just then. They hold no process
//! any more; they are removed when it answers again, or by the next server's sweep.

use super::Inner;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};
use toft_model::id::ProjectId;
use tokio::time::sleep;

/// Between two tries, at first and at most: an engine that is updated is back within a minute.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Projects with such a container.
#[derive(Debug, Default)]
pub(super) struct Leftover(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    projects: BTreeSet<ProjectId>,
    /// Whether somebody tries.
    tried: bool,
}

impl Inner {
    /// Removes a machine's container, now or when the engine answers again. It holds no process.
    pub(super) async fn remove_container(self: &Arc<Self>, project: &ProjectId) {
        let Err(e) = self.engine.remove(&self.container(project)).await else { return };
        tracing::warn!(project.id = %project, "the machine's container stays for now: {e}");
        let begins = {
            let mut waiting = self.leftover.0.lock().expect("no holder panics");
            waiting.projects.insert(project.clone());
            !std::mem::replace(&mut waiting.tried, true)
        };
        if begins {
            // Ends with the backend.
            tokio::spawn(try_again(Arc::downgrade(self)));
        }
    }
}

async fn try_again(inner: Weak<Inner>) {
    let mut pause = PAUSE_FIRST;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
        let Some(inner) = inner.upgrade() else { return };
        let projects = inner.leftover.0.lock().expect("no holder panics").projects.clone();
        for project in projects {
            let _turn = inner.turns.take(&project).await;
            // A start has put another one in its place.
            let gone = inner.runs(&project)
                || inner.engine.remove(&inner.container(&project)).await.is_ok();
            if gone {
                inner.leftover.0.lock().expect("no holder panics").projects.remove(&project);
            }
        }
        let mut waiting = inner.leftover.0.lock().expect("no holder panics");
        if waiting.projects.is_empty() {
            waiting.tried = false;
            return;
        }
    }
}
