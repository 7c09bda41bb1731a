//! One machine: what is known of it, and what must not happen to it twice at once.

use super::{feed::Feed, status::Statuses, wishes::Wishes};
use crate::{
    api_error::ApiError, checkpoints::shelf::Shelf, clock::Clock, secrets::told::Told,
    servers::elsewhere::Elsewhere,
};
use serde_json::Value;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
use toft_model::{
    id::ProjectId,
    machine::{IdleRule, MachineState},
};
use toft_store::Project;
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

/// What the bridge listed last: true for as long as nothing moves.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) processes: Option<Value>,
    pub(crate) terminals: Option<Value>,
    pub(crate) services: Option<Value>,
}

/// What is known of a machine now.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) state: MachineState,
    /// Why it is in error, or what is wrong with its event log.
    pub(crate) reason: Option<String>,
    /// Unix milliseconds.
    pub(crate) started_at: Option<u64>,
    /// Unix milliseconds.
    pub(crate) frozen_at: Option<u64>,
    /// Whether anything worked in it when it was paused, or may have.
    pub(crate) frozen_at_work: bool,
    /// What its bridge listed when it was frozen.
    pub(crate) lists: Option<Box<Lists>>,
    /// When it is put away, if not by the server's own rule.
    pub(crate) idle: Option<IdleRule>,
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
    /// Its processes are being ended or paused.
    ending: AtomicBool,
    /// Who uses or reads it just now: see [`Hold`].
    held: AtomicUsize,
    /// Rung when somebody begins to, and when the last one is through.
    held_changed: Notify,
    /// What people asked for last: that it stands still, or goes on.
    pub(super) wishes: Wishes,
    /// Unix milliseconds of the last use.
    used_at: AtomicU64,
    /// Bound of its log folder in bytes; the largest number: none.
    log_bytes_max: AtomicU64,
    /// Its network was made by a version that knew the proxy only.
    proxy_only: AtomicBool,
    /// The bridge's answers changed: fetch them again.
    pub(crate) stale: Notify,
    /// The copy may have less than was stored in it.
    pub(crate) doubtful: Notify,
    /// One at a time puts events into the copy.
    pub(crate) taking: tokio::sync::Mutex<()>,
    /// One at a time tells its bridge what was seen.
    pub(crate) telling: tokio::sync::Mutex<()>,
    /// The secrets that its init was told.
    pub(crate) told: Told,
    /// One at a time tells the gateway what it may reach.
    pub(crate) egress_turn: tokio::sync::Mutex<()>,
    /// Values of secrets were given to the gateway for its requests: hosts may say them back.
    pub(crate) brokers: AtomicBool,
    /// Its checkpoints.
    pub(crate) shelf: Shelf,
    /// Whether it is written down that its disk is here.
    bound: AtomicBool,
    /// It is another server's: only shown here.
    elsewhere: Option<Elsewhere>,
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
                frozen_at: None,
                frozen_at_work: false,
                lists: None,
                idle: None,
                statuses: Statuses::default(),
                tampered: None,
                following: None,
            }),
            life: Arc::default(),
            attempts: AtomicU64::new(0),
            last_failure: Mutex::new(None),
            settled: AtomicBool::new(true),
            ending: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            held_changed: Notify::new(),
            wishes: Wishes::default(),
            used_at: AtomicU64::new(0),
            log_bytes_max: AtomicU64::new(u64::MAX),
            proxy_only: AtomicBool::new(false),
            stale: Notify::new(),
            doubtful: Notify::new(),
            taking: tokio::sync::Mutex::new(()),
            telling: tokio::sync::Mutex::new(()),
            told: Told::default(),
            egress_turn: tokio::sync::Mutex::new(()),
            brokers: AtomicBool::new(false),
            shelf: Shelf::default(),
            bound: AtomicBool::new(false),
            elsewhere: None,
        }
    }

    /// Another server's, as it is known here: to be shown, and for nothing else.
    pub(crate) fn of_other(project: &Project, elsewhere: Elsewhere) -> Self {
        let (state, reason) = if elsewhere.is_alive {
            (project.machine_state.unwrap_or(MachineState::Cold), None)
        } else {
            (MachineState::Cold, Some(elsewhere.away()))
        };
        Self { elsewhere: Some(elsewhere), ..Self::new(project.id.clone(), state, reason) }
    }

    /// Refuses what would touch a machine that is another server's.
    pub(crate) fn here(&self) -> Result<(), ApiError> {
        self.elsewhere.as_ref().map_or(Ok(()), |elsewhere| Err(elsewhere.refusal()))
    }

    /// Whether its disk is this server's, as the database knows.
    pub(crate) fn is_bound(&self) -> bool {
        self.bound.load(Ordering::Acquire)
    }

    pub(crate) fn set_bound(&self) {
        self.bound.store(true, Ordering::Release);
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

    /// The same, unless somebody else holds it.
    pub(crate) fn try_lock_life(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.life).try_lock_owned().ok()
    }

    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> MachineState {
        self.view().state
    }

    /// Marks it as going away until the guard is dropped: who asks for it now waits for its life.
    pub(crate) fn end(&self) -> Ending<'_> {
        self.ending.store(true, Ordering::SeqCst);
        Ending(&self.ending)
    }

    /// Whether it is just going away. Whoever has taken the life after that finds how it ended.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Whether its bridge can be asked: it runs and is not just going away. True for one that holds
    /// it ([`Machine::in_use`]) means that nobody pauses it for being idle meanwhile.
    pub(crate) fn answers(&self) -> bool {
        // In this order: whoever pauses it sets the state before taking the mark away.
        !self.ending.load(Ordering::SeqCst) && self.state() == MachineState::Running
    }

    /// Whether processes are there, also paused ones.
    pub(crate) fn runs(&self) -> bool {
        matches!(self.state(), MachineState::Running | MachineState::Frozen)
    }

    /// Something used it at this moment.
    pub(crate) fn used(&self, now_ms: u64) {
        self.used_at.store(now_ms, Ordering::Relaxed);
    }

    /// Whether its network was made without a way for connections that know no proxy.
    pub(crate) fn proxy_only(&self) -> bool {
        self.proxy_only.load(Ordering::Relaxed)
    }

    pub(crate) fn set_proxy_only(&self, proxy_only: bool) {
        self.proxy_only.store(proxy_only, Ordering::Relaxed);
    }

    /// How much its log folder may take. `None`: no bound, or not known yet.
    pub(crate) fn log_bytes_max(&self) -> Option<u64> {
        Some(self.log_bytes_max.load(Ordering::Relaxed)).filter(|bytes| *bytes != u64::MAX)
    }

    pub(crate) fn set_log_bytes_max(&self, bytes: Option<u64>) {
        self.log_bytes_max.store(bytes.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Milliseconds since its last use. A clock that was set back starts it anew.
    pub(crate) fn idle_ms(&self, now_ms: u64) -> u64 {
        let used_at = self.used_at.load(Ordering::Relaxed);
        if used_at > now_ms {
            self.used(now_ms);
        }
        now_ms.saturating_sub(used_at)
    }

    /// Holds it for as long as it is used: it is not put away meanwhile, and idle only from then.
    /// To be taken before `life::ensure_running`, which does not know how long.
    pub(crate) fn in_use(self: &Arc<Self>, clock: &Clock) -> Hold {
        self.used(clock.now_ms());
        self.hold(Some(clock.clone()))
    }

    /// The same for the time of an answer that is no use of it: it is not paused half-way.
    pub(crate) fn being_read(self: &Arc<Self>) -> Hold {
        self.hold(None)
    }

    fn hold(self: &Arc<Self>, clock: Option<Clock>) -> Hold {
        self.held.fetch_add(1, Ordering::SeqCst);
        self.held_changed.notify_waiters();
        Hold { machine: Arc::clone(self), clock }
    }

    /// Whether anybody holds it.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::SeqCst) > 0
    }

    /// Resolves when somebody holds it, or when nobody does.
    pub(super) async fn until_held(&self, is_held: bool) {
        loop {
            let changed = self.held_changed.notified();
            tokio::pin!(changed);
            // Listen first: nobody comes in between unheard.
            changed.as_mut().enable();
            if self.is_held() == is_held {
                return;
            }
            changed.await;
        }
    }
}

