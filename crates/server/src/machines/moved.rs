//! What the copy shows of a project whose disk was exchanged or just grown, until its bridge says so: the
//! moves that the bridge will make, made on the copy. Reads the copy alone and wakes nothing.

use super::{Machine, copy};
use crate::{api_error::ApiError, state::App};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use toft_model::checkpoint::{Checkpoint, CheckpointId, Place};
use toft_store::{ConversationStep, SnapshotKind};

/// Where the moves lie within the kept list of conversations; the bridge's next list takes its place.
const MOVES: &str = "moves";

/// Moves that a restore made of conversations, and no bridge has told yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Moves {
    /// The last event before: with any later one they are told.
    seq: u64,
    checkpoint_id: CheckpointId,
    label: Option<String>,
    taken_at: u64,
    at: u64,
    places: Vec<Place>,
}

/// Takes the moves out of a kept list.
pub(super) fn strip(list: &mut Value) {
    if let Some(list) = list.as_object_mut() {
        list.remove(MOVES);
    }
}

/// The step that a conversation has yet to make after event `seq`, the last one.
pub(super) fn step_to_come(list: &Value, session: &str, seq: u64) -> Option<ConversationStep> {
    let moves = Moves::deserialize(list.get(MOVES)?).ok()?;
    let place = moves.places.into_iter().find(|place| place.session_id.as_str() == session)?;
    (moves.seq == seq).then(|| ConversationStep::Moved {
        seq,
        to: place.leaf_entry_id,
        checkpoint_id: moves.checkpoint_id.to_string(),
        label: moves.label,
        taken_at: moves.taken_at,
        at: moves.at,
    })
}

/// The current conversation of a moment.
async fn current(
    app: &App,
    machine: &Machine,
    then: &Checkpoint,
) -> Result<Option<String>, ApiError> {
    let told = app.store.last_of(&machine.id, &["session_switched"], then.seq).await?;
    match told.and_then(|event| event.session) {
        Some(session) => Ok(Some(session)),
        None => copy::current_session(app, machine).await,
    }
}

/// Rows of the inspect database at a moment, if they were told by then.
async fn inspect(app: &App, machine: &Machine, seq: u64) -> Result<Option<String>, ApiError> {
    let told = app.store.last_of(&machine.id, &["inspect"], seq).await?;
    Ok(told.and_then(|event| copy::rows_of(&event.data)))
}

/// Keeps what a stopped project shows after it went back to `was`. `before`: how it was; `place`: where
/// one conversation stands, if not where `was` has it.
pub(crate) async fn went_back(
    app: &App,
    machine: &Machine,
    was: &Checkpoint,
    before: &Checkpoint,
    place: Option<&Place>,
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
    let mut list = copy::list(app, machine).await?;
    let current = current(app, machine, was).await?;
    list["current"] = json!(current);
    list[MOVES] = serde_json::to_value(&moves).expect("places are plain data");
    if let Some(mut state) = copy::kept(app, machine, SnapshotKind::State).await? {
        if let Some(current) = &current {
            copy::state_of(&mut state, current, copy::listed_in(&list, current));
            let steps = app.store.steps(&machine.id, current).await?;
            let shown =
                copy::branch_of(steps, step_to_come(&list, current, before.seq), before.seq);
            state["messageCount"] = shown.into();
        }
        state["seq"] = before.seq.into();
        keep(app, machine, SnapshotKind::State, &state.to_string()).await?;
    }
    if let Some(rows) = inspect(app, machine, was.seq).await? {
        keep(app, machine, SnapshotKind::Inspect, &rows).await?;
    }
    // Last: with it the others count.
    keep(app, machine, SnapshotKind::Sessions, &list.to_string()).await
}

async fn keep(
    app: &App,
    machine: &Machine,
    kind: SnapshotKind,
    json: &str,
) -> Result<(), ApiError> {
    Ok(app.store.put_snapshot(&machine.id, kind, json, app.clock.now_ms()).await?)
}

