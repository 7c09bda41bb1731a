//! Moves that conversations have yet to make, kept within their list: a restore decided them, and no
//! bridge has made them so far.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use toft_model::checkpoint::{CheckpointId, Place};
use toft_store::ConversationStep;

/// Where the moves lie within the kept list of conversations; the bridge's next list takes its place.
const MOVES: &str = "moves";

/// Moves that a restore made of conversations, and no bridge has told yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Moves {
    /// The last event before: with any later one they are told.
    pub(super) seq: u64,
    pub(super) checkpoint_id: CheckpointId,
    pub(super) label: Option<String>,
    pub(super) taken_at: u64,
    pub(super) at: u64,
    pub(super) places: Vec<Place>,
}

/// Puts moves into a list that is to be kept.
pub(super) fn put(list: &mut Value, moves: &Moves) {
    list[MOVES] = serde_json::to_value(moves).expect("places are plain data");
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
        checkpoint_id: Some(moves.checkpoint_id.to_string()),
        label: moves.label,
        taken_at: Some(moves.taken_at),
        at: moves.at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        put(&mut list, &moves);
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
