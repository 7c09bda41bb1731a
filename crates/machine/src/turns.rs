//! Turns: what changes a machine happens one at a time per project. Not a queue of wishes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use toft_model::id::ProjectId;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<ProjectId, Arc<AsyncMutex<()>>>>);

impl Turns {
    /// Waits until nobody else changes this machine.
    pub(crate) async fn take(&self, project: &ProjectId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().expect("no holder panics");
            Arc::clone(turns.entry(project.clone()).or_default())
        };
        turn.lock_owned().await
    }

    /// The machine is gone: its entry too, unless somebody still wants a turn.
    pub(crate) fn end(&self, project: &ProjectId, held: OwnedMutexGuard<()>) {
        drop(held);
        let mut turns = self.0.lock().expect("no holder panics");
        if turns.get(project).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(project);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn a_project_has_one_turn_at_a_time_and_leaves_nothing_behind() {
        let turns = Turns::default();
        let (a, b) = (ProjectId::random(), ProjectId::random());
        let held = turns.take(&a).await;
        let mut waiting = Box::pin(turns.take(&a));
        assert!(waiting.as_mut().now_or_never().is_none());
        let other = turns.take(&b).now_or_never().expect("another project's turn is free");
        // Somebody waits: the entry stays for them.
        turns.end(&a, held);
        let held = waiting.await;
        turns.end(&a, held);
        turns.end(&b, other);
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
