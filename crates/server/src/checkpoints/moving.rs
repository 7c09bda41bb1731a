//! A project's way to another backend, between two of its runs: a checkpoint where it was, then what is the same on
//! every backend is carried to a new disk, and the project's row says so. From that row on the new disk is the
//! project; before it the old one is. A server that is killed leaves the project wholly on one side, and the next one
//! removes the disk on the other.

use super::{
    delete, reconcile,
    take::{self, Wish},
};
use crate::{
    api_error::{ApiError, Code},
    backends,
    machines::{Machine, life, status::AgentStatus},
    servers,
    state::App,
    tasks::finish,
};
use std::{sync::Arc, time::Duration};
use toft_machine::steps;
use toft_model::{checkpoint::Cause, machine::MachineState};
use toft_store::Durable;
use tokio::time::{Instant, sleep};

/// How long who uses the machine is waited for. After that the run is tried again, with its pauses.
const QUIET_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks whether somebody does.
const LOOK: Duration = Duration::from_millis(200);
/// Where it was cannot be reached: pauses before it is looked at again, each twice as long as the one before. What is
/// left after that, in half a day, the next server removes.
const LEAVE_AGAIN_MIN: Duration = Duration::from_secs(5);
const LEAVE_AGAIN_MAX: Duration = Duration::from_hours(1);
const LEAVE_TRIES: u32 = 20;

/// The backend that a project is of, if it is another than it is to be of, and may be moved.
pub(crate) async fn leaves(
    app: &App,
    machine: &Arc<Machine>,
    backend: &str,
) -> Result<Option<String>, ApiError> {
    machine.here()?;
    machine.settled().await;
    servers::bind(app, machine).await?;
    let from = app.backend.of(&machine.id).name();
    if from == backend {
        return Ok(None);
    }
    backends::is_offered(app, backend)?;
    Ok(Some(from.to_owned()))
}

/// Sees to it that a project is of a backend. Nobody may hold the machine for this.
pub(crate) async fn to(app: &App, machine: &Arc<Machine>, backend: &str) -> Result<(), ApiError> {
    if leaves(app, machine, backend).await?.is_none() {
        return Ok(());
    }
    let until = Instant::now() + QUIET_TIMEOUT;
    while in_use(machine) {
        if Instant::now() >= until {
            return Err(busy(backend));
        }
        sleep(LOOK).await;
    }
    let (app2, machine2, backend) = (app.clone(), Arc::clone(machine), backend.to_owned());
    finish(&app.tasks, "moving the project to another backend failed", async move {
        move_to(&app2, &machine2, &backend).await
    })
    .await
}

/// Whether anybody works in it, or looks at something of it that ends with its processes.
fn in_use(machine: &Machine) -> bool {
    let works = || match machine.view().statuses.of_project() {
        AgentStatus::Working | AgentStatus::Waiting => true,
        AgentStatus::Idle | AgentStatus::Error => false,
    };
    machine.is_held() || (machine.runs() && works())
}

fn busy(backend: &str) -> ApiError {
    ApiError::new(
        Code::Unavailable,
        format!(
            "the project is in use, so it cannot be moved to {backend} now: close its terminals and let its agent come to \
             an end, then ask again"
        ),
    )
}

async fn move_to(app: &App, machine: &Arc<Machine>, to: &str) -> Result<(), ApiError> {
    let _life = machine.lock_life().await;
    let from = app.backend.of(&machine.id).name().to_owned();
    if from == to {
        return Ok(());
    }
    if in_use(machine) {
        return Err(busy(to));
    }
    // One that has no machine yet is moved by its row alone.
    let has_disk = app.backend.is_made(&machine.id).await?;
    if has_disk {
        app.backend.can_carry(&machine.id, to).map_err(|why| {
            ApiError::new(Code::Unavailable, format!("the project cannot be moved to {to}: {why}"))
        })?;
    }
    let turn = reconcile::enter(app, machine).await?;
    // Whoever reads a copy of its disk out had the turn before.
    if in_use(machine) {
        return Err(busy(to));
    }
    if machine.runs() {
        life::end_processes(app, machine, MachineState::Cold).await?;
    }
    let mut before = None;
    if has_disk {
        if app.backend.of(&machine.id).can().checkpoint {
            let label = Some(format!("Before the move to {to}"));
            let wish = Wish { label, ..Wish::of(Cause::Manual) };
            before = Some(take::in_turn(app, machine, wish, &turn).await?);
        }
        if let Err(error) = app.backend.carry(&machine.id, to).await {
            if let Some(before) = &before {
                let dropped = delete::in_turn(app, machine, &before.id, Durable::Soon, &turn).await;
                if let Err(error) = dropped {
                    tracing::debug!(project.id = %machine.id, error = error.message, "it stays until deleted");
                }
            }
            // Half a disk may still be where it was to be.
            leave_later(app, machine);
            return Err(error.into());
        }
        steps::reached("move.carried");
    }
    app.store.move_project(&machine.id, &from, to, app.clock.now_ms()).await?;
    steps::reached("move.recorded");
    app.backend.assign(&machine.id, to).await?;
    machine.shelf.doubt();
    machine.shelf.forget_notice();
    if let Err(error) = app.backend.leave_others(&machine.id).await {
        tracing::warn!(project.id = %machine.id, %error, "the disk that it moved away from stays for a while");
        leave_later(app, machine);
    }
    steps::reached("move.left");
    drop(turn);
    tracing::info!(project.id = %machine.id, from, to, "a project moved to another backend");
    Ok(())
}

/// Removes what lies where a project is not, as soon as that can be reached.
pub(crate) fn leave_later(app: &App, machine: &Arc<Machine>) {
    let ends = app.stop.token().clone();
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    let leaving = async move {
        let mut pause = LEAVE_AGAIN_MIN;
        for _ in 0..LEAVE_TRIES {
            sleep(pause).await;
            pause = (pause * 2).min(LEAVE_AGAIN_MAX);
            // Somebody may be moving it by now.
            let _life = machine.lock_life().await;
            match app2.backend.leave_others(&machine.id).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::info!(project.id = %machine.id, %error, "what it left elsewhere is still there");
                }
            }
        }
    };
    app.tasks.spawn(async move {
        // The next server looks for it at its start.
        ends.run_until_cancelled_owned(leaving).await
    });
}

/// What a project of one backend has that another one's cannot be given, in one word each.
pub(crate) fn left_behind(from: &str, to: &str) -> Vec<&'static str> {
    let is_persons = [from, to].contains(&"host");
    // The home of programs is a person's own there.
    let home = is_persons.then_some("home");
    ["system"].into_iter().chain(home).collect()
}

/// What is said to who wants to go back to a checkpoint that lies elsewhere.
pub(super) fn refused(app: &App, machine: &Machine, then: &str) -> ApiError {
    let now = app.backend.of(&machine.id).name();
    ApiError::new(
        Code::Unavailable,
        format!(
            "this checkpoint was taken while the project was on {then}, and now it is on {now}: fork it, or move the \
             project back by a run with workspaceBackend {then}, and go back to it then"
        ),
    )
}
