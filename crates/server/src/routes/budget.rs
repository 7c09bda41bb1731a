//! `/v1/budget` and `/v1/projects/{id}/budget`: money that may be spent on models, and what was. A field
//! that is left out stays as it is. That it holds is the gateway's.

use super::given::Given;
use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, JsonBody},
    project::{Member, OfProject, Viewer},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_model::{
    budget::{Budget, Sums},
    id::ProjectId,
};
use toft_store::Role;

/// The most that can be set: more than anybody spends, and exact as a number of JSON.
const DOLLARS_MAX: f64 = 1e6;
const NANOS: f64 = 1e9;

/// What to change, in US dollars. `null` takes a bound off.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    #[serde(default, rename = "runUsd")]
    run: Given<f64>,
    #[serde(default, rename = "monthUsd")]
    month: Given<f64>,
    #[serde(default, rename = "totalUsd")]
    total: Given<f64>,
}

/// What may be spent, in US dollars; null: no bound.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Budget")]
pub(crate) struct Shown {
    /// For one run.
    run_usd: Option<f64>,
    /// In a calendar month (UTC).
    month_usd: Option<f64>,
    total_usd: Option<f64>,
    spent: Spent,
}

/// What was spent, in US dollars.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spent {
    month_usd: f64,
    total_usd: f64,
}

/// `GET /v1/budget`.
pub(crate) async fn get_team(State(app): State<App>, _: Caller) -> Result<Data<Shown>, ApiError> {
    shown(&app, None).await
}

/// `PUT /v1/budget`.
pub(crate) async fn put_team(
    State(app): State<App>,
    caller: Caller,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<Shown>, ApiError> {
    caller.require(Role::Admin)?;
    put(&app, None, wish).await
}

/// `GET …/budget`.
pub(crate) async fn get_project(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Viewer>,
) -> Result<Data<Shown>, ApiError> {
    shown(&app, Some(&project.id)).await
}

/// `PUT …/budget`.
pub(crate) async fn put_project(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Member>,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<Shown>, ApiError> {
    put(&app, Some(&project.id), wish).await
}

async fn put(app: &App, of: Option<&ProjectId>, wish: Wish) -> Result<Data<Shown>, ApiError> {
    let now = app.store.budget(of).await?;
    let budget = Budget {
        run: over(wish.run, "runUsd", now.run)?,
        month: over(wish.month, "monthUsd", now.month)?,
        total: over(wish.total, "totalUsd", now.total)?,
    };
    app.store.put_budget(of, &budget, app.clock.now_ms()).await?;
    // It reads on from here by itself: the less, the sooner calls go on.
    // Stored it is: it must come into force, whatever becomes of this.
    if let Err(error) = app.usage.catch_up(&app.data_dir, &*app.store).await {
        tracing::warn!(error = error.message, "usage waits in the gateway's journal");
    }
    app.gateway.push_config(&app.providers, &*app.store).await;
    told(app, of).await
}

fn over(wish: Given<f64>, name: &str, now: Option<u64>) -> Result<Option<u64>, ApiError> {
    let Given::Set(wish) = wish else { return Ok(now) };
    wish.map(|dollars| {
        if !(0.0..=DOLLARS_MAX).contains(&dollars) {
            return Err(ApiError::invalid(format!(
                "{name} must be 0 to {DOLLARS_MAX} US dollars, or null for no bound"
            )));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked above"
        )]
        Ok((dollars * NANOS).round() as u64)
    })
    .transpose()
}

async fn shown(app: &App, of: Option<&ProjectId>) -> Result<Data<Shown>, ApiError> {
    app.usage.catch_up(&app.data_dir, &*app.store).await?;
    told(app, of).await
}

/// As far as the store knows.
async fn told(app: &App, of: Option<&ProjectId>) -> Result<Data<Shown>, ApiError> {
    let budget = app.store.budget(of).await?;
    let mut spent = app.store.spent(app.clock.now_ms(), None).await?;
    let sums: Sums = match of {
        Some(project) => spent.projects.remove(project).unwrap_or_default(),
        None => spent.team,
    };
    let bound = |nanos: Option<u64>| nanos.map(dollars);
    Ok(Data(Shown {
        run_usd: bound(budget.run),
        month_usd: bound(budget.month),
        total_usd: bound(budget.total),
        spent: Spent { month_usd: dollars(sums.month), total_usd: dollars(sums.total) },
    }))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to nine million dollars")]
fn dollars(nanos: u64) -> f64 {
    nanos as f64 / NANOS
}
