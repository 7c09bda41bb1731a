//! What the gateway writes down about the way out: one line per connection (or per request, for plain
//! HTTP), or its refusal, or many that are equal, in a journal per project
//! (`<data>/usage/egress/<project>`), and how the lines are read. A journal forgets its oldest part;
//! nobody inside a machine can reach it.

mod logs;
mod writer;

pub(crate) use logs::EgressLogs;
pub(crate) use writer::EgressLog;

use crate::{
    folder,
    records::journal::{self, Name},
};
use serde::{Deserialize, Serialize};
use std::{io, path::Path};
use toft_model::id::ProjectId;

/// The rule of a line for several hosts, more than are told apart. It has no host and no port.
pub const SEVERAL: &str = "several";

/// The rule of a line that is no connection: a host said the value of a brokered secret back.
pub const SECRET_ECHOED: &str = "secret-echoed";

/// How something asked to go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// `CONNECT host:port` at the proxy.
    Connect,
    /// A plain HTTP request.
    Http,
    /// A connection that was made without asking for a proxy.
    Direct,
    /// A request within TLS, to a host that a brokered secret is bound to.
    Https,
}

/// Allowed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It might go out.
    Allow,
    /// It might not, or might no longer.
    Deny,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressRecord {
    /// Unix milliseconds at its begin; of several, at the begin of the first.
    pub ts: u64,
    /// At the begin of the last, when it stands for several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ts: Option<u64>,
    /// How many of the same kind.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
    /// What was asked.
    pub via: Via,
    /// The host as it was understood; what was sent, escaped and cut, when it was not understood.
    pub host: String,
    /// The port; 0 when there is none.
    pub port: u16,
    /// `allow` or `deny`.
    pub verdict: Outcome,
    /// What decided: see `toft_policy::Verdict::rule`.
    pub rule: String,
    /// Names of the brokered secrets whose values were put in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Of a refusal, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes into the machine, of all together.
    pub bytes_in: u64,
    /// Bytes out of the machine, of all together.
    pub bytes_out: u64,
    /// Milliseconds it was open; of several, the sum.
    pub duration_ms: u64,
    /// What went wrong: the code of the answer, or `cut`, `idle_timeout`, `client_closed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_one(count: &u64) -> bool {
    *count == 1
}

/// A connection that is open now; its line comes when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenConnection {
    /// Its number, while the gateway lives.
    pub id: u64,
    /// Unix milliseconds at its begin.
    pub ts: u64,
    /// What was asked.
    pub via: Via,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What allowed it.
    pub rule: String,
    /// Bytes into the machine so far.
    pub bytes_in: u64,
    /// Bytes out of the machine so far.
    pub bytes_out: u64,
}

/// A line with its place: the bytes of the log up to its end. It grows with time and stays the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its place.
    pub seq: u64,
    /// The line.
    pub record: EgressRecord,
}

/// At most `lines_max` lines after the place `after` (0 for all that is kept), oldest first.
pub fn after(
    data_dir: &Path,
    project: &ProjectId,
    after: u64,
    lines_max: usize,
) -> io::Result<Vec<Placed>> {
    let dir = folder::egress_dir(data_dir, project);
    let lines = journal::read_placed(&dir, Name::Egress, after, lines_max)?;
    Ok(lines.0.into_iter().map(placed).collect())
}

/// At most `lines_max` lines before the place `before` (none: before now), newest first.
pub fn before(
    data_dir: &Path,
    project: &ProjectId,
    before: Option<u64>,
    lines_max: usize,
) -> io::Result<Vec<Placed>> {
    let dir = folder::egress_dir(data_dir, project);
    let lines = journal::read_back(&dir, Name::Egress, before, lines_max)?;
    Ok(lines.into_iter().map(placed).collect())
}

/// Where the log ends now: the place of its newest line, or a little behind.
pub fn end(data_dir: &Path, project: &ProjectId) -> io::Result<u64> {
    journal::end(&folder::egress_dir(data_dir, project), Name::Egress)
}

/// Removes the log of a project that is deleted.
pub fn remove(data_dir: &Path, project: &ProjectId) -> io::Result<()> {
    match std::fs::remove_dir_all(folder::egress_dir(data_dir, project)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn placed((seq, record): (u64, EgressRecord)) -> Placed {
    Placed { seq, record }
}
