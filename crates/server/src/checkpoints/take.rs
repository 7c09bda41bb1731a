//! Taking a checkpoint.

use super::{prune, reconcile, shelf::Turn};
use crate::{
    api_error::{ApiError, Code},
    machines::Machine,
    state::App,
    tasks::finish,
};
use std::{sync::Arc, time::Duration};
use toft_machine::backend::MachineError;
use toft_model::{
    checkpoint::{Cause, Checkpoint, CheckpointId, Place},
    id::ProjectId,
};
use toft_store::{Durable, TakenCheckpoint};
use tokio::time::timeout;

/// Copying a big tree file by file; where a copy takes no time, a stuck disk.
const TAKE_TIMEOUT: Duration = Duration::from_mins(10);

/// What is to be taken.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Under an id that is known already; a new one when absent.
    pub(crate) id: Option<CheckpointId>,
    pub(crate) cause: Cause,
    pub(crate) label: Option<String>,
    /// The user message before which it is taken, where that is known already.
    pub(crate) message: Option<Place>,
    /// See [`TakenCheckpoint::place`].
    pub(crate) place: Option<Place>,
}

impl Wish {
    pub(crate) fn of(cause: Cause) -> Self {
        Self { id: None, cause, label: None, message: None, place: None }
    }

    /// Whether its row must be on disk at once. Of those before prompts there is one every minute, and
    /// one that is lost with the power only leaves its copy, which goes then.
    fn durable(&self) -> Durable {
        match self.cause {
            Cause::Manual | Cause::Restore => Durable::Now,
            // Somebody has its id written down.
            Cause::Prompt | Cause::Fork if self.id.is_some() => Durable::Now,
            Cause::Prompt | Cause::Fork => Durable::Soon,
        }
    }
}

/// Takes one.
pub(crate) async fn take(
    app: &App,
    machine: &Arc<Machine>,
    wish: Wish,
) -> Result<Checkpoint, ApiError> {
    let (app2, machine2) = (app.clone(), Arc::clone(machine));
    let taken = finish(&app.tasks, "taking the checkpoint failed", async move {
        let turn = reconcile::enter(&app2, &machine2).await?;
        in_turn(&app2, &machine2, wish, &turn).await
    })
    .await;
    if taken.as_ref().is_err_and(|error| error.code == Code::DiskFull) {
        // Automatic ones yield, so that the next try may have room.
        prune::soon(app, machine);
    }
    taken
}

/// The same for who has the turn.
pub(super) async fn in_turn(
    app: &App,
    machine: &Machine,
    wish: Wish,
    _turn: &Turn,
) -> Result<Checkpoint, ApiError> {
    let id = wish.id.clone().unwrap_or_else(CheckpointId::random);
    let created_at = app.clock.now_ms();
    let copy = timeout(TAKE_TIMEOUT, app.backend.checkpoint(&machine.id, &id));
    // What the copy of events says now is not beyond what the disk says a moment later.
    let (copied, told) = tokio::join!(copy, app.store.places(&machine.id));
    let row = match (copied, told) {
        (Ok(Ok(copied)), Ok((seq, sessions))) => {
            let durable = wish.durable();
            let taken = TakenCheckpoint {
                checkpoint: Checkpoint {
                    id: id.clone(),
                    project_id: machine.id.clone(),
                    label: wish.label,
                    cause: wish.cause,
                    created_at,
                    seq,
                    base: copied.base,
                    sessions,
                    message: wish.message,
                },
                place: wish.place,
                away: None,
            };
            let added = app.store.add_checkpoint(&taken, durable).await;
            toft_machine::steps::reached("checkpoint.recorded");
            added.map(|()| taken.checkpoint).map_err(ApiError::from)
        }
        (Ok(Ok(_)), Err(error)) => Err(error.into()),
        (Ok(Err(error)), _) => Err(refused(error)),
        (Err(_), _) => {
            // Whatever becomes of it, it has no row.
            machine.shelf.doubt();
            Err(ApiError::new(
                Code::MachineError,
                "the checkpoint was not taken in time: stop the project and try again",
            ))
        }
    };
    if row.is_err()
        && let Err(error) = app.backend.drop_checkpoint(&machine.id, &id).await
    {
        tracing::warn!(project.id = %machine.id, %error, "half a checkpoint stays for now");
        machine.shelf.doubt();
    }
    row
}

/// Makes the disk of a fork, which stands still, a checkpoint of the project that it was grown from. Conversations
/// stand in it as they did where the fork began.
pub(crate) async fn of_fork(
    app: &App,
    machine: &Machine,
    fork: &ProjectId,
    id: &CheckpointId,
    label: String,
    grown_from: Option<&Checkpoint>,
) -> Result<(), ApiError> {
    let _turn = reconcile::enter(app, machine).await?;
    let copied = timeout(TAKE_TIMEOUT, app.backend.keep_of(fork, &machine.id, id)).await;
    let copied = match copied {
        Ok(Ok(copied)) => copied,
        Ok(Err(error)) => return Err(refused(error)),
        Err(_) => {
            machine.shelf.doubt();
            return Err(ApiError::new(
                Code::MachineError,
                "the candidate's disk was not copied in time: try again",
            ));
        }
    };
    let (seq, sessions) = match grown_from {
        Some(then) => (then.seq, then.sessions.clone()),
        None => app.store.places(&machine.id).await?,
    };
    let taken = TakenCheckpoint {
        checkpoint: Checkpoint {
            id: id.clone(),
            project_id: machine.id.clone(),
            label: Some(label),
            cause: Cause::Fork,
            created_at: app.clock.now_ms(),
            seq,
            base: copied.base,
            sessions,
            message: None,
        },
        place: None,
        away: None,
    };
    let added = app.store.add_checkpoint(&taken, Durable::Now).await;
    if let Err(error) = added {
        machine.shelf.doubt();
        return Err(error.into());
    }
    Ok(())
}

/// A checkpoint that is gone from disk is not found, like one without a row.
pub(crate) fn refused(error: MachineError) -> ApiError {
    match error {
        MachineError::NoCheckpoint { .. } => super::no_checkpoint(),
        error => error.into(),
    }
}
