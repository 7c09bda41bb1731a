//! A run that this server owns, and what every step of the work on it needs: to write it, to read what its machine has
//! told, to wait. Not what any step does.

use crate::{
    api_error::{ApiError, Code},
    runs::{
        Held,
        told::{self, Told, UnderWay},
    },
    state::App,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use toft_model::run::WaitsFor;
use toft_store::{Durable, Left, NewEvent, Run, StoreError, Wrote};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// First pause before something is tried again; doubles up to [`PAUSE_MAX`].
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(50);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often a run is looked at of which nothing is told.
pub(super) const LOOK: Duration = Duration::from_millis(750);
/// Events of the copy that are read at once.
pub(super) const ROWS_MAX: u32 = 512;
pub(super) const BYTES_MAX: usize = 1 << 20;

/// A run that is worked on.
pub(in super::super) struct Work {
    pub(super) app: App,
    pub(super) run: Run,
    pub(super) cancelled: CancellationToken,
    /// This owner began this try, and gave it to no bridge yet.
    pub(super) begins: bool,
    /// See [`Held`].
    rests: Arc<AtomicBool>,
    pub(super) under_way: UnderWay,
}

/// Why work on a run stops here.
pub(super) enum Stop {
    /// It is over, or goes back to the queue: that is written.
    Written,
    /// Another owner has it, or it is gone with its project.
    Lost,
    /// Somebody was told that it is ended: it has no other end any more.
    Cancelled,
    /// Its machine is another server's.
    Elsewhere,
    /// The database does not answer: the same again, from the begin. It costs no try.
    Later,
    /// It failed before its bridge had it.
    Failed(Failed),
}

/// A run that could not be begun, or ended in an error.
pub(super) struct Failed {
    pub(super) error: String,
    /// Whether another try may help.
    pub(super) again: bool,
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        if error == ApiError::no_project() {
            return Self::Lost;
        }
        match error.code {
            Code::OtherHost | Code::WaitingHost => Self::Elsewhere,
            Code::DatabaseUnavailable => Self::Later,
            _ => Self::Failed(Failed { error: error.message, again: true }),
        }
    }
}

impl Work {
    pub(in super::super) fn new(app: App, run: Run, held: &Held) -> Self {
        let (cancelled, rests) = (held.cancelled.clone(), Arc::clone(&held.rests));
        let work =
            Self { app, run, cancelled, begins: false, rests, under_way: UnderWay::default() };
        work.rest();
        work
    }

    /// Says that its machine is stopped, and a person waited for who starts it, or that it is not any more.
    pub(super) async fn waits_for_machine(&mut self, is_stopped: bool) -> Result<(), Stop> {
        let what = match self.run.state.waits_for {
            None | Some(WaitsFor::Provider) if is_stopped => Some(WaitsFor::Machine),
            Some(WaitsFor::Machine) if !is_stopped => None,
            _ => return Ok(()),
        };
        let mut told = Told::default();
        told::waits(&mut told, self.now(), &mut self.run.state, what);
        self.write(told, Left::default(), Durable::Soon).await
    }

    /// Whether it is still this one's, and wanted.
    pub(super) async fn look_at_row(&self) -> Result<(), Stop> {
        match self.app.store.run(&self.run.project, &self.run.id).await {
            Ok(None) => return Err(Stop::Lost),
            Ok(Some(run)) if run.fence != self.run.fence => return Err(Stop::Lost),
            Ok(Some(run)) if run.cancel_requested => self.cancelled.cancel(),
            Ok(Some(_)) => {}
            Err(error) => tracing::warn!(run.id = %self.run.id, %error, "a run cannot be read"),
        }
        Ok(())
    }

    /// Others have its place while a person is waited for.
    fn rest(&self) {
        let person = [WaitsFor::Approval, WaitsFor::Answer, WaitsFor::Machine];
        let rests = self.run.state.waits_for.is_some_and(|what| person.contains(&what));
        if !self.rests.swap(rests, Ordering::Relaxed) && rests {
            self.app.runs.queued.notify_one();
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.app.clock.now_ms()
    }

    pub(super) async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            () = self.cancelled.cancelled() => {
                // Not in a loop without a breath.
                sleep(pause.min(PAUSE_MIN)).await;
            }
        }
    }

    /// What the project's machine has told after a number.
    pub(super) async fn copy(&self, after: u64) -> Result<Vec<NewEvent>, Stop> {
        read(self.app.store.events_after(&self.run.project, after, ROWS_MAX, BYTES_MAX).await)
    }

    /// Writes state and events in one transaction, again until the database takes it.
    pub(super) async fn write(
        &mut self,
        told: Told,
        left: Left,
        durable: Durable,
    ) -> Result<(), Stop> {
        let mut pause = PAUSE_MIN;
        loop {
            let now = self.now();
            match self.app.store.write_run(&self.run, &told.0, &left, durable, now).await {
                Ok(wrote @ (Wrote::Done(last) | Wrote::Ending(last))) => {
                    self.run.last_seq = last;
                    if matches!(wrote, Wrote::Ending(_)) {
                        // Wanted between the claim and the moment from which this server hears of it, or told by a
                        // signal that was lost.
                        self.cancelled.cancel();
                    }
                    self.rest();
                    self.app.runs.changed(&*self.app.store, &self.run.id).await;
                    return Ok(());
                }
                Ok(Wrote::Behind(last)) => self.run.last_seq = last,
                Ok(Wrote::Lost) => return Err(Stop::Lost),
                Ok(Wrote::Cancelled) => return Err(Stop::Cancelled),
                Err(error) => {
                    tracing::warn!(run.id = %self.run.id, %error, "a run's events wait to be written");
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
}

/// What was read; what was not says whether the run is still ours.
pub(super) fn read<T>(read: Result<T, StoreError>) -> Result<T, Stop> {
    read.map_err(|error| match error {
        StoreError::Missing { .. } => Stop::Lost,
        error => Stop::from(ApiError::from(error)),
    })
}
