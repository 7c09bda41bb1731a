//! What can be typed about models that stand in for others.

use crate::amounts::{self, Bound};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Fallback {
    /// PROVIDER/MODEL, for example anthropic/claude-opus-4-6, or PROVIDER/* for all models of a provider that
    /// have none of their own; all of them are shown when absent.
    pub(crate) model: Option<String>,
    /// Those to ask in its place, in this order.
    #[arg(requires = "model", conflicts_with_all = ["none", "unset"])]
    pub(crate) others: Vec<String>,
    /// Nobody is asked in its place.
    #[arg(long, requires = "model", conflicts_with = "unset")]
    pub(crate) none: bool,
    /// What the server was started with holds for it again; of a project: what holds for all.
    #[arg(long, requires = "model")]
    pub(crate) unset: bool,
    /// Only in this project (name or id), before whatever holds for all.
    #[arg(long, value_name = "PROJECT", conflicts_with = "first_byte")]
    pub(crate) project: Option<String>,
    /// How long the first byte of a streamed answer may take, for example 30s; or never.
    #[arg(long, value_name = "TIME", value_parser = amounts::time)]
    pub(crate) first_byte: Option<Bound<u64>>,
}
