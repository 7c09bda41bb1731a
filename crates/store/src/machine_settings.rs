//! What a person has set for a project's machine, and what is still to be told to its bridge. Not
//! what a machine is or does.

use crate::error::StoreError;
use async_trait::async_trait;
use toft_model::{
    event::Told,
    id::ProjectId,
    machine::{EgressCeiling, EgressSetting, IdleRule, Limits},
};

/// What differs from the server's defaults. `None`: the default holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MachineSettings {
    /// Its limits.
    pub limits: Option<Limits>,
    /// When it is put away.
    pub idle: Option<IdleRule>,
    /// What it may reach. What was kept and cannot be read is nothing, not the default.
    pub egress: Option<EgressSetting>,
    /// How much it may be set to reach. What was kept and cannot be read is nothing, not the default.
    pub ceiling: Option<EgressCeiling>,
}

/// Settings of machines, and what their bridges do not know yet.
#[async_trait]
pub trait MachineRecords: Send + Sync {
    /// Of one project. Nothing set is the default.
    async fn machine_settings(&self, id: &ProjectId) -> Result<MachineSettings, StoreError>;
    /// Every idle rule that was set.
    async fn idle_rules(&self) -> Result<Vec<(ProjectId, IdleRule)>, StoreError>;
    /// Sets limits, or goes back to the default.
    async fn put_limits(
        &self,
        id: &ProjectId,
        limits: Option<&Limits>,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// Sets the idle rule, or goes back to the default.
    async fn put_idle(
        &self,
        id: &ProjectId,
        idle: Option<&IdleRule>,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// Sets what it may reach, or goes back to the default.
    async fn put_egress(
        &self,
        id: &ProjectId,
        egress: Option<&EgressSetting>,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// Sets the widest level that it may be set to, or goes back to the default.
    async fn put_egress_ceiling(
        &self,
        id: &ProjectId,
        ceiling: Option<&EgressCeiling>,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// Keeps what a bridge is to be told; the newest 100 per project. The same id twice is one.
    async fn add_observed(
        &self,
        id: &ProjectId,
        told: &Told,
        now_ms: u64,
    ) -> Result<(), StoreError>;
    /// What a bridge is to be told, oldest first.
    async fn observed(&self, id: &ProjectId) -> Result<Vec<Told>, StoreError>;
    /// The bridge knows it now.
    async fn drop_observed(&self, id: &ProjectId, told_id: &str) -> Result<(), StoreError>;
}
