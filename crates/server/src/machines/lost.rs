//! Conversations that a machine no longer knows (somebody removed its session files) and the copy
//! still holds: listed and readable, marked as lost. Nothing is written back into the machine.

use super::{Machine, copy};
use crate::{api_error::ApiError, state::App};
use axum::{
    body::Body,
    http::{StatusCode, header},
    response::Response,
};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use toft_store::Conversation;

/// Lists and refusals that are looked into; a longer list is passed on as it is.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Of the first message, as the bridge's own list has it.
const FIRST_MESSAGE_CHARS_MAX: usize = 200;

/// What the copy holds messages of. To be read before the bridge is asked: what begins in between is
/// then in the bridge's list and not taken for lost.
pub(crate) async fn kept(app: &App, machine: &Machine) -> Vec<Conversation> {
    app.store.conversations(&machine.id).await.unwrap_or_else(|error| {
        tracing::warn!(project.id = %machine.id, %error, "the copy cannot be read");
        Vec::new()
    })
}

/// Adds to the data of `GET sessions` what it does not list. With `lost` the list is a running
/// bridge's, and what it does not know is gone from the machine.
pub(crate) async fn add(
    app: &App,
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
            ends.extend(app.store.events_after(&machine.id, seq - 1, 1, 1).await?);
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

/// A bridge's list with the lost ones added.
pub(crate) async fn listed(
    app: &App,
    machine: &Machine,
    answer: Response,
    kept: Vec<Conversation>,
) -> Result<Response, ApiError> {
    if answer.status() != StatusCode::OK || kept.is_empty() {
        return Ok(answer);
    }
    let (answer, value) = look_into(answer).await?;
    let Some(mut value) = value else { return Ok(answer) };
    add(app, machine, &mut value["data"], kept, true).await?;
    let (mut parts, _) = answer.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(parts, Body::from(value.to_string())))
}

/// Which of the two a lost conversation is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// `GET messages`.
    Messages,
    /// `GET state`.
    State,
}

/// The bridge's answer about a session, or the copy's when the bridge knows no such session.
pub(crate) async fn found(
    app: &App,
    machine: &Machine,
    answer: Response,
    part: Part,
    session: &str,
) -> Result<Response, ApiError> {
    if answer.status() != StatusCode::NOT_FOUND {
        return Ok(answer);
    }
    let (answer, value) = look_into(answer).await?;
    if value.is_none_or(|value| value["code"] != "session_not_found")
        || app.store.messages(&machine.id, session).await?.is_empty()
    {
        return Ok(answer);
    }
    let kept = match part {
        Part::Messages => copy::messages(app, machine, Some(session)).await?,
        Part::State => copy::state(app, machine, Some(session)).await?,
    };
    let (kept, value) = look_into(kept).await?;
    let Some(mut value) = value.filter(|_| kept.status() == StatusCode::OK) else {
        return Ok(answer);
    };
    value["data"]["lost"] = true.into();
    if part == Part::State {
        value["data"]["status"] = "idle".into();
        // The copy is of machines that do not run; this one does.
        value["data"]["appListening"] = Value::Null;
    }
    let (mut parts, _) = kept.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(parts, Body::from(value.to_string())))
}

/// An answer with its JSON, if it is some and not too long.
async fn look_into(answer: Response) -> Result<(Response, Option<Value>), ApiError> {
    let length = answer.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    let length = length.and_then(|text| text.parse::<usize>().ok());
    let (parts, body) = answer.into_parts();
    // Axum's own answers say their length only on the wire; they are whole already.
    let is_whole = http_body::Body::size_hint(&body).exact().is_some();
    if length.is_some_and(|length| length > ANSWER_BYTES_MAX) || (length.is_none() && !is_whole) {
        return Ok((Response::from_parts(parts, body), None));
    }
    let limit = if is_whole { usize::MAX } else { ANSWER_BYTES_MAX };
    let bytes = Limited::new(body, limit).collect().await;
    let bytes = bytes.map_err(|e| ApiError::internal("an answer broke off", &e))?.to_bytes();
    let value = serde_json::from_slice(&bytes).ok();
    Ok((Response::from_parts(parts, Body::from(bytes)), value))
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
