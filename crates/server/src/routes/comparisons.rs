//! `/v1/projects/{id}/comparisons`: several runs from one prompt, looked at side by side; one is kept, or all are
//! dropped. Asked for with `POST …/runs`.

use crate::{
    api_error::{ApiError, Code},
    checkpoints::diff::FileDiff,
    comparisons::{self, Changed, Shown, find, settle},
    envelope::{Data, JsonBody, NoBody, Path, Query},
    project::{Member, OfProject, Viewer},
    routes::runs::PAGE_BYTES_MAX,
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_machine::steps;
use toft_model::{checkpoint::CheckpointId, run::JobId};
use toft_store::{Comparison, ComparisonStatus, KeepBegun};

/// Comparisons in one answer.
const LIMIT_MAX: u32 = 200;
const LIMIT_DEFAULT: u32 = 50;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Page {
    /// Comparisons at most: 1 to 200.
    limit: Option<u32>,
    /// How many are left out before them.
    offset: Option<u32>,
}

#[derive(Deserialize)]
pub(crate) struct Named {
    comparison: String,
}

#[derive(Deserialize)]
pub(crate) struct NamedCandidate {
    comparison: String,
    run: String,
}

/// `GET …/comparisons`: latest first, fewer than `limit` where they are long, but one at least.
pub(crate) async fn list(
    State(app): State<App>,
    of: OfProject<Viewer>,
    Query(page): Query<Page>,
) -> Result<Data<Vec<Shown>>, ApiError> {
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("limit is a number from 1 to {LIMIT_MAX}")));
    }
    let found = app.store.comparisons(&of.project.id, limit, page.offset.unwrap_or(0)).await?;
    let (mut all, mut bytes) = (Vec::new(), 0);
    for one in &found {
        let (shown, long) = comparisons::row(&app, one).await?;
        bytes += long;
        // At least one, however long it is.
        if bytes > PAGE_BYTES_MAX && !all.is_empty() {
            break;
        }
        all.push(shown);
    }
    Ok(Data(all))
}

