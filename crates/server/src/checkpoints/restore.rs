//! Going back to a checkpoint: what is now is kept first, the machine is ended and held by its life's
//! lock meanwhile, and runs after unless a person has stopped it. A restore that fails leaves
//! everything as it was.

use super::{
    affected::{self, Affected},
    delete, moving, no_checkpoint, place, prune, reconcile,
    shelf::Turn,
    take::{self, Wish},
};
use crate::{
    api_error::{ApiError, Code},
    machines::{Machine, copy::moved, gone::CUT_SHORT, life},
    state::App,
    tasks::finish,
};
use std::{sync::Arc, time::Duration};
use toft_machine::backend::MachineError;
use toft_model::{
    checkpoint::{Cause, Checkpoint, Place, Ticket},
    machine::MachineState,
};
use toft_store::{Durable, TakenCheckpoint, Wanted};
use tokio::{sync::OwnedMutexGuard, time::timeout};

/// What a bridge writes when it takes up a restore: lines of sessions, and the inspect database.
const LEFT_BYTES_MIN: u64 = 8 << 20;
/// Copying a big tree file by file.
const RESTORE_TIMEOUT: Duration = Duration::from_mins(10);

/// What became of it.
#[derive(Debug)]
pub(crate) struct Restored {
    /// What it went back to.
    pub(crate) checkpoint: Checkpoint,
    /// How it was just before.
    pub(crate) before: Checkpoint,
    pub(crate) affected: Vec<Affected>,
}

/// How to go back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Way {
    /// Also over other system programs than those of the checkpoint.
    pub(crate) force: bool,
    /// Where one conversation is to stand, if not where the checkpoint has it.
    pub(crate) place: Option<Place>,
}

/// Goes back. `was`: what the caller found.
pub(crate) async fn restore(
    app: &App,
    machine: &Arc<Machine>,
    was: TakenCheckpoint,
    way: Way,
) -> Result<Restored, ApiError> {
    let (app2, machine2) = (app.clone(), Arc::clone(machine));
    let done = finish(&app.tasks, "going back to the checkpoint failed", async move {
        let life = machine2.lock_life().await;
        let turn = reconcile::enter(&app2, &machine2).await?;
        // Somebody may have deleted it, or the project, while this waited.
        let was = app2
            .store
            .checkpoint(&machine2.id, &was.checkpoint.id)
            .await?
            .ok_or_else(no_checkpoint)?;
        with_all_locks(&app2, &machine2, was, way, &life, &turn).await
    })
    .await;
    prune::soon(app, machine);
    done
}

async fn with_all_locks(
    app: &App,
    machine: &Arc<Machine>,
    was: TakenCheckpoint,
    way: Way,
    life: &OwnedMutexGuard<()>,
    turn: &Turn,
) -> Result<Restored, ApiError> {
    // Before anything is ended: a refusal must not cost a running machine its processes.
    if let Some(place) = &way.place {
        place::check(app, machine, &was.checkpoint, place).await?;
    }
    if let Some(then) = &was.away {
        return Err(moving::refused(app, machine, then));
    }
    refuse_other_base(app, machine, &was.checkpoint, way.force).await?;
    let ran = machine.runs();
    if ran {
        // A server that dies from here on is followed by one that starts it again.
        note(app, machine, Some(CUT_SHORT)).await?;
        if let Err(error) = life::end_processes(app, machine, MachineState::Cold).await {
            note(app, machine, None).await?;
            return Err(error);
        }
    }
    let swapped = swap(app, machine, &was, &way, turn).await;
    // One that slept starts, too: only its bridge can say where conversations stand now. Who stops it
    // meanwhile waits for its life, and does so after this.
    if ran || swapped.is_ok() {
        let cause = match &swapped {
            Ok(_) => "it went back to a checkpoint",
            Err(_) => "going back to a checkpoint failed",
        };
        let started = start_again(app, machine, cause, life).await;
        if let Err(error) = started {
            // Its state says so; the files are where they were asked to be.
            tracing::warn!(project.id = %machine.id, error = error.message,
                "it does not run after a restore");
        }
    }
    let (before, affected) = swapped?;
    if !machine.runs() {
        // Until a bridge says so, the copy does.
        let place = way.place.as_ref().or(was.place.as_ref());
        let shown = moved::went_back(
            &*app.store,
            machine,
            &was.checkpoint,
            &before,
            place,
            app.clock.now_ms(),
        )
        .await;
        if let Err(error) = shown {
            tracing::warn!(project.id = %machine.id, error = error.message,
                "until its next start it is shown as it was");
        }
    }
    Ok(Restored { checkpoint: was.checkpoint, before, affected })
}

