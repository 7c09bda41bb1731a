//! Drives a run from one step to the next until it is over: reads how far it is, does what comes next, writes that
//! down, tells it, and looks again. A task for each run that is not over; it ends with the bridge, and the next one
//! begins where the line of the book is.

use super::{Run, RunRefused, State, commit, found::prompt_of, state::Ending};
use crate::runtime::AgentRuntime;
use futures_util::FutureExt as _;
use std::{panic::AssertUnwindSafe, time::Duration};
use toft_agent::surroundings::Surroundings;
use toft_model::{
    event::EventBody,
    run::{Commit, JobId, Phase, RunStatus, RunStep, WaitsFor},
};
use tokio::time::sleep;

/// Wait before a disk that refused is tried again.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// Faults of ours in one run: one in its work, one while that is ended.
const FAULTS_MAX: usize = 2;

/// Why a run ended by itself.
pub(super) struct Failed {
    pub(super) status: RunStatus,
    pub(super) error: String,
    /// What works for it has to be stopped.
    pub(super) stops: bool,
    /// The answer that failed.
    pub(super) answer: Option<String>,
}

impl Failed {
    /// It cannot go on.
    pub(super) fn error(error: impl Into<String>) -> Self {
        Self { status: RunStatus::Error, error: error.into(), stops: false, answer: None }
    }

    /// A person took it out of its way.
    pub(super) fn cancelled(error: impl Into<String>) -> Self {
        Self { status: RunStatus::Cancelled, ..Self::error(error) }
    }
}

impl From<RunRefused> for Failed {
    fn from(refused: RunRefused) -> Self {
        Self::error(refused.to_string())
    }
}

