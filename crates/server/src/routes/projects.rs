//! `/v1/projects`: make, list, read, rename, delete.

use crate::{
    api_error::{ApiError, Code},
    auth::caller::Caller,
    backends,
    envelope::{Data, JsonBody, NoBody, Query},
    images::made_of,
    line,
    machines::{Machine, copy, egress, life, status::AgentStatus},
    project::{Member, OfProject, Viewer, find_anywhere, machine_of},
    routes::given::Deleted,
    servers,
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use toft_model::{id::ProjectId, machine::MachineState, run::ComparisonId, time::rfc3339};
use toft_store::{NewProject, Project, Role};

/// Longest id that a client may choose: room for a UUID with a prefix.
const ALIAS_BYTES_MAX: usize = 128;
/// Projects in one answer.
const LIMIT_MAX: u32 = 1000;
const LIMIT_DEFAULT: u32 = 50;
const NAME_DEFAULT: &str = "New project";

/// A project.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Project")]
pub(crate) struct Shown {
    pub(crate) id: ProjectId,
    /// A name of the caller's own for it.
    alias: Option<String>,
    name: String,
    /// Where its app is shown, for who has an entry (`POST …/preview`).
    url: String,
    state: MachineState,
    /// Why it is so, where something is wrong.
    state_reason: Option<String>,
    /// What makes its machine: `native`, `host`, `oci` or `e2b`.
    backend: String,
    /// Its newest run.
    latest_run_id: Option<String>,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339.
    updated_at: String,
    agent_status: AgentStatus,
}

/// A project that was asked for.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MadeProject")]
pub(crate) struct MadeOrFound {
    #[serde(flatten)]
    project: Shown,
    /// Whether it was made now.
    created: bool,
}

/// A project that was looked at alone.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OneProject {
    #[serde(flatten)]
    project: Shown,
    /// It is a fork whose run is compared with others.
    candidate_of: Option<CandidateOf>,
}

/// Which comparison a fork belongs to.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CandidateOf {
    /// The project that was forked.
    project_id: ProjectId,
    comparison_id: ComparisonId,
}

/// As the API shows it.
pub(crate) fn shown(app: &App, project: &Project, machine: &Machine) -> Shown {
    let tampered = copy::tamper_reason(machine);
    let view = machine.view();
    // Without processes nothing works or waits, whatever the last event said.
    let runs = matches!(view.state, MachineState::Running | MachineState::Frozen);
    let status = if runs { view.statuses.of_project() } else { AgentStatus::Idle };
    Shown {
        id: project.id.clone(),
        alias: project.alias.clone(),
        name: project.name.clone(),
        url: app.hosts.preview_origin(project.id.as_str()),
        state: view.state,
        state_reason: view.reason.clone().or(tampered),
        backend: project.backend.as_deref().unwrap_or_else(|| app.backend.name()).to_owned(),
        latest_run_id: project.latest_run.clone(),
        created_at: rfc3339(project.created_at),
        updated_at: rfc3339(project.updated_at),
        agent_status: status,
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    id: Option<String>,
    name: Option<String>,
    image: Option<String>,
    egress: Option<super::egress::Wish>,
    /// What is to make its machine: `native`, `host`, `oci` or `e2b`, as far as the server offers it; the server's own
    /// when absent.
    #[serde(rename = "workspaceBackend")]
    backend: Option<String>,
    /// False: its machine is made by the first who needs it, on that one's server.
    start: Option<bool>,
}

/// `POST /v1/projects`: makes it and starts its machine. A known id or alias is found, not made.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<Create>,
) -> Result<Data<MadeOrFound>, ApiError> {
    caller.require(Role::Member)?;
    let given: Option<ProjectId> = body.id.as_deref().and_then(|id| id.parse().ok());
    let alias = match (&given, body.id) {
        (None, Some(alias)) => Some(check_alias(alias)?),
        (Some(_), _) | (None, None) => None,
    };
    let name = match body.name {
        Some(name) => line::name("name", &name)?,
        None => alias.clone().unwrap_or_else(|| NAME_DEFAULT.to_owned()),
    };
    let change = body.egress.map(|wish| wish.by(&caller)).transpose()?.unwrap_or_default();
    let settings = egress::first(&app, change)?;
    let choosing = app.images.choosing().await;
    let backend = body.backend;
    if let Some(backend) = &backend {
        backends::is_offered(&app, backend)?;
    }
    let made_of = made_of::choose(&app, body.image.as_deref(), backend.as_deref()).await?;
    let new = NewProject {
        id: given.unwrap_or_else(ProjectId::random),
        alias,
        name,
        owner: caller.user_id().to_owned(),
        backend,
        settings,
    };
    let starts = body.start.unwrap_or(true);
    let app2 = app.clone();
    // To its end, even if the client leaves: a row without a machine helps nobody.
    let work = async move {
        let _making = app2.machines.making.read().await;
        // Before the project: one that a killed server has just made must not forget its image.
        let is_new =
            app2.store.project(new.alias.as_deref().unwrap_or(new.id.as_str())).await?.is_none();
        let has_image = made_of.is_some();
        if is_new && has_image {
            app2.store.set_project_image(&new.id, made_of.as_ref()).await?;
        }
        let made = app2.store.create_project(&new, app2.clock.now_ms()).await?;
        drop(choosing);
        toft_machine::steps::reached("create.recorded");
        if !made.created && is_new && made.project.id != new.id {
            // Somebody else was quicker with this alias.
            app2.store.set_project_image(&new.id, None).await?;
        }
        let project = made.project;
        if !made.created
            && let Some(backend) = &new.backend
        {
            backends::is_of(&app2, &project, backend)?;
        }
        if let Some(machine) = app2.servers.machine_of_other(&project) {
            let project = shown(&app2, &project, &machine);
            return Ok(Data(MadeOrFound { project, created: made.created }));
        }
        let state =
            if made.created && starts { MachineState::Creating } else { MachineState::Cold };
        let fresh = Machine::new(project.id.clone(), state, None);
        let machine = app2.machines.put(fresh);
        if made.created && has_image {
            // The image is this server's.
            servers::bind(&app2, &machine).await?;
        }
        if made.created && starts {
            let life = machine.lock_life().await;
            let started =
                life::start_locked(&app2, &machine, &project, "the project was made", &life).await;
            match started {
                // The project is there; its state says what is wrong, and start tries again.
                Ok(()) => {}
                Err(error) if error.code == Code::DiskFull => {
                    drop(life);
                    life::delete(&app2, &machine).await?;
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(project.id = %project.id, error = error.message, "made, not started");
                }
            }
        } else {
            machine.settled().await;
        }
        let project = shown(&app2, &project, &machine);
        Ok(Data(MadeOrFound { project, created: made.created }))
    };
    match app.tasks.spawn(work).await {
        Ok(done) => done,
        Err(error) => Err(ApiError::internal("the project could not be made", &error)),
    }
}

