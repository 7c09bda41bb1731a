//! Making the candidates: one checkpoint, as many forks of it, and a run in each. Forks appear together, in the
//! transaction that says whose candidates they are; before that they count as deleted, and the next server removes
//! them and makes others.

use super::options::Options;
use crate::{
    api_error::{ApiError, Code},
    checkpoints::{
        self, delete,
        fork::{self, Order},
        take::{self, Wish},
    },
    machines::{Machine, life},
    runs::accept,
    state::App,
};
use std::sync::Arc;
use toft_machine::steps;
use toft_model::{
    checkpoint::{Cause, CheckpointId},
    hash::fnv1a,
};
use toft_store::{Accepted, Comparison, ComparisonStatus, NewRun, TakenCheckpoint};

/// What the checkpoint is called in the project's list.
const BASE_LABEL: &str = "Before comparing runs";

pub(super) async fn make(app: &App, now: &Comparison) -> Result<(), ApiError> {
    let options: Options = serde_json::from_str(&now.options)
        .map_err(|error| ApiError::internal("a comparison cannot be read", &error))?;
    let made = if now.candidates.iter().any(|one| one.project.is_some()) {
        now.clone()
    } else {
        fork_all(app, now, &options).await?;
        let made = app.store.comparison(&now.id).await?;
        made.ok_or_else(ApiError::no_project)?
    };
    queue(app, &made, &options).await?;
    steps::reached("compare.queued");
    let at = app.clock.now_ms();
    let (from, to) = (ComparisonStatus::Making, ComparisonStatus::Open);
    // Dropped meanwhile: then that is what is done next.
    app.store.move_comparison(&now.id, from, to, None, at).await?;
    Ok(())
}

async fn fork_all(app: &App, now: &Comparison, options: &Options) -> Result<(), ApiError> {
    let (project, machine) = crate::project::find(app, now.project.as_str()).await?;
    let base = base(app, &machine, now).await?;
    steps::reached("compare.base");
    let order = Order {
        name: None,
        count: now.candidates.len(),
        from: Some(base),
        candidates_of: Some(now.id.clone()),
        owner: options.by.clone(),
        grant: options.secrets.clone(),
    };
    let made = fork::candidates(app, &project, &machine, order).await;
    if made.is_err() {
        forget_base(app, now).await;
    }
    made?;
    steps::reached("compare.forked");
    Ok(())
}

/// The checkpoint that all are made from. Its id is written down first, so that one is found again whose server died.
async fn base(
    app: &App,
    machine: &Arc<Machine>,
    now: &Comparison,
) -> Result<TakenCheckpoint, ApiError> {
    let known = now.base.as_ref().and_then(|id| id.parse::<CheckpointId>().ok());
    let id = if let Some(id) = known {
        checkpoints::reconcile::in_order(app, machine).await?;
        if let Some(taken) = app.store.checkpoint(&machine.id, &id).await? {
            return Ok(taken);
        }
        id
    } else {
        let id = CheckpointId::random();
        app.store.set_comparison_base(&now.id, id.as_str(), app.clock.now_ms()).await?;
        id
    };
    life::ensure_made(app, machine, "runs in forks of it are wanted").await?;
    let wish = Wish { id: Some(id), label: Some(BASE_LABEL.to_owned()), ..Wish::of(Cause::Fork) };
    let checkpoint = take::take(app, machine, wish).await?;
    Ok(TakenCheckpoint { checkpoint, place: None, away: None })
}

/// Removes the checkpoint of forks that there are none of any more.
pub(super) async fn forget_base(app: &App, now: &Comparison) {
    let fresh = app.store.comparison(&now.id).await.ok().flatten();
    let base = fresh.and_then(|now| now.base).and_then(|id| id.parse::<CheckpointId>().ok());
    let (Some(base), Some(machine)) = (base, app.machines.get(&now.project)) else { return };
    match delete::delete(app, &machine, base).await {
        Ok(()) => {}
        Err(error) if error.code == Code::NotFound => {}
        Err(error) => tracing::warn!(project.id = %now.project, error = error.message,
            "the checkpoint of a comparison stays until somebody deletes it"),
    }
}

/// Each fork gets its run, once: the run's id, and the key that it is found by, are known from the begin.
async fn queue(app: &App, now: &Comparison, options: &Options) -> Result<(), ApiError> {
    for one in &now.candidates {
        // A person has deleted it already.
        let Some(fork) = &one.project else { continue };
        let new = NewRun {
            id: one.run.clone(),
            project: fork.clone(),
            key: format!("comparison:{}", now.id),
            digest: format!("{:016x}", fnv1a(now.id.as_str().as_bytes())),
            prompt: now.prompt.clone(),
            continues: false,
            input: options.input.clone(),
            provider: one.provider.clone(),
            model: one.model.clone(),
            backend: options.backend.clone(),
            approval: options.approval,
            priority: options.priority,
            attempts_max: app.runs.settings.attempts_max,
        };
        match accept::accept(app, new).await? {
            Accepted::New(_) | Accepted::Known(_) | Accepted::NoProject => {}
            Accepted::Other | Accepted::Keeping => {
                return Err(ApiError::new(
                    Code::Conflict,
                    "a candidate was used for something else before its run was queued: ask for the comparison again",
                ));
            }
        }
    }
    Ok(())
}
