//! Making rows and copies of disks agree, before a project's checkpoints are first used: neither is
//! told of without the other. What a killed server left is found by the next one at its start.

use super::shelf::Turn;
use crate::{api_error::ApiError, machines::Machine, state::App};
use futures_util::{StreamExt as _, stream};
use std::collections::BTreeSet;
use toft_model::checkpoint::CheckpointId;
use toft_store::{Durable, TakenCheckpoint};

/// Projects looked at at once, after a start.
const AT_ONCE: usize = 4;

/// Looks through all projects.
pub(crate) async fn all(app: App) {
    let machines = app.machines.list();
    stream::iter(machines)
        .for_each_concurrent(AT_ONCE, |machine| {
            let app = app.clone();
            async move {
                machine.settled().await;
                if let Err(error) = in_order(&app, &machine).await {
                    tracing::warn!(project.id = %machine.id, error = error.message,
                        "the checkpoints could not be looked through");
                }
            }
        })
        .await;
}

/// Waits for the turn of a project's checkpoints, and sees to it that rows and copies agree.
pub(crate) async fn enter(app: &App, machine: &Machine) -> Result<Turn, ApiError> {
    let turn = machine.shelf.turn().await;
    if !machine.shelf.is_in_order() {
        compare(app, machine, &turn).await?;
        machine.shelf.compared();
    }
    Ok(turn)
}

/// Sees to it that rows and copies agree, unless they are known to.
pub(crate) async fn in_order(app: &App, machine: &Machine) -> Result<(), ApiError> {
    if !machine.shelf.is_in_order() {
        enter(app, machine).await?;
    }
    Ok(())
}

/// Those of another backend that are not there any more. One that cannot be asked says nothing of its own.
async fn lost_elsewhere(
    app: &App,
    machine: &Machine,
    away: &[TakenCheckpoint],
) -> Vec<CheckpointId> {
    let mut lost = Vec::new();
    let backends: BTreeSet<&str> = away.iter().filter_map(|row| row.away.as_deref()).collect();
    for backend in backends {
        match app.backend.checkpoints_at(&machine.id, backend).await {
            Ok(there) => {
                let of = away.iter().filter(|row| row.away.as_deref() == Some(backend));
                let ids = of.map(|row| &row.checkpoint.id).filter(|id| !there.contains(id));
                lost.extend(ids.cloned());
            }
            Err(error) => {
                tracing::info!(project.id = %machine.id, backend, %error, "its checkpoints there are not looked at");
            }
        }
    }
    lost
}

/// Drops rows whose copy is gone, and copies that have no row.
async fn compare(app: &App, machine: &Machine, _turn: &Turn) -> Result<(), ApiError> {
    if !app.backend.of(&machine.id).can().checkpoint {
        // Another backend's copies lie where this one does not look.
        return Ok(());
    }
    let on_disk = app.backend.checkpoints(&machine.id).await?;
    let rows = app.store.checkpoints(&machine.id).await?;
    // Those of before it moved lie where it was.
    let (here, away): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.away.is_none());
    let rows: Vec<_> = here.into_iter().map(|row| row.checkpoint.id).collect();
    let mut lost: Vec<_> = rows.iter().filter(|id| !on_disk.contains(id)).cloned().collect();
    lost.extend(lost_elsewhere(app, machine, &away).await);
    if !lost.is_empty() {
        tracing::warn!(project.id = %machine.id, lost = lost.len(), "checkpoints are gone from disk");
        app.store.delete_checkpoints(&machine.id, &lost, Durable::Soon).await?;
    }
    for id in on_disk.iter().filter(|id| !rows.contains(id) && !machine.shelf.is_kept(id)) {
        tracing::info!(project.id = %machine.id, checkpoint.id = %id, "an unfinished checkpoint goes");
        app.backend.drop_checkpoint(&machine.id, id).await?;
    }
    Ok(())
}
