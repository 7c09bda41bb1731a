//! Money that may be spent on models, and what was. All sums are billionths of a US dollar. Who holds
//! to it is the gateway.

use crate::id::{ProjectId, RunId, SessionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bounds. `None`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Budget {
    /// Of each run.
    pub run: Option<u64>,
    /// Of each calendar month in UTC.
    pub month: Option<u64>,
    /// Of all time.
    pub total: Option<u64>,
}

impl Budget {
    /// Whether there is no bound in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// All budgets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Budgets {
    /// Of everything together, programs outside too; its `run` bounds each run of each project.
    pub team: Budget,
    /// Of projects, beside that.
    pub projects: BTreeMap<ProjectId, Budget>,
}

impl Budgets {
    /// Whether there is no bound in any.
    pub fn is_empty(&self) -> bool {
        self.team.is_empty() && self.projects.values().all(Budget::is_empty)
    }
}

/// What was spent, as of a position of the usage journal. A call without a known cost counts with what
/// was reserved for it or its record's `counted`, and one that is under way with what was reserved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spent {
    /// The position.
    pub position: u64,
    /// The month of `month` sums, see [`crate::time::month_of`].
    pub month: u32,
    /// Everything together.
    pub team: Sums,
    /// Projects that spent anything.
    pub projects: BTreeMap<ProjectId, Sums>,
    /// Runs of late, when any run is bounded.
    pub runs: Vec<RunSum>,
}

/// Two sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sums {
    /// Of the month.
    pub month: u64,
    /// Of all time.
    pub total: u64,
}

/// What one run spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSum {
    /// Whose.
    pub project: ProjectId,
    /// Its conversation.
    pub session: SessionId,
    /// Which.
    pub run: RunId,
    /// How much.
    pub spent: u64,
}
