//! Whether a machine is this server's still: one that was away may have lost what other servers reach too.

use crate::{api_error::ApiError, machines::Machine, state::App};

/// Whether its machine is at somebody else's, where other servers reach it too.
pub(super) fn is_far(app: &App, machine: &Machine) -> bool {
    !app.backend.of(&machine.id).far().is_empty()
}

/// Refuses to end or pause a machine that another server may work with by now.
pub(crate) async fn still_here(app: &App, machine: &Machine) -> Result<(), ApiError> {
    if !app.store.is_shared() || !app.servers.was_away() || !is_far(app, machine) {
        return Ok(());
    }
    let project = app.store.project(machine.id.as_str()).await?;
    let host = project.and_then(|project| project.host);
    app.servers.elsewhere(host.as_deref()).map_or(Ok(()), |elsewhere| Err(elsewhere.refusal()))
}
