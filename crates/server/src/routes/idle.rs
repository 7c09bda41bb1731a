//! `/v1/projects/{id}/idle`: when a machine that nobody uses is put away. A field that is left out
//! stays as it is.

use super::given::Given;
use crate::{
    api_error::ApiError,
    envelope::{Data, JsonBody},
    machines::{idle, settings},
    project::{Member, OfProject, Viewer},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use toft_model::machine::IdleRule;

/// What to change. `null` is never.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    #[serde(default)]
    freeze_after_s: Given<u64>,
    #[serde(default)]
    cold_after_s: Given<u64>,
}

/// `GET …/idle`.
pub(crate) async fn get(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Viewer>,
) -> Result<Data<IdleRule>, ApiError> {
    Ok(Data(idle::rule(&app, &machine)))
}

/// `PUT …/idle`.
pub(crate) async fn put(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<IdleRule>, ApiError> {
    let now = idle::rule(&app, &machine);
    let rule = IdleRule {
        freeze_after_s: wish.freeze_after_s.over(now.freeze_after_s),
        cold_after_s: wish.cold_after_s.over(now.cold_after_s),
    };
    settings::set_idle(&app, &machine, rule).await?;
    Ok(Data(rule))
}
