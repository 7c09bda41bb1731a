//! `/v1/projects/{id}/secrets`: values go in and never come out, not in an error either.

use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, JsonBody, NoBody, Path},
    machines::{Machine, life},
    project::find,
    secrets::{self, tell},
    state::App,
    tasks::finish,
};
use axum::extract::State;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use toft_model::machine::MachineState;
use toft_store::Role;
use toft_vault::Secret;

/// What is said of a body that does not fit. The usual words quote what was sent.
const MANY: &str = "send {\"values\": {\"NAME\": \"value\", …}}, and \"wake\": true if the machine is \
                    to go on with them";
/// Said when a change breaks.
const CHANGING: &str = "changing the secrets failed";
const ONE: &str = "send {\"value\": \"…\"}: one text, and nothing besides";

async fn shown(app: &App, machine: &Machine) -> Result<Data<Value>, ApiError> {
    let (revision, all) = secrets::list(app, &machine.id).await?;
    // A paused one is told before it goes on.
    let running = machine.state() == MachineState::Running;
    let in_force = running.then(|| machine.told.revision() == Some(revision));
    Ok(Data(json!({"revision": revision, "inForce": in_force, "secrets": all})))
}

/// `GET …/secrets`.
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(id): Path<String>,
) -> Result<Data<Value>, ApiError> {
    let (_, machine) = find(&app, &id).await?;
    shown(&app, &machine).await
}

/// `POST …/secrets`: some at once.
pub(crate) async fn set_many(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Data<Value>, ApiError> {
    caller.require(Role::Member)?;
    let refused = || ApiError::invalid(MANY);
    let (mut values, mut wake) = (Vec::new(), false);
    for (field, given) in body {
        match (field.as_str(), given) {
            ("values", Value::Object(given)) => {
                for (name, value) in given {
                    let Value::String(value) = value else { return Err(refused()) };
                    values.push((name, Secret::new(value)));
                }
            }
            ("wake", Value::Bool(given)) => wake = given,
            _ => return Err(refused()),
        }
    }
    let (_, machine) = find(&app, &id).await?;
    store_and_tell(&app, &machine, values, caller.user_id(), wake).await?;
    shown(&app, &machine).await
}

/// `PUT …/secrets/{name}`.
pub(crate) async fn set(
    State(app): State<App>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
    JsonBody(mut body): JsonBody<Map<String, Value>>,
) -> Result<Data<Value>, ApiError> {
    caller.require(Role::Member)?;
    let value = match (body.remove("value"), body.is_empty()) {
        (Some(Value::String(value)), true) => Secret::new(value),
        _ => return Err(ApiError::invalid(ONE)),
    };
    let (_, machine) = find(&app, &id).await?;
    store_and_tell(&app, &machine, vec![(name, value)], caller.user_id(), false).await?;
    shown(&app, &machine).await
}

/// What is stored is also told, whoever leaves.
async fn store_and_tell(
    app: &App,
    machine: &Arc<Machine>,
    values: Vec<(String, Secret)>,
    by: &str,
    wake: bool,
) -> Result<(), ApiError> {
    let (app2, machine, by) = (app.clone(), Arc::clone(machine), by.to_owned());
    finish(&app.tasks, CHANGING, async move {
        {
            let _changing = machine.told.changing.lock().await;
            secrets::set(&app2, &machine.id, &values, &by).await?;
        }
        let _hold = wake.then(|| machine.in_use(&app2.clock));
        if wake {
            // They are stored: a machine that a person has stopped, or that does not start, gets them
            // when it runs.
            if let Err(error) = life::ensure_running(&app2, &machine, "secrets were given").await {
                tracing::info!(project.id = %machine.id, error = error.message,
                    "secrets were given, and the machine rests");
            }
        }
        tell::changed(&app2, &machine).await;
        Ok(())
    })
    .await
}

/// `DELETE …/secrets/{name}`.
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
) -> Result<Data<Value>, ApiError> {
    caller.require(Role::Member)?;
    let (_, machine) = find(&app, &id).await?;
    let (app2, changed) = (app.clone(), Arc::clone(&machine));
    finish(&app.tasks, CHANGING, async move {
        {
            let _changing = changed.told.changing.lock().await;
            secrets::delete(&app2, &changed.id, &name).await?;
        }
        tell::changed(&app2, &changed).await;
        Ok(())
    })
    .await?;
    shown(&app, &machine).await
}

/// `POST …/rotate-secrets`: a new key for the project's values.
pub(crate) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _: NoBody,
) -> Result<Data<Value>, ApiError> {
    caller.require(Role::Admin)?;
    let (_, machine) = find(&app, &id).await?;
    let _changing = machine.told.changing.lock().await;
    secrets::rotate(&app, &machine.id).await?;
    Ok(Data(json!({})))
}

/// `POST /v1/vault/rotate`: a new master key for everything.
pub(crate) async fn rotate_master(
    State(app): State<App>,
    caller: Caller,
    _: NoBody,
) -> Result<Data<Value>, ApiError> {
    caller.require(Role::Admin)?;
    app.keyring.rotate(&app.tasks, &app.store).await?;
    Ok(Data(json!({})))
}
