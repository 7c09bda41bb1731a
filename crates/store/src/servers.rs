//! Servers on this database: which there are, which of them answer, and which one has a project's machine. Not how
//! they tell each other things: that is `signals`.

use crate::error::StoreError;
use async_trait::async_trait;
use toft_model::{id::ProjectId, machine::MachineState, run::JobId};

/// Milliseconds after which a server that said nothing counts as gone. Five of its beats: a database that is started
/// again, or a host under load, takes a few seconds.
pub const GONE_MS: u64 = 15_000;

/// A server, as it says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewServer {
    /// That of its data folder.
    pub id: String,
    /// Where that folder lies.
    pub place: String,
    /// Where people find it.
    pub url: String,
    /// Of its binary.
    pub version: String,
    /// A digest of what must be the same on all servers.
    pub shares: String,
}

/// A server as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// That of its data folder.
    pub id: String,
    /// Where people find it.
    pub url: String,
    /// Of its binary.
    pub version: String,
    /// Milliseconds since it was heard of, by the database's clock.
    pub silent_ms: u64,
}

impl Server {
    /// Whether it was heard of lately.
    pub fn is_alive(&self) -> bool {
        self.silent_ms < GONE_MS
    }
}

/// What became of a wish to be one of the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// It is one.
    Yes,
    /// A server of this id is at work elsewhere: its address.
    Taken(String),
    /// One that answers shares something else: its address.
    Differs(String),
}

/// Servers.
#[async_trait]
pub trait Servers: Send + Sync {
    /// Whether other servers may be on this database.
    fn is_shared(&self) -> bool;
    /// Becomes one of the servers: what this store binds and reads from now on is that server's.
    async fn join(&self, server: &NewServer, now_ms: u64) -> Result<Joined, StoreError>;
    /// Says that it is there. False: another one has its id now.
    async fn beat(&self, server: &NewServer, now_ms: u64) -> Result<bool, StoreError>;
    /// All that are known, also those that are gone.
    async fn servers(&self, now_ms: u64) -> Result<Vec<Server>, StoreError>;
    /// Gives a project without a machine to this server, for good, with the backend that it is to have or else this
    /// one. Whose it is then; `None`: there is no such project.
    async fn bind_project(
        &self,
        project: &ProjectId,
        backend: &str,
    ) -> Result<Option<String>, StoreError>;
    /// Writes down how machines of this server are, for those who ask others.
    async fn keep_machine_states(
        &self,
        states: &[(ProjectId, MachineState)],
    ) -> Result<(), StoreError>;
    /// Tells runs that are not over that their host is back, or is gone, if that is known for sure. Which have told
    /// something.
    async fn tell_of_hosts(&self, is_sure: bool, now_ms: u64) -> Result<Vec<JobId>, StoreError>;
    /// Lets a run go that another server must work on. Not counted against it.
    async fn give_back_run(&self, run: &JobId, fence: u64) -> Result<(), StoreError>;
}
