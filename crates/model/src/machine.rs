//! States and limits of machines, and what is really enforced. Not how any of it is done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// File in a machine's run folder on the host in which the gateway keeps the names that it has looked
/// up. Meant for one run of the machine's processes.
pub const NAMES_FILE: &str = "names";

/// Folder of a data folder with one for each backend but the first: like the data folder's own, for that one's
/// machines.
pub const BACKENDS_DIR: &str = "backends";

/// Where a machine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MachineState {
    /// Its disk is being made.
    Creating,
    /// Processes run.
    Running,
    /// Processes are paused in memory.
    Frozen,
    /// Processes are gone, the disk is kept; the next request wakes it.
    Cold,
    /// Stopped by a person; only a person starts it again.
    Stopped,
    /// It could not be made or started; the reason stands beside it.
    Error,
    /// Gone.
    Destroyed,
}

impl MachineState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Creating,
        Self::Running,
        Self::Frozen,
        Self::Cold,
        Self::Stopped,
        Self::Error,
        Self::Destroyed,
    ];

    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Running => "running",
            Self::Frozen => "frozen",
            Self::Cold => "cold",
            Self::Stopped => "stopped",
            Self::Error => "error",
            Self::Destroyed => "destroyed",
        }
    }
}

/// Limits of a machine's `work` processes. `None` means no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Processors, for example `1.5`.
    pub cpus: Option<f64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Bytes on disk.
    pub disk_bytes: Option<u64>,
    /// Bytes of its log folder, which lies beside the disk: past it the machine is ended.
    pub log_bytes: Option<u64>,
}

impl Default for Limits {
    /// 4 GiB, no processor limit, 4096 processes, no disk limit, 4 GiB of log: room for a real
    /// build and a year of work, and an end to a fork bomb.
    fn default() -> Self {
        Self {
            memory_bytes: Some(4 << 30),
            cpus: None,
            pids: Some(4096),
            disk_bytes: None,
            log_bytes: Some(4 << 30),
        }
    }
}

/// When a machine that nobody uses is put away. `None`: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IdleRule {
    /// Seconds without use until its processes are paused in memory.
    pub freeze_after_s: Option<u64>,
    /// Seconds without use until its processes end.
    pub cold_after_s: Option<u64>,
}

impl Default for IdleRule {
    /// Paused after a coffee, gone after lunch.
    fn default() -> Self {
        Self { freeze_after_s: Some(300), cold_after_s: Some(3600) }
    }
}

/// What the programs of a project may ask of models. `None`: no limit of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ModelLimits {
    /// Model calls under way at once.
    pub calls_at_once: Option<u32>,
    /// Model calls that begin within any minute.
    pub calls_per_minute: Option<u32>,
}

impl ModelLimits {
    /// The most that can be set: how many one machine may have anyway.
    pub const AT_ONCE_MAX: u32 = 64;
    /// The most that can be set: a hundred a second.
    pub const PER_MINUTE_MAX: u32 = 6_000;
}

/// Work inside a machine that forbids pausing it (`GET /toft/activity`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Busy {
    /// `agent`, `tool`, `terminal` or `exec`.
    pub kind: String,
    /// Which one, for people: a session's name, a command.
    pub what: String,
}

/// Answer of `GET /toft/activity`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// Empty: nothing forbids pausing.
    pub busy: Vec<Busy>,
}

/// One thing that a host can or cannot enforce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ability {
    /// For example `user namespaces`, `memory limit`, `storage`.
    pub name: String,
    /// Whether it is in force.
    pub enforced: bool,
    /// How, or why not, in one sentence.
    pub how: String,
    /// What to do to get it, when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// What a backend can do with its machines: callers ask, nobody guesses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Can {
    /// Keeps copies of disks and goes back to them, if the machine may be paused or stopped meanwhile.
    pub checkpoint: bool,
    /// Does so in about a millisecond, while the machine runs.
    pub live_checkpoint: bool,
    /// Makes a project's disk from another's.
    pub fork: bool,
    /// Pauses processes in memory.
    pub freeze: bool,
    /// Names of the limits that are enforced: `memory`, `pids`, `cpu`, `disk`.
    pub limits: Vec<String>,
    /// Whether all that a machine sends passes the gateway.
    pub egress: bool,
}

/// What a project takes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiskUse {
    /// Bytes that it and its checkpoints have written, and that still exist; up to half a minute
    /// old. What a fork has from its origin is not among them. Only where something counts them.
    pub exclusive_bytes: Option<u64>,
    /// The bound of that, if it has one that is in force.
    pub quota_bytes: Option<u64>,
    /// Bytes that all projects together may still write.
    pub free_bytes: Option<u64>,
    /// With less free than this, automatic checkpoints yield.
    pub yield_below_bytes: Option<u64>,
    /// Bytes that all projects, their checkpoints, images and templates take. Only where they have a
    /// disk image of their own.
    pub total_bytes: Option<u64>,
    /// The bound of that.
    pub cap_bytes: Option<u64>,
}

/// What a person has set about what a machine may reach. The rules stay while another level holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct EgressSetting {
    /// How much.
    pub level: EgressName,
    /// What the level `allow-list` allows.
    #[serde(default)]
    pub rules: Vec<String>,
}

/// Names of the levels, each wider than those before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum EgressName {
    /// See [`EgressLevel::None`].
    None,
    /// See [`EgressLevel::AllowList`].
    AllowList,
    /// See [`EgressLevel::Open`].
    #[default]
    Open,
}

impl EgressSetting {
    /// Nothing may be reached.
    pub fn nothing() -> Self {
        Self { level: EgressName::None, rules: Vec::new() }
    }

    /// What holds by it below a ceiling. A level that is wider yields to it, and the rules stay.
    pub fn in_force(&self, ceiling: EgressName) -> EgressLevel {
        match self.level.min(ceiling) {
            EgressName::None => EgressLevel::None,
            EgressName::AllowList => EgressLevel::AllowList(self.rules.clone()),
            EgressName::Open => EgressLevel::Open,
        }
    }
}

/// The widest level that one project may have, whatever is set. Only admins set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EgressCeiling {
    /// The level.
    pub level: EgressName,
    /// A fork has it from its origin: it may narrow, and widens nothing.
    #[serde(default)]
    pub inherited: bool,
}

impl EgressCeiling {
    /// What holds beside the ceiling of the server.
    pub fn beside(self, server: EgressName) -> EgressName {
        if self.inherited { self.level.min(server) } else { self.level }
    }
}

/// What a machine may reach. Private, loopback, link-local and metadata addresses are refused at
/// every level.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "level", content = "hosts")]
pub enum EgressLevel {
    /// Nothing but the model gateway.
    None,
    /// These hosts.
    AllowList(Vec<String>),
    /// Every public host, logged.
    #[default]
    Open,
}
