//! What events of a machine's life carry: copies of its disk, limits, services, schedules.

use crate::{
    checkpoint::CheckpointId,
    id::{ProjectId, SessionId},
    inspect::ServiceState,
    schedule::ScheduleId,
};
use serde::{Deserialize, Serialize};

/// See [`super::EventBody::Restored`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// To which checkpoint.
    pub checkpoint_id: CheckpointId,
    /// Its label.
    pub label: Option<String>,
    /// Unix milliseconds of the checkpoint.
    pub taken_at: u64,
    /// The conversations whose place moved. Their earlier entries stay in their files.
    pub sessions: Vec<Moved>,
}

/// See [`super::EventBody::Navigated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Navigated {
    /// The conversation, as [`Restored`] tells it: one list for all moves.
    pub sessions: Vec<Moved>,
}

/// A conversation whose place moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// Which.
    pub session_id: SessionId,
    /// Where it stood.
    pub from_entry_id: Option<String>,
    /// Where it stands now; `None`: before its first entry (it began after the checkpoint).
    pub to_entry_id: Option<String>,
    /// The last message at that place: what is shown ends there.
    #[serde(default)]
    pub to_message_id: Option<String>,
}

/// See [`super::EventBody::Forked`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forked {
    /// From which project.
    pub from: ProjectId,
    /// Number of that project's last event then.
    pub seq: u64,
    /// From which checkpoint, if not from how it was just then.
    pub checkpoint_id: Option<CheckpointId>,
}

/// A limit of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitKind {
    /// Bytes of memory: a process was killed.
    Memory,
    /// Processes and threads: a new one was refused.
    Pids,
    /// Bytes on disk: a write was refused.
    Disk,
    /// Bytes of the log folder: the machine was ended.
    Log,
}

/// See [`super::EventBody::Limit`]. Said once until there is room again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitHit {
    /// Which limit.
    pub kind: LimitKind,
    /// Command line of the process that was killed or refused, where it is known.
    pub command: Option<String>,
    /// Its pid inside the machine, where it is known.
    pub pid: Option<u32>,
    /// The most that was in use: bytes, or processes.
    pub peak: Option<u64>,
    /// The limit: bytes, or processes; `None`: the host's own room ended.
    pub limit: Option<u64>,
    /// What happened and what to do, for people.
    pub message: String,
}

/// See [`super::EventBody::Service`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceChange {
    /// Primary key of its inspect row.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it does now.
    pub state: ServiceState,
    /// How its last process ended; `None`: it runs, never ran, or a signal ended it.
    pub exit_code: Option<i32>,
    /// How often it was started again since it was last started by hand or by the machine's start.
    pub restarts: u32,
}

/// What became of a schedule's slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is being started, runs, or waits for the end of the one before.
    Running,
    /// Started in time, and ended.
    Fired,
    /// Started after its time (nobody could before), and ended.
    Late,
    /// Not started: its time passed and a later slot stands for it, or the project was stopped.
    Skipped,
    /// Not started: the one before still ran.
    Suppressed,
    /// Started, and failed or was cut off.
    Failed,
}

impl Outcome {
    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Fired => "fired",
            Self::Late => "late",
            Self::Skipped => "skipped",
            Self::Suppressed => "suppressed",
            Self::Failed => "failed",
        }
    }
}

/// See [`super::EventBody::Schedule`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleFired {
    /// Which schedule.
    pub schedule_id: ScheduleId,
    /// Its name.
    pub name: String,
    /// Unix milliseconds of the moment that was due.
    pub slot: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where it was not simply started.
    pub reason: Option<String>,
}

/// Body of `POST /toft/observed` on the bridge's own socket: what the host saw, told to the bridge,
/// which numbers it. The same id twice is one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Made by the one who saw it.
    pub id: String,
    /// What was seen.
    #[serde(flatten)]
    pub what: Observed,
}

/// What the host saw of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "lowercase")]
pub enum Observed {
    /// See [`LimitHit`].
    Limit(LimitHit),
    /// See [`ScheduleFired`].
    Schedule(ScheduleFired),
    /// See [`super::EventBody::Error`].
    Error {
        /// Stable code.
        code: String,
        /// What happened and what to do.
        message: String,
    },
}
