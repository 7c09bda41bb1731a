//! Comparisons as the API shows them: what was asked, and of each candidate how its run is, what it checked, and where
//! it can be looked at.

use crate::{
    api_error::ApiError,
    runs::shown::{cost, summary},
    state::App,
};
use serde_json::{Value, json};
use toft_machine::receipts::{self, Wanted};
use toft_model::{id::ProjectId, receipt::Receipt, time::rfc3339};
use toft_store::{Candidate, Comparison, ComparisonStatus, Run};

/// Receipts of a candidate that are looked through for checks: the newest.
const RECEIPTS_MAX: usize = 200;
/// Checks that are told of a candidate: the newest.
const CHECKS_MAX: usize = 20;
/// How the id of a call begins that the machine made itself, after a build.
const AUTO_CHECK: &str = "check_";

/// One in a list: without what each candidate checked.
pub(crate) async fn row(app: &App, now: &Comparison) -> Result<Value, ApiError> {
    shown(app, now, false).await
}

/// All of one.
pub(crate) async fn one(app: &App, now: &Comparison) -> Result<Value, ApiError> {
    shown(app, now, true).await
}

async fn shown(app: &App, now: &Comparison, with_checks: bool) -> Result<Value, ApiError> {
    let mut candidates = Vec::with_capacity(now.candidates.len());
    for one in &now.candidates {
        let run = run_of(app, now, one).await?;
        let outcome = one.outcome.as_deref();
        let outcome = outcome.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let took = run.as_ref().and_then(|run| run.state.duration_ms);
        let mut shown = json!({
            "number": one.number,
            "runId": one.run,
            "provider": one.provider,
            "model": one.model,
            "projectId": one.project,
            "url": one.project.as_ref().map(|fork| app.hosts.preview_origin(fork.as_str())),
            "kept": now.kept_run.as_ref() == Some(&one.run)
                && matches!(now.status, ComparisonStatus::Dropping | ComparisonStatus::Kept),
            "run": run.as_ref().map(summary),
            "durationMs": took.or_else(|| outcome.as_ref()?["durationMs"].as_u64()),
            "outcome": outcome,
        });
        if with_checks {
            shown["checks"] = match (&one.project, &run) {
                (Some(fork), Some(run)) => checks(app, fork, run).await?,
                _ => json!([]),
            };
        }
        candidates.push(shown);
    }
    Ok(json!({
        "id": now.id,
        "projectId": now.project,
        "status": now.status.as_str(),
        "error": now.error,
        "prompt": now.prompt,
        "baseCheckpointId": now.base,
        "keptRunId": now.kept_run,
        "candidates": candidates,
        "createdAt": rfc3339(now.created_at),
        "updatedAt": rfc3339(now.updated_at),
    }))
}

/// The run of a candidate: in its fork, or in the project that has kept it.
pub(super) async fn run_of(
    app: &App,
    now: &Comparison,
    one: &Candidate,
) -> Result<Option<Run>, ApiError> {
    if let Some(fork) = &one.project
        && let Some(run) = app.store.run(fork, &one.run).await?
    {
        return Ok(Some(run));
    }
    if now.kept_run.as_ref() == Some(&one.run) {
        return Ok(app.store.run(&now.project, &one.run).await?);
    }
    Ok(None)
}

/// What stays of a run whose fork goes.
pub(super) fn outcome(run: &Run) -> Value {
    let state = &run.state;
    json!({
        "status": state.status,
        "provider": state.provider.as_ref().or(run.asked_provider.as_ref()),
        "model": state.model.as_ref().or(run.asked_model.as_ref()),
        "cost": state.cost.as_ref().map(cost),
        "durationMs": state.duration_ms,
    })
}

/// What the run's agent had checked, by the word of its machine's init: oldest first, the newest of each command.
async fn checks(app: &App, fork: &ProjectId, run: &Run) -> Result<Value, ApiError> {
    let Some(session) = run.state.session.clone() else { return Ok(json!([])) };
    let logs = app.backend.log_dir(fork);
    let wanted = Wanted { session: Some(session), after: None, limit: RECEIPTS_MAX };
    let read = tokio::task::spawn_blocking(move || receipts::read(&logs, &wanted));
    let read = read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let (found, _) = read.map_err(|error| {
        ApiError::internal("the receipts of a candidate could not be read", &error)
    })?;
    let mut newest: Vec<&Receipt> = Vec::new();
    for receipt in found.iter().rev().filter(|receipt| !receipt.checks.is_empty()) {
        let is_older = |newer: &&Receipt| newer.checks == receipt.checks;
        if newest.len() < CHECKS_MAX && !newest.iter().any(is_older) {
            newest.push(receipt);
        }
    }
    let told = newest.iter().rev().map(|receipt| {
        let commands: Vec<&str> =
            receipt.checks.iter().map(|check| check.command.as_str()).collect();
        let decides = receipt.checks.iter().all(|check| check.decides);
        let result = match receipt.exit_code {
            Some(0) if decides => "passed",
            Some(0) => "undecided",
            Some(_) | None => "failed",
        };
        json!({
            "receipt": receipt.number,
            "kinds": receipt.checks.iter().map(|check| check.kind.as_str()).collect::<Vec<_>>(),
            "command": commands.join(", "),
            "auto": receipt.tool_call_id.starts_with(AUTO_CHECK),
            "result": result,
            "exitCode": receipt.exit_code,
            "durationMs": receipt.ended_at.saturating_sub(receipt.started_at),
            // Files were written while it ran, so that it may have run on others first.
            "changed": receipt.tree.as_ref().map(|stamped| stamped.changed),
        })
    });
    Ok(told.collect())
}
