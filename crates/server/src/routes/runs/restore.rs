//! `POST /v1/projects/{id}/runs/{run}/restore`: the project as it was before a run.

use super::named::{Named, find};
use crate::{
    api_error::{ApiError, Code},
    checkpoints::{self, reconcile, restore::Way},
    envelope::{Data, JsonBody, Path},
    project::{Member, OfProject},
    routes::checkpoints::{Restored, go_back},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoBack {
    force: Option<bool>,
}

/// `POST /v1/projects/{id}/runs/{run}/restore`: the project as it was before that run.
pub(crate) async fn restore(
    State(app): State<App>,
    OfProject { project, machine, .. }: OfProject<Member>,
    Path(named): Path<Named>,
    JsonBody(body): JsonBody<GoBack>,
) -> Result<Data<Restored>, ApiError> {
    let run = find(&app, &project, &named).await?;
    let none = || {
        ApiError::new(
            Code::NoCheckpoint,
            "no checkpoint was taken before this run (it had not begun, or checkpoints were not taken by themselves), or \
             it was deleted since: choose one of GET …/checkpoints",
        )
    };
    let checkpoint = run.state.checkpoint.as_deref().ok_or_else(none)?;
    reconcile::in_order(&app, &machine).await?;
    let was = checkpoints::find(&*app.store, &machine.id, checkpoint)
        .await
        .map_err(|error| if error.code == Code::NotFound { none() } else { error })?;
    go_back(&app, &machine, was, Way { force: body.force.unwrap_or_default(), place: None }).await
}