/// `GET …/comparisons/{comparison}`.
pub(crate) async fn get(
    State(app): State<App>,
    of: OfProject<Viewer>,
    Path(named): Path<Named>,
) -> Result<Data<Shown>, ApiError> {
    let now = find(&*app.store, &of.project.id, &named.comparison).await?;
    Ok(Data(comparisons::one(&app, &now).await?))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Compare {
    /// One file: its text, then and now.
    path: Option<String>,
}

/// What differs: of all paths, or of one file.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "CandidateCompared")]
pub(crate) enum Differs {
    Paths(Changed),
    File(FileDiff),
}

/// `GET …/comparisons/{comparison}/candidates/{run}/diff`: beside the checkpoint that all began from.
pub(crate) async fn diff(
    State(app): State<App>,
    of: OfProject<Viewer>,
    Path(named): Path<NamedCandidate>,
    Query(query): Query<Compare>,
) -> Result<Data<Differs>, ApiError> {
    let now = find(&*app.store, &of.project.id, &named.comparison).await?;
    Ok(Data(match query.path {
        Some(path) => Differs::File(comparisons::file(&app, &now, &named.run, &path).await?),
        None => Differs::Paths(comparisons::files(&app, &now, &named.run).await?),
    }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Keep {
    /// The candidate, by its run.
    run_id: String,
}

/// `POST …/comparisons/{comparison}/keep`: the project takes over the state of that candidate, and all forks go.
pub(crate) async fn keep(
    State(app): State<App>,
    of: OfProject<Member>,
    Path(named): Path<Named>,
    JsonBody(body): JsonBody<Keep>,
) -> Result<Data<Shown>, ApiError> {
    let now = find(&*app.store, &of.project.id, &named.comparison).await?;
    let run = body.run_id.parse::<JobId>().ok();
    let run = run.filter(|run| now.candidates.iter().any(|one| one.run == *run));
    let run = run.ok_or_else(|| {
        ApiError::new(
            Code::NotFound,
            "candidate not found: runId is one of the comparison's candidates",
        )
    })?;
    let checkpoint = CheckpointId::random();
    let at = app.clock.now_ms();
    match app.store.begin_keep(&now.id, &run, checkpoint.as_str(), at).await? {
        KeepBegun::Yes => {}
        KeepBegun::ProjectWorks => {
            return Err(ApiError::new(
                Code::Conflict,
                "the project has a run that is not over, whose files would be exchanged below it: wait for it, or \
                 cancel it, then keep the candidate",
            ));
        }
        KeepBegun::CandidateWorks => {
            return Err(ApiError::new(
                Code::Conflict,
                "this candidate's run is not over: wait for it, or cancel it, then keep it",
            ));
        }
        KeepBegun::Gone => {
            return Err(ApiError::new(
                Code::NotFound,
                "this candidate's fork was deleted: keep another one, or drop the comparison",
            ));
        }
        KeepBegun::Elsewhere => return Err(decided(&app, &now).await?),
    }
    steps::reached("compare.keeping");
    let settled = settle(&app, &now.id).await;
    let now = find(&*app.store, &of.project.id, &named.comparison).await?;
    let is_kept = now.kept_run.as_ref() == Some(&run)
        && matches!(now.status, ComparisonStatus::Dropping | ComparisonStatus::Kept);
    answer(&app, &now, is_kept, settled).await
}

/// `POST …/comparisons/{comparison}/drop`: all forks go, and the project stays as it is.
pub(crate) async fn drop_all(
    State(app): State<App>,
    of: OfProject<Member>,
    Path(named): Path<Named>,
    _: NoBody,
) -> Result<Data<Shown>, ApiError> {
    let now = find(&*app.store, &of.project.id, &named.comparison).await?;
    if !app.store.begin_drop(&now.id, app.clock.now_ms()).await? {
        let now = find(&*app.store, &of.project.id, &named.comparison).await?;
        let is_dropped = now.kept_run.is_none()
            && matches!(
                now.status,
                ComparisonStatus::Dropping | ComparisonStatus::Dropped | ComparisonStatus::Failed
            );
        if !is_dropped {
            return Err(decided(&app, &now).await?);
        }
    }
    let settled = settle(&app, &now.id).await;
    let now = find(&*app.store, &of.project.id, &named.comparison).await?;
    let is_dropped = matches!(now.status, ComparisonStatus::Dropping | ComparisonStatus::Dropped);
    answer(&app, &now, is_dropped, settled).await
}

/// The decision is carried out, or why it is not. A fork that cannot be deleted yet changes nothing of it: that is
/// tried again.
async fn answer(
    app: &App,
    now: &Comparison,
    is_done: bool,
    settled: Result<(), ApiError>,
) -> Result<Data<Shown>, ApiError> {
    if !is_done {
        settled?;
    }
    Ok(Data(comparisons::one(app, now).await?))
}

/// Why it is too late, or too early, for a decision.
async fn decided(app: &App, was: &Comparison) -> Result<ApiError, ApiError> {
    let now = app.store.comparison(&was.id).await?;
    let status = now.map_or(ComparisonStatus::Dropped, |now| now.status);
    let why = match status {
        ComparisonStatus::Making => "its candidates are still being made: ask again in a moment",
        ComparisonStatus::Open => "the candidate could not be kept: try again",
        ComparisonStatus::Keeping | ComparisonStatus::Kept => {
            "another candidate was kept, or is being kept: the project has its state, and a checkpoint of before"
        }
        ComparisonStatus::Dropping | ComparisonStatus::Dropped => "its candidates were dropped",
        ComparisonStatus::Failed => {
            "its candidates could not be made: ask for the comparison again"
        }
    };
    Ok(ApiError::new(Code::Conflict, format!("this comparison is decided otherwise: {why}")))
}
