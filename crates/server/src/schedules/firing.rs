//! One firing from its record to its end. Every step is in the store before what it names is done,
//! so that a server that finds the record goes on from there: nothing is started twice, and what
//! cannot be known is said.

use super::{
    InHand, command,
    job::{Ended, Job},
    judge, prompt,
};
use crate::{machines::observed, state::App};
use toft_model::{
    event::{Observed, Outcome, ScheduleFired},
    id::ProjectId,
    schedule::{CatchUp, Overlap, Work},
    time::rfc3339,
};
use toft_store::{Firing, Schedule, Step, StoreError, Wanted};
use tokio_util::sync::CancellationToken;

/// Begins to work on a firing, in a task of its own.
pub(super) fn spawn(app: &App, schedule: Schedule, firing: Firing, resumed: bool) {
    let Some(machine) = app.machines.get(&schedule.project) else { return };
    let (gone, replaced) = (CancellationToken::new(), CancellationToken::new());
    // A server that ends leaves it where it is; the next one, or another, goes on.
    let elsewhere = app.stop.token().child_token();
    let id = firing.id.clone();
    let in_hand = InHand {
        schedule: schedule.id.clone(),
        gone: gone.clone(),
        replaced: replaced.clone(),
        elsewhere: elsewhere.clone(),
        unknown: resumed,
    };
    app.schedules.in_hand().insert(id.clone(), in_hand);
    let job = Job { app: app.clone(), machine, schedule, firing, gone, replaced, resumed };
    let app2 = app.clone();
    app.tasks.spawn(async move {
        let ended = elsewhere.run_until_cancelled_owned(job.run()).await;
        if ended.is_some() || !app2.stop.token().is_cancelled() {
            app2.schedules.done(&id);
        }
    });
}

impl Job {
    async fn run(mut self) {
        self.machine.settled().await;
        // Not put away while it goes on.
        let _hold = self.machine.in_use(&self.app.clock);
        let ended = match self.not_any_more() {
            Some(ended) => ended,
            None => match self.firing.work.clone().unwrap_or_else(|| self.schedule.work.clone()) {
                Work::Command { command } => command::run(&mut self, command).await,
                Work::Prompt { prompt, session_id } => {
                    prompt::run(&mut self, prompt, session_id).await
                }
            },
        };
        self.finish(ended).await;
    }

    /// What an earlier server had decided to start may be too old by now.
    fn not_any_more(&mut self) -> Option<Ended> {
        if !self.resumed || self.firing.step != Step::Due || self.firing.by_hand {
            return None;
        }
        let behind_ms = self.app.clock.now_ms().saturating_sub(self.firing.slot);
        if behind_ms <= judge::LATE_AFTER_MS {
            return None;
        }
        if self.schedule.catch_up == CatchUp::None {
            return Some(Ended::Skipped(
                "the server ended before it was started, and this schedule does not catch up"
                    .into(),
            ));
        }
        self.firing.is_late = true;
        self.firing.reason.get_or_insert_with(|| {
            format!(
                "started {} after its time: the server ended before it was started",
                judge::span(behind_ms)
            )
        });
        None
    }

    async fn finish(mut self, ended: Ended) {
        let was_late = self.firing.reason.take();
        let work = self.firing.work.as_ref().unwrap_or(&self.schedule.work);
        let is_kept = self.firing.step == Step::Started && matches!(work, Work::Command { .. });
        let (outcome, reason) = match ended {
            Ended::Gone => return,
            Ended::Well(remark) => {
                let outcome = if self.firing.is_late { Outcome::Late } else { Outcome::Fired };
                (
                    outcome,
                    [was_late, remark].into_iter().flatten().reduce(|a, b| format!("{a}; {b}")),
                )
            }
            Ended::Failed(why) => {
                let why =
                    [was_late, Some(why)].into_iter().flatten().reduce(|a, b| format!("{a}; {b}"));
                (Outcome::Failed, why)
            }
            Ended::Skipped(why) => (Outcome::Skipped, Some(why)),
        };
        self.firing.step = Step::Over;
        self.firing.work = None;
        self.firing.outcome = outcome;
        self.firing.reason = reason;
        self.firing.ended_at = Some(self.app.clock.now_ms());
        // Not in the turn: with a full disk this takes until there is room.
        if self.save().await.is_err() {
            return;
        }
        if is_kept {
            command::forget(&self).await;
        }
        let _turn = self.app.schedules.turn.lock().await;
        tell(&self.app, &self.schedule, &self.firing).await;
        promote(&self.app, &self.schedule).await;
    }
}

