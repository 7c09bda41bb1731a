//! `GET /v1/doctor`: what this host can enforce, and whether traces go out.

use crate::{
    api_error::ApiError, auth::caller::Caller, envelope::Data, machines::settings, state::App,
};
use axum::extract::State;
use serde_json::{Value, json};
use toft_store::Role;

pub(crate) async fn get(State(app): State<App>, caller: Caller) -> Result<Data<Value>, ApiError> {
    caller.require(Role::Member)?;
    Ok(Data(json!({
        "abilities": settings::abilities(&app).await,
        "version": app.version,
        "dataDir": app.data_dir,
        "storage": app.backend.storage(),
        "database": app.store.describe(),
        "traces": app.traces.report(),
    })))
}
