//! Letting automatic checkpoints go by the rule, in the background: a few at a time, one checkpoint
//! per turn of its project. Those that a person asked for or labelled stay.

use super::{delete, reconcile};
use crate::{machines::Machine, state::App};
use std::sync::{Arc, atomic::Ordering};
use toft_model::{
    checkpoint::{Cause, KeepRule, Kept},
    machine::DiskUse,
};
use toft_store::{Durable, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// What is kept of a project when room is scarce, so that the last prompts can be undone.
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
            let _alone = machine.shelf.pruning.lock().await;
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
            let turn = || reconcile::enter(app, machine);
            let (turn, _place) = both(turn, &app.checkpoints.deleting).await?;
            // A person may have labelled it just now.
            match app.store.checkpoint(&machine.id, &id).await? {
                Some(row) if row.checkpoint.label.is_none() => {
                    delete::in_turn(app, machine, &id, Durable::Soon, &turn).await
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

/// Waits until it is the project's turn and there is a place among those who delete. Neither is held
/// while the other is waited for: a project whose turn takes long (a big copy is being made) holds up
/// no other one, and a slow deletion no checkpoint.
async fn both<T, E, F: Future<Output = Result<T, E>>>(
    turn: impl Fn() -> F,
    places: &Semaphore,
) -> Result<(T, SemaphorePermit<'_>), E> {
    loop {
        let turn = turn().await?;
        if let Ok(place) = places.try_acquire() {
            return Ok((turn, place));
        }
        drop(turn);
        // Given back at once: by the turn's time somebody else may have it, and then this waits again.
        drop(places.acquire().await);
    }
}

/// Those that the rule lets go.
async fn which(
    app: &App,
    machine: &Machine,
) -> Result<Vec<toft_model::checkpoint::CheckpointId>, StoreError> {
    let rule = app.store.checkpoint_rule(&machine.id).await?;
    let keep = yielding(rule.keep, &room(app, machine).await);
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

/// Without an answer there is room.
async fn room(app: &App, machine: &Machine) -> DiskUse {
    app.backend.disk(&machine.id).await.unwrap_or_default()
}

/// The rule that is in force with so much room.
fn yielding(keep: KeepRule, disk: &DiskUse) -> KeepRule {
    match is_scarce(disk) {
        Some(_) => KeepRule { last: keep.last.min(LAST_LOW), hourly: 0, daily: 0 },
        None => keep,
    }
}

/// With how much free room checkpoints yield, if they do now.
fn is_scarce(disk: &DiskUse) -> Option<u64> {
    disk.yield_below_bytes.filter(|low| disk.free_bytes.is_some_and(|free| free < *low))
}

/// Why fewer are kept than the rule says, if so.
pub(crate) async fn told(app: &App, machine: &Machine) -> Option<String> {
    let low = is_scarce(&room(app, machine).await)?;
    Some(format!(
        "less than {} MiB are free for all projects: of those taken by themselves only the last \
         {LAST_LOW} are kept",
        low >> 20
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{convert::Infallible, future::pending};
    use tokio::{sync::Mutex, task::yield_now, time::sleep};

    const HANGS: std::time::Duration = std::time::Duration::from_secs(5);

    #[test]
    fn checkpoints_yield_when_room_gets_scarce_and_never_grow_by_it() {
        let rule = KeepRule::default();
        let disk = |free_bytes, yield_below_bytes| DiskUse {
            free_bytes,
            yield_below_bytes,
            ..DiskUse::default()
        };
        for enough in [disk(None, None), disk(None, Some(9)), disk(Some(0), None)] {
            assert_eq!(yielding(rule, &enough), rule, "nobody knows: {enough:?}");
        }
        assert_eq!(yielding(rule, &disk(Some(9), Some(9))), rule);
        let low = KeepRule { last: LAST_LOW, hourly: 0, daily: 0 };
        assert_eq!(yielding(rule, &disk(Some(8), Some(9))), low);
        let less = KeepRule { last: 1, hourly: 0, daily: 0 };
        assert_eq!(yielding(less, &disk(Some(0), Some(9))), less);
    }

    #[tokio::test]
    async fn a_project_whose_turn_does_not_come_holds_up_no_other() {
        let places = Semaphore::new(1);
        let slow = both(pending::<Result<(), Infallible>>, &places);
        let other = both(async || Ok::<_, Infallible>(7), &places);
        tokio::select! {
            biased;
            never = slow => unreachable!("{never:?}"),
            done = other => assert_eq!(done.unwrap().0, 7),
            // Nothing else is left to do: it hangs.
            () = sleep(HANGS) => panic!("it waits for the other's turn"),
        }
    }

    #[tokio::test]
    async fn a_turn_is_not_held_while_others_delete() {
        let (places, turn) = (Semaphore::new(1), Mutex::new(()));
        let taken = places.try_acquire().unwrap();
        let waits = both(async || Ok::<_, Infallible>(turn.lock().await), &places);
        let meanwhile = async {
            yield_now().await;
            // Somebody takes a checkpoint, and meanwhile the place becomes free.
            let held = turn.try_lock().expect("the turn is free");
            drop(taken);
            yield_now().await;
            drop(held);
        };
        let (got, ()) = tokio::join!(waits, meanwhile);
        assert!(got.is_ok() && places.available_permits() == 0);
    }
}
