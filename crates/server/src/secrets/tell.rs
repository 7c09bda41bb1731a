//! How a machine gets its environment: straight to its init, which keeps it in memory. A machine that
//! rests is told when it starts or goes on, before anybody counts it as running.

use super::brokered;
use crate::{
    api_error::{ApiError, Code},
    machines::Machine,
    state::App,
};
use std::{sync::Arc, time::Duration};
use toft_machine::init_client;
use toft_model::machine::MachineState;
use tokio::{
    sync::MutexGuard,
    time::{sleep, timeout},
};

/// Init answers at once; a machine that is paused in the middle of it does not.
const TELL_TIMEOUT: Duration = Duration::from_secs(5);
/// When a running machine could not be told: waits before the next tries.
const AGAIN: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_mins(1),
];

/// Tells a machine that starts. The turn is held until it counts as running.
pub(crate) async fn first<'a>(
    app: &App,
    machine: &'a Machine,
) -> Result<MutexGuard<'a, ()>, ApiError> {
    let turn = machine.told.turn.lock().await;
    Box::pin(send(app, machine)).await?;
    Ok(turn)
}

/// Tells a machine that goes on, or that an earlier server started. It works with what it has when
/// that fails, and is told later.
pub(crate) async fn again<'a>(app: &App, machine: &'a Arc<Machine>) -> MutexGuard<'a, ()> {
    let turn = machine.told.turn.lock().await;
    if let Err(error) = Box::pin(send(app, machine)).await {
        tracing::warn!(project.id = %machine.id, error = error.message,
            "the machine has older secrets");
        later(app, machine);
    }
    turn
}

/// Tells a machine that runs what has changed. Never wakes one.
pub(crate) async fn changed(app: &App, machine: &Arc<Machine>) {
    // Not paused in the middle of it.
    let _hold = machine.being_read();
    let _turn = machine.told.turn.lock().await;
    if !machine.answers() {
        // Requests that it has under way are the gateway's.
        let told = brokered::tell(app, machine).await;
        // On its way to standing still it may yet be let go on.
        if machine.runs() || told.is_err() {
            later(app, machine);
        }
        return;
    }
    if let Err(error) = Box::pin(both(app, machine)).await {
        tracing::warn!(project.id = %machine.id, error = error.message,
            "the machine was not told of a secret");
        later(app, machine);
    }
}

/// Tells the gateway of another value for a placeholder that the machine has.
pub(crate) async fn renewed(app: &App, machine: &Arc<Machine>) {
    let _turn = machine.told.turn.lock().await;
    if let Err(error) = brokered::tell(app, machine).await {
        tracing::warn!(project.id = %machine.id, error = error.message,
            "the gateway was not told of a renewed sign-in");
        later(app, machine);
    }
}

/// Tells the gateway what it puts in, and then the machine: a placeholder that programs have is one that
/// the gateway knows. A machine that starts or is adopted is given to the gateway with all of it. The
/// caller has the turn.
async fn both(app: &App, machine: &Machine) -> Result<(), ApiError> {
    let brokered = brokered::tell(app, machine).await;
    send(app, machine).await?;
    if brokered.is_err() {
        machine.told.set(None);
    }
    brokered
}

/// The caller has the turn.
async fn send(app: &App, machine: &Machine) -> Result<(), ApiError> {
    machine.told.set(None);
    let environment = super::environment(app, &machine.id).await?;
    let telling = async {
        let stream = app.backend.connect_init(&machine.id).await?;
        init_client::set_environment(stream, &environment).await.map_err(|error| {
            ApiError::new(
                Code::MachineError,
                format!("its secrets could not be handed to the machine: {error}. Restart it"),
            )
        })
    };
    match timeout(TELL_TIMEOUT, telling).await {
        Ok(done) => done?,
        Err(_) => {
            return Err(ApiError::new(
                Code::MachineError,
                "the machine did not take its secrets in time: try again, or restart it",
            ));
        }
    }
    machine.told.set(Some(environment.revision));
    Ok(())
}

/// Tries again for as long as it runs with something older. One that stops is told at its next start.
fn later(app: &App, machine: &Arc<Machine>) {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    let ends = app.stop.token().clone();
    app.tasks.spawn(ends.run_until_cancelled_owned(async move {
        for wait in AGAIN {
            sleep(wait).await;
            let _hold = machine.being_read();
            let _turn = machine.told.turn.lock().await;
            let is_told = if machine.answers() {
                both(&app2, &machine).await.is_ok()
            } else {
                let gateway = brokered::tell(&app2, &machine).await;
                gateway.is_ok() && machine.state() != MachineState::Running
            };
            if is_told {
                return;
            }
        }
    }));
}
