//! What a machine was told of its secrets. Not the telling.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// No revision.
const NONE: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub(crate) struct Told {
    /// One at a time reads what is stored and tells it, so that the last one told is the newest. Held
    /// by who starts the machine until it counts as running: what is stored after that is told then.
    pub(super) turn: Mutex<()>,
    /// One at a time changes what is stored: each seals for the revision that it makes.
    pub(super) changing: Mutex<()>,
    revision: AtomicU64,
}

impl Default for Told {
    fn default() -> Self {
        Self { turn: Mutex::new(()), changing: Mutex::new(()), revision: AtomicU64::new(NONE) }
    }
}

impl Told {
    /// The revision that a running machine has.
    pub(crate) fn revision(&self) -> Option<u64> {
        Some(self.revision.load(Ordering::Acquire)).filter(|revision| *revision != NONE)
    }

    pub(super) fn set(&self, revision: Option<u64>) {
        self.revision.store(revision.unwrap_or(NONE), Ordering::Release);
    }
}
