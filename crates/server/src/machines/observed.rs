//! What the host sees of a machine, told to its bridge, which numbers it. Kept until the bridge has
//! taken it, so nothing is lost while the machine is paused, cold or its bridge restarts. Never
//! wakes a machine.

use super::Machine;
use crate::{bridge_client::BridgeError, secrets, state::App};
use axum::body::Body;
use http::{Request, header};
use std::{sync::Arc, time::Duration};
use toft_model::{
    event::{LimitHit, Observed, Told},
    id::ProjectId,
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::timeout,
};

/// What a bridge may take for one; right after a start it is still loading.
const TELL_TIMEOUT: Duration = Duration::from_secs(30);

/// Tells a machine's bridge what was seen, now or when the machine runs next.
pub(crate) async fn tell(app: &App, machine: &Arc<Machine>, what: Observed) {
    tell_as(app, machine, ProjectId::random().as_str(), what).await;
}

/// The same under an id of the caller's: told again under it, it is one event.
pub(crate) async fn tell_as(app: &App, machine: &Arc<Machine>, id: &str, what: Observed) {
    let told = Told { id: id.to_owned(), what };
    let now = app.clock.now_ms();
    if let Err(error) = app.store.add_observed(&machine.id, &told, now).await {
        tracing::warn!(project.id = %machine.id, %error, "what was seen was not kept");
        return;
    }
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    let ends = app.stop.token().clone();
    app.tasks.spawn(async move {
        ends.run_until_cancelled(deliver(&app2, &machine)).await;
    });
}

/// Hands the bridge what waits, in order. What it does not take stays for the next time.
pub(super) async fn deliver(app: &App, machine: &Arc<Machine>) {
    let _one_at_a_time = machine.telling.lock().await;
    // Not paused in the middle of it.
    let _hold = machine.being_read();
    let waiting = match app.store.observed(&machine.id).await {
        Ok(waiting) => waiting,
        Err(error) => {
            tracing::warn!(project.id = %machine.id, %error, "what was seen cannot be read");
            return;
        }
    };
    for told in waiting {
        if !machine.answers() {
            return;
        }
        match timeout(TELL_TIMEOUT, post(app, machine, &told)).await {
            Ok(Ok(())) => {}
            // It will never take this one.
            Ok(Err(BridgeError::Status(400 | 413 | 422))) => {
                tracing::warn!(project.id = %machine.id, "the bridge refused what was seen");
            }
            Ok(Err(error)) => {
                tracing::debug!(project.id = %machine.id, %error, "the bridge is told later");
                return;
            }
            Err(_) => return,
        }
        if let Err(error) = app.store.drop_observed(&machine.id, &told.id).await {
            tracing::warn!(project.id = %machine.id, %error, "it will be told again");
            return;
        }
    }
}

async fn post(app: &App, machine: &Machine, told: &Told) -> Result<(), BridgeError> {
    let body = serde_json::to_vec(told).map_err(|e| BridgeError::Broken(e.to_string()))?;
    let request = Request::post("/toft/observed")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .map_err(|e| BridgeError::Broken(e.to_string()))?;
    let answer = app.bridge.send(&machine.id, request).await?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(BridgeError::Status(status.as_u16())) }
}

/// A command line may hold the value of a secret: its name stands there in what is told.
async fn name_secrets(app: &App, project: &ProjectId, hit: &mut LimitHit) {
    match secrets::mask(app, project).await {
        Ok(mask) => {
            hit.message = mask.text(&hit.message).into_owned();
            hit.command = hit.command.take().map(|command| mask.text(&command).into_owned());
        }
        Err(error) => {
            tracing::warn!(project.id = %project, error = error.message, "a command is not told");
            hit.command = None;
        }
    }
}

/// Passes on which limits are reached, until the server ends. `hits`: asked for before machines are
/// adopted, which tells what happened while no server was there.
pub(crate) async fn watch_limits(app: App, mut hits: Receiver<(ProjectId, LimitHit)>) {
    let ends = app.stop.token().clone();
    loop {
        let hit = tokio::select! {
            () = ends.cancelled() => return,
            hit = hits.recv() => hit,
        };
        match hit {
            Ok((project, mut hit)) => {
                if let Some(machine) = app.machines.get(&project) {
                    name_secrets(&app, &project, &mut hit).await;
                    tell(&app, &machine, Observed::Limit(hit)).await;
                }
            }
            Err(RecvError::Lagged(lost)) => {
                tracing::warn!(lost, "limits were reached faster than they can be told");
            }
            // This backend sees none.
            Err(RecvError::Closed) => return,
        }
    }
}
