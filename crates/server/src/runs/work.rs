//! One run from its claim to its end: its machine is woken, the whole order goes to its bridge (`place`, `hand_over`,
//! `attach`), what the bridge tells becomes the run's events (`follow`), and what it leaves is kept (`keep`, `end`). A
//! bridge that knows the run goes on with it, so an owner that takes over prompts nobody twice. What the run does inside
//! its machine is not looked at here.

mod ask;
mod attach;
mod end;
mod follow;
mod hand_over;
mod keep;
mod owned;
mod place;

pub(super) use owned::Work;

use super::{QUEUE_TOPIC, settle::settle_soon, tell, told::Told};
use crate::machines::Machine;
use owned::{Failed, PAUSE_MAX, PAUSE_MIN, Stop};
use serde_json::json;
use std::sync::Arc;
use toft_model::{machine::MachineState, run::Phase};
use toft_store::{Durable, Left};
use tokio::time::sleep;

/// How often a run's server may end over it before it is left alone.
const CRASHES_MAX: u32 = 3;

impl Work {
    /// Until it is over, or somebody else's.
    pub(super) async fn run(mut self) {
        let machine = self.app.machines.get(&self.run.project).unwrap_or_else(|| {
            // Another server has made the project, and no machine for it.
            self.app.machines.put(Machine::new(self.run.project.clone(), MachineState::Cold, None))
        });
        let mut pause = PAUSE_MIN;
        let stopped = loop {
            match self.go(&machine).await {
                Err(Stop::Later) => {
                    tracing::warn!(run.id = %self.run.id, "a run waits for the database");
                    // Also where it was cancelled: its end could not be written.
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                stopped => break stopped,
            }
        };
        match stopped {
            Ok(()) | Err(Stop::Written | Stop::Later) => {}
            Err(Stop::Lost) => settle_soon(&self.app, &machine),
            Err(Stop::Elsewhere) => self.give_back().await,
            Err(Stop::Failed(failed)) => {
                self.fail(failed, Told::default()).await;
                settle_soon(&self.app, &machine);
            }
            Err(Stop::Cancelled) => {
                drop(self.end_cancelled(Told::default()).await);
                settle_soon(&self.app, &machine);
            }
        }
    }

    /// While it began here, its project got a machine on another server: that one goes on with it.
    async fn give_back(&self) {
        let (id, fence) = (&self.run.id, self.run.fence);
        if let Err(error) = self.app.store.give_back_run(id, fence).await {
            tracing::warn!(run.id = %id, %error, "a run goes to another server when its time here is over");
        }
        tell(&*self.app.store, QUEUE_TOPIC).await;
    }

    async fn go(&mut self, machine: &Arc<Machine>) -> Result<(), Stop> {
        if self.run.crashes >= CRASHES_MAX {
            let error = format!(
                "Its server ended {} times over this run before it told anything: it is not tried again.",
                self.run.crashes
            );
            return Err(Stop::Failed(Failed { error, again: false }));
        }
        if self.run.state.attempt == 0 || self.run.state.phase == Phase::Over {
            self.begin().await?;
        }
        self.take_place(machine).await?;
        let now = self.hand_over(machine).await?;
        self.attach(&now).await?;
        self.follow(machine).await
    }

    /// The first try, or another one.
    async fn begin(&mut self) -> Result<(), Stop> {
        let ts = self.now();
        let mut told = Told::default();
        self.begins = true;
        let state = &mut self.run.state;
        state.attempt += 1;
        state.phase = Phase::Plan;
        state.error = None;
        state.started_at.get_or_insert(ts);
        told.status(ts, "running", json!({ "attempt": state.attempt }));
        told.status(ts, "phase_started", json!({ "phase": "plan" }));
        self.write(told, Left::default(), Durable::Soon).await
    }
}
