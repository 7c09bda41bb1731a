//! `POST /v1/projects/{id}/preview`: a signed URL that opens a preview.

use crate::{
    api_error::ApiError,
    auth::{caller::Caller, pass::Pass},
    envelope::{Data, JsonBody, Path},
    hosts::Label,
    preview::{ENTRY_MS, ENTRY_PATH, listeners, origin::Origin},
    project::find,
    state::App,
};
use axum::{
    extract::State,
    http::{HeaderMap, header},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_model::time::rfc3339;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Wish {
    port: Option<u16>,
}

/// What opens a preview, once.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PreviewEntry")]
pub(crate) struct Entry {
    url: String,
    /// RFC 3339.
    expires_at: String,
}

pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Wish>,
) -> Result<Data<Entry>, ApiError> {
    if body.port == Some(0) {
        return Err(ApiError::invalid("port must be 1 to 65535, or null for the app's port"));
    }
    let (project, _) = find(&app, &id).await?;
    let label = Label { project: project.id, port: body.port };
    let host = headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (origin, base) = if let Some(address) = app.hosts.bare_address(host) {
        let port = listeners::open(&app, &label).await?;
        (Origin::at_port(label, port), format!("http://{address}:{port}"))
    } else {
        let base = app.hosts.preview_origin(&label.to_string());
        (Origin::named(label), base)
    };
    let ends_at = app.clock.now_ms() + ENTRY_MS;
    let pass = Pass::of(&caller).name();
    let query = app.signer.entry_query(&origin.bound_to(), ends_at, pass.as_deref());
    let url = format!("{base}{ENTRY_PATH}?{query}");
    Ok(Data(Entry { url, expires_at: rfc3339(ends_at) }))
}
