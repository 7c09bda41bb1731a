//! `/metrics` for Prometheus, and `/v1/metrics`: how many runs there are, and machines.

use crate::{api_error::ApiError, auth::caller::Caller, envelope::Data, state::App};
use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _};
use toft_model::{machine::MachineState, run::RunStatus};

/// The text format of Prometheus, by its version.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What is counted, each by the words of its label; a word that nothing has is told with 0.
struct Counts {
    runs: BTreeMap<&'static str, u64>,
    machines: BTreeMap<&'static str, u64>,
}

/// The source's words for the state of a run's job.
fn job(status: &'static str) -> &'static str {
    match status {
        "completed" => "succeeded",
        "error" => "failed",
        other => other,
    }
}

async fn count(app: &App) -> Result<Counts, ApiError> {
    let mut runs: BTreeMap<&'static str, u64> =
        RunStatus::ALL.iter().map(|status| (status.as_str(), 0)).collect();
    for (status, n) in app.store.count_runs().await? {
        runs.insert(status.as_str(), n);
    }
    let mut machines: BTreeMap<&'static str, u64> =
        MachineState::ALL.iter().map(|state| (state.as_str(), 0)).collect();
    for machine in app.machines.list() {
        *machines.entry(machine.state().as_str()).or_default() += 1;
    }
    Ok(Counts { runs, machines })
}

/// How many there are of a status.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatusCount")]
struct Row {
    status: &'static str,
    count: u64,
}

/// How many machines there are in a state.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StateCount")]
struct MachineRow {
    state: &'static str,
    count: u64,
}

/// How many runs and machines there are.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Metrics")]
pub(crate) struct Shown {
    runs: Vec<Row>,
    /// Runs by the status of their job.
    jobs: Vec<Row>,
    machines: Vec<MachineRow>,
}

/// `GET /v1/metrics`.
pub(crate) async fn get(State(app): State<App>, _: Caller) -> Result<Data<Shown>, ApiError> {
    let counts = count(&app).await?;
    let rows = |name: fn(&'static str) -> &'static str| {
        counts.runs.iter().map(|(status, n)| Row { status: name(status), count: *n }).collect()
    };
    let machines = counts.machines.iter();
    Ok(Data(Shown {
        runs: rows(|status| status),
        jobs: rows(job),
        machines: machines.map(|(state, n)| MachineRow { state, count: *n }).collect(),
    }))
}

/// `GET /metrics`.
pub(crate) async fn text(State(app): State<App>, _: Caller) -> Result<Response, ApiError> {
    let counts = count(&app).await?;
    let mut out = String::new();
    let mut family = |name: &str, help: &str, label: &str, rows: Vec<(&str, u64)>| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (word, n) in rows {
            let _ = writeln!(out, "{name}{{{label}=\"{word}\"}} {n}");
        }
    };
    let runs = || counts.runs.iter().map(|(status, n)| (*status, *n));
    family(
        "runs_status",
        "Runs of all servers on this database by status.",
        "status",
        runs().collect(),
    );
    let jobs = runs().map(|(status, n)| (job(status), n)).collect();
    family(
        "jobs_status",
        "Jobs of the runs of all servers on this database by status.",
        "status",
        jobs,
    );
    let machines = counts.machines.iter().map(|(state, n)| (*state, *n)).collect();
    family("machines_state", "Machines of this server by state.", "state", machines);
    family("toft_build_info", "The server's version.", "version", vec![(app.version.as_str(), 1)]);
    let mut answer = out.into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}
