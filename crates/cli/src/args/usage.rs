//! What can be typed about what models are asked, and how often they may be.

use crate::amounts::{self, Bound};
use clap::{Args, ValueEnum};
use jiff::civil::Date;

#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// Id, alias or name of a project; all of them when absent.
    pub(crate) project: Option<String>,
    /// Add calls up by this [default: day for a project, else project].
    #[arg(long, value_enum)]
    pub(crate) by: Option<By>,
    /// First day in UTC, for example 2026-11-01 [default: 29 days before the last one].
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<Date>,
    /// Last day in UTC [default: today].
    #[arg(long, value_name = "DAY")]
    pub(crate) to: Option<Date>,
    /// So many rows at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ModelLimits {
    /// Id, alias or name.
    pub(crate) project: String,
    /// Model calls under way at once, at most 64; none for no limit of its own.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, value_parser = amounts::calls)]
    pub(crate) at_once: Option<Bound<u32>>,
    /// Model calls that begin within any minute; none for no limit.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, value_parser = amounts::calls)]
    pub(crate) per_minute: Option<Bound<u32>>,
}

#[derive(Debug, Args)]
pub(crate) struct Budget {
    /// Id, alias or name of a project; all together when absent.
    pub(crate) project: Option<String>,
    /// US dollars of each run, for example 0.50; none for no bound.
    #[arg(long, value_name = "DOLLARS", allow_hyphen_values = true, value_parser = amounts::dollars)]
    pub(crate) run: Option<Bound<f64>>,
    /// US dollars of each calendar month in UTC; none for no bound.
    #[arg(long, value_name = "DOLLARS", allow_hyphen_values = true, value_parser = amounts::dollars)]
    pub(crate) month: Option<Bound<f64>>,
    /// US dollars of all time; none for no bound.
    #[arg(long, value_name = "DOLLARS", allow_hyphen_values = true, value_parser = amounts::dollars)]
    pub(crate) total: Option<Bound<f64>>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum By {
    /// Days in UTC.
    Day,
    /// Projects, deleted ones too.
    Project,
    /// Conversations.
    Session,
    /// What each prompt began.
    Run,
    /// Models.
    Model,
    /// Providers.
    Provider,
}
