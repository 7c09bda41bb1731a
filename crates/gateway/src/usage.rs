//! What the gateway writes down: one record per model call (`<data>/usage/journal.jsonl`) and one
//! per egress connection (`<data>/usage/egress.jsonl`), and how they are read on. Both forget their
//! oldest part when they grow beyond a bound. Money is not here: prices are applied by whoever reads.

use crate::{
    folder,
    journal::{self, Name},
};
use serde::{Deserialize, Serialize};
use std::{io, path::Path};
use toft_model::id::ProjectId;

/// One model call that ended, well or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageRecord {
    /// UUID (v7): the same record is never written twice.
    pub id: String,
    /// Unix milliseconds at its begin.
    pub ts: u64,
    /// Whose; `None` for a program outside of all machines.
    pub project: Option<ProjectId>,
    /// Provider id.
    pub provider: String,
    /// Model as the provider named it in its answer, else as it was asked for; bounded.
    pub model: Option<String>,
    /// HTTP status that the machine saw; 499 when it went away before there was one.
    pub status: u16,
    /// Tokens read that were not in the cache; `None` when the provider reported nothing.
    pub input: Option<u64>,
    /// Tokens written.
    pub output: Option<u64>,
    /// Tokens read from the provider's cache.
    pub cache_read: Option<u64>,
    /// Tokens written to the provider's cache.
    pub cache_write: Option<u64>,
    /// Milliseconds from request to the end of the answer.
    pub duration_ms: u64,
    /// Milliseconds from request to the first byte of the answer's body.
    pub first_byte_ms: Option<u64>,
    /// What ended it early: `client_closed`, `cut`, `idle_timeout`, or the gateway's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One connection through the egress proxy (or one request, for plain HTTP), or its refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressRecord {
    /// Unix milliseconds at its begin.
    pub ts: u64,
    /// Whose.
    pub project: ProjectId,
    /// The host as it was understood; what was sent, escaped and cut, when it was not understood.
    pub host: String,
    /// The port; 0 when it was not understood.
    pub port: u16,
    /// `allow` or `deny`.
    pub verdict: String,
    /// What decided: see `toft_policy::Verdict::rule`.
    pub rule: String,
    /// Bytes into the machine.
    pub bytes_in: u64,
    /// Bytes out of the machine.
    pub bytes_out: u64,
    /// Milliseconds it was open.
    pub duration_ms: u64,
    /// What went wrong with an allowed one: the code of the answer, or `cut`, `idle_timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Records after `position` (0 for all that is kept), at most `records_max`, and the position
/// after them. Lines that a killed gateway left unfinished are skipped. It keeps its newest GiB:
/// some four million calls.
pub fn read(
    data_dir: &Path,
    position: u64,
    records_max: usize,
) -> io::Result<(Vec<UsageRecord>, u64)> {
    journal::read(&folder::usage_dir(data_dir), Name::Usage, position, records_max)
}

/// As [`read`], for the egress log. It keeps its newest 64 MiB or so.
pub fn read_egress(
    data_dir: &Path,
    position: u64,
    records_max: usize,
) -> io::Result<(Vec<EgressRecord>, u64)> {
    journal::read(&folder::usage_dir(data_dir), Name::Egress, position, records_max)
}
