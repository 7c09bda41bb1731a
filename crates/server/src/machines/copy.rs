//! Answers of a bridge from the server's copy, for machines that do not run: conversations, their
//! list, state and inspect rows. Never wakes anything.

use super::Machine;
use crate::{api_error::ApiError, state::App};
use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use std::collections::HashSet;
use toft_model::{id::SessionId, inspect::Inspect};
use toft_store::{NewEvent, SnapshotKind};

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
fn response(command: &str, data: impl Serialize) -> Response {
    Json(json!({"type": "response", "command": command, "success": true, "data": data}))
        .into_response()
}

async fn kept(app: &App, machine: &Machine, kind: SnapshotKind) -> Result<Option<Value>, ApiError> {
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

/// `GET sessions`. Nothing works in a machine that does not run.
pub(crate) async fn sessions(app: &App, machine: &Machine) -> Result<Response, ApiError> {
    let mut data = kept(app, machine, SnapshotKind::Sessions)
        .await?
        .unwrap_or_else(|| json!({"current": null, "sessions": []}));
    for session in data.get_mut("sessions").and_then(Value::as_array_mut).into_iter().flatten() {
        settle_status(session);
    }
    Ok(response("list_sessions", data))
}

/// `GET state`, as it was last, at rest.
pub(crate) async fn state(app: &App, machine: &Machine) -> Result<Response, ApiError> {
    let Some(mut data) = kept(app, machine, SnapshotKind::State).await? else {
        return Err(ApiError::new(
            crate::api_error::Code::Unavailable,
            "nothing is known of this project's agent yet: start its machine first",
        ));
    };
    settle_status(&mut data);
    if let Some(fields) = data.as_object_mut() {
        fields.insert("isStreaming".into(), false.into());
        fields.insert("isCompacting".into(), false.into());
        fields.insert("appListening".into(), false.into());
        fields.insert("seq".into(), app.store.head(&machine.id).await?.seq.into());
    }
    Ok(response("get_state", data))
}

fn settle_status(value: &mut Value) {
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
    let session = match session {
        Some(id) => Some(
            id.parse::<SessionId>()
                .map_err(|e| ApiError::invalid(e.to_string()))?
                .as_str()
                .to_owned(),
        ),
        None => current_session(app, machine).await?,
    };
    // Read first: what is added meanwhile is then followed, not lost.
    let seq = app.store.head(&machine.id).await?.seq;
    let rows = match &session {
        Some(session) => app.store.messages(&machine.id, session).await?,
        None => Vec::new(),
    };
    let messages = entries(rows.into_iter().filter(|row| row.seq <= seq));
    Ok(response("get_messages", json!({"sessionId": session, "messages": messages, "seq": seq})))
}

/// Whole messages in order, each once.
fn entries(rows: impl Iterator<Item = NewEvent>) -> Vec<Shown> {
    let mut seen = HashSet::new();
    rows.filter_map(|row| serde_json::from_str::<MessageEnd>(&row.data).ok())
        .filter(|end| seen.insert(end.entry_id.clone()))
        .map(|end| Shown { entry_id: end.entry_id, parent_id: end.parent_id, message: end.message })
        .collect()
}

async fn current_session(app: &App, machine: &Machine) -> Result<Option<String>, ApiError> {
    let kinds = ["session_created", "session_switched"];
    if let Some(mark) = app.store.last_mark(&machine.id, &kinds).await? {
        return Ok(mark.session);
    }
    let known = kept(app, machine, SnapshotKind::Sessions).await?;
    let current = known.and_then(|s| s.get("current")?.as_str().map(str::to_owned));
    if current.is_some() {
        return Ok(current);
    }
    let any = ["agent_start", "agent_end"];
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
