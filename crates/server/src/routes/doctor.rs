//! `GET /v1/doctor`: what this host can enforce, and whether traces go out.

use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, Query},
    machines::settings,
    state::App,
    traces,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toft_model::machine::Ability;
use toft_store::Role;

/// What this host can enforce.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Doctor")]
pub(crate) struct Report {
    /// Of the server's own backend.
    abilities: Vec<Ability>,
    /// Each that projects may have here, the server's own first.
    backends: Vec<OfBackend>,
    version: String,
    /// The server's own folder.
    data_dir: PathBuf,
    storage: String,
    /// Which database it keeps its records in.
    database: String,
    /// Where traces go, and how that goes.
    traces: Vec<traces::Report>,
}

/// A backend on this host.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "BackendReport")]
struct OfBackend {
    name: &'static str,
    abilities: Vec<Ability>,
    storage: Option<String>,
    /// Why it cannot be had, and what to do.
    problem: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Ask {
    /// Also open those that nothing was made with yet, to look.
    #[serde(default)]
    all: bool,
}

/// What is said of one that was not looked at.
const NOT_OPEN: &str = "nothing was made with it yet: `toft doctor` opens it to look";

async fn each(app: &App, ask: &Ask) -> Vec<OfBackend> {
    let mut all = Vec::new();
    let nothing = |name, problem: String| OfBackend {
        name,
        abilities: Vec::new(),
        storage: None,
        problem: Some(problem),
    };
    for name in app.backend.choices() {
        if !ask.all && !app.backend.is_open(name) {
            all.push(nothing(name, NOT_OPEN.to_owned()));
            continue;
        }
        all.push(match settings::look_at(app, name).await {
            Ok(found) => OfBackend {
                name,
                abilities: found.abilities,
                storage: Some(found.storage),
                problem: None,
            },
            Err(error) => nothing(name, error.to_string()),
        });
    }
    all
}

pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Query(ask): Query<Ask>,
) -> Result<Data<Report>, ApiError> {
    caller.require(Role::Member)?;
    let backends = each(&app, &ask).await;
    Ok(Data(Report {
        abilities: backends.first().map(|own| own.abilities.clone()).unwrap_or_default(),
        backends,
        version: app.version.clone(),
        data_dir: app.data_dir.clone(),
        storage: app.backend.storage(),
        database: app.store.describe(),
        traces: app.traces.report(),
    }))
}
