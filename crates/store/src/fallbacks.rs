//! Models that stand in for others in one project. Those of all projects are a setting.

use crate::error::StoreError;
use async_trait::async_trait;
use std::collections::BTreeMap;
use toft_model::{id::ProjectId, provider::Chains};

/// Chains of projects.
#[async_trait]
pub trait ProjectFallbacks: Send + Sync {
    /// Those of a project. None set is empty: what holds for all projects holds.
    async fn fallbacks(&self, project: &ProjectId) -> Result<Chains, StoreError>;
    /// Those of every project that has some.
    async fn all_fallbacks(&self) -> Result<BTreeMap<ProjectId, Chains>, StoreError>;
    /// Sets them.
    async fn put_fallbacks(
        &self,
        project: &ProjectId,
        chains: &Chains,
        now_ms: u64,
    ) -> Result<(), StoreError>;
}