/// A machine that is used or read; see [`Machine::in_use`].
#[derive(Debug)]
pub(crate) struct Hold {
    machine: Arc<Machine>,
    clock: Option<Clock>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(clock) = &self.clock {
            self.machine.used(clock.now_ms());
        }
        if self.machine.held.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.machine.held_changed.notify_waiters();
        }
    }
}

/// See [`Machine::end`].
pub(crate) struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Arc<Machine> {
        let machine = Machine::new(ProjectId::random(), MachineState::Running, None);
        Arc::new(machine)
    }

    #[test]
    fn it_is_idle_from_the_end_of_its_use_and_reading_is_none() {
        let now = Arc::new(AtomicU64::new(1_000));
        let clock = {
            let now = Arc::clone(&now);
            Clock::new(move || now.load(Ordering::Relaxed))
        };
        let machine = machine();
        let hold = machine.in_use(&clock);
        now.store(9_000, Ordering::Relaxed);
        assert!(machine.is_held());
        drop(hold);
        assert_eq!((machine.is_held(), machine.idle_ms(9_500)), (false, 500));
        let reading = machine.being_read();
        assert!(machine.is_held());
        drop(reading);
        assert_eq!((machine.is_held(), machine.idle_ms(9_700)), (false, 700));
        // Set back by an hour, then on again.
        assert_eq!((machine.idle_ms(100), machine.idle_ms(150)), (0, 50));
    }

    #[test]
    fn one_that_goes_away_answers_nobody_and_a_paused_one_neither() {
        let machine = machine();
        assert!(machine.answers());
        let ending = machine.end();
        assert!(!machine.answers() && machine.runs());
        machine.view().state = MachineState::Frozen;
        drop(ending);
        assert!(!machine.answers() && machine.runs());
    }
}
