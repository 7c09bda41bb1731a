//! Projects and when their machines were woken. Not the machines.

use crate::{error::StoreError, machine_settings::MachineSettings};
use async_trait::async_trait;
use toft_model::{id::ProjectId, machine::MachineState};

/// What a person wants of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It runs, or is woken by the next request.
    Running,
    /// It stays stopped until a person starts it.
    Stopped,
}

impl Wanted {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Public id.
    pub id: ProjectId,
    /// A name chosen by a program, unique in the team.
    pub alias: Option<String>,
    /// Name for people.
    pub name: String,
    /// User id.
    pub owner: String,
    /// What a person wants of its machine.
    pub wanted: Wanted,
    /// Why its machine is in error, when it is.
    pub state_reason: Option<String>,
    /// Id of the server that has its disk; `None`: it has none yet.
    pub host: Option<String>,
    /// Name of the backend that its machine is made with; `None`: the server's own.
    pub backend: Option<String>,
    /// What that one last said of its machine.
    pub machine_state: Option<MachineState>,
    /// Id of its latest run.
    pub latest_run: Option<String>,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds of the last activity.
    pub updated_at: u64,
}

/// A project to make.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// Public id.
    pub id: ProjectId,
    /// A name chosen by a program.
    pub alias: Option<String>,
    /// Name for people.
    pub name: String,
    /// User id.
    pub owner: String,
    /// Name of the backend that its machine is to be made with; `None`: the server's own.
    pub backend: Option<String>,
    /// What its machine has of its own from the first moment on. A fork has its origin's instead.
    pub settings: MachineSettings,
}

/// What became of [`Projects::create_project`].
#[derive(Debug, Clone)]
pub struct Created {
    /// The project: the new one, or the one that had the id or alias.
    pub project: Project,
    /// Whether it is new.
    pub created: bool,
}

/// Why a machine was started, or went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// Unix milliseconds.
    pub at: u64,
    /// In words.
    pub cause: String,
    /// What the machine was before; `None` in rows of earlier versions.
    pub was: Option<MachineState>,
}

/// Projects.
#[async_trait]
pub trait Projects: Send + Sync {
    /// Makes a project, or finds the one with that alias (or id). Any number of callers at once
    /// get the same one, and exactly one is told that it is new. `Taken`: a deleted project's id.
    async fn create_project(&self, new: &NewProject, now_ms: u64) -> Result<Created, StoreError>;
    /// By public id or alias.
    async fn project(&self, id_or_alias: &str) -> Result<Option<Project>, StoreError>;
    /// Newest activity first.
    async fn projects(&self, limit: u32, offset: u32) -> Result<Vec<Project>, StoreError>;
    /// The same without those that are candidates of a comparison.
    async fn listed_projects(&self, limit: u32, offset: u32) -> Result<Vec<Project>, StoreError>;
    /// Another name.
    async fn rename_project(
        &self,
        id: &ProjectId,
        name: &str,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// What is wanted now, and why it is in error (cleared with `None`). Of a project whose machine is another
    /// server's by now nothing changes.
    async fn set_wanted(
        &self,
        id: &ProjectId,
        wanted: Wanted,
        reason: Option<&str>,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// Its disk lies with another backend from now on. Its checkpoints stay where they are, and it is of no image
    /// any more.
    async fn move_project(
        &self,
        id: &ProjectId,
        from: &str,
        to: &str,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// Name of the backend of a project, also of a deleted one.
    async fn backend_of(&self, id: &ProjectId) -> Result<Option<String>, StoreError>;
    /// Writes down of which backend this server's projects are of which that is not known.
    async fn name_backends(&self, backend: &str) -> Result<(), StoreError>;
    /// Something happened in it.
    async fn touch_project(&self, id: &ProjectId, now_ms: u64) -> Result<(), StoreError>;
    /// Deletes it: from now on it is gone for everybody, and its id is never given again. Its machine and what it held
    /// here are still to be removed: [`Projects::to_destroy`] names it until [`Projects::set_destroyed`].
    async fn delete_project(&self, id: &ProjectId, now_ms: u64) -> Result<(), StoreError>;
    /// Removes the runs and events of a deleted project, piece by piece. What this does not finish, the next one does.
    async fn remove_left(&self, id: &ProjectId) -> Result<(), StoreError>;
    /// Deleted projects whose machine may still be there, on this server's host.
    async fn to_destroy(&self) -> Result<Vec<ProjectId>, StoreError>;
    /// Nothing is left of a deleted project's machine.
    async fn set_destroyed(&self, id: &ProjectId, now_ms: u64) -> Result<(), StoreError>;
    /// Writes down that its machine was started; the newest 100 are kept.
    async fn add_wake(&self, id: &ProjectId, wake: &Wake) -> Result<(), StoreError>;
    /// Newest first.
    async fn wakes(&self, id: &ProjectId, limit: u32) -> Result<Vec<Wake>, StoreError>;
}
