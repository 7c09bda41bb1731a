//! Schedules of projects. Not when a slot is due, nor what is to be done about it: that is the server's.

use crate::error::StoreError;
use async_trait::async_trait;
use toft_model::{
    id::ProjectId,
    schedule::{CatchUp, Overlap, ScheduleId, When, Work},
};

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Public id.
    pub id: ScheduleId,
    /// Whose.
    pub project: ProjectId,
    /// Name for people, unique in its project.
    pub name: String,
    /// When it is due.
    pub when: When,
    /// What runs.
    pub work: Work,
    /// What becomes of slots that nobody could start.
    pub catch_up: CatchUp,
    /// How many of them are started with [`CatchUp::All`].
    pub catch_up_max: u32,
    /// What becomes of a slot while the one before still runs.
    pub overlap: Overlap,
    /// Milliseconds that one firing may take.
    pub timeout_ms: u64,
    /// Whether it has slots at all.
    pub enabled: bool,
    /// Unix milliseconds from which intervals are counted.
    pub anchor_at: u64,
    /// Unix milliseconds: every slot up to here is decided.
    pub decided_at: u64,
    /// The first slot after that, if there is one.
    pub next_at: Option<u64>,
    /// Goes up with every change.
    pub revision: u64,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds of the last change by a person.
    pub updated_at: u64,
}

/// Schedules.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Adds a schedule. `Taken`: the name is; `Missing`: there is no such project.
    async fn add_schedule(&self, schedule: &Schedule) -> Result<(), StoreError>;
    /// One of a project.
    async fn schedule(
        &self,
        project: &ProjectId,
        id: &ScheduleId,
    ) -> Result<Option<Schedule>, StoreError>;
    /// All of a project, by name.
    async fn schedules(&self, project: &ProjectId) -> Result<Vec<Schedule>, StoreError>;
    /// All enabled ones of all projects.
    async fn enabled_schedules(&self) -> Result<Vec<Schedule>, StoreError>;
    /// Replaces a schedule if it is still of that revision; its own goes up. `Taken`: the name is.
    async fn update_schedule(&self, schedule: &Schedule) -> Result<bool, StoreError>;
    /// Removes a schedule with its firings. False: there was none.
    async fn delete_schedule(
        &self,
        project: &ProjectId,
        id: &ScheduleId,
    ) -> Result<bool, StoreError>;
    /// The first slot of all projects after a moment.
    async fn next_slot(&self, after_ms: u64) -> Result<Option<u64>, StoreError>;
    /// Schedules with slots to decide at `now_ms`, the longest due first; those behind `after`, the
    /// slot and id of the last of a page before.
    async fn due_schedules(
        &self,
        now_ms: u64,
        after: Option<(u64, &ScheduleId)>,
        limit: u32,
    ) -> Result<Vec<Schedule>, StoreError>;
}
