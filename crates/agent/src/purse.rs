//! What the running tasks of a conversation have spent: all of it is spent by the prompt that they work for.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};
use toft_model::id::SessionId;

/// What running tasks have spent, in billionths of a US dollar. Ended ones are in their calls' results.
#[derive(Debug, Default)]
pub(crate) struct Purse(Mutex<BTreeMap<SessionId, u64>>);

impl Purse {
    /// What all of them have spent.
    pub(crate) fn spent(&self) -> u64 {
        self.all().values().sum()
    }

    /// One has spent so much.
    pub(crate) fn set(&self, task: &SessionId, spent: u64) {
        self.all().insert(task.clone(), spent);
    }

    /// One has ended.
    pub(crate) fn remove(&self, task: &SessionId) {
        self.all().remove(task);
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<SessionId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
