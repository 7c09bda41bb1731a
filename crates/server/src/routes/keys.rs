//! `/v1/keys`: keys for programs, made and taken back by admins. A key is shown once, when it is made; what is
//! kept is its digest.

use crate::{
    api_error::{ApiError, Code},
    auth::{
        caller::Caller,
        keys::{KEYS_MAX, Made, new_key},
        token,
    },
    envelope::{Data, JsonBody, Path},
    line,
    project::find_anywhere,
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toft_model::id::{ProjectId, uuid_v7};
use toft_store::{ApiKey, Role, Scope};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    name: String,
    #[schemars(with = "Vec<ScopeName>")]
    scopes: Vec<String>,
    project: Option<String>,
    expires_at: Option<u64>,
}

/// What a key opens.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Scope")]
#[expect(dead_code, reason = "only its schema is used: the words of a refusal are its own")]
enum ScopeName {
    Models,
    Read,
    Admin,
}

/// An API key, without what opens.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ApiKey")]
pub(crate) struct Known {
    id: String,
    name: String,
    /// How the key begins.
    prefix: String,
    #[schemars(with = "Vec<ScopeName>")]
    scopes: Vec<&'static str>,
    /// The only project that it opens; null: all.
    project_id: Option<ProjectId>,
    /// Unix milliseconds.
    created_at: u64,
    /// Who made it; null where a key did, or the person is gone.
    created_by: Option<String>,
    /// Unix milliseconds; null: never.
    expires_at: Option<u64>,
    expired: bool,
    /// Unix milliseconds; null: never.
    last_used_at: Option<u64>,
}

/// All keys.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKeys")]
pub(crate) struct Keys {
    keys: Vec<Known>,
}

/// A key that was just made.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewApiKey")]
pub(crate) struct NewKey {
    #[serde(flatten)]
    known: Known,
    /// What opens: told this once.
    key: String,
}

/// A key that opens nothing any more.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Revoked {
    id: String,
    revoked: bool,
}

/// `GET /v1/keys`: those that have expired too.
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Data<Keys>, ApiError> {
    caller.require(Role::Admin)?;
    let mut names = BTreeMap::new();
    let mut keys = Vec::new();
    for made in app.auth.keys() {
        if let Some(id) = &made.key.created_by
            && !names.contains_key(id)
        {
            names.insert(id.clone(), app.store.user(id).await?.map(|user| user.name));
        }
        keys.push(shown(&app, &made, &names));
    }
    Ok(Data(Keys { keys }))
}

/// `POST /v1/keys`. The answer alone has the key.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<NewKey>, ApiError> {
    caller.require(Role::Admin)?;
    let now = app.clock.now_ms();
    let name = line::name("name", &wish.name)?;
    let scopes = scopes(&wish.scopes)?;
    let project = match &wish.project {
        Some(id) => Some(find_anywhere(&app, id).await?.0.id),
        None => None,
    };
    if project.is_some() && scopes.contains(&Scope::Admin) {
        return Err(ApiError::invalid(
            "`project` cannot be had with the scope `admin`, which opens every project: leave one of them out",
        ));
    }
    if wish.expires_at.is_some_and(|at| at <= now) {
        return Err(ApiError::invalid(
            "`expiresAt` must be a moment to come, in Unix milliseconds, or left out for never",
        ));
    }
    if app.auth.keys().len() >= KEYS_MAX {
        return Err(ApiError::new(
            Code::Conflict,
            format!(
                "there are {KEYS_MAX} keys, which is as many as there may be: revoke one that nobody uses"
            ),
        ));
    }
    let (text, prefix) = new_key();
    let key = ApiKey {
        id: uuid_v7(now),
        name,
        prefix,
        hash: token::digest(&text),
        scopes,
        project,
        created_by: match &caller {
            Caller::Person { user, .. } => Some(user.id.clone()),
            Caller::Program(_) => None,
        },
        created_at: now,
        expires_at: wish.expires_at,
        used_at: None,
    };
    app.store.put_api_key(&key).await?;
    tracing::info!(key.id = key.id, user.id = caller.user_id(), "an API key was made");
    let made = app.auth.add(key);
    let names = match &caller {
        Caller::Person { user, .. } => BTreeMap::from([(user.id.clone(), Some(user.name.clone()))]),
        Caller::Program(_) => BTreeMap::new(),
    };
    Ok(Data(NewKey { known: shown(&app, &made, &names), key: text }))
}

/// `DELETE /v1/keys/{id}`: from the answer on it opens nothing, and what was begun with it ends.
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Data<Revoked>, ApiError> {
    caller.require(Role::Admin)?;
    // First in memory: should the database fail, it is rather gone too early, and comes back by a restart.
    let known = app.auth.keys().iter().any(|made| made.key.id == id);
    if known {
        app.auth.take_back(&id);
    }
    if !app.store.delete_api_key(&id).await? && !known {
        return Err(ApiError::new(
            Code::NotFound,
            "there is no such API key: GET /v1/keys lists them",
        ));
    }
    tracing::info!(key.id = id, user.id = caller.user_id(), "an API key was revoked");
    Ok(Data(Revoked { id, revoked: true }))
}

/// Each once, in their order.
fn scopes(words: &[String]) -> Result<Vec<Scope>, ApiError> {
    let mut scopes = Vec::new();
    for word in words {
        scopes.push(Scope::parse(word).ok_or_else(|| {
            ApiError::invalid("`scopes` must be some of \"models\", \"read\" and \"admin\"")
        })?);
    }
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(ApiError::invalid(
            "`scopes` must name what the key opens: \"models\", \"read\" or \"admin\"",
        ));
    }
    Ok(scopes)
}

fn shown(app: &App, made: &Made, names: &BTreeMap<String, Option<String>>) -> Known {
    let key = &made.key;
    let scopes = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let by = key.created_by.as_ref().and_then(|id| names.get(id)?.as_deref());
    Known {
        id: key.id.clone(),
        name: key.name.clone(),
        prefix: key.prefix.clone(),
        scopes,
        project_id: key.project.clone(),
        created_at: key.created_at,
        created_by: by.map(str::to_owned),
        expires_at: key.expires_at,
        expired: made.has_expired(app.clock.now_ms()),
        last_used_at: made.used_at(),
    }
}
