//! The ends of the projects' copies that were written last, in memory: whoever appends the next event need not look.

use crate::events::Head;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};
use toft_model::id::ProjectId;

/// Projects whose head is kept.
const HEADS_MAX: usize = 4096;

/// Heads by project.
#[derive(Debug, Default)]
pub(crate) struct Heads(Mutex<HashMap<ProjectId, Head>>);

impl Heads {
    fn all(&self) -> MutexGuard<'_, HashMap<ProjectId, Head>> {
        self.0.lock().expect("never poisoned")
    }

    pub(crate) fn get(&self, project: &ProjectId) -> Option<Head> {
        self.all().get(project).copied()
    }

    /// Forgets it, too: a write that is cut leaves nothing behind that is not so.
    pub(crate) fn take(&self, project: &ProjectId) -> Option<Head> {
        self.all().remove(project)
    }

    pub(crate) fn put(&self, project: &ProjectId, head: Head) {
        let mut all = self.all();
        if all.len() >= HEADS_MAX {
            all.clear();
        }
        all.insert(project.clone(), head);
    }
}
