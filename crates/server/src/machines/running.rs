//! What the server does for a machine that runs: follow its bridge, give the gateway its listeners, write
//! down why it does. Not its start or end.

use super::{Machine, egress, log_room, tailer};
use crate::state::App;
use std::sync::Arc;
use toft_machine::backend::Running;
use toft_model::machine::MachineState;
use toft_store::Wake;
use tokio_util::sync::CancellationToken;

/// A machine runs.
pub(super) fn on_running(app: &App, machine: &Arc<Machine>, running: Running) {
    {
        let mut view = machine.view();
        if !running.adopted {
            // What was under way when the processes went is not.
            view.statuses.clear();
        }
        view.state = MachineState::Running;
        view.reason = None;
        view.started_at = Some(running.started_at);
        view.frozen_at = None;
        view.lists = None;
    }
    machine.used(app.clock.now_ms());
    follow(app, machine);
    tell_gateway(app, machine, running);
}

/// Follows its bridge, and what its log folder takes, until it is paused or ended. A server that ends leaves the machine and stops
/// following.
pub(super) fn follow(app: &App, machine: &Arc<Machine>) {
    let following = CancellationToken::new();
    if let Some(old) = machine.view().following.replace(following.clone()) {
        old.cancel();
    }
    let ends = app.stop.token().clone();
    let (a, m, f) = (app.clone(), Arc::clone(machine), following.clone());
    app.tasks.spawn(ends.clone().run_until_cancelled_owned(async move {
        tailer::keep_snapshots(a, m, f).await;
    }));
    let (a, m, f) = (app.clone(), Arc::clone(machine), following.clone());
    app.tasks.spawn(ends.clone().run_until_cancelled_owned(async move {
        let filling = log_room::until_past(&a, &m.id, || m.log_bytes_max());
        if let Some(past) = f.run_until_cancelled(filling).await {
            log_room::end_past(&a, &m, past).await;
        }
    }));
    let (a, m) = (app.clone(), Arc::clone(machine));
    app.tasks.spawn(async move {
        let cancel = following.clone();
        let follow = tailer::follow(a, m, following);
        tokio::pin!(follow);
        tokio::select! {
            () = &mut follow => return,
            () = ends.cancelled() => cancel.cancel(),
        }
        follow.await;
    });
}

/// Gives the gateway its listeners.
pub(super) fn tell_gateway(app: &App, machine: &Arc<Machine>, running: Running) {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    app.tasks.spawn(async move { egress::hand_over(&app2, &machine, running).await });
}

/// Writes down why a machine was started or went on.
pub(super) async fn record_wake(app: &App, machine: &Machine, cause: &str, was: MachineState) {
    let wake = Wake { at: app.clock.now_ms(), cause: cause.to_owned(), was: Some(was) };
    if let Err(error) = app.store.add_wake(&machine.id, &wake).await {
        tracing::warn!(project.id = %machine.id, %error, "a wake was not written down");
    }
}
