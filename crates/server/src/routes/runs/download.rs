//! `GET /v1/projects/{id}/runs/{run}/download.zip`: what the project's folder held at the run's end.

use super::named::{Named, find};
use crate::{
    api_error::{ApiError, Code},
    envelope::Path,
    project::{OfProject, Viewer},
    runs::{ArtifactError, WORKSPACE, is_too_large},
    state::App,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use toft_model::run::RunStatus;
use toft_store::Run;

/// The last events of a run: what became of its workspace is told right before its end.
const LAST_EVENTS: u32 = 2;
/// They are small.
const LAST_BYTES: usize = 1 << 20;

/// `GET /v1/projects/{id}/runs/{run}/download.zip`.
pub(crate) async fn download(
    State(app): State<App>,
    of: OfProject<Viewer>,
    Path(named): Path<Named>,
) -> Result<Response, ApiError> {
    let run = find(&app, &of.project, &named).await?;
    let Some(kept) = app.store.artifact(&run.id, WORKSPACE).await? else {
        return Err(why_none(&app, &run).await?);
    };
    if kept.size > app.runs.settings.archive_bytes_max {
        return Err(too_large());
    }
    let found = app.runs.artifacts.get(&kept.path).await.map_err(|error| match error {
        // A folder is its own server's.
        ArtifactError::Gone => of
            .machine
            .here()
            .err()
            .unwrap_or_else(|| none("the workspace of this run is not kept any more")),
        error => ApiError::internal("reading an artifact", &error),
    })?;
    let mut answer = Response::new(Body::from_stream(found.bytes));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(found.size));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let name = format!("attachment; filename=\"run-{}-workspace.zip\"", run.id);
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(answer)
}

fn none(why: &str) -> ApiError {
    ApiError::new(Code::Unavailable, why)
}

fn too_large() -> ApiError {
    ApiError::new(
        Code::PayloadTooLarge,
        "the workspace is larger than may be downloaded: have what can be made anew ignored, or set ZIP_MAX_BYTES and \
         ZIP_MAX_FILES",
    )
}

/// Why no workspace of it is kept.
async fn why_none(app: &App, run: &Run) -> Result<ApiError, ApiError> {
    Ok(match run.state.status {
        RunStatus::Queued | RunStatus::Running => {
            none("the run is not over: its workspace is kept at its end")
        }
        RunStatus::Completed => {
            let after = run.last_seq.saturating_sub(LAST_EVENTS.into());
            let last = app.store.run_events(&run.id, after, LAST_EVENTS, LAST_BYTES).await?;
            if last.iter().any(|told| is_too_large(&told.event)) {
                too_large()
            } else {
                none(
                    "the workspace of this run could not be kept, or is not any more: its events say which",
                )
            }
        }
        RunStatus::Error | RunStatus::Cancelled => {
            none("the run did not complete: only of those that do the workspace is kept")
        }
    })
}
