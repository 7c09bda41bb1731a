//! Runs that a machine works on and that are over by the word of the store: they were ended while their machine stood
//! still, or before their bridge was heard. Looked for whenever a bridge begins to be followed, and behind each run
//! that ended without a word of one.

use crate::{bridge_client::BridgeError, machines::Machine, state::App};
use axum::body::Body;
use http::{Request, header};
use serde::Deserialize;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use toft_model::run::RunNow;
use tokio::time::sleep;

#[derive(Deserialize)]
struct Listed {
    data: Runs,
}

#[derive(Deserialize)]
struct Runs {
    runs: Vec<RunNow>,
}

/// Before a bridge is asked again that did not answer; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Ends what nobody wants any more, for as long as its machine runs.
pub(crate) async fn settle(app: &App, machine: &Machine) {
    let mut pause = PAUSE_MIN;
    while !is_settled(app, machine).await && machine.answers() {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// The same of a run that this server works on no more, without a word of its bridge: that may have the order all the
/// same, and work on it.
pub(super) fn settle_soon(app: &App, machine: &Arc<Machine>) {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    let ends = app.stop.token().clone();
    let settling = async move { settle(&app2, &machine).await };
    app.tasks.spawn(ends.run_until_cancelled_owned(settling));
}

async fn is_settled(app: &App, machine: &Machine) -> bool {
    let listed = match app.bridge.get_json(&machine.id, "/toft/runs").await {
        Ok(listed) => serde_json::from_value::<Listed>(listed),
        // An older bridge knows no runs.
        Err(BridgeError::Status(404)) => return true,
        Err(error) => {
            tracing::debug!(project.id = %machine.id, %error, "its runs are not known");
            return false;
        }
    };
    let Ok(Listed { data: Runs { runs } }) = listed else { return true };
    let mut all = true;
    for now in runs.into_iter().filter(|now| now.status.is_none()) {
        all &= is_wanted_or_ended(app, machine, &now).await;
    }
    all
}

async fn is_wanted_or_ended(app: &App, machine: &Machine, now: &RunNow) -> bool {
    match app.store.run(&machine.id, &now.id).await {
        Ok(Some(run)) if !run.state.status.is_over() => return true,
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(project.id = %machine.id, %error, "whether a run is over is not known");
            return false;
        }
    }
    let request = Request::post(format!("/toft/runs/{}/cancel", now.id))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(json!({ "fence": now.fence }).to_string()));
    let Ok(request) = request else { return true };
    match app.bridge.send(&machine.id, request).await {
        Ok(answer) if answer.status().is_success() => {
            tracing::info!(run.id = %now.id, "a run that is over was ended in its machine");
            true
        }
        Ok(answer) => {
            tracing::warn!(run.id = %now.id, status = %answer.status(), "a run that is over goes on");
            !answer.status().is_server_error()
        }
        Err(error) => {
            tracing::warn!(run.id = %now.id, %error, "a run that is over goes on");
            false
        }
    }
}
