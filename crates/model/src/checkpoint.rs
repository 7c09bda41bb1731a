//! Checkpoints of projects: their ids, what is told of them, the rule by which automatic ones are
//! kept, and the ticket that a prepared disk carries. Not how a disk is copied.

use crate::id::{ProjectId, SessionId, id_type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

id_type! {
    /// Public id of a checkpoint: `[a-z][a-z0-9]{11}`, unique on its server.
    random CheckpointId, "checkpoint id"
}

/// Why a checkpoint was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// A person or a program asked for it.
    Manual,
    /// A prompt was about to begin.
    Prompt,
    /// A restore was about to begin.
    Restore,
    /// A fork from now was asked for.
    Fork,
}

impl Cause {
    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Prompt => "prompt",
            Self::Restore => "restore",
            Self::Fork => "fork",
        }
    }

    /// Whether it was taken without anybody asking: the keep rule applies to it.
    pub fn is_automatic(self) -> bool {
        match self {
            Self::Manual => false,
            Self::Prompt | Self::Restore | Self::Fork => true,
        }
    }
}

/// A checkpoint, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Which.
    pub id: CheckpointId,
    /// Of which project.
    pub project_id: ProjectId,
    /// A name that a person gave it.
    pub label: Option<String>,
    /// Why it was taken.
    pub cause: Cause,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Number of the project's last event that is in it.
    pub seq: u64,
    /// Identity of what the disk lies over: the host's programs, or an image.
    pub base: String,
    /// Where each conversation stood.
    pub sessions: Vec<Place>,
    /// The user message before which it was taken, for [`Cause::Prompt`].
    pub message: Option<Place>,
}

/// Which automatic checkpoints are kept. Those that a person asked for or labelled stay until they
/// are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KeepRule {
    /// The newest ones.
    pub last: u32,
    /// The newest one of each of the last hours that have any.
    pub hourly: u32,
    /// The newest one of each of the last days (UTC) that have any.
    pub daily: u32,
}

impl Default for KeepRule {
    /// A working day's prompts one by one, a day by hours, two weeks by days.
    fn default() -> Self {
        Self { last: 50, hourly: 24, daily: 14 }
    }
}

/// What the rule needs to know of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub id: CheckpointId,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Whether a person asked for it or labelled it.
    pub by_person: bool,
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

impl KeepRule {
    /// Those that the rule lets go, oldest first. Depends on nothing but the list: the same list
    /// gives the same answer at any time of day.
    pub fn prune(&self, all: &[Kept]) -> Vec<CheckpointId> {
        let mut automatic: Vec<&Kept> = all.iter().filter(|k| !k.by_person).collect();
        automatic.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        let mut keep: HashSet<&CheckpointId> =
            automatic.iter().take(as_len(self.last)).map(|k| &k.id).collect();
        for (span_ms, spans) in [(HOUR_MS, self.hourly), (DAY_MS, self.daily)] {
            let mut seen = HashSet::new();
            for kept in &automatic {
                let span = kept.created_at / span_ms;
                if seen.contains(&span) {
                    continue;
                }
                if seen.len() == as_len(spans) {
                    break;
                }
                seen.insert(span);
                keep.insert(&kept.id);
            }
        }
        let gone = automatic.iter().rev().filter(|k| !keep.contains(&k.id));
        gone.map(|k| k.id.clone()).collect()
    }
}

fn as_len(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// How a path differs between two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// Only in the later one.
    Added,
    /// Other content, mode or target.
    Modified,
    /// Only in the earlier one.
    Removed,
    /// A file became a folder or a link, or the other way round.
    Replaced,
}

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// As seen inside the machine (`/home/project/app.py`). Bytes that are no UTF-8 are replaced.
    pub path: String,
    /// How.
    pub kind: ChangeKind,
    /// Bytes of the file before, if it was one.
    pub size_before: Option<u64>,
    /// Bytes of the file after, if it is one.
    pub size_after: Option<u64>,
}

/// What differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// In the order of paths.
    pub changes: Vec<Change>,
    /// Whether there are more.
    pub truncated: bool,
}

