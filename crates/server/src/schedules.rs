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
use tokio::sync::{Notify, Semaphore, watch};
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
    /// Firings that somebody works on.
    in_hand: Mutex<HashMap<String, InHand>>,
    /// Goes up when more is known of what an earlier server began; 0 until all of that is in hand.
    known: watch::Sender<u64>,
}

/// A firing that somebody works on.
struct InHand {
    schedule: ScheduleId,
    /// Its schedule is deleted: what it runs ends.
    gone: CancellationToken,
    /// The next one takes its place.
    replaced: CancellationToken,
    /// Another server goes on with it.
    elsewhere: CancellationToken,
    /// An earlier server began it, and nobody knows yet whether it still runs.
    unknown: bool,
}

impl Default for Schedules {
    fn default() -> Self {
        Self {
            turn: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            starts: Semaphore::new(STARTS_AT_ONCE),
            in_hand: Mutex::default(),
            known: watch::channel(0).0,
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
        for firing in self.in_hand().values().filter(|firing| firing.schedule == *id) {
            firing.gone.cancel();
        }
    }

    /// Ends what firings of a schedule run, so that the next one can take their place.
    fn replace(&self, id: &ScheduleId) {
        for firing in self.in_hand().values().filter(|firing| firing.schedule == *id) {
            firing.replaced.cancel();
        }
    }

    /// Another server goes on with what these schedules have begun.
    fn let_go(&self, is_gone: impl Fn(&ScheduleId) -> bool) {
        for firing in self.in_hand().values().filter(|firing| is_gone(&firing.schedule)) {
            firing.elsewhere.cancel();
        }
    }

    /// All that an earlier server began is in hand.
    fn taken_up(&self) {
        self.known.send_modify(|n| *n += 1);
    }

    /// Whether of something that an earlier server began for a schedule nobody knows yet if it runs.
    /// Nothing is decided before that: it may have ended while no server ran.
    fn is_unknown(&self, id: &ScheduleId) -> bool {
        *self.known.borrow() == 0 || self.in_hand().values().any(|f| f.schedule == *id && f.unknown)
    }

    /// Waits until that is known.
    async fn until_known(&self, id: &ScheduleId) {
        let mut known = self.known.subscribe();
        while self.is_unknown(id) {
            if known.changed().await.is_err() {
                return;
            }
        }
    }

    /// It is known now that a firing runs.
    fn runs(&self, firing: &str) {
        let was = self.in_hand().get_mut(firing).map(|f| std::mem::take(&mut f.unknown));
        self.tell_known(was);
    }

    /// Nobody works on a firing any more.
    fn done(&self, firing: &str) {
        let was = self.in_hand().remove(firing).map(|f| f.unknown);
        self.tell_known(was);
    }

    fn tell_known(&self, was_unknown: Option<bool>) {
        if was_unknown == Some(true) {
            self.known.send_modify(|n| *n += 1);
            self.changed();
        }
    }

    fn in_hand(&self) -> std::sync::MutexGuard<'_, HashMap<String, InHand>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
