//! Checkpoints yield before the disk that all projects share is full: every project is pruned, again
//! and again, until there is room. Which checkpoints are let go is in `prune`; programs that write are
//! paused by the backend.

use super::prune;
use crate::state::App;
use std::time::Duration;
use toft_machine::backend::RoomState;
use tokio::time::sleep;

/// Between two rounds: the room of a deleted checkpoint is free after a moment.
const ROUND_PAUSE: Duration = Duration::from_secs(3);

/// Until the server ends.
pub(crate) async fn watch(app: App) {
    let mut room = app.backend.room();
    while room.changed().await.is_ok() {
        let now = *room.borrow_and_update();
        match now.state {
            RoomState::Ample => continue,
            RoomState::Short | RoomState::Full => {}
        }
        tracing::warn!(
            free_bytes = now.free_bytes,
            wanted_bytes = now.wanted_bytes,
            "the disk of machines is nearly full: old automatic checkpoints go"
        );
        for machine in app.machines.list() {
            prune::soon(&app, &machine);
        }
        sleep(ROUND_PAUSE).await;
    }
}
