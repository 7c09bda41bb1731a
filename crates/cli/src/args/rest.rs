//! What can be typed about pausing machines, what they may use and reach, and when they are put away.

use crate::amounts::{self, Bound};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Rest {
    /// Pause a project's machine in memory; the next request lets it go on.
    Freeze(super::One),
    /// Let a paused machine go on.
    Thaw(super::One),
    /// Show or change what a project's machine may use; a change is in force at once.
    Limits(LimitsOf),
    /// Show or change when a project's machine is put away if nobody uses it.
    Idle(IdleOf),
    /// Show or change what a project's machine may reach, and what it tried; a change is in force at once.
    Egress(super::egress::EgressOf),
    /// Show what a project takes on disk.
    Disk(super::One),
}

#[derive(Debug, Args)]
pub(crate) struct LimitsOf {
    /// Id, alias or name.
    pub(crate) project: String,
    /// Take all limits off.
    #[arg(value_parser = ["none"], conflicts_with_all = ["memory", "cpus", "pids", "disk", "log"])]
    pub(crate) none: Option<String>,
    /// Memory, for example 2G; none for no limit.
    #[arg(long, value_name = "SIZE", value_parser = amounts::size)]
    pub(crate) memory: Option<Bound<u64>>,
    /// Processors, for example 1.5; none for no limit.
    #[arg(long, value_name = "NUMBER", value_parser = amounts::count::<f64>)]
    pub(crate) cpus: Option<Bound<f64>>,
    /// Processes and threads; none for no limit.
    #[arg(long, value_name = "NUMBER", value_parser = amounts::count::<u64>)]
    pub(crate) pids: Option<Bound<u64>>,
    /// Bytes on disk, checkpoints among them, for example 10G; none for no limit.
    #[arg(long, value_name = "SIZE", value_parser = amounts::size)]
    pub(crate) disk: Option<Bound<u64>>,
    /// Its log folder (events, services' logs, kept output), for example 8G; none for no limit.
    #[arg(long, value_name = "SIZE", value_parser = amounts::size)]
    pub(crate) log: Option<Bound<u64>>,
}

#[derive(Debug, Args)]
pub(crate) struct IdleOf {
    /// Id, alias or name.
    pub(crate) project: String,
    /// Pause it in memory after this long without use, for example 5m; or never.
    #[arg(long, value_name = "TIME", value_parser = amounts::time)]
    pub(crate) freeze_after: Option<Bound<u64>>,
    /// End its processes after this long without use, for example 1h; or never.
    #[arg(long, value_name = "TIME", value_parser = amounts::time)]
    pub(crate) cold_after: Option<Bound<u64>>,
}
