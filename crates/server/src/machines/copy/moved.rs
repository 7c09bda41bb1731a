//! What the copy shows of a project whose disk was exchanged or just grown, until its bridge says so: the
//! moves that the bridge will make, made on the copy. Reads the copy alone and wakes nothing.

use super::{
    moves::{self, Moves},
    visible,
};
use crate::{
    api_error::ApiError,
    machines::{Machine, copy},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use toft_model::checkpoint::{Checkpoint, Place};
use toft_store::{ConversationStep, SnapshotKind, Store};

/// How many messages a conversation shows after its steps and one to come.
fn shown_after(
    mut steps: Vec<ConversationStep>,
    to_come: Option<ConversationStep>,
    seq: u64,
) -> usize {
    steps.extend(to_come);
    visible::branch(&steps, seq).messages.len()
}

/// The current conversation of a moment.
async fn current(
    store: &dyn Store,
    machine: &Machine,
    then: &Checkpoint,
) -> Result<Option<String>, ApiError> {
    let told = store.last_of(&machine.id, &["session_switched"], then.seq).await?;
    match told.and_then(|event| event.session) {
        Some(session) => Ok(Some(session)),
        None => copy::current_session(store, machine).await,
    }
}

/// Rows of the inspect database at a moment, if they were told by then.
async fn inspect(
    store: &dyn Store,
    machine: &Machine,
    seq: u64,
) -> Result<Option<String>, ApiError> {
    let told = store.last_of(&machine.id, &["inspect"], seq).await?;
    Ok(told.and_then(|event| copy::rows_of(&event.data)))
}

/// Keeps what a stopped project shows after it went back to `was`. `before`: how it was; `place`: where
/// one conversation stands, if not where `was` has it.
pub(crate) async fn went_back(
    store: &dyn Store,
    machine: &Machine,
    was: &Checkpoint,
    before: &Checkpoint,
    place: Option<&Place>,
    now_ms: u64,
) -> Result<(), ApiError> {
    let mut places: BTreeMap<&str, &Place> = BTreeMap::new();
    let none: Vec<Place> = before
        .sessions
        .iter()
        .map(|place| Place { session_id: place.session_id.clone(), leaf_entry_id: None })
        .collect();
    // One that began after the checkpoint stands before its first message.
    for place in none.iter().chain(&was.sessions).chain(place) {
        places.insert(place.session_id.as_str(), place);
    }
    let moved = |place: &&&Place| !before.sessions.contains(place);
    let moves = Moves {
        seq: before.seq,
        checkpoint_id: was.id.clone(),
        label: was.label.clone(),
        taken_at: was.created_at,
        at: before.created_at,
        places: places.values().filter(moved).map(|place| (*place).clone()).collect(),
    };
    let mut list = copy::list(store, machine).await?;
    let current = current(store, machine, was).await?;
    list["current"] = json!(current);
    moves::put(&mut list, &moves);
    if let Some(mut state) = copy::kept(store, machine, SnapshotKind::State).await? {
        if let Some(current) = &current {
            copy::state_of(&mut state, current, copy::listed_in(&list, current));
            let steps = store.steps(&machine.id, current).await?;
            let shown =
                shown_after(steps, moves::step_to_come(&list, current, before.seq), before.seq);
            state["messageCount"] = shown.into();
        }
        state["seq"] = before.seq.into();
        keep(store, machine, SnapshotKind::State, &state.to_string(), now_ms).await?;
    }
    if let Some(rows) = inspect(store, machine, was.seq).await? {
        keep(store, machine, SnapshotKind::Inspect, &rows, now_ms).await?;
    }
    // Last: with it the others count.
    keep(store, machine, SnapshotKind::Sessions, &list.to_string(), now_ms).await
}

async fn keep(
    store: &dyn Store,
    machine: &Machine,
    kind: SnapshotKind,
    json: &str,
    now_ms: u64,
) -> Result<(), ApiError> {
    Ok(store.put_snapshot(&machine.id, kind, json, now_ms).await?)
}

/// What forks of a project show until their own bridges say more: as it is now, or as it was at a
/// checkpoint, with what was told up to `seq`.
pub(crate) async fn forked(
    store: &dyn Store,
    origin: &Machine,
    seq: u64,
    checkpoint: Option<&Checkpoint>,
) -> Result<Vec<(SnapshotKind, String)>, ApiError> {
    let mut list = copy::list(store, origin).await?;
    let current = match checkpoint {
        Some(checkpoint) => {
            cut(store, origin, &mut list, seq, checkpoint).await?;
            current(store, origin, checkpoint).await?
        }
        None => copy::current_session(store, origin).await?,
    };
    let current = current.filter(|id| copy::listed_in(&list, id).is_some());
    list["current"] = json!(current);
    moves::strip(&mut list);
    // What a bridge lists may be anything.
    let sessions = list["sessions"].as_array_mut().into_iter().flatten();
    for session in sessions.filter_map(Value::as_object_mut) {
        session.insert("status".to_owned(), "idle".into());
        session.remove("lost");
    }
    let mut out = Vec::with_capacity(3);
    if let Some(current) = &current
        && let Some(mut state) = copy::kept(store, origin, SnapshotKind::State).await?
        && state.is_object()
    {
        let listed = copy::listed_in(&list, current);
        // What the bridge told of its own branch is of now.
        let is_told = checkpoint.is_none() && state["sessionId"] == current.as_str();
        if !is_told {
            copy::state_of(&mut state, current, listed);
        }
        let shown = shown_after(store.steps(&origin.id, current).await?, None, seq);
        // A list comes now and then, and counts what the events do not: summaries.
        let told = state["messageCount"].as_u64().filter(|_| is_told).unwrap_or(0);
        state["messageCount"] = told.max(u64::try_from(shown).unwrap_or(0)).into();
        copy::nothing_waits(&mut state);
        state["status"] = "idle".into();
        state["seq"] = 0.into();
        out.push((SnapshotKind::State, state.to_string()));
    }
    let rows = match checkpoint {
        Some(_) => inspect(store, origin, seq).await?,
        None => None,
    };
    let rows = match rows {
        Some(rows) => Some(rows),
        None => store.snapshot(&origin.id, SnapshotKind::Inspect).await?,
    };
    out.extend(rows.map(|rows| (SnapshotKind::Inspect, rows)));
    out.push((SnapshotKind::Sessions, list.to_string()));
    Ok(out)
}

/// Takes off a list what came after a checkpoint.
async fn cut(
    store: &dyn Store,
    origin: &Machine,
    list: &mut Value,
    seq: u64,
    checkpoint: &Checkpoint,
) -> Result<(), ApiError> {
    let Some(sessions) = list["sessions"].as_array_mut() else { return Ok(()) };
    let was_there = |session: &Value| {
        checkpoint.sessions.iter().any(|place| session["id"] == place.session_id.as_str())
            || session["createdAt"].as_u64().is_some_and(|at| at <= checkpoint.created_at)
    };
    sessions.retain(was_there);
    for session in sessions {
        let changed = session["updatedAt"].as_u64().is_none_or(|at| at > checkpoint.created_at);
        let Some(id) = session["id"].as_str().filter(|_| changed) else { continue };
        let steps = store.steps(&origin.id, id).await?;
        let said = |step: &&ConversationStep| matches!(step, ConversationStep::Said { seq: at, .. } if *at <= seq);
        session["messageCount"] = steps.iter().filter(said).count().into();
        session["updatedAt"] = checkpoint.created_at.into();
    }
    Ok(())
}
