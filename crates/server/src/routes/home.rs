//! `/`, `/health`, `/capabilities`, `/v1`: what this server is and what it can. No credentials.

use crate::{assets, envelope::Data, state::App, variables::VARIABLES};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Method},
    response::{IntoResponse as _, Response},
};
use serde_json::{Map, Value, json};
use toft_model::{
    run::{ACTIONS, PROJECT_ACTIONS, SANDBOX_CMD},
    time::rfc3339,
};

const NAME: &str = "Toft";

/// The dashboard for browsers, the document's JSON for programs.
pub(crate) async fn root(State(app): State<App>, method: Method, headers: HeaderMap) -> Response {
    if assets::wants_page(&method, &headers) {
        return assets::index(&headers);
    }
    Json(json!({"name": NAME, "status": "ok", "version": app.version})).into_response()
}

fn health_data(app: &App) -> Value {
    json!({"status": "ok", "ts": rfc3339(app.clock.now_ms())})
}

pub(crate) async fn health_bare(State(app): State<App>) -> Json<Value> {
    Json(health_data(&app))
}

pub(crate) async fn health(State(app): State<App>) -> Data<Value> {
    Data(health_data(&app))
}

/// What programs can do here, besides what agents do in runs.
const OWN_ACTIONS: &[&str] = &[
    "projects.create",
    "projects.list",
    "projects.get",
    "projects.rename",
    "projects.delete",
    "machine.start",
    "machine.stop",
    "machine.wake",
    "machine.sleep",
    "machine.exec",
    "agent.prompt",
    "agent.steer",
    "agent.follow_up",
    "agent.abort",
    "agent.events",
    "runs.create",
    "runs.list",
    "runs.get",
    "runs.stream",
    "runs.cancel",
    "runs.restore",
    "messages.create",
    "checkpoints.take",
    "checkpoints.diff",
    "checkpoints.restore",
    "projects.fork",
    "files.read",
    "files.write",
    "terminals.open",
    "preview.open",
];

/// As the Platform Agent's document has it, with what holds here.
fn capabilities_data(app: &App) -> Value {
    let rules = &app.runs.settings.rules;
    let has = |tool: &str| rules.project_tools != Some(false) && rules.allows(tool);
    let mut actions: Vec<&str> = OWN_ACTIONS.to_vec();
    if has(SANDBOX_CMD) {
        actions.push(SANDBOX_CMD);
    }
    if has(PROJECT_ACTIONS) {
        actions.extend(ACTIONS);
    }
    json!({
        "name": NAME,
        "actions": actions,
        "constraints": {
            "nextOnly": false,
            "bunOnly": false,
            "noArbitraryShell": !rules.allows("bash"),
            "secrets": {
                "readDotEnvDenied": false,
                "envExampleReadable": true,
                "envExampleSyncAvailable": has(PROJECT_ACTIONS),
            },
        },
        "env": VARIABLES
            .iter()
            .map(|variable| (variable.name.to_owned(), Value::from(variable.says)))
            .collect::<Map<_, _>>(),
    })
}

pub(crate) async fn capabilities_bare(State(app): State<App>) -> Json<Value> {
    Json(capabilities_data(&app))
}

pub(crate) async fn capabilities(State(app): State<App>) -> Data<Value> {
    Data(capabilities_data(&app))
}

