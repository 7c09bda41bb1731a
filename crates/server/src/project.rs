//! Which project a request is for.

use crate::{api_error::ApiError, machines::Machine, state::App};
use std::sync::Arc;
use toft_store::Project;

/// A project by id or alias, with its machine.
pub(crate) async fn find(app: &App, id: &str) -> Result<(Project, Arc<Machine>), ApiError> {
    let project = app.store.project(id).await?.ok_or_else(ApiError::no_project)?;
    let machine = app.machines.get(&project.id).ok_or_else(ApiError::no_project)?;
    machine.settled().await;
    Ok((project, machine))
}
