//! Checkpoints of projects, and what is made from them: taken, listed, compared, gone back to, forked,
//! pruned. How a disk is copied is the backend's; rows are the store's.
//!
//! A copy of a disk is made first and its row after it; a row goes first and its copy after it. So a
//! row without a copy is what a power cut left and a copy without a row what a killed server did: both
//! are removed when a project's checkpoints are first looked at (`reconcile`).

pub(crate) mod affected;
pub(crate) mod auto;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod fork;
pub(crate) mod lent;
pub(crate) mod moving;
mod place;
pub(crate) mod prune;
pub(crate) mod reconcile;
pub(crate) mod restore;
pub(crate) mod room;
pub(crate) mod shelf;
pub(crate) mod take;

use crate::api_error::{ApiError, Code};
use toft_model::{checkpoint::CheckpointId, id::ProjectId};
use toft_store::{Store, TakenCheckpoint};

/// Checkpoints deleted at once, of whatever projects: where files are removed one by one, more would
/// only wait for the same disk.
const DELETED_AT_ONCE: usize = 2;

/// What the checkpoints of all projects share.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    /// A place is held by each that the rule lets go, while it is deleted.
    deleting: tokio::sync::Semaphore,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { deleting: tokio::sync::Semaphore::new(DELETED_AT_ONCE) }
    }
}

/// One of a project's, or 404.
pub(crate) async fn find(
    store: &dyn Store,
    project: &ProjectId,
    id: &str,
) -> Result<TakenCheckpoint, ApiError> {
    let known = match id.parse::<CheckpointId>() {
        Ok(id) => store.checkpoint(project, &id).await?,
        Err(_) => None,
    };
    known.ok_or_else(no_checkpoint)
}

/// There is none of that id in this project.
pub(crate) fn no_checkpoint() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "checkpoint not found: GET /v1/projects/{id}/checkpoints lists them",
    )
}
