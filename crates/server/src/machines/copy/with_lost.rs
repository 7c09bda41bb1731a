//! A running bridge's answers about conversations, with those that are lost to it: listed, and read from the
//! copy.

use super::{answers, lost};
use crate::{api_error::ApiError, machines::Machine};
use axum::{
    body::Body,
    http::{StatusCode, header},
    response::Response,
};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use toft_store::{Conversation, Store};

/// Lists and refusals that are looked into; a longer list is passed on as it is.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A bridge's list with the lost ones added.
pub(crate) async fn listed(
    store: &dyn Store,
    machine: &Machine,
    answer: Response,
    kept: Vec<Conversation>,
) -> Result<Response, ApiError> {
    if answer.status() != StatusCode::OK || kept.is_empty() {
        return Ok(answer);
    }
    let (answer, value) = look_into(answer).await?;
    let Some(mut value) = value else { return Ok(answer) };
    lost::add(store, machine, &mut value["data"], kept, true).await?;
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
    store: &dyn Store,
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
        || store.messages(&machine.id, session).await?.is_empty()
    {
        return Ok(answer);
    }
    let kept = match part {
        Part::Messages => answers::messages(store, machine, Some(session)).await?,
        Part::State => answers::state(store, machine, Some(session)).await?,
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
