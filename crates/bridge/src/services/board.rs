//! What is observed of services, for all who show it, and the rows that say what is wanted. Decides
//! nothing.

use std::collections::HashMap;
use toft_model::inspect::{Service, ServiceProcess};
use tokio::sync::watch;

/// One service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its name for people.
    pub(crate) name: String,
    /// Its process; `None`: it never ran since the bridge began.
    pub(crate) process: Option<ServiceProcess>,
    /// The order by hand that was carried out last.
    pub(crate) turn: u64,
}

/// See the module.
pub(crate) struct Board {
    seen: watch::Sender<HashMap<String, Seen>>,
    /// Rows as they were read last; `None` until they could be.
    rows: watch::Sender<Option<Vec<Service>>>,
}

impl Default for Board {
    fn default() -> Self {
        Self { seen: watch::channel(HashMap::new()).0, rows: watch::channel(None).0 }
    }
}

impl Board {
    pub(crate) fn process(&self, id: &str) -> Option<ServiceProcess> {
        self.seen.borrow().get(id)?.process.clone()
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
