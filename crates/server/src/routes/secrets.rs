//! `/v1/projects/{id}/secrets`: values go in and never come out, not in an error either.

use crate::{
    api_error::{ApiError, Code},
    auth::caller::Caller,
    envelope::{Data, JsonBody, NoBody, Path},
    machines::Machine,
    project::{Admin, Member, OfProject, Viewer},
    routes::given::Done,
    secrets::{
        self, ENVIRONMENT,
        brokered::BROKERED,
        change::{self, Given, Kind},
    },
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use toft_model::{binding::Binding, machine::MachineState};
use toft_store::Role;
use toft_vault::Secret;

/// What is said of a body that does not fit. The usual words quote what was sent.
const MANY: &str = "send {\"values\": {\"NAME\": \"value\", …}}, where a value may also be what PUT …/secrets/{name} \
                    takes, and \"wake\": true if the machine is to go on with them";
const ONE: &str = "send {\"value\": \"…\"}: one text; beside it \"kind\": \"environment\" or \"brokered\", and \
                   of a brokered one its \"binding\"";
const BINDING: &str = "a binding is {\"hosts\": [\"api.example.com\"], \"methods\": [\"GET\"], \"paths\": \
                       [\"/v1/*\"], \"headers\": [\"authorization\"]}, all lists of texts, all but hosts \
                       may be left out";

/// Secrets of a project: never their values.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Secrets")]
pub(crate) struct All {
    revision: u64,
    /// Whether new processes of its machine find this revision; null while it does not run.
    in_force: Option<bool>,
    secrets: Vec<secrets::Shown>,
}

/// A value, and what is to become of it.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used: the words of its refusals quote nothing")]
pub(crate) struct OneBody {
    value: String,
    /// As it is, if that is left out.
    kind: Option<KindName>,
    /// Of a brokered one: the requests that it is put into.
    binding: Option<Binding>,
}

/// Who gets a value.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum KindName {
    /// Programs, in their environment.
    Environment,
    /// The gateway, which puts it into requests.
    Brokered,
}

/// A text, or more about it.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum TextOrMore {
    Text(String),
    More(OneBody),
}

/// Some at once.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used: the words of its refusals quote nothing")]
pub(crate) struct ManyBody {
    /// By their names.
    #[serde(default)]
    values: BTreeMap<String, TextOrMore>,
    /// Whether a machine that sleeps or is paused goes on with them.
    #[serde(default)]
    wake: bool,
}

async fn shown(app: &App, machine: &Machine) -> Result<Data<All>, ApiError> {
    let (revision, all) = secrets::list(app, &machine.id).await?;
    // A paused one is told before it goes on.
    let running = machine.state() == MachineState::Running;
    let in_force = running.then(|| machine.told.revision() == Some(revision));
    Ok(Data(All { revision, in_force, secrets: all }))
}

/// `GET …/secrets`.
pub(crate) async fn list(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Viewer>,
) -> Result<Data<All>, ApiError> {
    shown(&app, &machine).await
}

/// `POST …/secrets`: some at once.
pub(crate) async fn set_many(
    State(app): State<App>,
    OfProject { caller, machine, .. }: OfProject<Member>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Data<All>, ApiError> {
    let refused = || ApiError::invalid(MANY);
    let (mut values, mut wake) = (Vec::new(), false);
    for (field, given) in body {
        match (field.as_str(), given) {
            ("values", Value::Object(given)) => {
                for (name, value) in given {
                    values.push(match value {
                        Value::String(value) => {
                            Given { name, value: Secret::new(value), kind: None }
                        }
                        Value::Object(body) => given_as(name, body)?,
                        _ => return Err(refused()),
                    });
                }
            }
            ("wake", Value::Bool(given)) => wake = given,
            _ => return Err(refused()),
        }
    }
    change::set(&app, &machine, values, caller.user_id(), wake).await?;
    shown(&app, &machine).await
}

/// `PUT …/secrets/{name}`.
pub(crate) async fn set(
    State(app): State<App>,
    OfProject { caller, machine, .. }: OfProject<Member>,
    Path((_, name)): Path<(String, String)>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Data<All>, ApiError> {
    change::set(&app, &machine, vec![given_as(name, body)?], caller.user_id(), false).await?;
    shown(&app, &machine).await
}

/// A value, and what is to become of it.
fn given_as(name: String, mut body: Map<String, Value>) -> Result<Given, ApiError> {
    let refused = || ApiError::invalid(ONE);
    let Some(Value::String(value)) = body.remove("value") else { return Err(refused()) };
    let value = Secret::new(value);
    let binding = match body.remove("binding") {
        None | Some(Value::Null) => None,
        // Its words quote nothing: the value may stand in the wrong place.
        Some(given) => Some(serde_json::from_value(given).map_err(|_| ApiError::invalid(BINDING))?),
    };
    let kind = match (body.remove("kind"), binding) {
        (None, None) => None,
        (None, binding @ Some(_)) => Some(Kind::Brokered(binding)),
        (Some(Value::String(kind)), binding) if kind == BROKERED => Some(Kind::Brokered(binding)),
        (Some(Value::String(kind)), None) if kind == ENVIRONMENT => Some(Kind::Environment),
        _ => return Err(refused()),
    };
    if !body.is_empty() {
        return Err(refused());
    }
    Ok(Given { name, value, kind })
}

/// `DELETE …/secrets/{name}`.
pub(crate) async fn delete(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    Path((_, name)): Path<(String, String)>,
) -> Result<Data<All>, ApiError> {
    change::delete(&app, &machine, name).await?;
    shown(&app, &machine).await
}

/// `POST …/rotate-secrets`: a new key for the project's values.
pub(crate) async fn rotate(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Admin>,
    _: NoBody,
) -> Result<Data<Done>, ApiError> {
    change::rotate(&app, &machine).await?;
    Ok(Data(Done {}))
}

/// `POST /v1/vault/rotate`: a new master key for everything.
pub(crate) async fn rotate_master(
    State(app): State<App>,
    caller: Caller,
    _: NoBody,
) -> Result<Data<Done>, ApiError> {
    caller.require(Role::Admin)?;
    let others = app.servers.others();
    if !others.is_empty() {
        let message = format!(
            "other servers hold the master key ({}): end them first, rotate it, then copy master.key to each of \
             their data folders and start them again",
            others.join(", ")
        );
        return Err(ApiError::new(Code::Conflict, message));
    }
    // A backup takes the database first, and the key after it: both are to be of one time.
    let Ok(turn) = app.backup.clone().try_lock_owned() else {
        let message = "a backup is just being made: wait until it is done";
        return Err(ApiError::new(Code::Unavailable, message));
    };
    app.keyring.rotate(&app.tasks, &app.store, turn).await?;
    Ok(Data(Done {}))
}