/// Marks one that waited as late.
pub(super) fn waited(firing: &mut Firing, now_ms: u64) {
    let behind_ms = now_ms.saturating_sub(firing.slot);
    if behind_ms > judge::LATE_AFTER_MS {
        firing.is_late = true;
        firing.reason.get_or_insert_with(|| {
            format!(
                "started {} after {}: it waited for the end of the one before",
                judge::span(behind_ms),
                rfc3339(firing.slot)
            )
        });
    }
}

/// Starts what is to be started, tells of what is over.
pub(super) async fn begin(app: &App, schedule: &Schedule, firing: Firing) {
    match firing.step {
        Step::Due => spawn(app, schedule.clone(), firing, false),
        Step::Over => tell(app, schedule, &firing).await,
        Step::Waiting => make_room(app, schedule, &firing),
        Step::Asked | Step::Started => {}
    }
}

/// Ends those before one that waits, where it takes their place.
pub(super) fn make_room(app: &App, schedule: &Schedule, waits: &Firing) {
    if schedule.overlap == Overlap::Cancel && waits.step == Step::Waiting {
        app.schedules.replace(&schedule.id);
    }
}

/// Whether a person has stopped the project, or it is gone.
pub(super) async fn is_stopped(app: &App, project: &ProjectId) -> Result<bool, StoreError> {
    let project = app.store.project(project.as_str()).await?;
    Ok(project.is_none_or(|project| project.wanted == Wanted::Stopped))
}

/// Starts those that waited, as many as may run now. The caller has the turn.
pub(super) async fn promote(app: &App, schedule: &Schedule) {
    let look = async {
        let open = app.store.open_firings(&schedule.id).await?;
        let (waiting, running): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|f| f.step == Step::Waiting);
        let now_is = app.store.schedule(&schedule.project, &schedule.id).await?;
        let Some(schedule) = now_is.filter(|_| !waiting.is_empty()) else { return Ok(()) };
        let now = app.clock.now_ms();
        let stopped = is_stopped(app, &schedule.project).await?;
        let most = if schedule.overlap == Overlap::Allow { judge::BESIDE_MAX } else { 1 };
        let mut room = most.saturating_sub(running.len());
        let newest = waiting.last().map(|f| f.id.clone());
        for mut firing in waiting {
            let is_passed =
                schedule.overlap == Overlap::Cancel && Some(&firing.id) != newest.as_ref();
            let no = match (schedule.enabled || firing.by_hand, stopped, is_passed) {
                (false, ..) => Some("the schedule was disabled while it waited"),
                (true, true, _) => Some(judge::STOPPED),
                (true, false, true) => Some("the one after it took its place while it waited"),
                (true, false, false) => None,
            };
            if let Some(why) = no {
                firing.outcome = Outcome::Skipped;
                firing.reason = Some(why.into());
                firing.step = Step::Over;
                firing.work = None;
                firing.ended_at = Some(now);
            } else if room > 0 {
                room -= 1;
                waited(&mut firing, now);
                firing.step = Step::Due;
            } else {
                continue;
            }
            if app.store.update_firing(&firing).await? {
                begin(app, &schedule, firing).await;
            }
        }
        Ok::<_, StoreError>(())
    };
    if let Err(error) = look.await {
        // It is found again by the next end, or the next server.
        tracing::warn!(schedule.id = %schedule.id, %error, "one that waits was not started");
    }
}

/// Puts what became of a firing into the project's event log, and keeps in mind that it is there.
pub(super) async fn tell(app: &App, schedule: &Schedule, firing: &Firing) {
    let Some(machine) = app.machines.get(&schedule.project) else { return };
    let told = ScheduleFired {
        schedule_id: schedule.id.clone(),
        name: schedule.name.clone(),
        slot: firing.slot,
        outcome: firing.outcome,
        reason: firing.reason.clone(),
    };
    tracing::debug!(project.id = %machine.id, schedule.id = %told.schedule_id, firing.id = firing.id,
        outcome = told.outcome.as_str(), "a slot of a schedule");
    // Under the firing's id: told again after a crash it is one event.
    observed::tell_as(app, &machine, &firing.id, Observed::Schedule(told)).await;
    let firing = Firing { told: true, ..firing.clone() };
    if let Err(error) = app.store.update_firing(&firing).await {
        // Told again by the next server, under the same id.
        tracing::warn!(schedule.id = %schedule.id, %error, "what was told was not kept in mind");
    }
}
