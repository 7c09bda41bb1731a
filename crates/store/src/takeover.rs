//! Projects whose machine is at somebody else's, so that another server can go on with it when its own is gone. Which
//! one may is decided here, by one statement; how it does is the server's.

use crate::error::StoreError;
use async_trait::async_trait;
use toft_model::id::ProjectId;

/// Taking over, and noticing that somebody has.
#[async_trait]
pub trait TakeOver: Send + Sync {
    /// What all servers on this database call themselves at somebody else's; `new` is it from now on when there is none.
    async fn installation(&self, new: &str) -> Result<String, StoreError>;
    /// The projects of this server that are made with one of these backends, deleted ones too, each with its fence.
    async fn held_projects(&self, backends: &[&str]) -> Result<Vec<(ProjectId, u64)>, StoreError>;
    /// Projects made with one of these backends whose server is gone, and for which there is something to do: a run
    /// that is not over, or a schedule. At most `limit`, those that wait longest first.
    async fn abandoned_projects(
        &self,
        backends: &[&str],
        limit: u32,
        now_ms: u64,
    ) -> Result<Vec<ProjectId>, StoreError>;
    /// Makes this server the one that has a project, if it is still `from`'s and that one is gone; its fence then.
    async fn take_project(
        &self,
        project: &ProjectId,
        from: &str,
        now_ms: u64,
    ) -> Result<Option<u64>, StoreError>;
}
