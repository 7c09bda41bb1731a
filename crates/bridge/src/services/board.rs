//! What is observed of services, for all who show it, and the rows that say what is wanted. Decides
//! nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use toft_model::inspect::{Service, ServiceProcess};
use tokio::sync::watch;

/// One service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its name for people.
    pub(crate) name: String,
    /// Its process; `None`: it never ran since the bridge began.
    pub(crate) process: Option<ServiceProcess>,
    /// Revision of the secrets that its process was started with.
    pub(crate) environment: u64,
    /// The order by hand that was carried out last.
    pub(crate) turn: u64,
}

/// See the module.
pub(crate) struct Board {
    seen: watch::Sender<HashMap<String, Seen>>,
    /// Rows as they were read last; `None` until they could be.
    rows: watch::Sender<Option<Vec<Service>>>,
    /// Revision of the secrets that a process gets now, once that is known.
    environment: Mutex<Option<u64>>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            seen: watch::channel(HashMap::new()).0,
            rows: watch::channel(None).0,
            environment: Mutex::default(),
        }
    }
}

impl Board {
    pub(crate) fn process(&self, id: &str) -> Option<ServiceProcess> {
        let seen = self.seen.borrow();
        let seen = seen.get(id)?;
        let mut process = seen.process.clone()?;
        let now = *self.environment.lock().unwrap_or_else(PoisonError::into_inner);
        process.restart_to_apply =
            process.pid.is_some() && now.is_some_and(|now| now != seen.environment);
        Some(process)
    }

    /// Processes that are started from now on get other secrets.
    pub(super) fn take_environment(&self, revision: u64) {
        *self.environment.lock().unwrap_or_else(PoisonError::into_inner) = Some(revision);
        // Whoever shows them looks again.
        self.seen.send_modify(|_| {});
    }

    /// The service whose program this is.
    pub(super) fn name_of(&self, pid: u32) -> Option<String> {
        let seen = self.seen.borrow();
        let runs = |seen: &&Seen| seen.process.as_ref().is_some_and(|p| p.pid == Some(pid));
        seen.values().find(runs).map(|seen| seen.name.clone())
    }

    pub(crate) fn changes(&self) -> watch::Receiver<HashMap<String, Seen>> {
        self.seen.subscribe()
    }

    pub(super) fn set(&self, id: &str, seen: Seen) {
        self.seen.send_if_modified(|all| {
            let changed = all.get(id) != Some(&seen);
            all.insert(id.to_owned(), seen);
            changed
        });
    }

    pub(super) fn remove(&self, id: &str) {
        self.seen.send_if_modified(|all| all.remove(id).is_some());
    }

    /// Takes rows that were read.
    pub(crate) fn take_rows(&self, rows: &[Service]) {
        self.rows.send_if_modified(|known| {
            let changed = known.as_deref() != Some(rows);
            if changed {
                *known = Some(rows.to_vec());
            }
            changed
        });
    }

    pub(super) fn rows(&self) -> watch::Receiver<Option<Vec<Service>>> {
        self.rows.subscribe()
    }
}
