//! Which project a request is for, and whether its caller may do that much there.

use crate::{
    api_error::ApiError, auth::caller::Caller, envelope::Path, machines::Machine, servers,
    state::App,
};
use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::{Method, request::Parts},
};
use serde::Deserialize;
use std::{marker::PhantomData, sync::Arc};
use toft_model::machine::MachineState;
use toft_store::{Project, Role};

/// What any server answers for a project whose machine is another's: what the database knows. All else takes the
/// machine, its disk, or what only its own server holds in memory.
const ANYWHERE: [(&str, &[Method]); 16] = [
    ("/v1/projects/{id}", &[Method::GET, Method::PATCH, Method::DELETE]),
    ("/v1/projects/{id}/runs", &[Method::GET, Method::POST]),
    ("/v1/projects/{id}/messages", &[Method::POST]),
    ("/v1/projects/{id}/runs/{run}", &[Method::GET]),
    ("/v1/projects/{id}/runs/{run}/messages", &[Method::GET]),
    ("/v1/projects/{id}/runs/{run}/stream", &[Method::GET]),
    ("/v1/projects/{id}/runs/{run}/download.zip", &[Method::GET]),
    ("/v1/projects/{id}/runs/{run}/cancel", &[Method::POST]),
    ("/v1/projects/{id}/schedules", &[Method::GET]),
    ("/v1/projects/{id}/schedules/{sid}", &[Method::GET]),
    ("/v1/projects/{id}/schedules/{sid}/firings", &[Method::GET]),
    ("/v1/projects/{id}/webhooks", &[Method::GET, Method::POST]),
    ("/v1/projects/{id}/webhooks/{webhook}", &[Method::GET, Method::DELETE]),
    ("/v1/projects/{id}/usage", &[Method::GET]),
    ("/v1/projects/{id}/budget", &[Method::GET]),
    ("/v1/projects/{id}/fallbacks", &[Method::GET]),
];

/// A project by id or alias, with its machine, which is this server's or nobody's yet; or it is from now on, where its
/// own server is gone and the machine is reached from here.
pub(crate) async fn find(app: &App, id: &str) -> Result<(Project, Arc<Machine>), ApiError> {
    let (project, machine) = find_anywhere(app, id).await?;
    match machine.here() {
        Ok(()) => Ok((project, machine)),
        Err(refusal) => servers::instead(app, &project, refusal).await.map(|m| (project, m)),
    }
}

/// The same, also when its machine is another server's: only to be shown.
pub(crate) async fn find_anywhere(
    app: &App,
    id: &str,
) -> Result<(Project, Arc<Machine>), ApiError> {
    // PostgreSQL has no such texts, and no project has.
    if id.contains('\0') {
        return Err(ApiError::no_project());
    }
    let project = app.store.project(id).await?.ok_or_else(ApiError::no_project)?;
    if let Some(machine) = app.servers.machine_of_other(&project) {
        return Ok((project, Arc::new(machine)));
    }
    let machine = machine_of(app, &project)?;
    machine.settled().await;
    Ok((project, machine))
}

/// The machine of a project that is this server's or nobody's yet.
pub(crate) fn machine_of(app: &App, project: &Project) -> Result<Arc<Machine>, ApiError> {
    match app.machines.get(&project.id) {
        Some(machine) => Ok(machine),
        // Another server has made it, and no machine for it.
        None if project.host.is_none() => {
            Ok(app.machines.put(Machine::new(project.id.clone(), MachineState::Cold, None)))
        }
        None => Err(ApiError::no_project()),
    }
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
        let (project, mut machine) = find_anywhere(app, &id).await?;
        let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let is_told =
            ANYWHERE.iter().any(|(p, methods)| *p == path && methods.contains(&parts.method));
        if !is_told && let Err(refusal) = machine.here() {
            machine = servers::instead(app, &project, refusal).await?;
        }
        Ok(Self { caller, project, machine, role: PhantomData })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes;
    use std::collections::BTreeSet;

    #[test]
    fn what_any_server_answers_are_routes_and_takes_no_machine() {
        let told: BTreeSet<String> = ANYWHERE
            .iter()
            .flat_map(|(path, methods)| {
                methods.iter().map(move |method| format!("{method} {path}"))
            })
            .collect();
        let all: BTreeSet<String> = routes::endpoints().into_iter().collect();
        let unknown: Vec<_> = told.difference(&all).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        // All of runs are the database's, but what exchanges the machine's disk below it.
        let of_runs = |route: &&String| {
            let path = route.split_once(' ').map_or("", |(_, path)| path);
            path.starts_with("/v1/projects/{id}/runs") || path == "/v1/projects/{id}/messages"
        };
        let elsewhere: Vec<_> = all.iter().filter(of_runs).filter(|r| !told.contains(*r)).collect();
        assert_eq!(elsewhere, ["POST /v1/projects/{id}/runs/{run}/restore"]);
        let of_machines =
            ["/comparisons", "/checkpoints", "/exec", "/toft/", "/machine", "/preview"];
        let wrong = |route: &&String| of_machines.iter().any(|below| route.contains(below));
        assert_eq!(told.iter().find(wrong), None);
    }
}
