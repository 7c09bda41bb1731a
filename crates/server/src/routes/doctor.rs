//! `GET /v1/doctor`: what this host can enforce, and whether traces go out.

use crate::{
    api_error::ApiError, auth::caller::Caller, envelope::Data, machines::settings, state::App,
    traces,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::PathBuf;
use toft_model::machine::Ability;
use toft_store::Role;

/// What this host can enforce.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Doctor")]
pub(crate) struct Report {
    abilities: Vec<Ability>,
    version: String,
    /// The server's own folder.
    data_dir: PathBuf,
    storage: String,
    /// Which database it keeps its records in.
    database: String,
    /// Where traces go, and how that goes.
    traces: Vec<traces::Report>,
}

pub(crate) async fn get(State(app): State<App>, caller: Caller) -> Result<Data<Report>, ApiError> {
    caller.require(Role::Member)?;
    Ok(Data(Report {
        abilities: settings::abilities(&app).await,
        version: app.version.clone(),
        data_dir: app.data_dir.clone(),
        storage: app.backend.storage(),
        database: app.store.describe(),
        traces: app.traces.report(),
    }))
}