/// What there is under `/v1`.
pub(crate) async fn v1(State(app): State<App>) -> Data<Value> {
    Data(json!({
        "name": NAME,
        "status": "ok",
        "version": app.version,
        "docs": ["docs/http-api.md"],
        "endpoints": [
            "GET /v1/health", "GET /v1/capabilities", "POST /v1/auth/password",
            "POST /v1/auth/sign-out", "GET /v1/me", "PATCH /v1/me", "POST /v1/projects",
            "GET /v1/projects", "GET /v1/projects/{id}", "PATCH /v1/projects/{id}",
            "DELETE /v1/projects/{id}", "GET /v1/projects/{id}/machine",
            "POST /v1/projects/{id}/start", "POST /v1/projects/{id}/stop",
            "POST /v1/projects/{id}/wake", "POST /v1/projects/{id}/sleep", "POST /v1/projects/{id}/exec",
            "POST /v1/projects/{id}/exec/{exec}/stdin", "POST /v1/projects/{id}/exec/{exec}/signal",
            "GET /v1/projects/{id}/checkpoints", "POST /v1/projects/{id}/checkpoints",
            "GET /v1/projects/{id}/checkpoints/{checkpoint}",
            "PATCH /v1/projects/{id}/checkpoints/{checkpoint}",
            "DELETE /v1/projects/{id}/checkpoints/{checkpoint}",
            "GET /v1/projects/{id}/checkpoints/{checkpoint}/diff",
            "POST /v1/projects/{id}/checkpoints/{checkpoint}/restore",
            "PUT /v1/projects/{id}/checkpoint-rule", "POST /v1/projects/{id}/restore-message",
            "POST /v1/projects/{id}/fork",
            "GET /v1/projects/{id}/egress", "PUT /v1/projects/{id}/egress",
            "POST /v1/projects/{id}/egress/rules", "GET /v1/projects/{id}/egress/log",
            "GET /v1/projects/{id}/schedules", "POST /v1/projects/{id}/schedules",
            "GET /v1/projects/{id}/schedules/{schedule}",
            "PATCH /v1/projects/{id}/schedules/{schedule}",
            "DELETE /v1/projects/{id}/schedules/{schedule}",
            "GET /v1/projects/{id}/schedules/{schedule}/firings",
            "POST /v1/projects/{id}/schedules/{schedule}/run",
            "GET /v1/projects/{id}/runs", "POST /v1/projects/{id}/runs", "POST /v1/projects/{id}/messages",
            "GET /v1/projects/{id}/runs/{run}", "GET /v1/projects/{id}/runs/{run}/messages",
            "GET /v1/projects/{id}/runs/{run}/stream", "GET /v1/projects/{id}/runs/{run}/download.zip", "POST /v1/projects/{id}/runs/{run}/cancel", "POST /v1/projects/{id}/runs/{run}/restore",
            "POST /v1/projects/{id}/preview", "* /v1/projects/{id}/toft/*", "GET /v1/keys", "POST /v1/keys",
            "DELETE /v1/keys/{key}", "GET /v1/settings",
            "PUT /v1/settings", "GET /v1/providers", "PUT /v1/providers/{id}/key",
            "DELETE /v1/providers/{id}/key", "POST /v1/providers/{id}/test", "GET /v1/keys-file",
            "GET /v1/fallbacks", "PUT /v1/fallbacks", "GET /v1/projects/{id}/fallbacks",
            "PUT /v1/projects/{id}/fallbacks", "GET /v1/models",
            "GET /v1/model-pricing", "PUT /v1/model-pricing/{provider}/{model}",
            "DELETE /v1/model-pricing/{provider}/{model}", "GET /v1/usage", "GET /v1/projects/{id}/usage",
            "GET /v1/budget", "PUT /v1/budget",
            "GET /v1/projects/{id}/budget", "PUT /v1/projects/{id}/budget",
            "GET /v1/projects/{id}/model-limits", "PUT /v1/projects/{id}/model-limits",
            "GET /v1/webhooks", "POST /v1/webhooks", "GET /v1/webhooks/{webhook}", "DELETE /v1/webhooks/{webhook}",
            "GET /v1/projects/{id}/webhooks", "POST /v1/projects/{id}/webhooks",
            "GET /v1/projects/{id}/webhooks/{webhook}", "DELETE /v1/projects/{id}/webhooks/{webhook}",
            "GET /v1/metrics", "GET /metrics", "GET /v1/doctor", "POST /v1/sign-in-links", "POST /v1/shutdown", "GET /llm/models",
            "* /llm/{provider}/*",
        ],
        "legacyEndpoints": ["GET /", "GET /health", "GET /capabilities"],
    }))
}
