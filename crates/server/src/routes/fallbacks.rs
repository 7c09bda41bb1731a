//! `/v1/fallbacks` and `/v1/projects/{id}/fallbacks`: models that stand in for others while a provider is
//! down. What is left out of a change stays as it is. That they are asked is the gateway's.

use super::given::Given;
use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, JsonBody},
    fallbacks::{Changes, Set, change, inherited},
    project::{Member, OfProject, Viewer},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_llm::fallbacks::unlisted;
use toft_model::{
    id::ProjectId,
    provider::{Chains, Fallbacks},
};
use toft_store::Role;

/// What to change for all projects. `null` takes off what was set: then the file of configuration holds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    #[serde(default)]
    chains: Changes,
    #[serde(default)]
    first_byte_s: Given<u32>,
}

/// `GET /v1/fallbacks`.
pub(crate) async fn get(State(app): State<App>, _caller: Caller) -> Result<Data<Shown>, ApiError> {
    Ok(shown(&app, &Set::read(&*app.store).await?))
}

/// `PUT /v1/fallbacks`: in force when it is answered, where a gateway answers.
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<Shown>, ApiError> {
    caller.require(Role::Admin)?;
    let changing = app.providers.changing_fallbacks().await;
    let mut set = Set::read(&*app.store).await?;
    change(&mut set.chains, &wish.chains, &|name| named(&app, name))?;
    set.first_byte_s = wish.first_byte_s.over(set.first_byte_s);
    if set.first_byte_s.is_some_and(|seconds| seconds > Fallbacks::FIRST_BYTE_S_MAX) {
        return Err(ApiError::invalid(format!(
            "firstByteS must be 0 to {}: seconds until the first byte of a streamed answer; 0 for as \
             long as it takes",
            Fallbacks::FIRST_BYTE_S_MAX
        )));
    }
    set.write(&*app.store).await?;
    drop(changing);
    app.gateway.push_config(&app.providers, &*app.store).await;
    Ok(shown(&app, &set))
}

/// A provider's own id, of all that there are.
fn named(app: &App, name: &str) -> Option<String> {
    app.providers.find(name).ok().map(|known| known.id().to_owned())
}

/// Models that stand in for others.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Fallbacks")]
pub(crate) struct Shown {
    /// By `PROVIDER/MODEL`, or `PROVIDER/*`: who is asked in its place, in this order.
    chains: Chains,
    first_byte_s: u32,
    /// Those that the file of configuration has.
    from_file: Vec<String>,
    /// Names that no catalogue lists.
    unlisted: Vec<String>,
}

/// Models that stand in for others in a project.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProjectFallbacks")]
pub(crate) struct ShownOfProject {
    /// The project's own.
    chains: Chains,
    /// What holds for all projects beside them.
    inherited: Chains,
    /// Names that no catalogue lists.
    unlisted: Vec<String>,
}

fn shown(app: &App, set: &Set) -> Data<Shown> {
    let file = app.providers.fallbacks();
    let now = set.clone().over(file);
    let of_file = file.chains.keys().filter(|model| !set.chains.contains_key(*model));
    Data(Shown {
        first_byte_s: now.first_byte_s,
        from_file: of_file.cloned().collect(),
        unlisted: unlisted(&now.chains, |id| app.providers.known_models(id)),
        chains: now.chains,
    })
}

/// What to change for a project. `null` takes off what was set: then what is set for all holds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnWish {
    #[serde(default)]
    chains: Changes,
}

/// `GET /v1/projects/{id}/fallbacks`.
pub(crate) async fn get_project(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Viewer>,
) -> Result<Data<ShownOfProject>, ApiError> {
    let own = app.store.fallbacks(&project.id).await?;
    shown_of(&app, own).await
}

/// `PUT /v1/projects/{id}/fallbacks`: in force when it is answered, where a gateway answers.
pub(crate) async fn put_project(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Member>,
    JsonBody(wish): JsonBody<OwnWish>,
) -> Result<Data<ShownOfProject>, ApiError> {
    let own = changed(&app, &project.id, &wish).await?;
    app.gateway.push_config(&app.providers, &*app.store).await;
    shown_of(&app, own).await
}

async fn changed(app: &App, project: &ProjectId, wish: &OwnWish) -> Result<Chains, ApiError> {
    let _changing = app.providers.changing_fallbacks().await;
    let mut own = app.store.fallbacks(project).await?;
    change(&mut own, &wish.chains, &|name| named(app, name))?;
    app.store.put_fallbacks(project, &own, app.clock.now_ms()).await?;
    Ok(own)
}

async fn shown_of(app: &App, own: Chains) -> Result<Data<ShownOfProject>, ApiError> {
    let of_all = Set::read(&*app.store).await?.over(app.providers.fallbacks());
    Ok(Data(ShownOfProject {
        inherited: inherited(&own, of_all.chains),
        unlisted: unlisted(&own, |id| app.providers.known_models(id)),
        chains: own,
    }))
}