impl AgentRuntime {
    /// Sees to it that a run goes on.
    pub(super) fn drive(&self, id: &JobId) {
        let Some(me) = self.me.upgrade() else { return };
        if !self.runs.driven().insert(id.clone()) {
            return;
        }
        let id = id.clone();
        // Ends with the run or the runtime.
        tokio::spawn(async move {
            let stop = me.stop.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = me.drive_well(&id) => {}
            }
        });
    }

    async fn drive_well(&self, id: &JobId) {
        for _ in 0..FAULTS_MAX {
            if AssertUnwindSafe(self.drive_on(id)).catch_unwind().await.is_ok() {
                return;
            }
            // Work that ended by a fault of ours must not begin again by itself: it would fail again.
            let why = "The bridge failed in an unexpected way while it drove this run.";
            self.fail(id, Failed { stops: true, ..Failed::error(why) }).await;
        }
        tracing::error!(run.id = %id, "a run cannot be ended, and is left as it is");
        self.runs.driven().remove(id);
    }

    async fn drive_on(&self, id: &JobId) {
        loop {
            if let Some(run) = self.runs.run(id).filter(|run| !run.state.is_over()) {
                self.go(id, &run).await;
                continue;
            }
            let mut driven = self.runs.driven();
            // Unless it was opened again in this moment.
            if self.runs.run(id).is_none_or(|run| run.state.is_over()) {
                driven.remove(id);
                return;
            }
        }
    }

    /// One step.
    async fn go(&self, id: &JobId, run: &Run) {
        let state = &run.state;
        if state.told.is_none() {
            // The conversation is told of before the run that is in it.
            if state.phase != Phase::Over
                && state.ending.is_none()
                && let Err(error) = self.place(state).await
            {
                self.fail(id, Failed::error(error.to_string())).await;
            }
            return self.tell(id, state).await;
        }
        if let Some(ending) = &state.ending {
            return self.close(id, run, ending).await;
        }
        let worked = tokio::select! {
            biased;
            () = self.runs.until(id, |state| state.ending.is_some()) => return,
            worked = self.work(id, run) => worked,
        };
        if let Err(failed) = worked {
            self.fail(id, failed).await;
        }
    }

    async fn work(&self, id: &JobId, run: &Run) -> Result<(), Failed> {
        let Some(order) = &run.order else {
            return Err(Failed::error("What was ordered is not on disk any more."));
        };
        match run.state.phase {
            Phase::Plan | Phase::Build => self.converse(id, run, order).await,
            Phase::Commit => {
                let commit = if order.commit {
                    let Surroundings { shell, secrets, cwd, .. } = &*self.around;
                    // A person's git works in the same folder where there are no walls.
                    let is_alone = !self.boot.path_policy;
                    let began = is_alone.then(commit::machine_began).flatten();
                    commit::make(&**shell, &secrets.mask(), cwd, id, order, began).await
                } else {
                    Commit::Skipped { reason: "disabled".to_owned() }
                };
                let (now, seq) = self.here();
                self.keep(id, move |state| {
                    let (status, phase) = (RunStatus::Completed, Phase::Commit);
                    state.commit = Some(commit.clone());
                    if state.ending.is_none() {
                        state.end(Ending {
                            status,
                            error: None,
                            phase,
                            stops: false,
                            failed: None,
                        });
                        state.step(Phase::Over, now, seq);
                    }
                })
                .await;
                Ok(())
            }
            Phase::Over => Ok(()),
        }
    }

    /// The time, and the log's last number.
    pub(super) fn here(&self) -> (u64, u64) {
        ((self.around.clock)(), self.log.last_seq())
    }

    /// Changes what is kept of a run; on disk when this returns, however long that takes.
    pub(super) async fn keep(
        &self,
        id: &JobId,
        change: impl Fn(&mut State) + Clone + Send + 'static,
    ) {
        loop {
            self.step();
            match self.runs.change(id, change.clone()).await {
                Ok(()) => return self.step(),
                Err(error) => {
                    tracing::warn!(run.id = %id, %error, "a run waits to be written down");
                    sleep(DISK_PAUSE).await;
                }
            }
        }
    }

    async fn fail(&self, id: &JobId, failed: Failed) {
        let Failed { status, error, stops, answer } = failed;
        self.keep(id, move |state| {
            let (error, failed) = (Some(error.clone()), answer.clone());
            let phase = state.phase;
            state.end(Ending { status, error, phase, stops, failed });
        })
        .await;
    }

    /// Tells the step that a run is at.
    async fn tell(&self, id: &JobId, state: &State) {
        while let Err(error) = self.log.check() {
            tracing::warn!(run.id = %id, %error, "a run waits to be told of");
            sleep(DISK_PAUSE).await;
        }
        let ending = state.ending.as_ref().filter(|_| state.phase == Phase::Over);
        let waits = state.waits.filter(|wait| wait.what == WaitsFor::Approval);
        let step = RunStep {
            run_id: id.clone(),
            phase: state.phase,
            waits_for: waits.map(|wait| wait.what),
            plan: match state.phase {
                Phase::Plan | Phase::Build => self.plan_of(state).await,
                Phase::Commit | Phase::Over => None,
            },
            commit: state.commit.clone(),
            status: ending.map(|ending| ending.status),
            error: ending.and_then(|ending| ending.error.clone()),
        };
        let seq = self.log.append(Some(&state.session), EventBody::RunStep(step));
        self.log.sync().await;
        self.keep(id, move |state| state.told = Some(seq)).await;
        if state.phase == Phase::Over {
            // Its output is kept until nobody needs it; mostly there is none.
            let _ = self.around.shell.forget(&commit::program_of(id)).await;
        }
    }

    /// Ends what still works for a run whose end is decided; then it is over.
    async fn close(&self, id: &JobId, run: &Run, ending: &Ending) {
        let state = &run.state;
        let prompt = prompt_of(id);
        let talks = matches!(state.phase, Phase::Plan | Phase::Build);
        // Before its prompt something else may work there.
        let is_said = talks && self.is_said(state, &prompt).await;
        let mut failed = ending.failed.clone();
        // What may be tried again keeps the plan that it has.
        let asks = state.waits.is_some_and(|wait| wait.what == WaitsFor::Approval);
        let is_wanted = ending.status == RunStatus::Error && !asks;
        let plans = is_said && state.phase == Phase::Plan && !is_wanted;
        if plans {
            // First: whoever approves it from now on is refused, and what was approved before is stopped.
            self.withdraw(state).await;
        }
        if ending.stops && is_said {
            self.stop_work(state).await;
            failed = self.failed_answer(state).await;
        }
        if ending.stops && state.phase == Phase::Commit {
            commit::stop(&*self.around.shell, id).await;
        }
        if plans {
            self.withdraw(state).await;
        }
        let (now, seq) = self.here();
        self.keep(id, move |state| {
            if let Some(ending) = &mut state.ending {
                ending.failed.clone_from(&failed);
            }
            state.step(Phase::Over, now, seq);
        })
        .await;
    }
}
