//! Keeping a candidate: its disk becomes a checkpoint of the project, to which the project goes back as to any other.
//! So all that a restore promises holds for it: how the project was is kept, conversations of both stay, and a server
//! that is killed leaves the old state or the new one. Done again from its begin it comes to the same.

use crate::{
    api_error::{ApiError, Code},
    checkpoints::{
        self, delete,
        restore::{self, Way},
        take,
    },
    machines::{Machine, life},
    project::find,
    runs::artifacts::Artifacts,
    state::App,
};
use std::{sync::Arc, time::Duration};
use toft_machine::steps;
use toft_model::{checkpoint::CheckpointId, id::ProjectId, machine::MachineState};
use toft_store::{Candidate, Comparison, ComparisonStatus};
use tokio::time::sleep;

/// Before a database is asked again that did not take the last step.
const FINISH_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn keep(app: &App, now: &Comparison) -> Result<(), ApiError> {
    let kept = now.candidates.iter().find(|one| Some(&one.run) == now.kept_run.as_ref());
    let checkpoint = now.keep_checkpoint.as_ref().and_then(|id| id.parse::<CheckpointId>().ok());
    let (Some(one), Some(checkpoint)) = (kept, checkpoint) else { return Err(gone()) };
    let fork = one.project.as_ref().ok_or_else(gone)?;
    let (_, machine) = find(app, now.project.as_str()).await?;
    let taken = take_over(app, now, one, fork, &machine, &checkpoint).await;
    if taken.is_err() && !app.stop.token().is_cancelled() {
        // Another try has another one.
        match delete::delete(app, &machine, checkpoint).await {
            Ok(()) => {}
            Err(error) if error.code == Code::NotFound => {}
            Err(error) => tracing::warn!(project.id = %now.project, error = error.message,
                "the checkpoint of a candidate stays until somebody deletes it"),
        }
    }
    taken
}

async fn take_over(
    app: &App,
    now: &Comparison,
    one: &Candidate,
    fork: &ProjectId,
    machine: &Arc<Machine>,
    checkpoint: &CheckpointId,
) -> Result<(), ApiError> {
    copy(app, now, one, fork, machine, checkpoint).await?;
    steps::reached("compare.taken");
    let was = checkpoints::find(&*app.store, &machine.id, checkpoint.as_str()).await?;
    // All that may fail comes before the project changes. What it leaves then, another try writes over.
    let (below, instead) = (Artifacts::of_project(fork), Artifacts::of_project(&machine.id));
    let mut copied = Vec::new();
    for left in app.store.candidate_artifacts(fork).await? {
        let to = left.path.replacen(&below, &instead, 1);
        let kept = app.runs.artifacts.copy(&left.path, &to).await;
        kept.map_err(|error| ApiError::internal("keeping what the run left failed", &error))?;
        copied.push(to);
    }
    steps::reached("compare.artifacts");
    if let Err(error) = restore::restore(app, machine, was, Way::default()).await {
        // Nothing names them, and another candidate may be kept.
        for path in copied {
            if let Err(error) = app.runs.artifacts.remove(&path).await {
                tracing::warn!(%error, path, "an artifact that nobody knows of stays");
            }
        }
        return Err(error);
    }
    steps::reached("compare.restored");
    // The project is as the candidate was: only with its runs is that whole. A server that ends meanwhile has the next
    // one do it all again.
    loop {
        let at = app.clock.now_ms();
        match app.store.finish_keep(&now.id, fork, &below, &instead, at).await {
            Ok(true) => break,
            Ok(false) if is_done(app, now).await? => break,
            // Its project was deleted meanwhile.
            Ok(false) => return Err(ApiError::no_project()),
            Err(error) if app.stop.token().is_cancelled() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(project.id = %now.project, %error, "a candidate waits to be taken over");
                sleep(FINISH_PAUSE).await;
            }
        }
    }
    steps::reached("compare.kept");
    Ok(())
}

/// Whether that was done before, and not heard of.
async fn is_done(app: &App, now: &Comparison) -> Result<bool, ApiError> {
    let found = app.store.comparison(&now.id).await?;
    Ok(found.is_some_and(|found| {
        let is_over = matches!(found.status, ComparisonStatus::Dropping | ComparisonStatus::Kept);
        is_over && found.kept_run == now.kept_run
    }))
}

/// The candidate's disk as a checkpoint of the project.
async fn copy(
    app: &App,
    now: &Comparison,
    one: &Candidate,
    fork: &ProjectId,
    machine: &Arc<Machine>,
    checkpoint: &CheckpointId,
) -> Result<(), ApiError> {
    checkpoints::reconcile::in_order(app, machine).await?;
    if app.store.checkpoint(&machine.id, checkpoint).await?.is_some() {
        return Ok(());
    }
    let candidate = app.machines.get(fork).ok_or_else(gone)?;
    candidate.settled().await;
    // Held, so that nobody wakes it while it is copied: what its programs had not written yet is written by their end.
    let _life = candidate.lock_life().await;
    if candidate.runs() {
        life::end_processes(app, &candidate, MachineState::Cold).await?;
    }
    let base = match now.base.as_ref().and_then(|id| id.parse::<CheckpointId>().ok()) {
        Some(id) => app.store.checkpoint(&machine.id, &id).await?,
        None => None,
    };
    let label = match &one.model {
        Some(model) => format!("Candidate {}, {model}", one.number),
        None => format!("Candidate {}", one.number),
    };
    let base = base.as_ref().map(|taken| &taken.checkpoint);
    take::of_fork(app, machine, fork, checkpoint, label, base).await
}

fn gone() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "this candidate is gone, so there is nothing to keep: keep another one, or drop the comparison",
    )
}
