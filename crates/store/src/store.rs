//! The whole of what a server asks of its database. Not a family of its own.

use crate::{
    api_keys::ApiKeys, checkpoints::Checkpoints, comparisons::Comparisons, error::StoreError,
    events::Events, fallbacks::ProjectFallbacks, firings::Firings, forks::Forks, images::Images,
    machine_settings::MachineRecords, people::People, preview_ports::PreviewPorts, prices::Prices,
    projects::Projects, runs::Runs, schedules::Schedules, secrets::Secrets, servers::Servers,
    settings::Settings, signals::Signals, spending::Spending, takeover::TakeOver, traces::Traces,
    usage::UsageRecords, webhooks::Webhooks,
};
use async_trait::async_trait;
use std::path::Path;

/// All families together; one story test runs against every database behind it.
#[async_trait]
pub trait Store:
    People
    + ApiKeys
    + Projects
    + Settings
    + Events
    + PreviewPorts
    + Prices
    + Runs
    + Comparisons
    + Webhooks
    + Schedules
    + Firings
    + Checkpoints
    + Forks
    + Images
    + MachineRecords
    + Secrets
    + UsageRecords
    + Spending
    + ProjectFallbacks
    + Traces
    + Signals
    + Servers
    + TakeOver
{
    /// Writes what is not yet on disk and closes. Later calls fail.
    async fn close(&self);
    /// Writes all that is committed at one moment to files in a folder, while others go on. What becomes of them is
    /// for who restores them: SQLite's is its file, PostgreSQL's are for [`crate::PostgresStore::fill`].
    async fn copy_to(&self, folder: &Path) -> Result<(), StoreError>;
    /// Name and version of the database, for people.
    fn describe(&self) -> String;
}
