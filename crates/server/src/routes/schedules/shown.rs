//! Schedules, and what became of their slots, as the API shows them.

use crate::{api_error::ApiError, state::App};
use schemars::JsonSchema;
use serde::Serialize;
use toft_model::{
    event::Outcome,
    id::SessionId,
    schedule::{CatchUp, Overlap, ScheduleId, When, Work},
};
use toft_store::{Firing, Schedule, Step};

/// Why one that is due does not run yet.
const WAITS: &str = "it waits for the end of the one before";

/// A schedule. Times are Unix milliseconds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Schedule")]
pub(crate) struct Shown {
    id: ScheduleId,
    name: String,
    when: When,
    #[serde(rename = "do")]
    work: Work,
    catch_up: CatchUp,
    catch_up_max: u32,
    overlap: Overlap,
    enabled: bool,
    timeout_ms: u64,
    /// Null when there is no slot to come.
    next_at: Option<u64>,
    created_at: u64,
    updated_at: u64,
    last_firing: Option<ShownFiring>,
}

/// A schedule, with its next slots.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ScheduleAhead")]
pub(crate) struct WithUpcoming {
    #[serde(flatten)]
    pub(super) schedule: Shown,
    pub(super) upcoming: Vec<u64>,
}

/// Schedules of a project.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Schedules")]
pub(crate) struct All {
    pub(super) schedules: Vec<Shown>,
}

/// What became of slots.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Firings {
    /// Newest slot first.
    pub(super) firings: Vec<ShownFiring>,
}

/// What became of a slot, or of several. Times are Unix milliseconds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Firing")]
pub(crate) struct ShownFiring {
    id: String,
    slot: u64,
    last_slot: u64,
    /// How many slots it stands for.
    slots: u64,
    by_hand: bool,
    #[schemars(with = "String", extend("enum" = ["running", "fired", "late", "skipped", "suppressed", "failed"]))]
    outcome: Outcome,
    /// Why it came to that.
    reason: Option<String>,
    /// Whether it waits for the end of the one before.
    waiting: bool,
    started_at: Option<u64>,
    ended_at: Option<u64>,
    exit_code: Option<i32>,
    output: Option<String>,
    session_id: Option<SessionId>,
}

/// With what became of its last slot.
pub(super) async fn shown(app: &App, schedule: &Schedule) -> Result<Shown, ApiError> {
    let last = app.store.firings(&schedule.id, None, 1).await?;
    Ok(Shown {
        id: schedule.id.clone(),
        name: schedule.name.clone(),
        when: schedule.when.clone(),
        work: schedule.work.clone(),
        catch_up: schedule.catch_up,
        catch_up_max: schedule.catch_up_max,
        overlap: schedule.overlap,
        enabled: schedule.enabled,
        timeout_ms: schedule.timeout_ms,
        next_at: schedule.next_at,
        created_at: schedule.created_at,
        updated_at: schedule.updated_at,
        last_firing: last.first().map(told),
    })
}

pub(super) fn told(firing: &Firing) -> ShownFiring {
    let waits = firing.step == Step::Waiting;
    let reason = if waits { Some(WAITS) } else { firing.reason.as_deref() };
    ShownFiring {
        id: firing.id.clone(),
        slot: firing.slot,
        last_slot: firing.last_slot,
        slots: firing.slots,
        by_hand: firing.by_hand,
        outcome: firing.outcome,
        reason: reason.map(str::to_owned),
        waiting: waits,
        started_at: firing.started_at,
        ended_at: firing.ended_at,
        exit_code: firing.exit_code,
        output: firing.output.clone(),
        session_id: firing.session.clone(),
    }
}
