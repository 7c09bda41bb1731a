//! What projects may spend on models and ask of them, and what they have spent.

use crate::error::StoreError;
use async_trait::async_trait;
use std::collections::BTreeMap;
use toft_model::{
    budget::{Budget, Budgets, Spent},
    id::ProjectId,
    machine::ModelLimits,
};

/// Budgets, limits, and the sums that they are held against.
#[async_trait]
pub trait Spending: Send + Sync {
    /// The budget of a project, or with `None` that of all together.
    async fn budget(&self, of: Option<&ProjectId>) -> Result<Budget, StoreError>;
    /// All budgets.
    async fn budgets(&self) -> Result<Budgets, StoreError>;
    /// Sets one.
    async fn put_budget(
        &self,
        of: Option<&ProjectId>,
        budget: &Budget,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// What was spent, as of how far the journal was read. Runs since `runs_since`, Unix milliseconds;
    /// none with `None`.
    async fn spent(&self, now_ms: u64, runs_since: Option<u64>) -> Result<Spent, StoreError>;
    /// What the programs of a project may ask. Nothing set is no limit.
    async fn model_limits(&self, project: &ProjectId) -> Result<ModelLimits, StoreError>;
    /// Those of all projects that have some.
    async fn all_model_limits(&self) -> Result<BTreeMap<ProjectId, ModelLimits>, StoreError>;
    /// Sets them.
    async fn put_model_limits(
        &self,
        project: &ProjectId,
        limits: &ModelLimits,
        now_ms: u64,
    ) -> Result<(), StoreError>;
}
