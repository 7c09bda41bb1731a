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
        let _permit = self.app.schedules.starts.acquire().await;
        let cause = format!("schedule {}", self.schedule.name);
        life::ensure_running(&self.app, &self.machine, &cause).await.map_err(|error| {
            if error == life::stopped() {
                return Ended::Skipped(judge::STOPPED.into());
            }
            if error == ApiError::no_project() {
                return Ended::Gone;
            }
            Ended::Failed(format!("the machine could not be started: {}", error.message))
        })
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
