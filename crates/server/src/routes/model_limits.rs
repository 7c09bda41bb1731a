//! `/v1/projects/{id}/model-limits`: what the programs of a project may ask of models. A field that is
//! left out stays as it is. That it holds is the gateway's.

use super::given::Given;
use crate::{
    api_error::ApiError,
    envelope::{Data, JsonBody},
    project::{Member, OfProject, Viewer},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use toft_model::machine::ModelLimits;

/// What to change. `null` takes a limit off.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    #[serde(default)]
    calls_at_once: Given<u32>,
    #[serde(default)]
    calls_per_minute: Given<u32>,
}

/// `GET …/model-limits`.
pub(crate) async fn get(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Viewer>,
) -> Result<Data<ModelLimits>, ApiError> {
    Ok(Data(app.store.model_limits(&project.id).await?))
}

/// `PUT …/model-limits`: in force when it is answered, where a gateway answers.
pub(crate) async fn put(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Member>,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<ModelLimits>, ApiError> {
    let now = app.store.model_limits(&project.id).await?;
    let limits = ModelLimits {
        calls_at_once: wish.calls_at_once.over(now.calls_at_once),
        calls_per_minute: wish.calls_per_minute.over(now.calls_per_minute),
    };
    check(&limits)?;
    app.store.put_model_limits(&project.id, &limits, app.clock.now_ms()).await?;
    app.gateway.push_config(&app.providers, &*app.store).await;
    Ok(Data(limits))
}

fn check(limits: &ModelLimits) -> Result<(), ApiError> {
    for (name, value, most) in [
        ("callsAtOnce", limits.calls_at_once, ModelLimits::AT_ONCE_MAX),
        ("callsPerMinute", limits.calls_per_minute, ModelLimits::PER_MINUTE_MAX),
    ] {
        if value.is_some_and(|n| !(1..=most).contains(&n)) {
            return Err(ApiError::invalid(format!(
                "{name} must be 1 to {most}, or null for no limit. To keep a project from models \
                 altogether, stop its machine"
            )));
        }
    }
    Ok(())
}
