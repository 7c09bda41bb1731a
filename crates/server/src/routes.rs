//! Every route of the control plane, one file per resource. What a preview host answers is in
//! `preview`.

pub(crate) mod auth;
pub(crate) mod backup;
pub(crate) mod budget;
pub(crate) mod checkpoints;
pub(crate) mod comparisons;
pub(crate) mod disk;
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

use crate::{api_error::ApiError, assets, routes::table::Table, servers, state::App};
use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{any, delete, get, post, put},
};

/// All routes. Who adds one says what a key needs for it: `route`, if looking is for everybody who may look.
fn table() -> Table {
    Table::default()
        .open("/", get(home::root))
        .open("/health", get(home::health_bare))
        .open("/capabilities", get(home::capabilities_bare))
        .open("/sign-in", get(auth::sign_in))
        .open("/v1", get(home::v1))
        .open("/v1/health", get(home::health))
        .open("/v1/capabilities", get(home::capabilities))
        .open("/v1/auth/password", post(auth::password))
        .route("/v1/auth/sign-out", post(auth::sign_out))
        .admin("/v1/sign-in-links", post(auth::new_link))
        .route("/v1/me", get(me::get).patch(me::patch))
        .route("/v1/projects", get(projects::list).post(projects::create))
        .route(
            "/v1/projects/{id}",
            get(projects::get).patch(projects::patch).delete(projects::delete),
        )
        .route("/v1/projects/{id}/machine", get(machine::get))
        .route("/v1/projects/{id}/start", post(machine::start))
        .route("/v1/projects/{id}/stop", post(machine::stop))
        .route("/v1/projects/{id}/wake", post(machine::wake))
        .route("/v1/projects/{id}/sleep", post(machine::sleep))
        .route("/v1/projects/{id}/freeze", post(machine::freeze))
        .route("/v1/projects/{id}/thaw", post(machine::thaw))
        .route("/v1/projects/{id}/limits", get(limits::get).put(limits::put))
        .route("/v1/projects/{id}/idle", get(idle::get).put(idle::put))
        .route("/v1/projects/{id}/disk", get(disk::get))
        .route("/v1/projects/{id}/egress", get(egress::get).put(egress::put))
        .route("/v1/projects/{id}/egress/rules", post(egress::add_rule))
        .route("/v1/projects/{id}/egress/log", get(egress::log))
        .route("/v1/projects/{id}/exec", post(exec::exec))
        .route("/v1/projects/{id}/exec/{exec}/stdin", post(exec::feed::stdin))
        .route("/v1/projects/{id}/exec/{exec}/signal", post(exec::feed::signal))
        .route("/v1/projects/{id}/checkpoints", get(checkpoints::list).post(checkpoints::create))
        .route(
            "/v1/projects/{id}/checkpoints/{checkpoint}",
            get(checkpoints::get).patch(checkpoints::patch).delete(checkpoints::delete),
        )
        .route("/v1/projects/{id}/checkpoints/{checkpoint}/diff", get(checkpoints::compare))
        .route("/v1/projects/{id}/checkpoints/{checkpoint}/restore", post(checkpoints::restore))
        .route("/v1/projects/{id}/checkpoint-rule", put(checkpoints::put_rule))
        .route("/v1/projects/{id}/restore-message", post(checkpoints::restore_message))
        .route("/v1/projects/{id}/fork", post(checkpoints::fork))
        .route("/v1/projects/{id}/schedules", get(schedules::list).post(schedules::create))
        .route(
            "/v1/projects/{id}/schedules/{sid}",
            get(schedules::get).patch(schedules::patch).delete(schedules::delete),
        )
        .route("/v1/projects/{id}/schedules/{sid}/firings", get(schedules::firings))
        .route("/v1/projects/{id}/schedules/{sid}/run", post(schedules::run))
        .route("/v1/projects/{id}/runs", get(runs::list).post(runs::create))
        .route("/v1/projects/{id}/messages", post(runs::message))
        .route("/v1/projects/{id}/runs/{run}", get(runs::get))
        .route("/v1/projects/{id}/runs/{run}/messages", get(runs::messages))
        .route("/v1/projects/{id}/runs/{run}/stream", get(runs::stream))
        .route("/v1/projects/{id}/runs/{run}/download.zip", get(runs::download))
        .route("/v1/projects/{id}/runs/{run}/cancel", post(runs::cancel))
        .route("/v1/projects/{id}/comparisons", get(comparisons::list))
        .route("/v1/projects/{id}/comparisons/{comparison}", get(comparisons::get))
        .route(
            "/v1/projects/{id}/comparisons/{comparison}/candidates/{run}/diff",
            get(comparisons::diff),
        )
        .route("/v1/projects/{id}/comparisons/{comparison}/keep", post(comparisons::keep))
        .route("/v1/projects/{id}/comparisons/{comparison}/drop", post(comparisons::drop_all))
        .route("/v1/projects/{id}/runs/{run}/restore", post(runs::restore))
        .route("/v1/projects/{id}/secrets", get(secrets::list).post(secrets::set_many))
        .route("/v1/projects/{id}/secrets/{name}", put(secrets::set).delete(secrets::delete))
        .route("/v1/projects/{id}/rotate-secrets", post(secrets::rotate))
        .route("/v1/projects/{id}/mcp", get(mcp::list))
        .route("/v1/projects/{id}/mcp/{server}/connect", post(mcp::connect))
        .route("/v1/projects/{id}/mcp/{server}/disconnect", post(mcp::disconnect))
        .open("/v1/mcp/callback", get(mcp::back).post(mcp::agree))
        .admin("/v1/keys", get(keys::list).post(keys::create))
        .admin("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/vault/rotate", post(secrets::rotate_master))
        .route("/v1/projects/{id}/preview", post(preview::create))
        .route("/v1/projects/{id}/usage", get(usage::of_project))
        .route("/v1/projects/{id}/model-limits", get(model_limits::get).put(model_limits::put))
        .route(
            "/v1/projects/{id}/fallbacks",
            get(fallbacks::get_project).put(fallbacks::put_project),
        )
        .route("/v1/projects/{id}/toft/{*rest}", any(toft::route))
        .route("/v1/images", get(images::list).post(images::create))
        .route("/v1/images/{key}", get(images::get).patch(images::patch).delete(images::delete))
        .route("/v1/settings", get(settings::get).put(settings::put))
        .route("/v1/providers", get(providers::list))
        .route("/v1/keys-file", get(providers::file))
        .route("/v1/models-file", get(providers::models_file))
        .route("/v1/providers/{id}/key", put(providers::put_key))
        .route("/v1/providers/{id}/key", delete(providers::delete_key))
        .route("/v1/providers/{id}/test", post(providers::test))
        .route("/v1/fallbacks", get(fallbacks::get).put(fallbacks::put))
        .route("/v1/models", get(models::get))
        .route("/v1/model-pricing", get(pricing::list))
        .route("/v1/model-pricing/{provider}/{*model}", put(pricing::put).delete(pricing::delete))
        .route("/v1/usage", get(usage::all))
        .route("/v1/budget", get(budget::get_team).put(budget::put_team))
        .route("/v1/projects/{id}/budget", get(budget::get_project).put(budget::put_project))
        .admin("/v1/webhooks", get(webhooks::list_all).post(webhooks::create_for_all))
        .admin("/v1/webhooks/{webhook}", get(webhooks::get_of_all).delete(webhooks::delete_of_all))
        .admin("/v1/projects/{id}/webhooks", get(webhooks::list).post(webhooks::create))
        .admin("/v1/projects/{id}/webhooks/{webhook}", get(webhooks::get).delete(webhooks::delete))
        .route("/metrics", get(metrics::text))
        .route("/v1/metrics", get(metrics::get))
        .route("/v1/doctor", get(doctor::get))
        .admin("/v1/backup", post(backup::post))
        .admin("/v1/shutdown", post(shutdown::post))
        .open("/llm/{*rest}", any(llm::route))
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
            "/sign-in",
            "/v1",
            "/v1/health",
            "/v1/capabilities",
            // These judge by themselves: a password, a state that is used once, and keys where providers' programs put them.
            "/v1/auth/password",
            "/v1/mcp/callback",
            "/llm/{*rest}",
        ];
        assert_eq!(table().needing(Needs::Nothing), open);
        let admin = [
            "/v1/sign-in-links",
            "/v1/keys",
            "/v1/keys/{id}",
            "/v1/webhooks",
            "/v1/webhooks/{webhook}",
            "/v1/projects/{id}/webhooks",
            "/v1/projects/{id}/webhooks/{webhook}",
            "/v1/backup",
            "/v1/shutdown",
        ];
        assert_eq!(table().needing(Needs::Admin), admin);
    }
}
