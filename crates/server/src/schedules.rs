//! Schedules: when they are due (`slots`), what becomes of a slot (`judge`), the worker that decides
//! on slots (`worker`), and how each firing comes to its end (`firing`, `job`). What people ask is
//! in `routes::schedules`.

mod command;
mod firing;
mod job;
mod judge;
mod prompt;
pub(crate) mod slots;
pub(crate) mod worker;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use toft_model::schedule::ScheduleId;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

/// Machines that are woken for schedules at once: many are due at full hours, and each start takes
/// a processor for a moment.
const STARTS_AT_ONCE: usize = 8;

/// What all who work on schedules share.
pub(crate) struct Schedules {
    /// Held by whoever decides on slots, or on what follows a firing's end.
    turn: tokio::sync::Mutex<()>,
    /// A schedule was made or changed.
    changed: Notify,
    starts: Semaphore,
    /// Ends what firings of a schedule that is deleted still run, by firing.
    in_hand: Mutex<HashMap<String, (ScheduleId, CancellationToken)>>,
}

impl Default for Schedules {
    fn default() -> Self {
        Self {
            turn: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            starts: Semaphore::new(STARTS_AT_ONCE),
            in_hand: Mutex::default(),
        }
    }
}

impl Schedules {
    /// A schedule was made or changed: look when the next slot is.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    /// A schedule is gone: its commands end.
    pub(crate) fn deleted(&self, id: &ScheduleId) {
        for (_, token) in self.in_hand().values().filter(|(schedule, _)| schedule == id) {
            token.cancel();
        }
    }

    fn in_hand(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<String, (ScheduleId, CancellationToken)>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
