//! Routes that begin, steer, stop and answer work.

use super::reply::{Failure, answer, body, session_id};
use crate::runtime::AgentRuntime;
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use toft_agent::{Command, Refused, session::QueuedAs};
use toft_model::message::{Block, UserContent};

/// Images of one prompt at most.
const IMAGES_MAX: usize = 10;

/// Bytes of one image at most (Anthropic's limit, the lowest of the large providers).
const IMAGE_BYTES_MAX: usize = 5 << 20;

/// What all large providers take.
const IMAGE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// Times a command is sent again when its session was just closed for idleness.
const CLOSED_RETRIES: usize = 3;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prompt {
    message: Option<String>,
    #[serde(default)]
    images: Vec<Image>,
    streaming_behavior: Option<String>,
    session_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    data: String,
    mime_type: String,
}

pub(super) async fn prompt(State(runtime): State<Arc<AgentRuntime>>, request: Request) -> Response {
    let result = async {
        let prompt: Prompt = body(request).await?;
        let waiting = match prompt.streaming_behavior.as_deref() {
            None | Some("followUp") => QueuedAs::FollowUp,
            Some("steer") => QueuedAs::Steer,
            Some(other) => {
                return Err(Failure::invalid(format!(
                    "streamingBehavior {other:?} is not known: send \"steer\", \"followUp\" or nothing."
                )));
            }
        };
        send(&runtime, prompt, waiting).await
    };
    answer("prompt", StatusCode::ACCEPTED, result.await)
}

pub(super) async fn steer(State(runtime): State<Arc<AgentRuntime>>, request: Request) -> Response {
    let result = async { send(&runtime, body(request).await?, QueuedAs::Steer).await };
    answer("steer", StatusCode::OK, result.await)
}

pub(super) async fn follow_up(
    State(runtime): State<Arc<AgentRuntime>>,
    request: Request,
) -> Response {
    let result = async { send(&runtime, body(request).await?, QueuedAs::FollowUp).await };
    answer("follow_up", StatusCode::OK, result.await)
}

async fn send(runtime: &AgentRuntime, prompt: Prompt, waiting: QueuedAs) -> Result<Value, Failure> {
    let session = session_id(prompt.session_id.as_deref())?;
    let content = content(prompt)?;
    let mut tries = 0;
    loop {
        let handle = runtime.session(session.as_ref()).await?;
        let content = content.clone();
        let sent = handle.ask(|reply| Command::Prompt { content, waiting, reply }).await;
        match sent {
            Err(Refused::Closed) if tries < CLOSED_RETRIES => tries += 1,
            other => {
                let prompted = other?;
                return Ok(json!({
                    "sessionId": handle.conversation().id(),
                    "entryId": prompted.entry_id,
                    "queued": prompted.queued,
                }));
            }
        }
    }
}

fn content(prompt: Prompt) -> Result<UserContent, Failure> {
    let text = prompt.message.unwrap_or_default();
    if text.trim().is_empty() && prompt.images.is_empty() {
        return Err(Failure::invalid("The message is empty: send `message`, `images` or both."));
    }
    if prompt.images.is_empty() {
        return Ok(UserContent::Text(text));
    }
    if prompt.images.len() > IMAGES_MAX {
        return Err(Failure::invalid(format!("At most {IMAGES_MAX} images fit in one prompt.")));
    }
    let mut blocks = Vec::with_capacity(prompt.images.len() + 1);
    if !text.trim().is_empty() {
        blocks.push(Block::text(text));
    }
    for (n, image) in prompt.images.into_iter().enumerate() {
        let n = n + 1;
        if !IMAGE_TYPES.contains(&image.mime_type.as_str()) {
            return Err(Failure::invalid(format!(
                "Image {n} has the type {:?}; supported are {}.",
                image.mime_type,
                IMAGE_TYPES.join(", ")
            )));
        }
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(image.data.as_bytes())
            .map_err(|e| Failure::invalid(format!("Image {n} is not valid base64: {e}.")))?;
        if bytes.len() > IMAGE_BYTES_MAX {
            return Err(Failure::invalid(format!(
                "Image {n} is larger than {} MiB: make it smaller.",
                IMAGE_BYTES_MAX >> 20
            )));
        }
        blocks.push(Block::Image { data: image.data, mime_type: image.mime_type });
    }
    Ok(UserContent::Blocks(blocks))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Abort {
    session_id: Option<String>,
    clear_queue: Option<bool>,
}

pub(super) async fn abort(State(runtime): State<Arc<AgentRuntime>>, request: Request) -> Response {
    let result = async {
        let abort: Abort = body(request).await?;
        let session = session_id(abort.session_id.as_deref())?;
        let clear_queue = abort.clear_queue.unwrap_or(true);
        let handle = runtime.session(session.as_ref()).await?;
        let texts = handle.ask(|reply| Command::Abort { clear_queue, reply }).await?;
        Ok(json!({
            "sessionId": handle.conversation().id(),
            "steering": texts.steering,
            "followUp": texts.follow_up,
        }))
    };
    answer("abort", StatusCode::OK, result.await)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Queue {
    session_id: Option<String>,
    steering: Option<Vec<String>>,
    follow_up: Option<Vec<String>>,
}

pub(super) async fn queue(State(runtime): State<Arc<AgentRuntime>>, request: Request) -> Response {
    let result = async {
        let queue: Queue = body(request).await?;
        let session = session_id(queue.session_id.as_deref())?;
        let Queue { steering, follow_up, .. } = queue;
        let handle = runtime.session(session.as_ref()).await?;
        let texts = handle.ask(|reply| Command::Queue { steering, follow_up, reply }).await?;
        Ok(json!({ "steering": texts.steering, "followUp": texts.follow_up }))
    };
    answer("queue", StatusCode::OK, result.await)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    tool_call_id: String,
    #[serde(rename = "answer")]
    text: String,
    session_id: Option<String>,
}

pub(super) async fn answer_question(
    runtime: &AgentRuntime,
    request: Request,
) -> Result<Value, Failure> {
    let Answer { tool_call_id, text: answer, session_id: session } = body(request).await?;
    if answer.trim().is_empty() {
        return Err(Failure::invalid("The answer is empty."));
    }
    let session = session_id(session.as_deref())?;
    let handle = runtime.session(session.as_ref()).await?;
    handle.ask(|reply| Command::Answer { tool_call_id, answer, reply }).await?;
    Ok(json!({}))
}

pub(super) async fn answer_route(
    State(runtime): State<Arc<AgentRuntime>>,
    request: Request,
) -> Response {
    answer("answer", StatusCode::OK, answer_question(&runtime, request).await)
}
