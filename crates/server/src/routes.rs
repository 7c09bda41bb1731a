//! Every route of the control plane, one file per resource. What a preview host answers is in
//! `preview`.

mod all;
pub(crate) mod auth;
pub(crate) mod backup;
pub(crate) mod budget;
pub(crate) mod checkpoints;
pub(crate) mod comparisons;
pub(crate) mod disk;
pub(crate) mod docs;
pub(crate) mod doctor;
pub(crate) mod egress;
pub(crate) mod exec;
pub(crate) mod fallbacks;
mod given;
pub(crate) mod home;
pub(crate) mod idle;
pub(crate) mod images;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod llm;
pub(crate) mod machine;
pub(crate) mod mcp;
pub(crate) mod me;
pub(crate) mod metrics;
pub(crate) mod model_limits;
pub(crate) mod models;
pub(crate) mod preview;
pub(crate) mod pricing;
pub(crate) mod projects;
pub(crate) mod providers;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod secrets;
pub(crate) mod settings;
pub(crate) mod shutdown;
mod table;
pub(crate) mod toft;
pub(crate) mod usage;
pub(crate) mod webhooks;

use crate::{
    api_error::ApiError,
    assets,
    openapi::{self, Described},
    routes::all::table,
    servers,
    state::App,
};
use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Paths of the table.
#[cfg(test)]
pub(crate) fn paths() -> Vec<&'static str> {
    table().paths()
}

/// What all routes do, in the order of the table.
pub(crate) fn described() -> Vec<Described> {
    table().described()
}

/// The HTTP API as an OpenAPI 3.1 document.
pub(crate) fn document(version: &str) -> Value {
    openapi::document(&described(), version)
}

/// The HTTP API of a server of that version as an OpenAPI 3.1 document: always the same text.
pub fn openapi(version: &str) -> String {
    openapi::text(&document(version))
}

/// The same as types for the dashboard: the text of each file by its name.
pub fn typescript() -> BTreeMap<String, String> {
    openapi::typescript(&document(""))
}

/// Methods and paths of all.
pub(crate) fn endpoints() -> Vec<String> {
    described().iter().map(|one| format!("{} {}", one.method, one.path)).collect()
}

/// What answers them.
pub(crate) fn router(app: App) -> Router {
    table()
        .router(&app)
        .method_not_allowed_fallback(wrong_method)
        .fallback(elsewhere)
        .layer(from_fn_with_state(app.clone(), shared))
        .with_state(app)
}

/// What all servers hold in memory: a change of it is told to the others.
const SHARED: [&str; 6] =
    ["/v1/keys", "/v1/providers", "/v1/settings", "/v1/fallbacks", "/v1/budget", "/v1/auth/"];
/// The same of a project.
const SHARED_OF_PROJECT: [&str; 3] = ["/budget", "/fallbacks", "/model-limits"];

async fn shared(State(app): State<App>, req: Request, next: Next) -> Response {
    let path = req.uri().path();
    let is_shared = !req.method().is_safe()
        && (SHARED.iter().any(|shared| path.starts_with(shared))
            || SHARED_OF_PROJECT.iter().any(|shared| path.ends_with(shared)));
    let answer = next.run(req).await;
    if is_shared && answer.status().is_success() && app.store.is_shared() {
        servers::tell_shared(&*app.store).await;
    }
    answer
}

async fn wrong_method(req: Request) -> Response {
    ApiError::wrong_method(req.method()).into_response()
}

/// Everything else: the dashboard's files and pages, never an API path.
async fn elsewhere(req: Request) -> Response {
    let path = req.uri().path();
    let api = ["/v1", "/llm", "/webhooks", "/toft", "/starter"];
    if api.iter().any(|a| path.strip_prefix(a).is_some_and(|r| r.is_empty() || r.starts_with('/')))
    {
        return ApiError::no_route(req.method(), path).into_response();
    }
    assets::path(req.method(), path, req.headers())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::guard::Needs;

    #[test]
    fn what_needs_no_key_is_counted_and_what_only_an_admin_may_see_too() {
        let open = [
            "/",
            "/health",
            "/capabilities",
            "/openapi.json",
            "/docs",
            "/v1",
            "/v1/health",
            "/v1/capabilities",
            "/sign-in",
            // These judge by themselves: a password, a state that is used once, and keys where providers' programs put them.
            "/v1/auth/password",
            "/v1/mcp/callback",
            "/llm/{*rest}",
        ];
        assert_eq!(table().needing(Needs::Nothing), open);
        let admin = [
            "/v1/backup",
            "/v1/shutdown",
            "/v1/sign-in-links",
            "/v1/keys",
            "/v1/keys/{id}",
            "/v1/webhooks",
            "/v1/webhooks/{webhook}",
            "/v1/projects/{id}/webhooks",
            "/v1/projects/{id}/webhooks/{webhook}",
        ];
        assert_eq!(table().needing(Needs::Admin), admin);
    }
}
