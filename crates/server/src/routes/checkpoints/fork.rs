//! `POST …/fork`.

use super::restore::before;
use crate::{
    api_error::{ApiError, Code},
    checkpoints::{
        self,
        fork::{self, Order},
    },
    envelope::{Data, JsonBody},
    line,
    machines::{Machine, life},
    project::{Member, OfProject},
    routes::projects,
    secrets::hand_down::{self, Grant},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use toft_model::{checkpoint::Place, id::SessionId};
use toft_store::TakenCheckpoint;

/// Forks of forks that are looked back through.
const ORIGINS_MAX: usize = 16;
/// Forks made by one request.
const COUNT_MAX: usize = 20;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Fork {
    name: Option<String>,
    checkpoint_id: Option<String>,
    session_id: Option<SessionId>,
    entry_id: Option<String>,
    count: Option<usize>,
    #[serde(default)]
    secrets: Grant,
}

/// What was forked.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Forks {
    projects: Vec<projects::Shown>,
}

/// The checkpoint before a user message, and whose it is: what a fork was given to know was said in the
/// project that it was forked from, and the checkpoint is there.
async fn said_before(
    app: &App,
    mut machine: Arc<Machine>,
    message: &Place,
) -> Result<(Arc<Machine>, TakenCheckpoint), ApiError> {
    let mut refused = None;
    for _ in 0..ORIGINS_MAX {
        match before(app, &machine, message).await {
            Ok(found) => return Ok((machine, found)),
            Err(error) if error.code == Code::NoCheckpoint => {
                refused.get_or_insert(error);
            }
            Err(error) => return Err(refused.unwrap_or(error)),
        }
        let origin = app.store.fork_origin(&machine.id).await?;
        let Some(origin) = origin.and_then(|id| app.machines.get(&id)) else { break };
        origin.settled().await;
        machine = origin;
    }
    Err(refused.expect("each round finds it or is refused"))
}

/// `POST …/fork`.
pub(crate) async fn post(
    State(app): State<App>,
    OfProject { caller, project, machine, .. }: OfProject<Member>,
    JsonBody(body): JsonBody<Fork>,
) -> Result<Data<Forks>, ApiError> {
    let count = body.count.unwrap_or(1);
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(ApiError::invalid(format!("count must be 1 to {COUNT_MAX}")));
    }
    let name = body.name.as_deref().map(|text| line::name("name", text)).transpose()?;
    let (machine, from) = match (body.checkpoint_id, body.session_id, body.entry_id) {
        (None, None, None) => (machine, None),
        (Some(id), None, None) => {
            let found = checkpoints::find(&*app.store, &machine.id, &id).await?;
            (machine, Some(found))
        }
        (None, Some(session_id), Some(entry_id)) => {
            let message = Place { session_id, leaf_entry_id: Some(entry_id) };
            let (machine, found) = said_before(&app, machine, &message).await?;
            (machine, Some(found))
        }
        (Some(_), _, _) | (None, Some(_), None) | (None, None, Some(_)) => {
            return Err(ApiError::invalid(
                "give checkpointId, or sessionId and entryId of a user message, or none of them",
            ));
        }
    };
    hand_down::check(&app, &project.id, &body.secrets).await?;
    life::ensure_made(&app, &machine, "a fork of it is wanted").await?;
    let owner = caller.user_id().to_owned();
    let order = Order { name, count, from, candidates_of: None, owner, grant: body.secrets };
    let made = fork::fork(&app, &project, &machine, order).await?;
    let projects =
        made.iter().map(|(project, machine)| projects::shown(&app, project, machine)).collect();
    Ok(Data(Forks { projects }))
}
