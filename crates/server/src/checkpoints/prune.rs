//! Letting automatic checkpoints go by the rule, in the background: one project at a time, one
//! checkpoint per turn. Those that a person asked for or labelled stay.

use super::{shelf::Shelf, take};
use crate::{machines::Machine, state::App};
use std::sync::{Arc, atomic::Ordering};
use toft_model::checkpoint::{Cause, KeepRule, Kept};
use toft_store::{Durable, StoreError};

/// With less room than this for all projects together, checkpoints yield: a build needs it more.
const FREE_BYTES_LOW: u64 = 2 << 30;
/// What is then still kept of a project, so that the last prompts can be undone.
const LAST_LOW: u32 = 3;

/// Asks for it; asked for already: does nothing.
pub(crate) fn soon(app: &App, machine: &Arc<Machine>) {
    if machine.shelf.wants_pruning.swap(true, Ordering::AcqRel) {
        return;
    }
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    app.tasks.spawn(async move {
        let ends = app2.stop.token().clone();
        let work = async {
            let _alone = app2.checkpoints.pruning.lock().await;
            // From here on what is added is not seen: it has to ask again.
            machine.shelf.wants_pruning.store(false, Ordering::Release);
            prune(&app2, &machine).await;
        };
        ends.run_until_cancelled(work).await;
    });
}

async fn prune(app: &App, machine: &Machine) {
    let gone = match which(app, machine).await {
        Ok(gone) => gone,
        Err(StoreError::Missing { .. }) => return,
        Err(error) => {
            tracing::warn!(project.id = %machine.id, %error, "checkpoints were not pruned");
            return;
        }
    };
    for id in gone {
        let dropped = async {
            let turn = Shelf::enter(app, machine).await?;
            // A person may have labelled it just now.
            match app.store.checkpoint(&machine.id, &id).await? {
                Some(row) if row.checkpoint.label.is_none() => {
                    take::drop_in_turn(app, machine, &id, Durable::Soon, &turn).await
                }
                Some(_) | None => Ok(()),
            }
        };
        if let Err(error) = dropped.await {
            tracing::warn!(project.id = %machine.id, error = error.message,
                "a checkpoint was not pruned");
            return;
        }
    }
}

/// Those that the rule lets go.
async fn which(
    app: &App,
    machine: &Machine,
) -> Result<Vec<toft_model::checkpoint::CheckpointId>, StoreError> {
    let rule = app.store.checkpoint_rule(&machine.id).await?;
    // Without an answer there is room.
    let free = app.backend.disk(&machine.id).await.ok().and_then(|disk| disk.free_bytes);
    let keep = yielding(rule.keep, free);
    let mut rows = app.store.checkpoints(&machine.id).await?;
    // What the last restore left behind exists nowhere else: no rule lets it go, nor scarce room.
    // The newest come first.
    if let Some(at) = rows.iter().position(|row| row.checkpoint.cause == Cause::Restore) {
        rows.remove(at);
    }
    let all: Vec<Kept> = rows
        .into_iter()
        .map(|row| row.checkpoint)
        .map(|one| Kept {
            by_person: !one.cause.is_automatic() || one.label.is_some(),
            created_at: one.created_at,
            id: one.id,
        })
        .collect();
    Ok(keep.prune(&all))
}

/// The rule that is in force with so much room.
fn yielding(keep: KeepRule, free_bytes: Option<u64>) -> KeepRule {
    if free_bytes.is_none_or(|free| free >= FREE_BYTES_LOW) {
        return keep;
    }
    KeepRule { last: keep.last.min(LAST_LOW), hourly: 0, daily: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_yield_when_room_gets_scarce_and_never_grow_by_it() {
        let rule = KeepRule::default();
        assert_eq!(yielding(rule, None), rule);
        assert_eq!(yielding(rule, Some(FREE_BYTES_LOW)), rule);
        let low = KeepRule { last: LAST_LOW, hourly: 0, daily: 0 };
        assert_eq!(yielding(rule, Some(FREE_BYTES_LOW - 1)), low);
        let less = KeepRule { last: 1, hourly: 0, daily: 0 };
        assert_eq!(yielding(less, Some(0)), less);
    }
}