/// Where a ticket lies in a machine, from its root.
pub const TICKET_PATH: &str = "home/starter/.toft-ticket.json";
/// Where a restore leaves the session files of the tree it replaced, from the machine's root.
pub const SESSIONS_BEFORE: &str = "home/starter/.sessions-before";

/// What a bridge is told by the disk that it starts on. It acts on it, then removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Ticket {
    /// Files went back to a checkpoint. The sessions as they were before lie in
    /// [`SESSIONS_BEFORE`]: the longer files are kept, and their leaves moved.
    Restore {
        /// To which.
        checkpoint_id: CheckpointId,
        /// Its label.
        label: Option<String>,
        /// Unix milliseconds of the restore.
        at: u64,
        /// Unix milliseconds of the checkpoint.
        taken_at: u64,
        /// Where one conversation is to stand, if not where the checkpoint has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
    },
    /// The disk was grown from another project's: events begin at 1.
    Fork {
        /// From which project.
        from: ProjectId,
        /// Number of that project's last event then.
        seq: u64,
        /// From which checkpoint, if not from now.
        checkpoint_id: Option<CheckpointId>,
        /// Unix milliseconds.
        at: u64,
        /// As in [`Ticket::Restore`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
    },
}

/// Where a conversation stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Which.
    pub session_id: SessionId,
    /// Its last entry then; none while it was empty.
    pub leaf_entry_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(n: u64, created_at: u64, by_person: bool) -> Kept {
        Kept { id: format!("a{n:011}").parse().unwrap(), created_at, by_person }
    }

    #[test]
    fn the_newest_and_one_an_hour_and_one_a_day_stay() {
        let rule = KeepRule { last: 2, hourly: 2, daily: 2 };
        let all = [
            kept(1, 0, true),
            kept(2, 1, false),
            kept(3, DAY_MS + 1, false),
            kept(4, DAY_MS + 2, false),
            kept(5, 2 * DAY_MS, false),
            kept(6, 2 * DAY_MS + HOUR_MS, false),
            kept(7, 2 * DAY_MS + HOUR_MS + 1, false),
            kept(8, 2 * DAY_MS + HOUR_MS + 2, false),
        ];
        let gone: Vec<u64> =
            rule.prune(&all).iter().map(|id| id.as_str()[1..].parse().unwrap()).collect();
        // 8 and 7 are the newest, 8 and 5 of the last hours, 8 and 4 of the last days.
        assert_eq!(gone, [2, 3, 6]);
    }

    proptest! {
        #[test]
        fn what_a_person_made_stays_and_pruning_twice_changes_nothing(
            times in prop::collection::vec((0..30 * DAY_MS, any::<bool>()), 0..80),
            (last, hourly, daily) in (0u32..9, 0u32..9, 0u32..9),
        ) {
            let all: Vec<Kept> = times
                .iter()
                .zip(0..)
                .map(|(&(at, by_person), n)| kept(n, at, by_person))
                .collect();
            let rule = KeepRule { last, hourly, daily };
            let gone = rule.prune(&all);
            let rest: Vec<Kept> =
                all.iter().filter(|k| !gone.contains(&k.id)).cloned().collect();
            prop_assert!(all.iter().filter(|k| k.by_person).all(|k| rest.contains(k)));
            prop_assert_eq!(rule.prune(&rest), vec![]);
            let automatic = rest.iter().filter(|k| !k.by_person).count();
            prop_assert!(automatic <= as_len(last + hourly + daily));
            if last > 0 {
                let newest = all.iter().filter(|k| !k.by_person).max_by_key(|k| k.created_at);
                let stays =
                    newest.is_none_or(|n| rest.iter().any(|k| k.created_at == n.created_at));
                prop_assert!(stays);
            }
        }
    }

    #[test]
    fn a_ticket_is_read_back() {
        let ticket = Ticket::Fork {
            from: "a23456789bcd".parse().unwrap(),
            seq: 7,
            checkpoint_id: None,
            at: 1,
            place: None,
        };
        let text = serde_json::to_string(&ticket).unwrap();
        assert_eq!(
            text,
            r#"{"kind":"fork","from":"a23456789bcd","seq":7,"checkpointId":null,"at":1}"#
        );
        assert_eq!(serde_json::from_str::<Ticket>(&text).unwrap(), ticket);
    }
}
