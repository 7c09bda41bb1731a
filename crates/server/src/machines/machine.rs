//! One machine: what is known of it, and what must not happen to it twice at once.

use super::{feed::Feed, status::Statuses};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use toft_model::{id::ProjectId, machine::MachineState};
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

/// What is known of a machine now.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) state: MachineState,
    /// Why it is in error, or what is wrong with its event log.
    pub(crate) reason: Option<String>,
    /// Unix milliseconds.
    pub(crate) started_at: Option<u64>,
    pub(crate) statuses: Statuses,
    /// Number of an event that came again with other content.
    pub(crate) tampered: Option<u64>,
    /// Ends the tasks that follow the running machine.
    pub(crate) following: Option<CancellationToken>,
}

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) id: ProjectId,
    pub(crate) feed: Feed,
    view: Mutex<View>,
    /// Held by whoever starts, stops, adopts or deletes it.
    life: Arc<tokio::sync::Mutex<()>>,
    /// Starts that were tried, and how the last one failed: those who waited for it share it.
    pub(crate) attempts: AtomicU64,
    pub(crate) last_failure: Mutex<Option<crate::api_error::ApiError>>,
    /// False until the server has looked whether it runs.
    settled: AtomicBool,
    /// Its processes are being ended.
    ending: AtomicBool,
    /// The bridge's answers changed: fetch them again.
    pub(crate) stale: Notify,
    /// One at a time puts events into the copy.
    pub(crate) taking: tokio::sync::Mutex<()>,
}

impl Machine {
    pub(crate) fn new(id: ProjectId, state: MachineState, reason: Option<String>) -> Self {
        Self {
            id,
            feed: Feed::default(),
            view: Mutex::new(View {
                state,
                reason,
                started_at: None,
                statuses: Statuses::default(),
                tampered: None,
                following: None,
            }),
            life: Arc::default(),
            attempts: AtomicU64::new(0),
            last_failure: Mutex::new(None),
            settled: AtomicBool::new(true),
            ending: AtomicBool::new(false),
            stale: Notify::new(),
            taking: tokio::sync::Mutex::new(()),
        }
    }

    /// A machine of which nothing is known yet; the guard holds its life until it is settled.
    pub(crate) fn unsettled(id: ProjectId) -> (Self, OwnedMutexGuard<()>) {
        let machine = Self::new(id, MachineState::Cold, None);
        machine.settled.store(false, Ordering::Release);
        let guard = Arc::clone(&machine.life).try_lock_owned().expect("nobody else knows it yet");
        (machine, guard)
    }

    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// Waits until its state is known.
    pub(crate) async fn settled(&self) {
        if !self.settled.load(Ordering::Acquire) {
            drop(self.life.lock().await);
        }
    }

    pub(crate) async fn lock_life(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.life).lock_owned().await
    }

    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> MachineState {
        self.view().state
    }

    /// Marks it as going away until the guard is dropped.
    pub(crate) fn end(&self) -> Ending<'_> {
        self.ending.store(true, Ordering::Release);
        Ending(&self.ending)
    }

    /// Whether its bridge can be asked: it runs and is not just going away.
    pub(crate) fn answers(&self) -> bool {
        self.runs() && !self.ending.load(Ordering::Acquire)
    }

    pub(crate) fn runs(&self) -> bool {
        matches!(self.state(), MachineState::Running | MachineState::Frozen)
    }
}

/// See [`Machine::end`].
pub(crate) struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
