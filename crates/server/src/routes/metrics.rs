//! `/metrics` for Prometheus, and `/v1/metrics`: how many runs there are, and machines.

use crate::{api_error::ApiError, auth::caller::Caller, envelope::Data, state::App};
use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _};
use toft_model::run::RunStatus;

/// The text format of Prometheus, by its version.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What is counted, each by the words of its label; a word that nothing has is told with 0.
struct Counts {
    runs: BTreeMap<&'static str, u64>,
    machines: BTreeMap<&'static str, u64>,
}

/// The source's words for the state of a run's job.
fn job(status: &str) -> &str {
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
    let mut machines = BTreeMap::new();
    for machine in app.machines.list() {
        *machines.entry(machine.state().as_str()).or_default() += 1;
    }
    Ok(Counts { runs, machines })
}

/// `GET /v1/metrics`.
pub(crate) async fn get(State(app): State<App>, _: Caller) -> Result<Data<Value>, ApiError> {
    let counts = count(&app).await?;
    let rows = |name: fn(&str) -> &str| -> Vec<Value> {
        let row =
            |(status, n): (&&'static str, &u64)| json!({ "status": name(status), "count": n });
        counts.runs.iter().map(row).collect()
    };
    Ok(Data(json!({
        "runs": rows(|status| status), "jobs": rows(job),
        "machines": counts.machines.iter().map(|(state, n)| json!({ "state": state, "count": n })).collect::<Vec<_>>(),
    })))
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
    family("runs_status", "Runs by status.", "status", runs().collect());
    let jobs = runs().map(|(status, n)| (job(status), n)).collect();
    family("jobs_status", "Jobs of runs by status.", "status", jobs);
    let machines = counts.machines.iter().map(|(state, n)| (*state, *n)).collect();
    family("machines_state", "Machines of this server by state.", "state", machines);
    family("toft_build_info", "The server's version.", "version", vec![(app.version.as_str(), 1)]);
    let mut answer = out.into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}
