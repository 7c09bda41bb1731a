//! Rows of the inspect database (`/home/starter/inspect.db`): what the agent wants people to see.
//! Shapes of `GET /toft/inspect`. Not the database itself: that is in `bridge`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All rows, newest first in each list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspect {
    /// Third-party integrations.
    pub integrations: Vec<Integration>,
    /// Apps, APIs and background work.
    pub services: Vec<Service>,
    /// Files worth showing.
    pub assets: Vec<Asset>,
}

/// A third-party integration that the agent set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    /// Primary key.
    pub id: String,
    /// For example `Stripe`.
    pub name: String,
    /// `connected`, `error` or `disconnected`; other text is shown as it is.
    pub status: String,
    /// Names of the secrets it uses.
    pub secrets: Vec<String>,
    /// What it is for.
    pub description: Option<String>,
    /// SQLite `datetime('now')` text, UTC.
    pub created_at: String,
    /// SQLite `datetime('now')` text, UTC.
    pub updated_at: String,
}

/// A running app, API or background worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Primary key.
    pub id: String,
    /// For example `Sales dashboard`.
    pub name: String,
    /// `app`, `api`, `cron` or `worker`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Port, for apps and APIs.
    pub port: Option<u16>,
    /// Schedule, for crons.
    pub schedule: Option<String>,
    /// `running`, `stopped` or `error`. Written, it is what is wanted; read, the observed state wins:
    /// of its process, if it has a command, or of its port.
    pub status: String,
    /// What it is for.
    pub description: Option<String>,
    /// Shell command that Toft runs and keeps running while `running` is wanted. Without one the
    /// row only tells of something that others run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Where it runs, from the project's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Added to the machine's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// When it is started again after it ended; [`Restart::OnFailure`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// What of the row cannot be read, and how to mend it; for people, in no row. Its command is not run
    /// meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The process, as it is observed; in no row. `None`: there is no command, or it was never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ServiceProcess>,
    /// SQLite `datetime('now')` text, UTC.
    pub created_at: String,
    /// SQLite `datetime('now')` text, UTC.
    pub updated_at: String,
}

/// When a service's command is started again after it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// However it ended.
    Always,
    /// When it failed or was killed.
    #[default]
    OnFailure,
    /// Not.
    Never,
}

/// What a supervised service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// Its process runs.
    Running,
    /// It ended by itself with code 0, and is not to come back.
    Exited,
    /// It ended otherwise, and is not tried again.
    Failed,
    /// It ended and will be started again in a moment.
    Backoff,
    /// A person or the agent stopped it.
    Stopped,
}

/// The process of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceProcess {
    /// What it does.
    pub state: ServiceState,
    /// Its pid inside the machine, while it runs.
    pub pid: Option<u32>,
    /// How often it was started again since it was last started by hand or by the machine's start.
    pub restarts: u32,
    /// How the last one ended; `None`: none did, or a signal ended it.
    pub exit_code: Option<i32>,
    /// Unix milliseconds since when it does that.
    pub since: u64,
    /// Whether secrets were changed since it was started: it has the ones of before until then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restart_to_apply: bool,
    /// What stands in its way, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A file that the agent wants to surface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Primary key.
    pub id: String,
    /// For example `Q4 report`.
    pub name: String,
    /// `document`, `spreadsheet`, `image` or `data`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Path inside the machine.
    pub path: String,
    /// What it is.
    pub description: Option<String>,
    /// SQLite `datetime('now')` text, UTC.
    pub created_at: String,
    /// SQLite `datetime('now')` text, UTC.
    pub updated_at: String,
}
