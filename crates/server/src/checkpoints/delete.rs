//! Deleting a checkpoint.

use super::{no_checkpoint, reconcile, shelf::Turn};
use crate::{api_error::ApiError, machines::Machine, state::App, tasks::finish};
use std::{sync::Arc, time::Duration};
use toft_machine::steps;
use toft_model::checkpoint::CheckpointId;
use toft_store::Durable;
use tokio::time::timeout;

/// Removing one that was copied file by file.
const DROP_TIMEOUT: Duration = Duration::from_mins(5);

/// Deletes one for a person.
pub(crate) async fn delete(
    app: &App,
    machine: &Arc<Machine>,
    id: CheckpointId,
) -> Result<(), ApiError> {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    finish(&app.tasks, "deleting the checkpoint failed", async move {
        let turn = reconcile::enter(&app2, &machine).await?;
        in_turn(&app2, &machine, &id, Durable::Now, &turn).await
    })
    .await
}

/// The same for who has the turn. Its row goes first: what is left of its copy by a server that dies
/// has none, and goes then.
pub(super) async fn in_turn(
    app: &App,
    machine: &Machine,
    id: &CheckpointId,
    durable: Durable,
    _turn: &Turn,
) -> Result<(), ApiError> {
    let gone = app.store.delete_checkpoints(&machine.id, std::slice::from_ref(id), durable).await?;
    if gone == 0 {
        return Err(no_checkpoint());
    }
    steps::reached("drop.recorded");
    let dropped = timeout(DROP_TIMEOUT, app.backend.drop_checkpoint(&machine.id, id)).await;
    match dropped {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            machine.shelf.doubt();
            Err(error.into())
        }
        Err(_) => {
            machine.shelf.doubt();
            Ok(())
        }
    }
}
