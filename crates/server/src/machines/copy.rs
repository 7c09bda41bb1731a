//! Answers of a bridge from the server's copy, for machines that do not run: conversations, their
//! list, state and inspect rows. Never wakes anything.

use super::{Machine, lost, moved};
use crate::{api_error::ApiError, checkpoints::visible, state::App};
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
use toft_store::{ConversationStep, NewEvent, SnapshotKind};

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

/// Pi's shape of an answer.
pub(super) fn response(command: &str, data: impl Serialize) -> Response {
    Json(json!({"type": "response", "command": command, "success": true, "data": data}))
        .into_response()
}

/// The same for a failure, with the words of a running bridge.
pub(super) fn failure(command: &str, status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({
        "type": "response", "command": command, "success": false, "error": message, "code": code,
    });
    (status, Json(body)).into_response()
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

pub(super) async fn kept(
    app: &App,
    machine: &Machine,
    kind: SnapshotKind,
) -> Result<Option<Value>, ApiError> {
    let json = app.store.snapshot(&machine.id, kind).await?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
}

/// `GET inspect`: bare, as Starter has it.
pub(crate) async fn inspect(app: &App, machine: &Machine) -> Result<Response, ApiError> {
    let rows = kept(app, machine, SnapshotKind::Inspect).await?;
    Ok(match rows {
        Some(rows) => Json(rows).into_response(),
        None => Json(Inspect::default()).into_response(),
    })
}

/// The services among them.
pub(super) async fn service_rows(app: &App, machine: &Machine) -> Result<Vec<Value>, ApiError> {
    let rows = kept(app, machine, SnapshotKind::Inspect).await?;
    let services = rows.and_then(|mut rows| rows.get_mut("services").map(Value::take));
    Ok(match services {
        // What a bridge lists may be anything.
        Some(Value::Array(services)) => services.into_iter().filter(Value::is_object).collect(),
        _ => Vec::new(),
    })
}

/// The list of conversations as it was last, with those that it lacks, and with what is the server's own.
pub(super) async fn list(app: &App, machine: &Machine) -> Result<Value, ApiError> {
    let mut data = kept(app, machine, SnapshotKind::Sessions)
        .await?
        .unwrap_or_else(|| json!({"current": null, "sessions": []}));
    // Events come at once, lists now and then: the last one may lack a session, or messages of one.
    let held = lost::kept(app, machine).await;
    for session in data.get_mut("sessions").and_then(Value::as_array_mut).into_iter().flatten() {
        let said = held.iter().find(|one| session["id"] == one.session.as_str());
        let listed = session["messageCount"].as_u64().unwrap_or(0);
        if let Some(said) = said.filter(|said| said.messages > listed) {
            session["messageCount"] = said.messages.into();
        }
    }
    lost::add(app, machine, &mut data, held, false).await?;
    Ok(data)
}

/// `GET sessions`. Nothing works in a machine that does not run; in a paused one it goes on later.
pub(crate) async fn sessions(app: &App, machine: &Machine) -> Result<Response, ApiError> {
    let mut data = list(app, machine).await?;
    moved::strip(&mut data);
    for session in data.get_mut("sessions").and_then(Value::as_array_mut).into_iter().flatten() {
        settle_status(machine, session);
    }
    Ok(response("list_sessions", data))
}

/// `GET state`, as it was last, at rest. What only a bridge could tell of a session that was not the
/// current one is null.
pub(crate) async fn state(
    app: &App,
    machine: &Machine,
    session: Option<&str>,
) -> Result<Response, ApiError> {
    const COMMAND: &str = "get_state";
    let wanted = match session.map(|text| session_id(COMMAND, text)).transpose() {
        Ok(wanted) => wanted,
        Err(refused) => return Ok(*refused),
    };
    let data = kept(app, machine, SnapshotKind::State).await?;
    let Some(mut data) = data.filter(Value::is_object) else {
        if let Some(id) = &wanted
            && !is_known(app, machine, id.as_str()).await?
        {
            return Ok(no_session(COMMAND, id.as_str()));
        }
        let message = "nothing is known of this project's agent yet: start its machine first";
        return Ok(failure(COMMAND, StatusCode::CONFLICT, "unavailable", message));
    };
    if let Some(id) = wanted.filter(|id| data["sessionId"] != id.as_str()) {
        if !is_known(app, machine, id.as_str()).await? {
            return Ok(no_session(COMMAND, id.as_str()));
        }
        let listed = listed(app, machine, id.as_str()).await?;
        state_of(&mut data, id.as_str(), listed.as_ref());
    }
    settle_status(machine, &mut data);
    for field in ["isStreaming", "isCompacting", "appListening"] {
        // What a paused app listens on still takes connections: they let it go on.
        if field != "appListening" || machine.state() != MachineState::Frozen {
            data[field] = false.into();
        }
    }
    data["seq"] = app.store.head(&machine.id).await?.seq.into();
    Ok(response(COMMAND, data))
}

/// Makes of one conversation's state another one's, as far as a list tells it; the rest only a bridge
/// could tell.
pub(super) fn state_of(data: &mut Value, id: &str, listed: Option<&Value>) {
    data["sessionId"] = id.into();
    for (field, source) in [
        ("sessionName", "name"),
        ("sessionFile", "file"),
        ("status", "status"),
        ("messageCount", "messageCount"),
    ] {
        data[field] = listed.and_then(|listed| listed.get(source)).cloned().unwrap_or_default();
    }
    for field in ["model", "thinkingLevel", "contextTokens", "contextWindow", "usage"] {
        data[field] = Value::Null;
    }
    nothing_waits(data);
}

/// Takes off a state what waits in it.
pub(super) fn nothing_waits(data: &mut Value) {
    data["question"] = Value::Null;
    data["pendingMessageCount"] = 0.into();
    data["steering"] = json!([]);
    data["followUp"] = json!([]);
}

/// A session in a list.
pub(super) fn listed_in<'a>(list: &'a Value, id: &str) -> Option<&'a Value> {
    list.get("sessions")?.as_array()?.iter().find(|one| one["id"] == id)
}

