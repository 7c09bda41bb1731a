//! `/`, `/health`, `/capabilities`, `/v1`: what this server is and what it can. No credentials.

use crate::{answer, assets, envelope::Data, routes, state::App, variables::VARIABLES};
use axum::{
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use toft_model::{
    run::{ACTIONS, PROJECT_ACTIONS, RUN_CODE, SANDBOX_CMD},
    time::rfc3339,
};

const NAME: &str = "Toft";
const OK: &str = "ok";

/// The dashboard for browsers, the document's JSON for programs.
pub(crate) async fn root(State(app): State<App>, method: Method, headers: HeaderMap) -> Response {
    if assets::wants_page(&method, &headers) {
        return assets::index(&headers);
    }
    answer::bare(&contents(&app))
}

/// Whether it answers.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Health {
    status: &'static str,
    ts: String,
}

fn health_data(app: &App) -> Health {
    Health { status: OK, ts: rfc3339(app.clock.now_ms()) }
}

/// What this server is, and what there is below `/v1`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Contents {
    name: &'static str,
    status: &'static str,
    version: String,
    /// Where this is told at length.
    docs: [&'static str; 3],
    /// Method and path of each operation.
    endpoints: Vec<String>,
    legacy_endpoints: [&'static str; 3],
}

/// What it can do, in the words of the Platform Agent.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Capabilities {
    name: &'static str,
    actions: Vec<&'static str>,
    constraints: Map<String, Value>,
    env: Map<String, Value>,
}

pub(crate) async fn health_bare(State(app): State<App>) -> Response {
    answer::bare(&health_data(&app))
}

pub(crate) async fn health(State(app): State<App>) -> Data<Health> {
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
fn capabilities_data(app: &App) -> Capabilities {
    let settings = &app.runs.settings;
    let has = |tool: &str| settings.has_tool(tool);
    let mut actions: Vec<&str> = OWN_ACTIONS.to_vec();
    actions.extend([SANDBOX_CMD, RUN_CODE].into_iter().filter(|tool| has(tool)));
    if has(PROJECT_ACTIONS) {
        actions.extend(ACTIONS);
    }
    Capabilities {
        name: NAME,
        actions,
        constraints: object(json!({
            "nextOnly": false,
            "bunOnly": false,
            "noArbitraryShell": !settings.has_shell(),
            "secrets": {
                "readDotEnvDenied": settings.keeps_off_secrets(app.backend.name()),
                "envExampleReadable": true,
                "envExampleSyncAvailable": has(PROJECT_ACTIONS),
            },
        })),
        env: VARIABLES
            .iter()
            .map(|variable| (variable.name.to_owned(), Value::from(variable.says)))
            .collect(),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

pub(crate) async fn capabilities_bare(State(app): State<App>) -> Response {
    answer::bare(&capabilities_data(&app))
}

pub(crate) async fn capabilities(State(app): State<App>) -> Data<Capabilities> {
    Data(capabilities_data(&app))
}

/// What there is under `/v1`.
pub(crate) async fn v1(State(app): State<App>) -> Data<Contents> {
    Data(contents(&app))
}

fn contents(app: &App) -> Contents {
    Contents {
        name: NAME,
        status: OK,
        version: app.version.clone(),
        docs: ["/docs", "/openapi.json", "docs/http-api.md"],
        endpoints: routes::endpoints(),
        legacy_endpoints: ["GET /", "GET /health", "GET /capabilities"],
    }
}
