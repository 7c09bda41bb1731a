//! The inspect database: what the agent wants people to see. The agent writes it with SQL; the
//! bridge makes its tables, reads it, and tells when the rows or the observed state of services
//! change. Nothing in it can break an answer: what cannot be read is as good as not there.

mod declared;
mod read;
pub mod sql;
#[cfg(test)]
mod tests;
mod watch;

use crate::{
    app_port::{AppPort, listening},
    log::EventLog,
    services::board::Board,
};
use axum::{Json, Router, extract::State, routing::get};
use read::{Rows, Version};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_model::{
    event::EventBody,
    inspect::{Inspect, Service, ServiceState},
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Name of the database in the bridge's home, as the Starter document has it.
const DATABASE: &str = "inspect.db";

/// See the module.
pub(crate) struct InspectDb {
    path: PathBuf,
    app_port: Arc<AppPort>,
    log: EventLog,
    board: Arc<Board>,
    last: Mutex<Last>,
}

/// What was read and told last.
#[derive(Default)]
struct Last {
    version: Option<Version>,
    rows: Rows,
    told: Option<Inspect>,
}

impl InspectDb {
    /// Makes the tables that are missing.
    pub(crate) async fn open(home: &Path, app_port: Arc<AppPort>, log: EventLog) -> Arc<Self> {
        let path = home.join(DATABASE);
        if let Err(err) = read::make_tables(&path).await {
            // The agent may have locked or broken it; what can be read is read all the same.
            tracing::warn!(error = %err, "the inspect database could not be prepared");
        }
        Arc::new(Self { path, app_port, log, board: Arc::default(), last: Mutex::default() })
    }

    /// What is observed of services, and what their rows want.
    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Writes what is wanted of a service. Says whether it could be written.
    pub(crate) async fn set_status(&self, id: &str, status: &str) -> bool {
        let mut last = self.last.lock().await;
        if let Err(err) = read::set_status(&self.path, id, status).await {
            tracing::warn!(error = %err, "the status of a service could not be written");
            return false;
        }
        self.look(&mut last).await;
        true
    }

    /// All rows, with the state of services as it is observed.
    pub(crate) async fn now(&self) -> Inspect {
        self.look(&mut *self.last.lock().await).await
    }

    /// Looks, and appends an event if anything differs from what was told last. Says whether there
    /// are services whose state has to be watched.
    pub(crate) async fn tell(&self) -> bool {
        let mut last = self.last.lock().await;
        let now = self.look(&mut last).await;
        let watched = now.services.iter().any(|s| s.port.is_some() && s.process.is_none());
        if last.told.as_ref() != Some(&now) {
            self.log.append(None, EventBody::Inspect(now.clone()));
            last.told = Some(now);
        }
        watched
    }

    /// Watches until it is cancelled.
    pub(crate) fn watch(self: &Arc<Self>, stop: CancellationToken) {
        tokio::spawn(watch::run(Arc::clone(self), stop));
    }

    async fn look(&self, last: &mut Last) -> Inspect {
        let version = Version::of(&self.path);
        let gone = version.is_none();
        if gone {
            // Gone, for example by a restore: an empty one takes its place.
            last.rows = Rows::default();
            last.version = None;
            if let Err(err) = read::make_tables(&self.path).await {
                tracing::debug!(error = %err, "no inspect database");
            }
        } else if version != last.version {
            match read::rows(&self.path).await {
                Ok(rows) => (last.rows, last.version) = (rows, version),
                // Locked for long, or no database: the rows of before still say the most.
                Err(err) => tracing::debug!(error = %err, "the inspect database is not readable"),
            }
            self.app_port.declare(last.rows.services.iter().filter_map(|s| s.port).collect());
        }
        if gone || last.version.is_some() {
            self.board.take_rows(&last.rows.services);
        }
        observed(&last.rows, &self.board)
    }
}

/// The rows, where a service runs if its process does; one that others run, if and only if something
/// listens on its port.
fn observed(rows: &Rows, board: &Board) -> Inspect {
    let mut inspect = rows.clone();
    let mut open = None;
    for service in &mut inspect.services {
        if let Some(status) = supervised(service, board) {
            status.clone_into(&mut service.status);
            continue;
        }
        let Some(port) = service.port else { continue };
        if open.get_or_insert_with(listening::of_programs).contains(&port) {
            "running".clone_into(&mut service.status);
        } else if service.status != "error" {
            "stopped".clone_into(&mut service.status);
        }
    }
    inspect
}

/// The status of a service that Toft runs, whose process is noted on its row.
fn supervised(service: &mut Service, board: &Board) -> Option<&'static str> {
    service.command.as_ref()?;
    let process = board.process(&service.id)?;
    let status = match process.state {
        ServiceState::Running => "running",
        ServiceState::Backoff | ServiceState::Failed => "error",
        ServiceState::Exited | ServiceState::Stopped => "stopped",
    };
    service.process = Some(process);
    Some(status)
}

/// Routes below `/toft`.
pub(crate) fn router(db: Arc<InspectDb>) -> Router {
    Router::new().route("/inspect", get(inspect)).with_state(db)
}

/// Bare, as the Starter document has it.
async fn inspect(State(db): State<Arc<InspectDb>>) -> Json<Inspect> {
    Json(db.now().await)
}
