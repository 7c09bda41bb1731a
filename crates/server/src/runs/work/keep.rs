//! What a run leaves: the archive of its workspace, kept outside of its machine; those of older runs go.

use super::{
    ask::ANSWER_BYTES_MAX,
    owned::{PAUSE_MIN, Work},
};
use crate::{
    machines::{Machine, life},
    runs::{
        TOO_LARGE, UNKEPT, WORKSPACE,
        artifacts::{ArtifactError, Artifacts},
        told::Told,
    },
};
use axum::body::Body;
use futures_util::TryStreamExt as _;
use http::Request;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Value, json};
use std::{io, sync::Arc, time::Duration};
use toft_store::{Artifact, Run};
use tokio::time::{sleep, timeout};

/// How long keeping a workspace may take.
const ARCHIVE_TIMEOUT: Duration = Duration::from_mins(10);
/// How often it is tried again.
const ARCHIVE_TRIES: u32 = 4;

/// A workspace that is not kept.
struct Unkept {
    error: String,
    /// The bridge's word for it.
    code: Option<String>,
    /// Whether another try may help.
    again: bool,
}

fn is_too_long(error: &io::Error) -> bool {
    error.get_ref().and_then(|error| error.downcast_ref::<LengthLimitError>()).is_some()
}

impl Work {
    /// Keeps what the run left, outside of the machine. Its events say whether that worked.
    pub(super) async fn keep_workspace(
        &mut self,
        machine: &Arc<Machine>,
        told: &mut Told,
    ) -> Option<Artifact> {
        let mut tries = 0;
        loop {
            match timeout(ARCHIVE_TIMEOUT, self.archive(machine)).await {
                Ok(Ok(artifact)) => {
                    let with = json!({
                        "artifactPath": artifact.path, "sizeBytes": artifact.size, "fileCount": artifact.files,
                    });
                    told.status(self.now(), "workspace_snapshot_stored", with);
                    return Some(artifact);
                }
                Ok(Err(Unkept { again: true, .. })) if tries < ARCHIVE_TRIES => {
                    tries += 1;
                    sleep(PAUSE_MIN * 2u32.pow(tries)).await;
                }
                Ok(Err(Unkept { error, code, .. })) => {
                    told.status(self.now(), UNKEPT, json!({ "error": error, "code": code }));
                    return None;
                }
                Err(_) => {
                    let error = format!("it took longer than {} s", ARCHIVE_TIMEOUT.as_secs());
                    told.status(self.now(), UNKEPT, json!({ "error": error, "code": null }));
                    return None;
                }
            }
        }
    }

    async fn archive(&self, machine: &Arc<Machine>) -> Result<Artifact, Unkept> {
        let again = |error: String| Unkept { error, code: None, again: true };
        let hold = machine.in_use(&self.app.clock);
        let cause = format!("the workspace of run {}", self.run.id);
        life::ensure_running(&self.app, machine, &cause).await.map_err(|e| again(e.message))?;
        let settings = &self.app.runs.settings;
        let (bytes, files_max) = (settings.archive_bytes_max, settings.archive_files_max);
        let request =
            Request::get(format!("/toft/files/archive.zip?bytesMax={bytes}&filesMax={files_max}"))
                .body(Body::empty())
                .map_err(|e| again(e.to_string()))?;
        let answer = self.app.bridge.send(&self.run.project, request).await;
        let (parts, body) = answer.map_err(|e| again(e.told()))?.into_parts();
        if !parts.status.is_success() {
            let told = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let told = told.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let told: Value = serde_json::from_slice(&told).unwrap_or_default();
            let error = told["error"].as_str().unwrap_or("the bridge refused it").to_owned();
            let code = told["code"].as_str().map(str::to_owned);
            return Err(Unkept { error, code, again: parts.status.is_server_error() });
        }
        let files = parts.headers.get("x-toft-files");
        let files = files.and_then(|n| n.to_str().ok()?.parse().ok()).unwrap_or(0);
        let Run { project, id, fence, .. } = &self.run;
        let path = Artifacts::workspace(project, id, self.run.state.attempt, *fence);
        // The bridge counts files; many small ones, or such as cannot be made smaller, come to more.
        let body = Limited::new(body, usize::try_from(bytes).unwrap_or(usize::MAX));
        let body = body.into_data_stream().map_err(io::Error::other);
        let kept = self.app.runs.artifacts.put(&path, body).await;
        drop(hold);
        let size = kept.map_err(|error| match error {
            ArtifactError::Io(error) if is_too_long(&error) => {
                let error = format!(
                    "The archive has more than the {bytes} bytes that ZIP_MAX_BYTES allows."
                );
                Unkept { error, code: Some(TOO_LARGE.into()), again: false }
            }
            error => again(error.to_string()),
        })?;
        Ok(Artifact {
            name: WORKSPACE.into(),
            path,
            mime: "application/zip".into(),
            size,
            files,
            created_at: self.now(),
        })
    }

    /// Of older runs of its project the workspaces go. What stays is found again by the next run.
    pub(super) async fn drop_old(&self) {
        let (app, project) = (&self.app, &self.run.project);
        let kept = app.runs.settings.workspaces_kept;
        let old = match app.store.old_artifacts(project, kept).await {
            Ok(old) => old,
            Err(error) => {
                tracing::warn!(project.id = %project, %error, "old workspaces are looked for again later");
                return;
            }
        };
        for path in old {
            if let Err(error) = app.runs.artifacts.remove(&path).await {
                tracing::warn!(project.id = %project, %error, "an old workspace is removed later");
                return;
            }
            if let Err(error) = app.store.forget_artifact(project, &path).await {
                tracing::warn!(project.id = %project, %error, "an old workspace is still known");
                return;
            }
        }
    }
}
