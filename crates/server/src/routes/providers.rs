//! `/v1/providers`: which there are, and their keys. A key goes in and never comes out.

use crate::{
    api_error::{ApiError, Code},
    auth::caller::Caller,
    envelope::{Data, JsonBody, Path},
    providers::{self, Provider},
    state::App,
};
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use toft_gateway::ControlError;
use toft_store::Role;
use toft_vault::Secret;

/// `GET /v1/providers`.
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
) -> Result<Data<Vec<Provider>>, ApiError> {
    Ok(Data(app.providers.list(&*app.store).await?))
}

/// `GET /v1/keys-file`: the file that keys were found in, and what is wrong with it as it is now.
pub(crate) async fn file(State(app): State<App>, _caller: Caller) -> Result<Data<Value>, ApiError> {
    let (path, problem) = app.providers.file();
    Ok(Data(json!({"path": path, "problem": problem})))
}

#[derive(Deserialize)]
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
    let spec = providers::find(&id)?;
    let key = Secret::new(body.key);
    app.providers.set_key(&*app.store, spec, &key, app.clock.now_ms()).await?;
    app.gateway.push_config(&app.providers, &*app.store).await;
    Ok(Data(app.providers.one(&*app.store, spec).await?))
}

/// `DELETE /v1/providers/{id}/key`: the stored one; one in the environment stays.
pub(crate) async fn delete_key(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Data<Provider>, ApiError> {
    caller.require(Role::Admin)?;
    let spec = providers::find(&id)?;
    app.store.delete_provider_key(spec.id).await?;
    app.gateway.push_config(&app.providers, &*app.store).await;
    Ok(Data(app.providers.one(&*app.store, spec).await?))
}

/// `POST /v1/providers/{id}/test`.
pub(crate) async fn test(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Data<Value>, ApiError> {
    caller.require(Role::Admin)?;
    let spec = providers::find(&id)?;
    if let Some(problem) = app.providers.problem(&*app.store, spec).await? {
        return Ok(Data(json!({"ok": false, "message": problem, "latencyMs": 0})));
    }
    let gateway = app.gateway.get().await.ok_or_else(no_gateway)?;
    match gateway.test_provider(spec.id).await {
        Ok(test) => Ok(Data(json!(test))),
        // No key, mostly: an outcome for the person who pressed the button.
        Err(ControlError::Refused { message, .. }) => {
            Ok(Data(json!({"ok": false, "message": message, "latencyMs": 0})))
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
