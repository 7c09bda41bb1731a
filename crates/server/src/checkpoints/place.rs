//! Whether there is the place in a conversation that a restore is to move to. Known from the server's
//! copy, without waking anything.

use crate::{
    api_error::{ApiError, Code},
    machines::Machine,
    state::App,
};
use serde_json::Value;
use toft_model::checkpoint::{Checkpoint, Place};
use toft_store::{ConversationStep, SnapshotKind};

/// Refuses a conversation that is known neither now nor to the checkpoint, and an entry that none of
/// its messages is, hangs on or moved to.
pub(super) async fn check(
    app: &App,
    machine: &Machine,
    was: &Checkpoint,
    place: &Place,
) -> Result<(), ApiError> {
    let session = place.session_id.as_str();
    let (_, now) = app.store.places(&machine.id).await?;
    let stands: Vec<&Place> =
        now.iter().chain(&was.sessions).filter(|p| p.session_id == place.session_id).collect();
    let steps = app.store.steps(&machine.id, session).await?;
    if stands.is_empty() && steps.is_empty() && !is_listed(app, machine, session).await? {
        return Err(ApiError::new(
            Code::NotFound,
            format!(
                "place.sessionId: there is no conversation {session:?} in this project: GET \
                 …/toft/sessions lists them"
            ),
        ));
    }
    let Some(entry) = &place.leaf_entry_id else { return Ok(()) };
    let is_there = stands.iter().any(|p| p.leaf_entry_id.as_ref() == Some(entry))
        || steps.iter().any(|step| match step {
            ConversationStep::Said { entry_id, parent_id, .. } => {
                entry_id == entry || parent_id.as_ref() == Some(entry)
            }
            ConversationStep::Moved { to, .. } => to.as_ref() == Some(entry),
        });
    if is_there {
        return Ok(());
    }
    Err(ApiError::new(
        Code::NotFound,
        format!(
            "place.leafEntryId: the conversation has no entry {entry:?}: GET …/toft/messages lists \
             them with their entryId"
        ),
    ))
}

/// One without a message yet.
async fn is_listed(app: &App, machine: &Machine, session: &str) -> Result<bool, ApiError> {
    let json = app.store.snapshot(&machine.id, SnapshotKind::Sessions).await?;
    let list: Value = json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    let listed = list["sessions"].as_array().into_iter().flatten();
    Ok(listed.into_iter().any(|one| one["id"] == session))
}