/// What forks of a project show until their own bridges say more: as it is now, or as it was at a
/// checkpoint, with what was told up to `seq`.
pub(crate) async fn forked(
    app: &App,
    origin: &Machine,
    seq: u64,
    checkpoint: Option<&Checkpoint>,
) -> Result<Vec<(SnapshotKind, String)>, ApiError> {
    let mut list = copy::list(app, origin).await?;
    let current = match checkpoint {
        Some(checkpoint) => {
            cut(app, origin, &mut list, seq, checkpoint).await?;
            current(app, origin, checkpoint).await?
        }
        None => copy::current_session(app, origin).await?,
    };
    let current = current.filter(|id| copy::listed_in(&list, id).is_some());
    list["current"] = json!(current);
    strip(&mut list);
    // What a bridge lists may be anything.
    let sessions = list["sessions"].as_array_mut().into_iter().flatten();
    for session in sessions.filter_map(Value::as_object_mut) {
        session.insert("status".to_owned(), "idle".into());
        session.remove("lost");
    }
    let mut out = Vec::with_capacity(3);
    if let Some(current) = &current
        && let Some(mut state) = copy::kept(app, origin, SnapshotKind::State).await?
        && state.is_object()
    {
        let listed = copy::listed_in(&list, current);
        // What the bridge told of its own branch is of now.
        let is_told = checkpoint.is_none() && state["sessionId"] == current.as_str();
        if !is_told {
            copy::state_of(&mut state, current, listed);
        }
        let shown = copy::branch_of(app.store.steps(&origin.id, current).await?, None, seq);
        // A list comes now and then, and counts what the events do not: summaries.
        let told = state["messageCount"].as_u64().filter(|_| is_told).unwrap_or(0);
        state["messageCount"] = told.max(u64::try_from(shown).unwrap_or(0)).into();
        copy::nothing_waits(&mut state);
        state["status"] = "idle".into();
        state["seq"] = 0.into();
        out.push((SnapshotKind::State, state.to_string()));
    }
    let rows = match checkpoint {
        Some(_) => inspect(app, origin, seq).await?,
        None => None,
    };
    let rows = match rows {
        Some(rows) => Some(rows),
        None => app.store.snapshot(&origin.id, SnapshotKind::Inspect).await?,
    };
    out.extend(rows.map(|rows| (SnapshotKind::Inspect, rows)));
    out.push((SnapshotKind::Sessions, list.to_string()));
    Ok(out)
}

/// Takes off a list what came after a checkpoint.
async fn cut(
    app: &App,
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
        let steps = app.store.steps(&origin.id, id).await?;
        let said = |step: &&ConversationStep| matches!(step, ConversationStep::Said { seq: at, .. } if *at <= seq);
        session["messageCount"] = steps.iter().filter(said).count().into();
        session["updatedAt"] = checkpoint.created_at.into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_to_come_until_anything_is_told_after_it() {
        let place = |session: &str, leaf: Option<&str>| Place {
            session_id: session.parse().unwrap(),
            leaf_entry_id: leaf.map(str::to_owned),
        };
        let moves = Moves {
            seq: 7,
            checkpoint_id: "a23456789bcd".parse().unwrap(),
            label: None,
            taken_at: 5,
            at: 9,
            places: vec![place("s1", Some("e2")), place("s2", None)],
        };
        let mut list = json!({"current": "s1", "sessions": []});
        list[MOVES] = serde_json::to_value(&moves).unwrap();
        let to = |list: &Value, session: &str, seq| match step_to_come(list, session, seq) {
            Some(ConversationStep::Moved { to, .. }) => Some(to),
            _ => None,
        };
        assert_eq!(to(&list, "s1", 7), Some(Some("e2".to_owned())));
        assert_eq!(to(&list, "s2", 7), Some(None));
        assert_eq!((to(&list, "s3", 7), to(&list, "s1", 8)), (None, None));
        strip(&mut list);
        assert_eq!((to(&list, "s1", 7), list), (None, json!({"current": "s1", "sessions": []})));
    }
}
