//! The whole of what a server asks of its database. Not a family of its own.

use crate::{
    api_keys::ApiKeys, checkpoints::Checkpoints, comparisons::Comparisons, events::Events, fallbacks::ProjectFallbacks,
    firings::Firings, forks::Forks, images::Images, machine_settings::MachineRecords,
    people::People, preview_ports::PreviewPorts, prices::Prices, projects::Projects, runs::Runs,
    schedules::Schedules, secrets::Secrets, settings::Settings, signals::Signals,
    spending::Spending, traces::Traces, usage::UsageRecords, webhooks::Webhooks,
};
use async_trait::async_trait;

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
{
    /// Writes what is not yet on disk and closes. Later calls fail.
    async fn close(&self);
    /// Name and version of the database, for people.
    fn describe(&self) -> String;
}
