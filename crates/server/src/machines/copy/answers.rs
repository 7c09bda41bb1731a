//! Answers of a bridge from the server's copy, for machines that do not run: conversations, their
//! list, state and inspect rows. Never wakes anything.

use super::{current_session, kept, list, listed_in, moves, state_of, visible};
use crate::{
    api_error::ApiError,
    machines::{
        Machine,
        reply::{failure, response},
    },
};
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use std::collections::HashSet;
use toft_model::{
    id::{InvalidId, SessionId},
    inspect::Inspect,
    machine::MachineState,
};
use toft_store::{NewEvent, SnapshotKind, Store};

/// A `message_end` as it is kept.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageEnd {
    entry_id: String,
    parent_id: Option<String>,
    message: Box<RawValue>,
}

/// A message as `GET messages` has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    entry_id: String,
    parent_id: Option<String>,
    message: Box<RawValue>,
}

fn no_session(command: &str, id: &str) -> Response {
    let message =
        format!("there is no session {id:?} in this project: `GET /toft/sessions` lists them");
    failure(command, StatusCode::NOT_FOUND, "session_not_found", &message)
}

/// A session's id, or the answer to what is none.
fn session_id(command: &str, text: &str) -> Result<SessionId, Box<Response>> {
    text.parse().map_err(|error: InvalidId| {
        let message = format!("{error}.");
        Box::new(failure(command, StatusCode::BAD_REQUEST, "invalid_argument", &message))
    })
}

/// `GET inspect`: bare, as Starter has it.
pub(crate) async fn inspect(store: &dyn Store, machine: &Machine) -> Result<Response, ApiError> {
    let rows = kept(store, machine, SnapshotKind::Inspect).await?;
    Ok(match rows {
        Some(rows) => Json(rows).into_response(),
        None => Json(Inspect::default()).into_response(),
    })
}

/// `GET sessions`. Nothing works in a machine that does not run; in a paused one it goes on later.
pub(crate) async fn sessions(store: &dyn Store, machine: &Machine) -> Result<Response, ApiError> {
    let mut data = list(store, machine).await?;
    moves::strip(&mut data);
    for session in data.get_mut("sessions").and_then(Value::as_array_mut).into_iter().flatten() {
        settle_status(machine, session);
    }
    Ok(response("list_sessions", data))
}

/// `GET state`, as it was last, at rest. What only a bridge could tell of a session that was not the
/// current one is null.
pub(crate) async fn state(
    store: &dyn Store,
    machine: &Machine,
    session: Option<&str>,
) -> Result<Response, ApiError> {
    const COMMAND: &str = "get_state";
    let wanted = match session.map(|text| session_id(COMMAND, text)).transpose() {
        Ok(wanted) => wanted,
        Err(refused) => return Ok(*refused),
    };
    let data = kept(store, machine, SnapshotKind::State).await?;
    let Some(mut data) = data.filter(Value::is_object) else {
        if let Some(id) = &wanted
            && !is_known(store, machine, id.as_str()).await?
        {
            return Ok(no_session(COMMAND, id.as_str()));
        }
        let message = "nothing is known of this project's agent yet: start its machine first";
        return Ok(failure(COMMAND, StatusCode::CONFLICT, "unavailable", message));
    };
    if let Some(id) = wanted.filter(|id| data["sessionId"] != id.as_str()) {
        if !is_known(store, machine, id.as_str()).await? {
            return Ok(no_session(COMMAND, id.as_str()));
        }
        let listed = listed(store, machine, id.as_str()).await?;
        state_of(&mut data, id.as_str(), listed.as_ref());
    }
    settle_status(machine, &mut data);
    for field in ["isStreaming", "isCompacting", "appListening"] {
        // What a paused app listens on still takes connections: they let it go on.
        if field != "appListening" || machine.state() != MachineState::Frozen {
            data[field] = false.into();
        }
    }
    data["seq"] = store.head(&machine.id).await?.seq.into();
    Ok(response(COMMAND, data))
}

