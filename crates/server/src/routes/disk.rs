//! `GET /v1/projects/{id}/disk`: what a project takes on disk.

use crate::{
    api_error::ApiError,
    envelope::Data,
    machines::log_room,
    project::{OfProject, Viewer},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;
use toft_model::machine::DiskUse;
use tokio::time::timeout;

/// Somebody looks at the panel: what takes longer is left out.
const SHARED_TIMEOUT: Duration = Duration::from_secs(10);

/// What is counted, and what had to be looked for.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Disk {
    #[serde(flatten)]
    counted: DiskUse,
    shared_bytes: Option<u64>,
    log_bytes: Option<u64>,
}

/// `GET …/disk`. Reading it wakes nothing.
pub(crate) async fn get(
    State(app): State<App>,
    OfProject { project, machine, .. }: OfProject<Viewer>,
) -> Result<Data<Disk>, ApiError> {
    machine.settled().await;
    // Of one that nobody has started yet there is nothing to count.
    let counted = match app.backend.disk(&project.id).await {
        Err(error) if app.backend.is_made(&project.id).await? => return Err(error.into()),
        Err(_) => DiskUse::default(),
        Ok(counted) => counted,
    };
    let shared_bytes = match timeout(SHARED_TIMEOUT, app.backend.shared_bytes(&project.id)).await {
        Ok(Ok(shared)) => shared,
        Ok(Err(error)) => {
            tracing::warn!(project.id = %project.id, %error, "what it shares is not known");
            None
        }
        Err(_) => None,
    };
    let log_bytes = match log_room::taken(&app, &project.id).await {
        Ok(taken) => Some(taken.bytes),
        Err(error) => {
            tracing::warn!(project.id = %project.id, %error, "its log folder cannot be looked at");
            None
        }
    };
    Ok(Data(Disk { counted, shared_bytes, log_bytes }))
}
