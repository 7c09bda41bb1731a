//! `POST …/toft/prompt`: a checkpoint is taken first, and told which message it is for by that
//! message's own event. A prompt that is only queued, or refused, needs none.

use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    checkpoints::auto,
    proxy::{self, Target},
    state::App,
};
use axum::{
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use toft_model::id::SessionId;

/// Bodies that are looked into. A longer one carries images; it is taken to be for the current
/// conversation.
const LOOK_BYTES_MAX: u64 = 1 << 20;
/// Answers to prompts are a few hundred bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prompt {
    session_id: Option<SessionId>,
}

#[derive(Deserialize)]
struct Answer {
    data: Sent,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    queued: Option<String>,
}

/// Sends it.
pub(super) async fn send(
    app: &App,
    caller: &Caller,
    target: Target<'_>,
    req: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = req.into_parts();
    let (body, bytes) = look(body, length(&parts.headers), LOOK_BYTES_MAX).await?;
    let session = bytes.and_then(|b| serde_json::from_slice::<Prompt>(&b).ok()?.session_id);
    let machine = target.machine;
    let taken = auto::before_prompt(app, machine, session).await;
    let sent = proxy::forward(app, caller, target, Request::from_parts(parts, body)).await;
    let Some(taken) = taken else { return sent };
    let answer = match sent {
        Ok(answer) => answer,
        Err(error) => {
            auto::not_sent(app, machine, taken);
            return Err(error);
        }
    };
    let is_sent = answer.status() == StatusCode::ACCEPTED;
    let (parts, body) = answer.into_parts();
    let (body, bytes) = look(body, length(&parts.headers), ANSWER_BYTES_MAX).await?;
    let said = bytes.and_then(|b| serde_json::from_slice::<Answer>(&b).ok());
    if !is_sent || said.is_some_and(|said| said.data.queued.is_some()) {
        auto::not_sent(app, machine, taken);
    }
    Ok(Response::from_parts(parts, body))
}

fn length(headers: &axum::http::HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body with its bytes, if it says that it is short.
async fn look(
    body: Body,
    length: Option<u64>,
    max: u64,
) -> Result<(Body, Option<Bytes>), ApiError> {
    if length.is_none_or(|length| length > max) {
        return Ok((body, None));
    }
    let bytes = body.collect().await;
    let bytes = bytes
        .map_err(|e| ApiError::invalid(format!("the body could not be read: {e}")))?
        .to_bytes();
    Ok((Body::from(bytes.clone()), Some(bytes)))
}
