//! `POST /v1/projects/{id}/preview`: a signed URL that opens a preview.

use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, JsonBody},
    hosts::Label,
    preview::{ENTRY_MS, ENTRY_PATH},
    routes::find,
    state::App,
};
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use toft_model::time::rfc3339;

#[derive(Deserialize)]
pub(crate) struct Wish {
    port: Option<u16>,
}

pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<Wish>,
) -> Result<Data<Value>, ApiError> {
    if body.port == Some(0) {
        return Err(ApiError::invalid("port must be 1 to 65535, or null for the app's port"));
    }
    let (project, _) = find(&app, &id).await?;
    let label = Label { project: project.id, port: body.port }.to_string();
    let ends_at = app.clock.now_ms() + ENTRY_MS;
    let query = app.signer.entry_query(&label, ends_at, caller.session());
    let url = format!("{}{ENTRY_PATH}?{query}", app.hosts.preview_origin(&label));
    Ok(Data(json!({"url": url, "expiresAt": rfc3339(ends_at)})))
}
