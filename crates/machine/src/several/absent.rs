//! In the place of a backend that is not open: what can be said of it without waiting. It can nothing.

use crate::backend::{Backend, MachineError, Running, StartSpec, Stats};
use async_trait::async_trait;
use std::{path::PathBuf, time::Duration};
use toft_model::{
    id::ProjectId,
    machine::{Ability, Can},
};
use tokio::net::UnixStream;

/// See the module.
pub(super) struct Absent {
    name: &'static str,
    logs: PathBuf,
}

impl Absent {
    pub(super) fn new(name: &'static str, logs: PathBuf) -> Self {
        Self { name, logs }
    }

    /// What cannot be done, for people.
    pub(super) fn what(&self) -> &'static str {
        match self.name {
            "native" => "reaching a machine of the backend `native`",
            "host" => "reaching a machine of the backend `host`",
            "oci" => "reaching a machine of the backend `oci`",
            "e2b" => "reaching a machine of the backend `e2b`",
            _ => "reaching a machine of its backend",
        }
    }

    fn away<T>(&self) -> Result<T, MachineError> {
        Err(MachineError::Unable { what: self.what(), why: "it is not open".to_owned() })
    }
}

#[async_trait]
impl Backend for Absent {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn abilities(&self) -> Vec<Ability> {
        Vec::new()
    }

    fn storage(&self) -> String {
        "not open".to_owned()
    }

    fn far(&self) -> Vec<&'static str> {
        if self.name == "e2b" { vec![self.name] } else { Vec::new() }
    }

    fn can(&self) -> Can {
        Can::default()
    }

    async fn create(&self, _project: &ProjectId) -> Result<(), MachineError> {
        self.away()
    }

    async fn start(&self, _spec: StartSpec) -> Result<Running, MachineError> {
        self.away()
    }

    async fn adopt(&self, _project: &ProjectId) -> Result<Option<Running>, MachineError> {
        self.away()
    }

    async fn stop(&self, _project: &ProjectId, _grace: Duration) -> Result<(), MachineError> {
        self.away()
    }

    async fn destroy(&self, _project: &ProjectId) -> Result<(), MachineError> {
        self.away()
    }

    async fn sweep(&self, _known: &[ProjectId]) -> Result<(), MachineError> {
        self.away()
    }

    async fn connect_init(&self, _project: &ProjectId) -> Result<UnixStream, MachineError> {
        self.away()
    }

    async fn connect_bridge(&self, _project: &ProjectId) -> Result<UnixStream, MachineError> {
        self.away()
    }

    async fn stats(&self, _project: &ProjectId) -> Result<Stats, MachineError> {
        self.away()
    }

    fn log_dir(&self, project: &ProjectId) -> PathBuf {
        self.logs.join(project.as_str())
    }
}
