//! A copy of a project's disk that is read out and then let go: it has no row, and nobody waits for its reader.

use super::{reconcile, shelf::Kept};
use crate::{
    api_error::ApiError,
    machines::{Machine, machine::Hold},
    state::App,
};
use std::sync::Arc;
use toft_model::checkpoint::CheckpointId;

/// See the module. Dropped without [`Lent::give_back`] its copy goes when the checkpoints are next compared.
pub(crate) struct Lent {
    machine: Arc<Machine>,
    kept: Kept,
    /// A project is not moved to another backend below its reader.
    _hold: Hold,
}

/// Takes one. The turn of the project's checkpoints is held only for that.
pub(crate) async fn take(app: &App, machine: &Arc<Machine>) -> Result<Lent, ApiError> {
    let hold = machine.being_read();
    let _turn = reconcile::enter(app, machine).await?;
    let id = CheckpointId::random();
    let lent =
        Lent { machine: Arc::clone(machine), kept: machine.shelf.keep(id.clone()), _hold: hold };
    app.backend.checkpoint(&machine.id, &id).await?;
    Ok(lent)
}

impl Lent {
    pub(crate) fn id(&self) -> &CheckpointId {
        self.kept.id()
    }

    /// Removes the copy.
    pub(crate) async fn give_back(self, app: &App) -> Result<(), ApiError> {
        let _turn = self.machine.shelf.turn().await;
        app.backend.drop_checkpoint(&self.machine.id, self.id()).await?;
        self.kept.is_gone();
        Ok(())
    }
}
