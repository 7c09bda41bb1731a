//! The part of a test's machine that stands still, has limits, and is told what was seen.

use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, atomic::AtomicUsize},
};
use toft_model::{
    event::LimitHit,
    id::ProjectId,
    machine::{Busy, Limits},
};
use tokio::sync::{broadcast, watch};

/// Of one machine.
#[derive(Default)]
pub(crate) struct Rest {
    frozen: watch::Sender<bool>,
    /// What works in it; `None`: its bridge is of a version that does not say.
    busy: Mutex<Option<Vec<Busy>>>,
    /// What its bridge was told.
    told: Mutex<Vec<Value>>,
}

impl Rest {
    pub(crate) fn set_frozen(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    pub(crate) fn is_frozen(&self) -> bool {
        *self.frozen.borrow()
    }

    /// Returns when it goes on.
    pub(crate) async fn goes_on(&self) {
        let mut frozen = self.frozen.subscribe();
        let _ = frozen.wait_for(|frozen| !frozen).await;
    }

    pub(crate) fn busy(&self) -> MutexGuard<'_, Option<Vec<Busy>>> {
        self.busy.lock().unwrap()
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Vec<Value>> {
        self.told.lock().unwrap()
    }
}

/// Of all machines.
pub(crate) struct Resting {
    /// How often one was frozen.
    pub(crate) freezes: AtomicUsize,
    /// How often one was let go on.
    pub(crate) thaws: AtomicUsize,
    /// The limits that are in force.
    pub(crate) limits: Mutex<HashMap<ProjectId, Limits>>,
    /// Limits cannot be set now.
    pub(crate) refuses_limits: Mutex<bool>,
    pub(crate) hits: broadcast::Sender<(ProjectId, LimitHit)>,
}

impl Default for Resting {
    fn default() -> Self {
        Self {
            freezes: AtomicUsize::new(0),
            thaws: AtomicUsize::new(0),
            limits: Mutex::default(),
            refuses_limits: Mutex::default(),
            hits: broadcast::Sender::new(16),
        }
    }
}
