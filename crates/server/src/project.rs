//! Which project a request is for, and whether its caller may do that much there.

use crate::{
    api_error::ApiError, auth::caller::Caller, envelope::Path, machines::Machine, state::App,
};
use axum::{extract::FromRequestParts, http::request::Parts};
use serde::Deserialize;
use std::{marker::PhantomData, sync::Arc};
use toft_store::{Project, Role};

/// A project by id or alias, with its machine.
pub(crate) async fn find(app: &App, id: &str) -> Result<(Project, Arc<Machine>), ApiError> {
    let project = app.store.project(id).await?.ok_or_else(ApiError::no_project)?;
    let machine = app.machines.get(&project.id).ok_or_else(ApiError::no_project)?;
    machine.settled().await;
    Ok((project, machine))
}

/// The project that a path names with `{id}`, for a caller with at least the role that `R` names: a
/// handler that takes it is reached by nobody else, whatever the body says.
pub(crate) struct OfProject<R> {
    pub(crate) caller: Caller,
    pub(crate) project: Project,
    pub(crate) machine: Arc<Machine>,
    role: PhantomData<R>,
}

/// A role as a type.
pub(crate) trait Needs {
    const ROLE: Role;
}

/// Looks.
pub(crate) enum Viewer {}
/// Works in it.
pub(crate) enum Member {}
/// Changes what others rely on.
pub(crate) enum Admin {}

impl Needs for Viewer {
    const ROLE: Role = Role::Viewer;
}
impl Needs for Member {
    const ROLE: Role = Role::Member;
}
impl Needs for Admin {
    const ROLE: Role = Role::Admin;
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

impl<R: Needs> FromRequestParts<App> for OfProject<R> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        caller.require(R::ROLE)?;
        let Path(Named { id }) = Path::from_request_parts(parts, app).await?;
        let (project, machine) = find(app, &id).await?;
        Ok(Self { caller, project, machine, role: PhantomData })
    }
}