/// A session as the bridge listed it last.
async fn listed(store: &dyn Store, machine: &Machine, id: &str) -> Result<Option<Value>, ApiError> {
    let list = kept(store, machine, SnapshotKind::Sessions).await?;
    Ok(list.as_ref().and_then(|list| listed_in(list, id)).cloned())
}

/// Whether there is such a session: it was listed, is the current one, or something was said in it.
async fn is_known(store: &dyn Store, machine: &Machine, id: &str) -> Result<bool, ApiError> {
    Ok(listed(store, machine, id).await?.is_some()
        || current_session(store, machine).await?.is_some_and(|current| current == id)
        || !store.messages(&machine.id, id).await?.is_empty())
}

fn settle_status(machine: &Machine, value: &mut Value) {
    if machine.state() == MachineState::Frozen {
        return;
    }
    if let Some(status) = value.get_mut("status")
        && matches!(status.as_str(), Some("working" | "waiting"))
    {
        *status = "idle".into();
    }
}

/// `GET messages`: of a conversation, or of the current one.
pub(crate) async fn messages(
    store: &dyn Store,
    machine: &Machine,
    session: Option<&str>,
) -> Result<Response, ApiError> {
    const COMMAND: &str = "get_messages";
    let wanted = match session.map(|text| session_id(COMMAND, text)).transpose() {
        Ok(wanted) => wanted,
        Err(refused) => return Ok(*refused),
    };
    let session = match &wanted {
        Some(id) => Some(id.as_str().to_owned()),
        None => current_session(store, machine).await?,
    };
    // Read first: what is added meanwhile is then followed, not lost.
    let seq = store.head(&machine.id).await?.seq;
    let rows = match &session {
        Some(session) => store.messages(&machine.id, session).await?,
        None => Vec::new(),
    };
    if let Some(id) = &wanted
        && rows.is_empty()
        && !is_known(store, machine, id.as_str()).await?
    {
        return Ok(no_session(COMMAND, id.as_str()));
    }
    let mut messages = entries(rows.into_iter().filter(|row| row.seq <= seq));
    let mut steps = Vec::new();
    if let Some(session) = &session {
        steps = store.steps(&machine.id, session).await?;
        let list = kept(store, machine, SnapshotKind::Sessions).await?;
        steps.extend(list.and_then(|list| moves::step_to_come(&list, session, seq)));
    }
    // What a restore left behind is in the log and no longer in the conversation.
    let branch = visible::branch(&steps, seq);
    let ids: HashSet<&str> = branch.messages.iter().map(|message| message.entry_id).collect();
    messages.retain(|message| ids.contains(message.entry_id.as_str()));
    let data = json!({
        "sessionId": session,
        "messages": messages,
        "restores": branch.restores,
        "seq": seq,
    });
    Ok(response(COMMAND, data))
}

/// Whole messages in order, each once.
fn entries(rows: impl Iterator<Item = NewEvent>) -> Vec<Shown> {
    let mut seen = HashSet::new();
    rows.filter_map(|row| serde_json::from_str::<MessageEnd>(&row.data).ok())
        .filter(|end| seen.insert(end.entry_id.clone()))
        .map(|end| Shown { entry_id: end.entry_id, parent_id: end.parent_id, message: end.message })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_given_out_once_and_byte_for_byte() {
        let row = |seq, entry: &str| NewEvent {
            seq,
            ts: 1,
            session: None,
            kind: "message_end".into(),
            data: format!(
                r#"{{"type":"message_end","messageId":"m","entryId":"{entry}","parentId":null,"message":{{"role":"user","content":"x","n":1.0}}}}"#
            ),
        };
        let mut broken = row(3, "c");
        broken.data = "{}".into();
        let all = entries([row(1, "a"), row(2, "a"), broken, row(4, "b")].into_iter());
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(all.len(), 2);
        assert!(text.contains(r#""message":{"role":"user","content":"x","n":1.0}"#), "{text}");
    }
}