fn check_alias(alias: String) -> Result<String, ApiError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    let fine = (1..=ALIAS_BYTES_MAX).contains(&alias.len())
        && alias.bytes().all(plain)
        && alias.as_bytes()[0].is_ascii_alphanumeric();
    if fine {
        return Ok(alias);
    }
    Err(ApiError::invalid(format!(
        "id must be 1 to {ALIAS_BYTES_MAX} letters, digits, `.`, `_`, `:` or `-`, beginning with a \
         letter or digit; leave it out to get one"
    )))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Page {
    /// Projects at most: 1 to 1000.
    #[schemars(with = "Option<u32>")]
    limit: Option<String>,
    /// How many are left out before them.
    #[schemars(with = "Option<u32>")]
    offset: Option<String>,
    /// Also the forks of comparisons, which stand with their projects else.
    #[serde(default)]
    candidates: bool,
}

/// `GET /v1/projects`.
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Query(page): Query<Page>,
) -> Result<Data<Vec<Shown>>, ApiError> {
    let limit = number("limit", page.limit.as_deref(), LIMIT_DEFAULT)?;
    if limit == 0 || limit > LIMIT_MAX {
        return Err(ApiError::invalid(format!("limit must be 1 to {LIMIT_MAX}")));
    }
    let offset = number("offset", page.offset.as_deref(), 0)?;
    let mut out = Vec::new();
    // The forks of a comparison stand with their project.
    let found = if page.candidates {
        app.store.projects(limit, offset).await?
    } else {
        app.store.listed_projects(limit, offset).await?
    };
    for project in found {
        if let Some(machine) = app.servers.machine_of_other(&project) {
            out.push(shown(&app, &project, &machine));
            continue;
        }
        // One that is just being deleted is no longer there.
        let Ok(machine) = machine_of(&app, &project) else { continue };
        machine.settled().await;
        out.push(shown(&app, &project, &machine));
    }
    Ok(Data(out))
}

fn number(name: &str, given: Option<&str>, default: u32) -> Result<u32, ApiError> {
    match given {
        None => Ok(default),
        Some(text) => {
            text.parse().map_err(|_| ApiError::invalid(format!("{name} must be a whole number")))
        }
    }
}

/// `GET /v1/projects/{id}`.
pub(crate) async fn get(
    State(app): State<App>,
    OfProject { project, machine, .. }: OfProject<Viewer>,
) -> Result<Data<OneProject>, ApiError> {
    let of = app.store.candidate_of(&project.id).await?;
    let candidate_of =
        of.map(|(project_id, comparison_id)| CandidateOf { project_id, comparison_id });
    Ok(Data(OneProject { project: shown(&app, &project, &machine), candidate_of }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rename {
    name: String,
}

/// `PATCH /v1/projects/{id}`.
pub(crate) async fn patch(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Member>,
    JsonBody(body): JsonBody<Rename>,
) -> Result<Data<Shown>, ApiError> {
    let name = line::name("name", &body.name)?;
    app.store.rename_project(&project.id, &name, app.clock.now_ms()).await?;
    let (project, machine) = find_anywhere(&app, project.id.as_str()).await?;
    Ok(Data(shown(&app, &project, &machine)))
}

/// `DELETE /v1/projects/{id}`: machine, disk and every copy.
pub(crate) async fn delete(
    State(app): State<App>,
    OfProject { project, machine, .. }: OfProject<Member>,
    _: NoBody,
) -> Result<Data<Deleted<ProjectId>>, ApiError> {
    remove(&app, &machine).await?;
    // The forks of its comparisons go with it.
    app.comparisons.look();
    Ok(Data(Deleted::of(project.id)))
}

/// Deletes one, with what opens it.
pub(crate) async fn remove(app: &App, machine: &Arc<Machine>) -> Result<(), ApiError> {
    life::delete(app, machine).await?;
    app.auth.take_back_of(&machine.id);
    app.ports.close(&machine.id).await;
    Ok(())
}
