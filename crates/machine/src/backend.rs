//! The contract of a machine backend, and its words. Not an implementation.

use async_trait::async_trait;
use std::{os::fd::OwnedFd, time::Duration};
use toft_model::{
    id::ProjectId,
    machine::{Ability, Limits},
};
use tokio::net::UnixStream;

/// Makes, starts, finds again, stops and destroys machines. Every method may be called at any
/// time, also for machines that do not exist, and leaves the old state or the new one.
#[async_trait]
pub trait Backend: Send + Sync {
    /// `native`, `host`.
    fn name(&self) -> &'static str;
    /// What is in force here and how, from probing; cached after the first call.
    async fn abilities(&self) -> Vec<Ability>;
    /// Name of the storage in use (`btrfs`, `btrfs loop image`, `plain copy`).
    fn storage(&self) -> String;
    /// Makes the disk. Known: does nothing.
    async fn create(&self, project: &ProjectId) -> Result<(), MachineError>;
    /// Starts processes on the disk. Running already: as [`Backend::adopt`].
    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError>;
    /// Finds a machine that runs, also one started by an earlier server. `None`: not running.
    async fn adopt(&self, project: &ProjectId) -> Result<Option<Running>, MachineError>;
    /// Ends all processes of it; returns when none is left.
    async fn stop(&self, project: &ProjectId, grace: Duration) -> Result<(), MachineError>;
    /// Stops it and removes its disk and every trace.
    async fn destroy(&self, project: &ProjectId) -> Result<(), MachineError>;
    /// Removes what machines that no longer run have left (cgroups, sockets, half-made disks).
    async fn sweep(&self, known: &[ProjectId]) -> Result<(), MachineError>;
    /// A connection to its init ([`toft_model::init`]).
    async fn connect_init(&self, project: &ProjectId) -> Result<UnixStream, MachineError>;
    /// A connection to its bridge (HTTP/1.1).
    async fn connect_bridge(&self, project: &ProjectId) -> Result<UnixStream, MachineError>;
    /// What it uses now.
    async fn stats(&self, project: &ProjectId) -> Result<Stats, MachineError>;
    /// Where the bridge's event log (`events.jsonl`) lies on the host: readable while it is cold.
    /// The content comes from inside: not trusted, opened without following links.
    fn log_dir(&self, project: &ProjectId) -> std::path::PathBuf;
}

/// How to start.
#[derive(Debug, Clone)]
pub struct StartSpec {
    /// Which.
    pub project: ProjectId,
    /// Its name, for the prompt and the host name.
    pub name: String,
    /// Limits of the `work` group.
    pub limits: Limits,
    /// How the app is reached from a browser.
    pub app_url: String,
    /// Added to the environment of work processes.
    pub env: Vec<(String, String)>,
}

/// A machine that runs.
#[derive(Debug)]
pub struct Running {
    /// Which.
    pub project: ProjectId,
    /// Its project token (made at start, kept in a host-only file for the next server).
    pub token: String,
    /// Listening TCP sockets inside the machine that belong to the gateway: model API, then
    /// egress proxy.
    pub gateway_listeners: Vec<OwnedFd>,
    /// Pid of init on the host.
    pub init_pid: u32,
    /// Unix milliseconds.
    pub started_at: u64,
    /// Whether it was found running rather than started now.
    pub adopted: bool,
}

/// What a machine uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of memory, all processes.
    pub memory_bytes: Option<u64>,
    /// Processes.
    pub pids: Option<u64>,
}

/// What went wrong with a machine, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// There is no such machine, or it does not run.
    #[error("the machine of {0} does not run")]
    NotRunning(ProjectId),
    /// The host lacks something.
    #[error("this host cannot run machines: {missing}. {remedy}")]
    Unsupported {
        /// What is missing.
        missing: String,
        /// What to do.
        remedy: String,
    },
    /// The data folder is full.
    #[error("the disk of the data folder is full while {step}: free some space, then try again")]
    DiskFull {
        /// What was being done.
        step: &'static str,
    },
    /// A step failed.
    #[error("{step} failed for {project}: {source}")]
    Step {
        /// What was being done.
        step: &'static str,
        /// For which project.
        project: ProjectId,
        /// Why.
        source: std::io::Error,
    },
    /// The machine did not come up; the text is what its first processes said.
    #[error("the machine of {project} did not start: {detail}")]
    DidNotStart {
        /// Which.
        project: ProjectId,
        /// What was said.
        detail: String,
    },
}
