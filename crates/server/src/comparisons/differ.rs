//! What a candidate has changed: its disk, as it is now, beside the checkpoint that all candidates began from.

use crate::{
    api_error::{ApiError, Code},
    checkpoints::{diff, no_checkpoint, take},
    state::App,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;
use toft_model::{
    checkpoint::{Change, CheckpointId},
    id::ProjectId,
};
use toft_store::Comparison;
use tokio::time::{Instant, timeout};

/// Paths in one answer: more than a person reads.
const CHANGES_MAX: usize = 2_000;
/// The project's folder.
const PROJECT: &str = "/home/project/";
/// How long finding them may take: a tree of a million files.
const DIFF_TIMEOUT: Duration = Duration::from_mins(1);
/// How long counting lines may take; files behind it are told without.
const COUNT_MAX: Duration = Duration::from_secs(3);

/// What a candidate has changed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CandidateDiff")]
pub(crate) struct Changed {
    changes: Vec<Counted>,
    /// Whether there are more.
    truncated: bool,
    /// Lines that came, of the project's files.
    added: usize,
    /// Lines that went.
    removed: usize,
    /// False: there are files of the project among them whose lines were not counted: binary, long or many.
    counted: bool,
}

/// A path that differs, and how many lines of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CandidateChange")]
struct Counted {
    #[serde(flatten)]
    change: Change,
    /// Lines that came; null where they were not counted.
    added: Option<usize>,
    /// Lines that went.
    removed: Option<usize>,
}

/// The checkpoint, and the fork beside it.
async fn sides(
    app: &App,
    now: &Comparison,
    run: &str,
) -> Result<(CheckpointId, ProjectId), ApiError> {
    let one = now.candidates.iter().find(|one| one.run.as_str() == run).ok_or_else(|| {
        ApiError::new(Code::NotFound, "candidate not found: the comparison lists them by runId")
    })?;
    let fork = one.project.clone().ok_or_else(|| {
        let why = "this candidate is not made yet, or its fork is gone: see status and projectId of the \
                   comparison";
        ApiError::new(Code::Unavailable, why)
    })?;
    let base = now.base.as_ref().and_then(|id| id.parse::<CheckpointId>().ok());
    let base = base.ok_or_else(no_checkpoint)?;
    if app.store.checkpoint(&now.project, &base).await?.is_none() {
        return Err(ApiError::new(
            Code::NoCheckpoint,
            "the checkpoint that the candidates began from was deleted: look at their files instead",
        ));
    }
    Ok((base, fork))
}

/// Which files of a candidate differ, with the lines that came and went.
pub(crate) async fn files(app: &App, now: &Comparison, run: &str) -> Result<Changed, ApiError> {
    let (base, fork) = sides(app, now, run).await?;
    let work = app.backend.diff_of_fork(&now.project, &base, &fork, CHANGES_MAX);
    let found = timeout(DIFF_TIMEOUT, work).await.map_err(|_| {
        ApiError::new(Code::MachineError, "the comparison takes too long: compare one file")
    })?;
    let found = found.map_err(take::refused)?;
    let until = Instant::now() + COUNT_MAX;
    let (mut changes, mut sum) = (Vec::with_capacity(found.changes.len()), (0, 0));
    let mut all_counted = true;
    for change in found.changes {
        let lines = if is_counted(&change) && Instant::now() < until {
            let both = diff::between(app, (&now.project, Some(&base)), (&fork, None), &change.path);
            diff::lines(&both.await?)
        } else {
            None
        };
        match lines {
            Some((added, removed)) => {
                sum.0 += added;
                sum.1 += removed;
            }
            None => all_counted &= !is_counted(&change),
        }
        let (added, removed) = lines.unzip();
        changes.push(Counted { change, added, removed });
    }
    Ok(Changed {
        changes,
        truncated: found.truncated,
        added: sum.0,
        removed: sum.1,
        counted: all_counted && !found.truncated,
    })
}

/// What programs keep elsewhere, and git's own files, are no lines that anybody wrote.
fn is_counted(change: &Change) -> bool {
    let is_file = change.size_before.is_some() || change.size_after.is_some();
    let below = change.path.strip_prefix(PROJECT);
    is_file && below.is_some_and(|path| !path.split('/').any(|part| part == ".git"))
}

/// One file of a candidate beside what it was.
pub(crate) async fn file(
    app: &App,
    now: &Comparison,
    run: &str,
    path: &str,
) -> Result<diff::FileDiff, ApiError> {
    let (base, fork) = sides(app, now, run).await?;
    diff::between(app, (&now.project, Some(&base)), (&fork, None), path).await
}