/// Rows of the inspect database as an event tells them, to be kept.
pub(super) fn rows_of(data: &str) -> Option<String> {
    let rows: Inspect = serde_json::from_str(data).ok()?;
    Some(serde_json::to_string(&rows).expect("rows are JSON-able"))
}

/// How many messages a conversation shows after its steps and one to come.
pub(super) fn branch_of(
    mut steps: Vec<ConversationStep>,
    to_come: Option<ConversationStep>,
    seq: u64,
) -> usize {
    steps.extend(to_come);
    visible::branch(&steps, seq).messages.len()
}

/// A session as the bridge listed it last.
async fn listed(app: &App, machine: &Machine, id: &str) -> Result<Option<Value>, ApiError> {
    let list = kept(app, machine, SnapshotKind::Sessions).await?;
    Ok(list.as_ref().and_then(|list| listed_in(list, id)).cloned())
}

/// Whether there is such a session: it was listed, is the current one, or something was said in it.
async fn is_known(app: &App, machine: &Machine, id: &str) -> Result<bool, ApiError> {
    Ok(listed(app, machine, id).await?.is_some()
        || current_session(app, machine).await?.is_some_and(|current| current == id)
        || !app.store.messages(&machine.id, id).await?.is_empty())
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
    app: &App,
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
        None => current_session(app, machine).await?,
    };
    // Read first: what is added meanwhile is then followed, not lost.
    let seq = app.store.head(&machine.id).await?.seq;
    let rows = match &session {
        Some(session) => app.store.messages(&machine.id, session).await?,
        None => Vec::new(),
    };
    if let Some(id) = &wanted
        && rows.is_empty()
        && !is_known(app, machine, id.as_str()).await?
    {
        return Ok(no_session(COMMAND, id.as_str()));
    }
    let mut messages = entries(rows.into_iter().filter(|row| row.seq <= seq));
    let mut steps = Vec::new();
    if let Some(session) = &session {
        steps = app.store.steps(&machine.id, session).await?;
        let list = kept(app, machine, SnapshotKind::Sessions).await?;
        steps.extend(list.and_then(|list| moved::step_to_come(&list, session, seq)));
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

/// The current conversation: by what was told since the bridge was asked last, or by what it said then. A
/// restore brings back which one it was without telling, and one that is made beside it does not become
/// it.
pub(super) async fn current_session(
    app: &App,
    machine: &Machine,
) -> Result<Option<String>, ApiError> {
    let state = kept(app, machine, SnapshotKind::State).await?.unwrap_or_default();
    let asked_at = state["seq"].as_u64();
    let told = app.store.last_mark(&machine.id, &["session_switched"]).await?;
    if let Some(told) = &told
        && asked_at.is_none_or(|asked_at| told.seq > asked_at)
    {
        return Ok(told.session.clone());
    }
    let list = kept(app, machine, SnapshotKind::Sessions).await?.unwrap_or_default();
    let known = state["sessionId"].as_str().or_else(|| list["current"].as_str());
    if let Some(known) = known {
        return Ok(Some(known.to_owned()));
    }
    let any = ["session_created", "agent_start", "agent_end"];
    Ok(app.store.last_mark(&machine.id, &any).await?.and_then(|mark| mark.session))
}

/// What was noticed about the copy itself, for `doctor`-like pages.
pub(crate) fn tamper_reason(machine: &Machine) -> Option<String> {
    machine.view().tampered.map(|seq| {
        format!(
            "the event log inside the machine was changed (event {seq}): the conversation shown is \
             the server's own copy"
        )
    })
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
