//! `POST …/checkpoints/{ck}/restore` and `POST …/restore-message`.

use crate::{
    api_error::{ApiError, Code},
    checkpoints::{
        self,
        affected::Affected,
        reconcile,
        restore::{self, Way},
    },
    envelope::{Data, JsonBody, Path},
    machines::Machine,
    project::{Member, OfProject},
    routes::machine,
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use toft_model::{
    checkpoint::{Checkpoint, Place},
    id::SessionId,
};
use toft_store::{ConversationStep, TakenCheckpoint};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restore {
    force: Option<bool>,
    place: Option<Place>,
}

/// `POST …/checkpoints/{ck}/restore`.
pub(crate) async fn to_checkpoint(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    Path((_, checkpoint)): Path<(String, String)>,
    JsonBody(body): JsonBody<Restore>,
) -> Result<Data<Restored>, ApiError> {
    let was = checkpoints::find(&*app.store, &machine.id, &checkpoint).await?;
    let way = Way { force: body.force.unwrap_or_default(), place: body.place };
    go_back(&app, &machine, was, way).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RestoreMessage {
    session_id: SessionId,
    entry_id: String,
    force: Option<bool>,
}

/// `POST …/restore-message`.
pub(crate) async fn to_message(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    JsonBody(body): JsonBody<RestoreMessage>,
) -> Result<Data<Restored>, ApiError> {
    let message = Place { session_id: body.session_id, leaf_entry_id: Some(body.entry_id) };
    let was = before(&app, &machine, &message).await?;
    go_back(&app, &machine, was, Way { force: body.force.unwrap_or_default(), place: None }).await
}

/// The checkpoint before a user message; 404 for what is no user message, 409 when it has none.
pub(super) async fn before(
    app: &App,
    machine: &Machine,
    message: &Place,
) -> Result<TakenCheckpoint, ApiError> {
    reconcile::in_order(app, machine).await?;
    if let Some(found) = app.store.checkpoint_before(&machine.id, message).await? {
        return Ok(found);
    }
    let steps = app.store.steps(&machine.id, message.session_id.as_str()).await?;
    let is_there = steps.iter().any(|step| {
        matches!(step, ConversationStep::Said { entry_id, by_user: true, .. }
            if Some(entry_id) == message.leaf_entry_id.as_ref())
    });
    if !is_there {
        return Err(ApiError::new(
            Code::NotFound,
            "there is no such user message: GET …/toft/messages lists them with their entryId",
        ));
    }
    Err(ApiError::new(
        Code::NoCheckpoint,
        "no checkpoint was taken before this message, or it was deleted since: choose another \
         message, or a checkpoint of GET …/checkpoints",
    ))
}

/// What was gone back to.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Restored {
    checkpoint: Checkpoint,
    /// How it was, kept before that.
    before: Checkpoint,
    affected_sessions: Vec<Affected>,
    machine: machine::Shown,
}

/// Goes back, and says what became of it.
pub(crate) async fn go_back(
    app: &App,
    machine: &Arc<Machine>,
    was: TakenCheckpoint,
    way: Way,
) -> Result<Data<Restored>, ApiError> {
    // Its files would be exchanged below it.
    if let Some(working) = app.store.working_run(&machine.id).await? {
        return Err(ApiError::new(
            Code::Conflict,
            format!(
                "run {} works in this project: wait until it is over, or cancel it",
                working.id
            ),
        ));
    }
    let done = restore::restore(app, machine, was, way).await?;
    let machine = machine::shown(app, machine).await?.0;
    Ok(Data(Restored {
        checkpoint: done.checkpoint,
        before: done.before,
        affected_sessions: done.affected,
        machine,
    }))
}
