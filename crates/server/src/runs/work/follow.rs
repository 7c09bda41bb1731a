//! A run while its bridge has it: what its project tells becomes its events, and who wants it ended is heard.

use super::owned::{LOOK, PAUSE_MAX, PAUSE_MIN, Stop, Work};
use crate::{
    machines::{Machine, life},
    runs::told::{self, Told},
};
use http::{Method, StatusCode};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use toft_model::{id::SessionId, machine::MachineState, run::RunStep};
use toft_store::{Durable, Left, NewEvent};
use tokio::time::{Instant, sleep, sleep_until};

/// Events that come within this are written together.
const GATHER: Duration = Duration::from_millis(5);

impl Work {
    /// Makes the project's events into the run's until it is over.
    pub(super) async fn follow(&mut self, machine: &Arc<Machine>) -> Result<(), Stop> {
        let mut bursts = machine.feed.subscribe();
        let mut asked_to_end = false;
        let mut looked = Instant::now();
        loop {
            let events = match self.copy(self.run.state.taken_seq).await {
                Ok(events) => events,
                Err(Stop::Later) => {
                    // The database is away, and the work goes on without it.
                    tracing::warn!(run.id = %self.run.id, "a run cannot be followed");
                    sleep(PAUSE_MAX).await;
                    continue;
                }
                Err(Stop::Failed(failed)) => {
                    tracing::error!(run.id = %self.run.id, failed.error, "a run cannot be followed");
                    sleep(PAUSE_MAX).await;
                    continue;
                }
                Err(lost) => return Err(lost),
            };
            let is_behind = !events.is_empty();
            if self.cancelled.is_cancelled() && !asked_to_end {
                // It may have told more than can be read in a moment, and works on meanwhile. How a machine that does not
                // run ended is among that.
                if !is_behind {
                    asked_to_end = self.cancel(machine).await?;
                    continue;
                }
                if machine.state() == MachineState::Running {
                    asked_to_end = self.ask_to_end(machine).await? == Heard::Yes;
                }
            }
            if is_behind {
                if let Some((step, told)) = self.tell(&events).await? {
                    return self.end(machine, step, told).await;
                }
                if looked.elapsed() >= LOOK {
                    self.look_at_row().await?;
                    looked = Instant::now();
                }
                continue;
            }
            tokio::select! {
                // Lagging is no loss: the store has it.
                _ = bursts.recv() => sleep(GATHER).await,
                () = self.cancelled.cancelled(), if !asked_to_end => {}
                () = sleep_until(looked + LOOK) => {
                    self.look(machine).await?;
                    looked = Instant::now();
                }
            }
        }
    }

    /// Whether it is still this one's, and wanted, and its machine works: nobody is sure to be told of that.
    async fn look(&mut self, machine: &Arc<Machine>) -> Result<(), Stop> {
        self.look_at_row().await?;
        self.waits_for_machine(machine.state() == MachineState::Stopped).await?;
        match machine.state() {
            // What the run does goes on where it was cut.
            MachineState::Cold | MachineState::Error => {
                let cause = format!("run {}", self.run.id);
                if let Err(error) = life::ensure_running(&self.app, machine, &cause).await {
                    tracing::debug!(run.id = %self.run.id, reason = error.message, "a run waits for its machine");
                }
            }
            MachineState::Creating
            | MachineState::Running
            | MachineState::Frozen
            | MachineState::Stopped
            | MachineState::Destroyed => {}
        }
        Ok(())
    }

    /// Writes what these events mean. The run's last step, if it is among them, with what is to be written together
    /// with it.
    async fn tell(&mut self, events: &[NewEvent]) -> Result<Option<(RunStep, Told)>, Stop> {
        let mut told = Told::default();
        for event in events {
            self.run.state.taken_seq = event.seq;
            let session = self.run.state.session.as_ref().map(SessionId::as_str);
            if event.session.as_deref() != session {
                continue;
            }
            let (id, state) = (&self.run.id, &mut self.run.state);
            if let Some(step) = told::tell(&mut told, &mut self.under_way, id, state, event) {
                return Ok(Some((step, told)));
            }
        }
        if !told.0.is_empty() {
            self.write(told, Left::default(), Durable::Soon).await?;
        }
        Ok(None)
    }

    /// Has the bridge end it. Whether it was told: its end is an event.
    async fn cancel(&mut self, machine: &Arc<Machine>) -> Result<bool, Stop> {
        match machine.state() {
            MachineState::Stopped | MachineState::Error | MachineState::Destroyed => {
                // Nothing works for it; what its bridge still knows of it is ended when that starts.
                self.end_cancelled(Told::default()).await?;
                return Err(Stop::Written);
            }
            MachineState::Creating
            | MachineState::Running
            | MachineState::Frozen
            | MachineState::Cold => {}
        }
        match self.ask_to_end(machine).await? {
            Heard::Yes => Ok(true),
            Heard::Unknown => {
                self.end_cancelled(Told::default()).await?;
                Err(Stop::Written)
            }
            Heard::No => {
                sleep(PAUSE_MIN).await;
                Ok(false)
            }
        }
    }

    /// Asks the bridge to end it.
    async fn ask_to_end(&self, machine: &Arc<Machine>) -> Result<Heard, Stop> {
        let hold = machine.in_use(&self.app.clock);
        let cause = format!("cancelling run {}", self.run.id);
        life::ensure_running(&self.app, machine, &cause).await?;
        let path = format!("/toft/runs/{}/cancel", self.run.id);
        let body = json!({ "fence": self.run.fence });
        let answer = self.ask(Method::POST, &path, Some(&body)).await;
        drop(hold);
        match answer {
            Ok((status, _)) if status.is_success() => return Ok(Heard::Yes),
            Ok((StatusCode::CONFLICT, answer)) if answer["code"] == "stale_fence" => {
                return Err(Stop::Lost);
            }
            Ok((StatusCode::NOT_FOUND, _)) => return Ok(Heard::Unknown),
            Ok((status, _)) => {
                tracing::debug!(run.id = %self.run.id, %status, "a run is cancelled again");
            }
            Err(error) => {
                tracing::debug!(run.id = %self.run.id, %error, "a run is cancelled again");
            }
        }
        Ok(Heard::No)
    }
}

/// What a bridge made of the wish to end a run.
#[derive(PartialEq, Eq)]
enum Heard {
    /// Its end is an event.
    Yes,
    /// It knows of none.
    Unknown,
    No,
}
