//! Firings: what became of the slots of schedules, one record each. Not which slots are due, nor what
//! is started.

use crate::{error::StoreError, schedules::Schedule};
use async_trait::async_trait;
use toft_model::{
    event::Outcome,
    id::SessionId,
    schedule::{ScheduleId, Work},
};

/// How far the start of a firing came. Each step is on disk before what it names is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It waits for the end of the one before.
    Waiting,
    /// Nothing was sent into the machine.
    Due,
    /// It is being asked for: it may run, or not.
    Asked,
    /// The machine said that it runs.
    Started,
    /// Nothing more will happen.
    Over,
}

impl Step {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Due => "due",
            Self::Asked => "asked",
            Self::Started => "started",
            Self::Over => "over",
        }
    }
}

/// What became of a slot, or of several in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// Public id, which the program in the machine has too.
    pub id: String,
    /// Of which schedule.
    pub schedule: ScheduleId,
    /// Unix milliseconds of the moment that was due.
    pub slot: u64,
    /// The last one, where slots in a row share a record.
    pub last_slot: u64,
    /// How many they are.
    pub slots: u64,
    /// Whether a person asked for it, at that moment.
    pub by_hand: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where it was not simply started.
    pub reason: Option<String>,
    /// Whether its time had passed when it was decided to start it.
    pub is_late: bool,
    /// What it runs, as its schedule had it when the slot was decided; `None` once it is over.
    pub work: Option<Work>,
    /// How far it came.
    pub step: Step,
    /// Unix milliseconds of the start of the machine that its program runs in.
    pub boot: Option<u64>,
    /// The conversation of its prompt.
    pub session: Option<SessionId>,
    /// Number of the copy's last event before the prompt was sent.
    pub after_seq: Option<u64>,
    /// Entry of the prompt in its conversation, once it is known.
    pub entry: Option<String>,
    /// Unix milliseconds.
    pub started_at: Option<u64>,
    /// Unix milliseconds.
    pub ended_at: Option<u64>,
    /// How its command ended.
    pub exit_code: Option<i32>,
    /// The end of what its command printed.
    pub output: Option<String>,
    /// Whether the project's event log has what became of it.
    pub told: bool,
}

/// Records slots as decided, all or nothing.
#[derive(Debug, Clone)]
pub struct Decided<'a> {
    /// Which schedule.
    pub schedule: &'a ScheduleId,
    /// What it was when this was decided.
    pub revision: u64,
    /// Every slot up to here is decided.
    pub decided_at: u64,
    /// The first slot after that, if there is one.
    pub next_at: Option<u64>,
    /// What becomes of them. One that is over joins the newest record if that has the same outcome
    /// and reason.
    pub firings: &'a [Firing],
}

/// Firings of schedules.
#[async_trait]
pub trait Firings: Send + Sync {
    /// Writes down what becomes of slots. `None`: the schedule changed meanwhile, is gone, or
    /// is another server's to decide by now, and nothing was written. Else those firings that are new: a slot that has a record keeps it.
    async fn decide_slots(&self, decided: &Decided<'_>) -> Result<Option<Vec<Firing>>, StoreError>;
    /// Keeps what became of a firing. False: its schedule is gone, or its machine is another server's by now.
    async fn update_firing(&self, firing: &Firing) -> Result<bool, StoreError>;
    /// One firing.
    async fn firing(&self, id: &str) -> Result<Option<Firing>, StoreError>;
    /// Firings of a schedule that are not over, oldest first.
    async fn open_firings(&self, schedule: &ScheduleId) -> Result<Vec<Firing>, StoreError>;
    /// Those of all projects, with their schedules, oldest first.
    async fn all_open_firings(&self) -> Result<Vec<(Schedule, Firing)>, StoreError>;
    /// Firings that are over and not told, with their schedules, oldest first.
    async fn untold_firings(&self, limit: u32) -> Result<Vec<(Schedule, Firing)>, StoreError>;
    /// Firings of a schedule, newest slot first, those before slot `before` only.
    async fn firings(
        &self,
        schedule: &ScheduleId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Firing>, StoreError>;
}
