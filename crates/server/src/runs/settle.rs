//! Runs that a machine works on and that are over by the word of the store: they were ended while their machine stood
//! still, or before their bridge was heard. Looked for whenever a bridge begins to be followed, and behind each run
//! that was cancelled on its way to one.

use crate::{machines::Machine, state::App};
use axum::body::Body;
use http::{Request, header};
use serde::Deserialize;
use serde_json::json;
use toft_model::run::RunNow;

#[derive(Deserialize)]
struct Listed {
    data: Runs,
}

#[derive(Deserialize)]
struct Runs {
    runs: Vec<RunNow>,
}

/// Ends what nobody wants any more.
pub(crate) async fn settle(app: &App, machine: &Machine) {
    let listed = match app.bridge.get_json(&machine.id, "/toft/runs").await {
        Ok(listed) => serde_json::from_value::<Listed>(listed),
        // An older bridge knows no runs.
        Err(error) => {
            tracing::debug!(project.id = %machine.id, %error, "its runs are not known");
            return;
        }
    };
    let Ok(Listed { data: Runs { runs } }) = listed else { return };
    for now in runs.into_iter().filter(|now| now.status.is_none()) {
        match app.store.run(&machine.id, &now.id).await {
            Ok(Some(run)) if !run.state.status.is_over() => continue,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(project.id = %machine.id, %error, "whether a run is over is not known");
                continue;
            }
        }
        let request = Request::post(format!("/toft/runs/{}/cancel", now.id))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(json!({ "fence": now.fence }).to_string()));
        let Ok(request) = request else { continue };
        match app.bridge.send(&machine.id, request).await {
            Ok(answer) if answer.status().is_success() => {
                tracing::info!(run.id = %now.id, "a run that is over was ended in its machine");
            }
            Ok(answer) => {
                tracing::warn!(run.id = %now.id, status = %answer.status(), "a run that is over goes on");
            }
            Err(error) => tracing::warn!(run.id = %now.id, %error, "a run that is over goes on"),
        }
    }
}
