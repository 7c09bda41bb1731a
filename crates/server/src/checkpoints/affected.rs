//! Which conversations a restore would move: known from the server's copy, without waking anything.

use crate::{
    api_error::ApiError,
    machines::{Machine, copy::visible},
    state::App,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;
use toft_model::{
    checkpoint::{Checkpoint, Place},
    id::SessionId,
};
use toft_store::SnapshotKind;

/// Longest name that is made up from a first message.
const NAME_CHARS_MAX: usize = 80;

/// A conversation whose place differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AffectedSession")]
pub(crate) struct Affected {
    pub(crate) session_id: SessionId,
    /// Its name, or how it begins.
    pub(crate) name: String,
    /// Messages that were not there at the checkpoint.
    pub(crate) messages_after: usize,
}

/// Those whose place at the moment of `until` (number of an event, and places) is not that of `at`.
/// In the order of their ids.
pub(crate) async fn between(
    app: &App,
    machine: &Machine,
    at: &Checkpoint,
    until: (u64, Vec<Place>),
) -> Result<Vec<Affected>, ApiError> {
    let (seq, now) = until;
    let mut moved: Vec<&SessionId> = Vec::new();
    for place in now.iter().chain(&at.sessions) {
        let leaf = |places: &[Place]| {
            places.iter().find(|p| p.session_id == place.session_id)?.leaf_entry_id.clone()
        };
        if leaf(&now) != leaf(&at.sessions) && !moved.contains(&&place.session_id) {
            moved.push(&place.session_id);
        }
    }
    let mut out = Vec::new();
    let mut list: Option<Value> = None;
    for session in moved {
        let steps = app.store.steps(&machine.id, session.as_str()).await?;
        let then = visible::branch(&steps, at.seq).messages;
        let now = visible::branch(&steps, seq).messages;
        if then == now {
            // They stand at another entry, between the same messages.
            continue;
        }
        let known: HashSet<&str> = then.iter().map(|m| m.entry_id).collect();
        if list.is_none() {
            let json = app.store.snapshot(&machine.id, SnapshotKind::Sessions).await?;
            list = Some(json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default());
        }
        out.push(Affected {
            session_id: session.clone(),
            name: name_of(list.as_ref().unwrap_or(&Value::Null), session),
            messages_after: now.iter().filter(|m| !known.contains(m.entry_id)).count(),
        });
    }
    out.sort_by(|a, b| a.session_id.as_str().cmp(b.session_id.as_str()));
    Ok(out)
}

fn name_of(list: &Value, session: &SessionId) -> String {
    let listed = list["sessions"].as_array().into_iter().flatten();
    let found = listed.into_iter().find(|one| one["id"] == session.as_str());
    let text = |field: &str| found?.get(field)?.as_str().filter(|text| !text.trim().is_empty());
    let name = text("name").or_else(|| text("firstMessage")).unwrap_or("a conversation");
    name.chars().take(NAME_CHARS_MAX).collect()
}
