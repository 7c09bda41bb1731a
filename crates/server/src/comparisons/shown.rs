//! Comparisons as the API shows them: what was asked, and of each candidate how its run is, what it checked, and where
//! it can be looked at.

use crate::{
    api_error::ApiError,
    runs::shown::{Cost, Summary, cost, summary},
    state::App,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_machine::receipts::{self, Wanted};
use toft_model::{
    id::ProjectId,
    receipt::{CheckKind, Receipt},
    run::{ComparisonId, JobId, RunStatus},
    time::rfc3339,
};
use toft_store::{Candidate, Comparison, ComparisonStatus, Run};

/// Receipts of a candidate that are looked through for checks: the newest.
const RECEIPTS_MAX: usize = 200;
/// Checks that are told of a candidate: the newest.
const CHECKS_MAX: usize = 20;
/// How the id of a call begins that the machine made itself, after a build.
const AUTO_CHECK: &str = "check_";

/// Several runs of one prompt, side by side. Times are RFC 3339.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Comparison")]
pub(crate) struct Shown {
    id: ComparisonId,
    project_id: ProjectId,
    #[schemars(extend("enum" = ComparisonStatus::ALL.map(ComparisonStatus::as_str)))]
    status: &'static str,
    /// What went wrong last.
    error: Option<String>,
    prompt: String,
    /// The checkpoint that all began from.
    base_checkpoint_id: Option<String>,
    kept_run_id: Option<JobId>,
    candidates: Vec<ShownCandidate>,
    created_at: String,
    updated_at: String,
}

/// One of the runs that are compared.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Candidate")]
struct ShownCandidate {
    /// From 1.
    number: u64,
    run_id: JobId,
    /// As it was asked for; null: the project's choice.
    provider: Option<String>,
    model: Option<String>,
    /// Its fork; null until it is made, and when it is gone.
    project_id: Option<ProjectId>,
    /// Where the fork's app is shown, for who has an entry.
    url: Option<String>,
    kept: bool,
    /// Its run, as long as there is one.
    run: Option<Summary>,
    duration_ms: Option<u64>,
    /// What its run came to, when the fork is gone.
    outcome: Option<Outcome>,
    /// What it checked; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<ShownCheck>>,
}

/// What stays of a run whose fork is gone.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CandidateOutcome")]
pub(super) struct Outcome {
    status: RunStatus,
    provider: Option<String>,
    model: Option<String>,
    cost: Option<Cost>,
    duration_ms: Option<u64>,
}

/// What a candidate had checked, by the word of its machine's init.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CandidateCheck")]
struct ShownCheck {
    /// The number of its receipt.
    receipt: u64,
    kinds: Vec<CheckKind>,
    command: String,
    /// Whether it is the check that follows a build by itself.
    auto: bool,
    result: CheckResult,
    exit_code: Option<i32>,
    duration_ms: u64,
    /// Files were written while it ran, so that it may have run on others first.
    changed: Option<bool>,
}

/// What a check came to.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum CheckResult {
    Passed,
    /// The line's exit code does not tell.
    Undecided,
    Failed,
}

/// One in a list, without what each candidate checked; and how long its texts are.
pub(crate) async fn row(app: &App, now: &Comparison) -> Result<(Shown, usize), ApiError> {
    shown(app, now, false).await
}

/// All of one.
pub(crate) async fn one(app: &App, now: &Comparison) -> Result<Shown, ApiError> {
    Ok(shown(app, now, true).await?.0)
}

async fn shown(app: &App, now: &Comparison, with_checks: bool) -> Result<(Shown, usize), ApiError> {
    let mut candidates = Vec::with_capacity(now.candidates.len());
    let mut bytes = now.prompt.len();
    for one in &now.candidates {
        let run = run_of(app, now, one).await?;
        bytes += run.as_ref().map_or(0, Run::text_bytes);
        let outcome = one.outcome.as_deref();
        let outcome = outcome.and_then(|text| serde_json::from_str::<Outcome>(text).ok());
        let took = run.as_ref().and_then(|run| run.state.duration_ms);
        let checks = match (&one.project, &run) {
            _ if !with_checks => None,
            (Some(fork), Some(run)) => Some(checks(app, fork, run).await?),
            _ => Some(Vec::new()),
        };
        candidates.push(ShownCandidate {
            number: one.number,
            run_id: one.run.clone(),
            provider: one.provider.clone(),
            model: one.model.clone(),
            project_id: one.project.clone(),
            url: one.project.as_ref().map(|fork| app.hosts.preview_origin(fork.as_str())),
            kept: now.kept_run.as_ref() == Some(&one.run)
                && matches!(now.status, ComparisonStatus::Dropping | ComparisonStatus::Kept),
            run: run.as_ref().map(summary),
            duration_ms: took.or_else(|| outcome.as_ref()?.duration_ms),
            outcome,
            checks,
        });
    }
    let shown = Shown {
        id: now.id.clone(),
        project_id: now.project.clone(),
        status: now.status.as_str(),
        error: now.error.clone(),
        prompt: now.prompt.clone(),
        base_checkpoint_id: now.base.clone(),
        kept_run_id: now.kept_run.clone(),
        candidates,
        created_at: rfc3339(now.created_at),
        updated_at: rfc3339(now.updated_at),
    };
    Ok((shown, bytes))
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
pub(super) fn outcome(run: &Run) -> Outcome {
    let state = &run.state;
    Outcome {
        // What works is ended with its fork.
        status: if state.status.is_over() { state.status } else { RunStatus::Cancelled },
        provider: state.provider.as_ref().or(run.asked_provider.as_ref()).cloned(),
        model: state.model.as_ref().or(run.asked_model.as_ref()).cloned(),
        cost: state.cost.as_ref().map(cost),
        duration_ms: state.duration_ms,
    }
}

/// What the run's agent had checked, by the word of its machine's init: oldest first, the newest of each command.
async fn checks(app: &App, fork: &ProjectId, run: &Run) -> Result<Vec<ShownCheck>, ApiError> {
    let Some(session) = run.state.session.clone() else { return Ok(Vec::new()) };
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
            Some(0) if decides => CheckResult::Passed,
            Some(0) => CheckResult::Undecided,
            Some(_) | None => CheckResult::Failed,
        };
        ShownCheck {
            receipt: receipt.number,
            kinds: receipt.checks.iter().map(|check| check.kind).collect(),
            command: commands.join(", "),
            auto: receipt.tool_call_id.starts_with(AUTO_CHECK),
            result,
            exit_code: receipt.exit_code,
            duration_ms: receipt.ended_at.saturating_sub(receipt.started_at),
            changed: receipt.tree.as_ref().map(|stamped| stamped.changed),
        }
    });
    Ok(told.collect())
}
