//! The ends of a run: completed, cancelled, failed, or back in the queue for another try.

use super::owned::{Failed, Stop, Work};
use crate::{
    machines::Machine,
    runs::{
        cost::cost,
        shown,
        told::{SEVERAL, Told},
    },
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use toft_model::run::{Phase, RunStatus, RunStep};
use toft_store::{Durable, Left};

impl Work {
    /// The machine has done what it could.
    pub(super) async fn end(
        &mut self,
        machine: &Arc<Machine>,
        step: RunStep,
        mut told: Told,
    ) -> Result<(), Stop> {
        match step.status.unwrap_or(RunStatus::Error) {
            RunStatus::Completed => {
                // Who cancels it until its end is written was told that it is ended.
                let (before, cancelled) = (told.clone(), self.cancelled.clone());
                let artifact = tokio::select! {
                    artifact = self.keep_workspace(machine, &mut told) => artifact,
                    () = cancelled.cancelled() => return self.end_cancelled(before).await,
                };
                let ts = self.now();
                self.over(RunStatus::Completed, ts);
                self.price().await;
                let state = &self.run.state;
                let usage = state.usage;
                let done = json!({
                    "output": state.output, "usage": usage.map(shown::usage_of),
                    "cachedInputTokens": usage.map(|usage| usage.cached_input),
                    "reasoningOutputTokens": usage.map(|usage| usage.reasoning_output),
                    "durationMs": state.duration_ms,
                });
                told.say(ts, "done", &done);
                let path = artifact.as_ref().map(|artifact| artifact.path.clone());
                let left = Left { said: state.output.clone(), artifact };
                let written = self.write(told, left, Durable::Now).await;
                if let Some(path) = path {
                    let is_left = match &written {
                        // Nobody else's has its name.
                        Err(Stop::Lost | Stop::Cancelled) => true,
                        Ok(())
                        | Err(Stop::Written | Stop::Elsewhere | Stop::Later | Stop::Failed(_)) => {
                            false
                        }
                    };
                    if is_left && let Err(error) = self.app.runs.artifacts.remove(&path).await {
                        tracing::warn!(%error, path, "an artifact that nobody knows of stays");
                    }
                }
                if let Err(Stop::Cancelled) = written {
                    return self.end_cancelled(before).await;
                }
                if written.is_ok() {
                    self.drop_old().await;
                }
                written
            }
            RunStatus::Cancelled => self.end_cancelled(told).await,
            RunStatus::Error | RunStatus::Queued | RunStatus::Running => {
                let error = step.error.unwrap_or_else(|| "The agent failed.".into());
                self.fail(Failed { error, again: true }, told).await;
                Ok(())
            }
        }
    }

    pub(super) async fn end_cancelled(&mut self, mut told: Told) -> Result<(), Stop> {
        let ts = self.now();
        self.price().await;
        self.over(RunStatus::Cancelled, ts);
        told.status(ts, "cancelled", json!({}));
        self.write(told, Left::default(), Durable::Now).await
    }

    /// It is tried again after a pause, or has failed.
    pub(super) async fn fail(&mut self, failed: Failed, mut told: Told) {
        if self.cancelled.is_cancelled() {
            // Who wanted it ended was told that it is.
            let _ = self.end_cancelled(told).await;
            return;
        }
        let (ts, before) = (self.now(), told.clone());
        self.price().await;
        let (attempt, max) = (self.run.state.attempt.max(1), self.run.attempts_max);
        let with = json!({ "error": failed.error, "attempts": attempt, "maxAttempts": max });
        if failed.again && attempt < max {
            let pause =
                Duration::from_secs(1 << attempt.min(16)).min(self.app.runs.settings.backoff_max);
            let state = &mut self.run.state;
            state.status = RunStatus::Queued;
            state.phase = Phase::Over;
            state.waits_for = None;
            state.not_before = ts + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            told.status(ts, "attempt_failed", with);
            let with = json!({ "nextAttempt": attempt + 1, "backoffSeconds": pause.as_secs() });
            told.status(ts, "retrying", with);
        } else {
            self.over(RunStatus::Error, ts);
            told.say(ts, "error", &with);
        }
        self.run.state.error = Some(failed.error);
        // One that is lost meanwhile is told by who has it.
        if let Err(Stop::Cancelled) = self.write(told, Left::default(), Durable::Now).await {
            let _ = self.end_cancelled(before).await;
        }
    }

    fn over(&mut self, status: RunStatus, ts: u64) {
        let state = &mut self.run.state;
        state.status = status;
        state.phase = Phase::Over;
        state.waits_for = None;
        state.completed_at = Some(ts);
        state.duration_ms = state.started_at.map(|began| ts.saturating_sub(began));
    }

    /// What it used so far costs as much, if that is known.
    async fn price(&mut self) {
        let state = &mut self.run.state;
        if state.model_source.as_deref() == Some(SEVERAL) {
            state.cost = None;
            return;
        }
        let (Some(usage), Some(provider), Some(model)) =
            (state.usage, &state.provider, &state.model)
        else {
            return;
        };
        match self.app.store.active_price(provider, model).await {
            Ok(price) => state.cost = price.map(|price| cost(usage, &price)),
            Err(error) => {
                tracing::warn!(run.id = %self.run.id, %error, "what a run costs is not known");
            }
        }
    }
}
