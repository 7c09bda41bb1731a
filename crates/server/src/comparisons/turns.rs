//! What all who work on comparisons share: whose turn it is, and that there may be something to do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use toft_model::run::ComparisonId;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};

/// What all who work on comparisons share.
#[derive(Debug, Default)]
pub(crate) struct Comparisons {
    /// One step of a comparison at a time.
    turns: Mutex<HashMap<ComparisonId, Weak<AsyncMutex<()>>>>,
    /// There may be one in the middle of a step.
    unsettled: Notify,
}

impl Comparisons {
    pub(super) async fn turn(&self, id: &ComparisonId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let known = turns.get(id).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::<AsyncMutex<()>>::default();
                turns.insert(id.clone(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }

    /// Until something may be in the middle of a step.
    pub(super) async fn unsettled(&self) {
        self.unsettled.notified().await;
    }

    /// Has what is in the middle of a step brought to rest soon.
    pub(crate) fn look(&self) {
        self.unsettled.notify_one();
    }
}
