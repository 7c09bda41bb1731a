//! Machines whose processes are gone: looking whether they are, and what is kept of them then.

use super::{CHANGING, Machine, cold_log};
use crate::{state::App, tasks::finish};
use std::{sync::Arc, time::Duration};
use toft_model::machine::MachineState;
use toft_store::{StoreError, Wanted};
use tokio::time::timeout;

/// Looking whether a machine runs.
pub(super) const ADOPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a machine is cold whose processes went without our doing. Kept with the project until it is
/// started again.
pub(super) const ENDED_FROM_OUTSIDE: &str = "the machine's first process was ended from outside \
    (a kill -9, or the host was short of memory). Its files are as they were: the next request \
    starts it again";

/// Why a machine is found ended that ran, when the server died while it went back. The next server
/// starts it, with this as the cause: with the files of before or of the checkpoint, whichever it had
/// come to.
pub(crate) const CUT_SHORT: &str = "the server ended while the project went back to a checkpoint";

/// Looks whether a machine that does not answer is gone; if so it is cold now.
pub(crate) async fn check(app: &App, machine: &Arc<Machine>) -> bool {
    let gone = || async {
        matches!(timeout(ADOPT_TIMEOUT, app.backend.adopt(&machine.id)).await, Ok(Ok(None)))
    };
    if !gone().await {
        return false;
    }
    let (app2, machine2) = (app.clone(), Arc::clone(machine));
    let work = async move {
        let _life = machine2.lock_life().await;
        // Somebody else may have stopped or started it meanwhile.
        if machine2.runs()
            && matches!(
                timeout(ADOPT_TIMEOUT, app2.backend.adopt(&machine2.id)).await,
                Ok(Ok(None))
            )
        {
            ended_from_outside(&app2, &machine2).await;
        }
        Ok(!machine2.runs())
    };
    finish(&app.tasks, CHANGING, work).await.unwrap_or(false)
}

/// Settles a machine whose processes went without our doing. The caller holds its life.
pub(super) async fn ended_from_outside(app: &App, machine: &Arc<Machine>) {
    tracing::warn!(project.id = %machine.id, "the machine's processes are gone");
    let (state, reason) = match keep_reason(app, machine).await {
        Ok(Wanted::Stopped) => (MachineState::Stopped, None),
        Ok(Wanted::Running) => (MachineState::Cold, Some(ENDED_FROM_OUTSIDE)),
        Err(error) => {
            tracing::warn!(project.id = %machine.id, %error, "the reason was not kept");
            (MachineState::Cold, Some(ENDED_FROM_OUTSIDE))
        }
    };
    no_longer_runs(app, machine, state, reason).await;
}

/// Writes down why a machine is gone that was to run, for a later server. What was wanted of it.
async fn keep_reason(app: &App, machine: &Machine) -> Result<Wanted, StoreError> {
    let project = app.store.project(machine.id.as_str()).await?;
    let wanted = project.map_or(Wanted::Stopped, |project| project.wanted);
    if wanted == Wanted::Running {
        let now = app.clock.now_ms();
        app.store.set_wanted(&machine.id, wanted, Some(ENDED_FROM_OUTSIDE), now).await?;
    }
    Ok(wanted)
}

/// Writes down that a machine's processes are gone, and takes in the last of what it wrote. The caller
/// holds its life.
pub(super) async fn no_longer_runs(
    app: &App,
    machine: &Machine,
    state: MachineState,
    reason: Option<&str>,
) {
    {
        let mut view = machine.view();
        view.state = state;
        view.reason = reason.map(str::to_owned);
        view.started_at = None;
        view.frozen_at = None;
        view.lists = None;
        if let Some(following) = view.following.take() {
            following.cancel();
        }
    }
    app.gateway.remove_machine(&machine.id).await;
    cold_log::catch_up(app, machine).await;
}
