//! `GET /v1/projects/{id}/disk`: what a project takes on disk.

use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, Path},
    routes::find,
    state::App,
};
use axum::extract::State;
use toft_model::machine::DiskUse;

/// `GET …/disk`. Reading it wakes nothing.
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path(id): Path<String>,
) -> Result<Data<DiskUse>, ApiError> {
    let (project, _) = find(&app, &id).await?;
    Ok(Data(app.backend.disk(&project.id).await?))
}
