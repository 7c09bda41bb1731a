//! Machines as the server sees them: their state, their life, and the copy of what their bridges
//! tell. How a machine is made is the backend's.
//!
//! A [`Machine`] is what is known of one. It comes and goes in `life`, `pause`, `idle`, `gone` and
//! `adopt`; while it runs, its bridge is followed (`running`, `tailer`), what that tells is taken in
//! (`intake`, `cold_log`), and its log folder is bounded (`log_room`). `read` and `files_at_rest` answer without waking it, from its `copy` and its
//! disk.

pub(crate) mod adopt;
pub(crate) mod asked;
pub(crate) mod at_rest;
pub(crate) mod bridge_watch;
pub(crate) mod cold_log;
pub(crate) mod copy;
pub(crate) mod deliver;
pub(crate) mod echoes;
pub(crate) mod egress;
pub(crate) mod feed;
pub(crate) mod files_at_rest;
pub(crate) mod gone;
pub(crate) mod held;
pub(crate) mod idle;
mod instructions;
pub(crate) mod intake;
pub(crate) mod life;
pub(crate) mod log_room;
pub(crate) mod machine;
pub(crate) mod observed;
pub(crate) mod pause;
pub(crate) mod read;
pub(crate) mod receipts;
mod reply;
pub(crate) mod running;
pub(crate) mod service_log;
pub(crate) mod settings;
pub(crate) mod sse;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod tailer;
pub(crate) mod wishes;

pub(crate) use machine::Machine;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};
use toft_model::id::ProjectId;

/// What is said when a change of a machine breaks.
const CHANGING: &str = "changing the machine failed";

/// All machines by project.
#[derive(Default)]
pub(crate) struct Machines {
    all: RwLock<HashMap<ProjectId, Arc<Machine>>>,
    /// Shared by those who make projects; alone for the sweep, to which a machine that it was not
    /// told of is a leftover.
    pub(crate) making: tokio::sync::RwLock<()>,
}

impl Machines {
    pub(crate) fn get(&self, id: &ProjectId) -> Option<Arc<Machine>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The known machine of that project, or this one.
    pub(crate) fn put(&self, machine: Machine) -> Arc<Machine> {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(machine.id.clone()).or_insert_with(|| Arc::new(machine)))
    }

    pub(crate) fn remove(&self, id: &ProjectId) {
        self.all.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    pub(crate) fn list(&self) -> Vec<Arc<Machine>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
