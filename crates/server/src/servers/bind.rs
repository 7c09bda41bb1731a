//! Whose machine a project's becomes: this server's, unless another one was first.

use crate::{api_error::ApiError, machines::Machine, state::App};

/// Gives a project that has no machine yet to this server; refused when it is another's.
pub(crate) async fn bind(app: &App, machine: &Machine) -> Result<(), ApiError> {
    if machine.is_bound() {
        return Ok(());
    }
    let own = app.backend.name();
    let host = app.store.bind_project(&machine.id, own).await?.ok_or_else(ApiError::no_project)?;
    if let Some(elsewhere) = app.servers.elsewhere(Some(&host)) {
        return Err(elsewhere.refusal());
    }
    if let Some(backend) = app.store.backend_of(&machine.id).await? {
        app.backend.assign(&machine.id, &backend).await?;
    }
    machine.set_bound();
    Ok(())
}
