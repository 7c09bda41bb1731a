//! Projects that grow out of another one: all of them appear at once or none does, and what was said
//! before stays readable. Not their disks.

use crate::{
    error::StoreError,
    events::SnapshotKind,
    projects::{NewProject, Project},
};
use async_trait::async_trait;
use toft_model::{id::ProjectId, run::ComparisonId};

/// Forks.
#[async_trait]
pub trait Forks: Send + Sync {
    /// Writes down that these are about to be made. Until [`Forks::finish_forks`] nobody sees them and
    /// [`Projects::to_destroy`](crate::Projects::to_destroy) names them.
    async fn begin_forks(&self, new: &[NewProject], now_ms: u64) -> Result<(), StoreError>;
    /// They are made: projects from now on, with the checkpoint rule of their origin and what was set
    /// for its machine, what was said in it up to event `seq`, and these answers of a bridge until they
    /// have their own. On disk when this returns. `candidates_of`: the comparison of which they are the
    /// candidates, in their order; `Missing` when it does not wait for them any more.
    async fn finish_forks(
        &self,
        origin: &ProjectId,
        seq: u64,
        made: &[ProjectId],
        kept: &[(SnapshotKind, String)],
        candidates_of: Option<&ComparisonId>,
    ) -> Result<Vec<Project>, StoreError>;
    /// The project that it was forked from, as long as that exists.
    async fn fork_origin(&self, project: &ProjectId) -> Result<Option<ProjectId>, StoreError>;
    /// Names of projects that begin like this.
    async fn project_names(&self, beginning: &str) -> Result<Vec<String>, StoreError>;
}
