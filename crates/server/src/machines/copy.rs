//! What the server's copy holds of a project beside its events: its conversations' list and state, and its
//! inspect rows, as they were told last. How they are shown is in `answers`.
//!
//! All of it is handed the store alone, beside what is known of the machine: reading the copy can wake
//! nothing.

pub(super) mod answers;
pub(super) mod lost;
pub(crate) mod moved;
mod moves;
pub(crate) mod visible;
pub(super) mod with_lost;

use super::Machine;
use crate::api_error::ApiError;
use serde_json::{Value, json};
use toft_model::inspect::Inspect;
use toft_store::{SnapshotKind, Store};

/// What was told last, if anything was.
pub(super) async fn kept(
    store: &dyn Store,
    machine: &Machine,
    kind: SnapshotKind,
) -> Result<Option<Value>, ApiError> {
    let json = store.snapshot(&machine.id, kind).await?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
}

/// The services among the inspect rows.
pub(super) async fn service_rows(
    store: &dyn Store,
    machine: &Machine,
) -> Result<Vec<Value>, ApiError> {
    let rows = kept(store, machine, SnapshotKind::Inspect).await?;
    let services = rows.and_then(|mut rows| rows.get_mut("services").map(Value::take));
    Ok(match services {
        // What a bridge lists may be anything.
        Some(Value::Array(services)) => services.into_iter().filter(Value::is_object).collect(),
        _ => Vec::new(),
    })
}

/// The list of conversations as it was last, with those that it lacks, and with what is the server's own.
pub(super) async fn list(store: &dyn Store, machine: &Machine) -> Result<Value, ApiError> {
    let mut data = kept(store, machine, SnapshotKind::Sessions)
        .await?
        .unwrap_or_else(|| json!({"current": null, "sessions": []}));
    // Events come at once, lists now and then: the last one may lack a session, or messages of one.
    let held = lost::kept(store, machine).await;
    for session in data.get_mut("sessions").and_then(Value::as_array_mut).into_iter().flatten() {
        let said = held.iter().find(|one| session["id"] == one.session.as_str());
        let listed = session["messageCount"].as_u64().unwrap_or(0);
        if let Some(said) = said.filter(|said| said.messages > listed) {
            session["messageCount"] = said.messages.into();
        }
    }
    lost::add(store, machine, &mut data, held, false).await?;
    Ok(data)
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

/// The current conversation: by what was told since the bridge was asked last, or by what it said then. A
/// restore brings back which one it was without telling, and one that is made beside it does not become
/// it.
pub(super) async fn current_session(
    store: &dyn Store,
    machine: &Machine,
) -> Result<Option<String>, ApiError> {
    let state = kept(store, machine, SnapshotKind::State).await?.unwrap_or_default();
    let asked_at = state["seq"].as_u64();
    let told = store.last_mark(&machine.id, &["session_switched"]).await?;
    if let Some(told) = &told
        && asked_at.is_none_or(|asked_at| told.seq > asked_at)
    {
        return Ok(told.session.clone());
    }
    let list = kept(store, machine, SnapshotKind::Sessions).await?.unwrap_or_default();
    let known = state["sessionId"].as_str().or_else(|| list["current"].as_str());
    if let Some(known) = known {
        return Ok(Some(known.to_owned()));
    }
    let any = ["session_created", "agent_start", "agent_end"];
    Ok(store.last_mark(&machine.id, &any).await?.and_then(|mark| mark.session))
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
