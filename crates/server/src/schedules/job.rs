//! A firing that somebody works on: what its work needs, whether it runs a command or says a prompt.
//! Every step is in the store before what it names is done.

use super::judge;
use crate::{
    api_error::ApiError,
    machines::{Machine, life},
    state::App,
};
use std::{sync::Arc, time::Duration};
use toft_store::{Firing, Schedule, StoreError};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Pause before a full disk or a locked database is tried again.
const SAVE_PAUSE: Duration = Duration::from_millis(500);

/// A firing that somebody works on.
pub(super) struct Job {
    pub(super) app: App,
    pub(super) machine: Arc<Machine>,
    pub(super) schedule: Schedule,
    pub(super) firing: Firing,
    /// Its schedule was deleted.
    pub(super) gone: CancellationToken,
    /// The next one of its schedule takes its place.
    pub(super) replaced: CancellationToken,
    /// Whether an earlier server began it.
    pub(super) resumed: bool,
}

/// How a firing ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// As it should, with something to remark or not.
    Well(Option<String>),
    /// It did not run, or not to its end.
    Failed(String),
    /// It was not started.
    Skipped(String),
    /// Nobody wants to know: schedule or project are gone.
    Gone,
}

impl Job {
    /// Sees to it that the machine runs and is not paused.
    pub(super) async fn wake(&self) -> Result<(), Ended> {
        self.started().await.map_err(|error| Self::not_started(&error))
    }

    /// The same, with the reason as it came. Few machines are started at once.
    pub(super) async fn started(&self) -> Result<(), ApiError> {
        let _permit = self.app.schedules.starts.acquire().await;
        life::ensure_running(&self.app, &self.machine, &self.cause()).await
    }

    /// Why the machine is woken.
    pub(super) fn cause(&self) -> String {
        format!("schedule {}", self.schedule.name)
    }

    /// What it is to a firing that has not begun that its machine does not run.
    pub(super) fn not_started(error: &ApiError) -> Ended {
        if *error == life::stopped() {
            return Ended::Skipped(judge::STOPPED.into());
        }
        if *error == ApiError::no_project() {
            return Ended::Gone;
        }
        Ended::Failed(format!("the machine could not be started: {}", error.message))
    }

    /// It is known now that it runs: what comes due of its schedule meets it.
    pub(super) fn runs(&self) {
        self.app.schedules.runs(&self.firing.id);
    }

    /// Not to be started any more: the next one took its place.
    pub(super) fn not_replaced(&self) -> Result<(), Ended> {
        if self.replaced.is_cancelled() {
            return Err(Ended::Skipped("the next one was due before it was started".into()));
        }
        Ok(())
    }

    /// It was ended before its end, as its schedule wants it: no failure.
    pub(super) fn replaced() -> Ended {
        Ended::Well(Some("it was ended early, because the next one was due".into()))
    }

    /// Keeps how far it came. Nothing goes on before that; `Gone` when nobody wants to know.
    pub(super) async fn save(&self) -> Result<(), Ended> {
        loop {
            match self.app.store.update_firing(&self.firing).await {
                Ok(true) => return Ok(()),
                Ok(false) | Err(StoreError::Missing { .. }) => return Err(Ended::Gone),
                Err(error) => {
                    tracing::warn!(project.id = %self.schedule.project, %error,
                        "what became of a schedule waits to be stored");
                    sleep(SAVE_PAUSE).await;
                }
            }
        }
    }

    /// When it has taken too long. Measured on the clock that only goes forward; what an earlier
    /// server saw of it, by the wall.
    pub(super) fn deadline(&self) -> Instant {
        let limit = Duration::from_millis(self.schedule.timeout_ms);
        let started = self.firing.started_at.unwrap_or(u64::MAX);
        let ran = Duration::from_millis(self.app.clock.now_ms().saturating_sub(started));
        Instant::now() + limit.saturating_sub(ran)
    }

    pub(super) fn over_time(&self) -> Ended {
        Ended::Failed(format!(
            "it was ended at its time limit of {}",
            judge::span(self.schedule.timeout_ms)
        ))
    }
}
