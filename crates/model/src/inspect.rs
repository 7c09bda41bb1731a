//! Rows of the inspect database (`/home/starter/inspect.db`): what the agent wants people to see.
//! Shapes of `GET /toft/inspect`. Not the database itself: that is in `bridge`.

use serde::{Deserialize, Serialize};

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
    /// `running`, `stopped` or `error`; for a service with a port the observed state wins.
    pub status: String,
    /// What it is for.
    pub description: Option<String>,
    /// SQLite `datetime('now')` text, UTC.
    pub created_at: String,
    /// SQLite `datetime('now')` text, UTC.
    pub updated_at: String,
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
