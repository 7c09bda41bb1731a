//! Pausing a machine, or letting it go on, because a person or a program asked for it: wishes are
//! carried out one after the other, and the last one counts (`wishes`).

use super::{
    CHANGING, Machine, life,
    pause::{self, By},
};
use crate::{
    api_error::{ApiError, Code},
    state::App,
    tasks::finish,
};
use std::{sync::Arc, time::Duration};
use toft_model::machine::MachineState;
use tokio::time::timeout;

/// How long a person's wish waits for answers that are just being given; a program may run for hours.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(2);

/// Pauses a machine because somebody asked for it. What comes until it stands still is let through first,
/// for a while. Those who ask at once share one pause; one that somebody takes back meanwhile is over.
pub(crate) async fn freeze(app: &App, machine: &Arc<Machine>) -> Result<(), ApiError> {
    pause::can_freeze(app, machine)?;
    let wish = machine.wishes.pause();
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    finish(&app.tasks, CHANGING, async move {
        let _turn = machine.wishes.turn().await;
        if machine.wishes.is_settled(wish) {
            return Ok(());
        }
        if machine.answers() {
            // It still takes requests meanwhile, so nobody waits behind this.
            tokio::select! {
                _ = timeout(LAST_ANSWERS_TIMEOUT, machine.until_held(false)) => {}
                () = machine.wishes.taken_back(wish) => return Ok(()),
            }
        }
        let life = machine.lock_life().await;
        match machine.state() {
            MachineState::Frozen => {
                machine.wishes.paused(wish);
                Ok(())
            }
            MachineState::Running => {
                let by = By::Person(wish);
                pause::freeze_locked(&app2, &machine, by, &life).await.map(|_| ())
            }
            MachineState::Creating
            | MachineState::Cold
            | MachineState::Stopped
            | MachineState::Error
            | MachineState::Destroyed => Err(ApiError::new(
                Code::Unavailable,
                "the machine does not run, so there is nothing to pause: wake it first",
            )),
        }
    })
    .await
}

/// Lets a paused machine go on because somebody asked for it, also one that is just being paused. One
/// that is not paused stays as it is.
pub(crate) async fn thaw(app: &App, machine: &Arc<Machine>) -> Result<(), ApiError> {
    let wish = machine.wishes.go_on();
    let _turn = machine.wishes.turn().await;
    if machine.wishes.is_settled(wish) {
        // Somebody who asked for the contrary after this was quicker.
        return Ok(());
    }
    if machine.is_ending() {
        // By the rule: it is through, or given up.
        drop(machine.lock_life().await);
    }
    if machine.state() != MachineState::Frozen {
        return Ok(());
    }
    life::ensure_running(app, machine, "asked to go on").await
}
