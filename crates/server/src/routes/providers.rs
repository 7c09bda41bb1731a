//! `/v1/providers`: which there are, and their keys. A key goes in and never comes out.

use crate::{
    api_error::{ApiError, Code},
    auth::caller::Caller,
    envelope::{Data, JsonBody, Path},
    providers::{Provider, models_file::ModelsFile},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_gateway::ControlError;
use toft_model::provider::ModelList;
use toft_store::Role;
use toft_vault::Secret;

/// `GET /v1/providers`.
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
) -> Result<Data<Vec<Provider>>, ApiError> {
    let offered = offered(&app).await?;
    Ok(Data(app.providers.list(&*app.store, offered.as_ref()).await?))
}

/// What the gateway can ask, where that is to be known: which servers of this machine are there.
async fn offered(app: &App) -> Result<Option<ModelList>, ApiError> {
    if !app.providers.has_local(&*app.store).await? {
        return Ok(None);
    }
    let Some(gateway) = app.gateway.get().await else { return Ok(None) };
    Ok(gateway.models().await.ok())
}

/// The file of models and providers of one's own.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ModelsFile")]
pub(crate) struct ModelsFileShown {
    path: String,
    /// Providers that it has.
    providers: Vec<String>,
    /// How many models it tells of.
    models: usize,
    /// What is wrong with it now.
    problem: Option<String>,
}

/// The file that keys were found in.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "KeysFile")]
pub(crate) struct KeysFileShown {
    path: Option<String>,
    /// What is wrong with it now.
    problem: Option<String>,
}

/// What came of asking a provider with its key.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ProviderTest")]
pub(crate) struct Tried {
    ok: bool,
    /// The provider's own words where there are any.
    message: String,
    latency_ms: u64,
}

/// `GET /v1/models-file`: what is told there of models and providers, and what is wrong with it.
pub(crate) async fn models_file(
    State(app): State<App>,
    _caller: Caller,
) -> Result<Data<ModelsFileShown>, ApiError> {
    let (providers, models, problem) = app.providers.overlay();
    let path = ModelsFile::new(&app.data_dir).path().display().to_string();
    Ok(Data(ModelsFileShown { path, providers, models, problem }))
}

/// `GET /v1/keys-file`: the file that keys were found in, and what is wrong with it as it is now.
pub(crate) async fn file(
    State(app): State<App>,
    _caller: Caller,
) -> Result<Data<KeysFileShown>, ApiError> {
    let (path, problem) = app.providers.file();
    Ok(Data(KeysFileShown { path, problem }))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct KeyBody {
    key: String,
}

/// `PUT /v1/providers/{id}/key`.
pub(crate) async fn put_key(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<KeyBody>,
) -> Result<Data<Provider>, ApiError> {
    caller.require(Role::Admin)?;
    let known = app.providers.find(&id)?;
    let key = Secret::new(body.key);
    app.providers.set_key(&*app.store, &known, &key, app.clock.now_ms()).await?;
    app.gateway.push_config(&app.providers, &*app.store).await;
    let offered = offered(&app).await?;
    Ok(Data(app.providers.one(&*app.store, &known, offered.as_ref()).await?))
}

/// `DELETE /v1/providers/{id}/key`: the stored one; one in the environment stays.
pub(crate) async fn delete_key(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Data<Provider>, ApiError> {
    caller.require(Role::Admin)?;
    let known = app.providers.find(&id)?;
    app.store.delete_provider_key(known.id()).await?;
    app.gateway.push_config(&app.providers, &*app.store).await;
    let offered = offered(&app).await?;
    Ok(Data(app.providers.one(&*app.store, &known, offered.as_ref()).await?))
}

/// `POST /v1/providers/{id}/test`.
pub(crate) async fn test(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Data<Tried>, ApiError> {
    caller.require(Role::Admin)?;
    let known = app.providers.find(&id)?;
    if let Some(problem) = app.providers.problem(&*app.store, &known).await? {
        return Ok(Data(Tried { ok: false, message: problem, latency_ms: 0 }));
    }
    let gateway = app.gateway.get().await.ok_or_else(no_gateway)?;
    match gateway.test_provider(known.id()).await {
        Ok(test) => {
            Ok(Data(Tried { ok: test.ok, message: test.message, latency_ms: test.latency_ms }))
        }
        // No key, mostly: an outcome for the person who pressed the button.
        Err(ControlError::Refused { message, .. }) => {
            Ok(Data(Tried { ok: false, message, latency_ms: 0 }))
        }
        Err(error) => Err(gateway_failed(&error)),
    }
}

pub(crate) fn no_gateway() -> ApiError {
    ApiError::new(
        Code::Unavailable,
        "the model gateway is starting: try again in a moment; the server's log says more",
    )
}

pub(crate) fn gateway_failed(error: &ControlError) -> ApiError {
    ApiError::new(Code::Unavailable, format!("{error}. It restarts by itself: try again"))
}
