//! `/v1/fallbacks`: models that stand in for others while a provider is down. What is left out of a change
//! stays as it is. That they are asked is the gateway's.

use super::given::Given;
use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, JsonBody},
    fallbacks::Set,
    state::App,
};
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use toft_model::provider::Fallbacks;
use toft_store::Role;

/// What to change. `null` takes off what was set: then the file of configuration holds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    #[serde(default)]
    chains: BTreeMap<String, Option<Vec<String>>>,
    #[serde(default)]
    first_byte_s: Given<u32>,
}

/// `GET /v1/fallbacks`.
pub(crate) async fn get(State(app): State<App>, _caller: Caller) -> Result<Data<Value>, ApiError> {
    Ok(shown(&app, &Set::read(&*app.store).await?))
}

/// `PUT /v1/fallbacks`: in force when it is answered, where a gateway answers.
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<Value>, ApiError> {
    caller.require(Role::Admin)?;
    let mut set = Set::read(&*app.store).await?;
    for (model, others) in &wish.chains {
        set.change(model, others.as_deref())?;
    }
    set.first_byte_s = wish.first_byte_s.over(set.first_byte_s);
    if set.first_byte_s.is_some_and(|seconds| seconds > Fallbacks::FIRST_BYTE_S_MAX) {
        return Err(ApiError::invalid(format!(
            "firstByteS must be 0 to {}: seconds until the first byte of a streamed answer; 0 for as \
             long as it takes",
            Fallbacks::FIRST_BYTE_S_MAX
        )));
    }
    set.write(&*app.store).await?;
    app.gateway.push_config(&app.providers, &*app.store).await;
    Ok(shown(&app, &set))
}

fn shown(app: &App, set: &Set) -> Data<Value> {
    let file = app.providers.fallbacks();
    let now = set.clone().over(file);
    let of_file = file.chains.keys().filter(|model| !set.chains.contains_key(*model));
    Data(json!({
        "chains": now.chains,
        "firstByteS": now.first_byte_s,
        "fromFile": of_file.collect::<Vec<_>>(),
    }))
}