/// Writes down why a machine that is to run may be found ended; taken off when it is started.
async fn note(app: &App, machine: &Machine, reason: Option<&str>) -> Result<(), ApiError> {
    let project = app.store.project(machine.id.as_str()).await?.ok_or_else(ApiError::no_project)?;
    match project.wanted {
        Wanted::Running => {
            let now = app.clock.now_ms();
            Ok(app.store.set_wanted(&machine.id, Wanted::Running, reason, now).await?)
        }
        Wanted::Stopped => Ok(()),
    }
}

async fn refuse_other_base(
    app: &App,
    machine: &Machine,
    was: &Checkpoint,
    force: bool,
) -> Result<(), ApiError> {
    if force {
        return Ok(());
    }
    match app.backend.base(&machine.id).await? {
        Some(now) if now != was.base => {
            Err(MachineError::BaseChanged { was: was.base.clone(), now }.into())
        }
        Some(_) | None => Ok(()),
    }
}

async fn swap(
    app: &App,
    machine: &Machine,
    was: &TakenCheckpoint,
    way: &Way,
    turn: &Turn,
) -> Result<(Checkpoint, Vec<Affected>), ApiError> {
    // Now that nothing writes any more and the copy of events is whole.
    let before = take::in_turn(app, machine, Wish::of(Cause::Restore), turn).await?;
    if let Err(error) = room_for_a_bridge(app, machine).await {
        // Nothing was changed, so nothing is to be undone.
        drop_quietly(app, machine, &before, turn).await;
        return Err(error);
    }
    let until = (before.seq, before.sessions.clone());
    let ticket = Ticket::Restore {
        checkpoint_id: was.checkpoint.id.clone(),
        label: was.checkpoint.label.clone(),
        at: before.created_at,
        taken_at: was.checkpoint.created_at,
        place: way.place.clone().or_else(|| was.place.clone()),
    };
    let work = app.backend.restore(&machine.id, &was.checkpoint.id, &ticket, way.force);
    let (done, affected) = tokio::join!(
        timeout(RESTORE_TIMEOUT, work),
        affected::between(app, machine, &was.checkpoint, until),
    );
    let Ok(done) = done else {
        // It may still be done: then how it was is only in the checkpoint that was taken before.
        return Err(ApiError::new(
            Code::MachineError,
            "going back was not done in time: look at the files before you try again. How it was \
             before is the newest checkpoint",
        ));
    };
    if let Err(error) = done.map_err(take::refused) {
        drop_quietly(app, machine, &before, turn).await;
        return Err(error);
    }
    let affected = affected.unwrap_or_else(|error| {
        tracing::warn!(project.id = %machine.id, error = error.message,
            "which conversations moved is not known");
        Vec::new()
    });
    Ok((before, affected))
}

async fn drop_quietly(app: &App, machine: &Machine, before: &Checkpoint, turn: &Turn) {
    let dropped = delete::in_turn(app, machine, &before.id, Durable::Soon, turn).await;
    if let Err(error) = dropped {
        tracing::debug!(project.id = %machine.id, error = error.message, "it stays until pruned");
    }
}

/// What is now is kept, so going back frees nothing: on a disk that is full the bridge could not even
/// write down that it went back.
async fn room_for_a_bridge(app: &App, machine: &Machine) -> Result<(), ApiError> {
    let disk = app.backend.disk(&machine.id).await?;
    let (Some(quota), Some(used)) = (disk.quota_bytes, disk.exclusive_bytes) else { return Ok(()) };
    if quota.saturating_sub(used) >= LEFT_BYTES_MIN {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Unavailable,
        "the project's disk limit leaves no room to keep how it is now: raise the limit, or delete \
         files or checkpoints, then go back",
    ))
}

async fn start_again(
    app: &App,
    machine: &Arc<Machine>,
    cause: &str,
    life: &OwnedMutexGuard<()>,
) -> Result<(), ApiError> {
    let project = app.store.project(machine.id.as_str()).await?.ok_or_else(ApiError::no_project)?;
    match project.wanted {
        Wanted::Running => life::start_locked(app, machine, &project, cause, life).await,
        Wanted::Stopped => {
            machine.view().state = MachineState::Stopped;
            Ok(())
        }
    }
}
