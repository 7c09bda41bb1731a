//! Conversations that a machine no longer knows (somebody removed its session files) and the copy
//! still holds: told among the others, marked as lost. Nothing is written back into the machine.

use crate::{api_error::ApiError, machines::Machine};
use serde_json::{Value, json};
use toft_store::{Conversation, Store};

/// Of the first message, as the bridge's own list has it.
const FIRST_MESSAGE_CHARS_MAX: usize = 200;

/// What the copy holds messages of. To be read before the bridge is asked: what begins in between is
/// then in the bridge's list and not taken for lost.
pub(crate) async fn kept(store: &dyn Store, machine: &Machine) -> Vec<Conversation> {
    store.conversations(&machine.id).await.unwrap_or_else(|error| {
        tracing::warn!(project.id = %machine.id, %error, "the copy cannot be read");
        Vec::new()
    })
}

/// Adds to the data of `GET sessions` what it does not list. With `lost` the list is a running
/// bridge's, and what it does not know is gone from the machine.
pub(crate) async fn add(
    store: &dyn Store,
    machine: &Machine,
    data: &mut Value,
    kept: Vec<Conversation>,
    lost: bool,
) -> Result<(), ApiError> {
    let Some(sessions) = data.get_mut("sessions").and_then(Value::as_array_mut) else {
        return Ok(());
    };
    for one in kept {
        if sessions.iter().any(|listed| listed["id"] == one.session.as_str()) {
            continue;
        }
        let mut ends = Vec::new();
        for seq in [one.first_seq, one.last_seq] {
            ends.extend(store.events_after(&machine.id, seq - 1, 1, 1).await?);
        }
        let [first, last] = ends.as_slice() else { continue };
        let mut shown = json!({
            "id": one.session,
            "name": null,
            "firstMessage": text_of(&first.data),
            "messageCount": one.messages,
            "createdAt": time_of(&first.data).unwrap_or(first.ts),
            "updatedAt": time_of(&last.data).unwrap_or(last.ts),
            "status": "idle",
            "file": null,
        });
        if lost {
            shown["lost"] = true.into();
        }
        sessions.push(shown);
    }
    Ok(())
}

fn time_of(data: &str) -> Option<u64> {
    serde_json::from_str::<Value>(data).ok()?.get("ts")?.as_u64()
}

/// The beginning of what a `message_end` says.
fn text_of(data: &str) -> Option<String> {
    let data: Value = serde_json::from_str(data).ok()?;
    let content = &data["message"]["content"];
    let mut parts = content.as_array().into_iter().flatten();
    let text = content.as_str().or_else(|| parts.find_map(|part| part["text"].as_str()))?;
    Some(text.chars().take(FIRST_MESSAGE_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_is_the_first_text_of_the_message_however_it_is_written() {
        let of = |content: Value| text_of(&json!({"message": {"content": content}}).to_string());
        assert_eq!(of(json!("hello")).as_deref(), Some("hello"));
        let parts = json!([{"type": "image", "data": "x"}, {"type": "text", "text": "look"}]);
        assert_eq!(of(parts).as_deref(), Some("look"));
        assert_eq!(of(json!("x".repeat(999))).unwrap().len(), FIRST_MESSAGE_CHARS_MAX);
        assert_eq!((of(json!(null)), text_of("no json")), (None, None));
    }
}
