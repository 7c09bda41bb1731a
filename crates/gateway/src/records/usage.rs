//! What the gateway writes down about models (`<data>/usage/journal.jsonl`): one line before a call
//! goes out and one when it has ended, and how they are read on. The oldest part is forgotten when
//! it grows beyond a bound.

use crate::{
    folder,
    records::journal::{self, Name},
};
use serde::{Deserialize, Serialize};
use std::{io, path::Path};
use toft_model::id::{ProjectId, RunId, SessionId};

/// One line of the usage journal. Told apart by the field that each alone has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UsageLine {
    /// A gateway began: what was granted before and has not ended never will.
    Started(Started),
    /// A call is about to go out.
    Granted(Granted),
    /// A call has ended.
    Ended(UsageRecord),
}

/// The first line of each gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Unix milliseconds.
    pub started: u64,
}

/// A model call before it goes out. Its record follows under the same id, unless the gateway is killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Granted {
    /// The id of its record.
    pub granted: String,
    /// As the record's.
    pub ts: u64,
    /// As the record's.
    pub project: Option<ProjectId>,
    /// As the record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// As the record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// As the record's.
    pub provider: String,
    /// As the record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<u64>,
}

impl Granted {
    /// What is known of a call beforehand.
    pub(crate) fn of(record: &UsageRecord) -> Self {
        Self {
            granted: record.id.clone(),
            ts: record.ts,
            project: record.project.clone(),
            session: record.session.clone(),
            run: record.run.clone(),
            provider: record.provider.clone(),
            reserved: record.reserved,
        }
    }

    /// The record that it would have without an end.
    pub(crate) fn record(&self) -> UsageRecord {
        UsageRecord {
            id: self.granted.clone(),
            ts: self.ts,
            project: self.project.clone(),
            session: self.session.clone(),
            run: self.run.clone(),
            provider: self.provider.clone(),
            reserved: self.reserved,
            ..UsageRecord::default()
        }
    }
}

/// One model call that ended, well or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageRecord {
    /// UUID (v7): the same record is never written twice.
    pub id: String,
    /// Unix milliseconds at its begin.
    pub ts: u64,
    /// Whose; `None` for a program outside of all machines.
    pub project: Option<ProjectId>,
    /// Its conversation, when an agent of ours asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Its run in that conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
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
    /// Billionths of a US dollar, by the catalogue of that time; `None` when tokens (of an answer that
    /// was cut, too) or price are not known.
    #[serde(default)]
    pub cost: Option<u64>,
    /// Billionths of a US dollar that budgets held back for it, when there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<u64>,
    /// What budgets count where the cost is not known: the most that it may well have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<u64>,
    /// Milliseconds from request to the end of the answer.
    pub duration_ms: u64,
    /// Milliseconds from request to the first byte of the answer's body.
    pub first_byte_ms: Option<u64>,
    /// What ended it early: `client_closed`, `cut`, `idle_timeout`, or the gateway's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Lines after `position` (0 for all that is kept), at most `lines_max`, and the position
/// after them. Those that a killed gateway left unfinished are skipped. It keeps its newest GiB:
/// some two million calls.
pub fn read(data_dir: &Path, position: u64, lines_max: usize) -> io::Result<(Vec<UsageLine>, u64)> {
    journal::read(&folder::usage_dir(data_dir), Name::Usage, position, lines_max)
}
