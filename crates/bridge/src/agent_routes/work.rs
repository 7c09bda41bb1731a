//! Routes that begin, steer, stop and answer work.

mod once;

use super::session::{answer, ask, session_id};
use crate::{
    answer::Failure,
    body::body,
    in_time,
    proxy::is_outside,
    runtime::{AgentRuntime, runs::RUN_PREFIX},
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use toft_agent::{Command, session::QueuedAs};
use toft_model::{
    event::QuestionKind,
    http::PROMPT_ID,
    message::{Block, UserContent},
};
use toft_tools::aside::IMAGE_BYTES_MAX;

/// Images of one prompt at most.
const IMAGES_MAX: usize = 10;

/// What all large providers take.
const IMAGE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prompt {
    message: Option<String>,
    #[serde(default)]
    images: Vec<Image>,
    streaming_behavior: Option<String>,
    session_id: Option<String>,
    entry_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    data: String,
    mime_type: String,
}

pub(super) async fn prompt(State(runtime): State<Arc<AgentRuntime>>, request: Request) -> Response {
    let result = send(&runtime, request, |prompt| match prompt.streaming_behavior.as_deref() {
        None | Some("followUp") => Ok(QueuedAs::FollowUp),
        Some("steer") => Ok(QueuedAs::Steer),
        Some(other) => Err(Failure::invalid(format!(
            "streamingBehavior {other:?} is not known: send \"steer\", \"followUp\" or nothing."
        ))),
    });
    answer("prompt", StatusCode::ACCEPTED, result.await)
}

pub(super) async fn steer(State(runtime): State<Arc<AgentRuntime>>, request: Request) -> Response {
    let result = send(&runtime, request, |_| Ok(QueuedAs::Steer)).await;
    answer("steer", StatusCode::OK, result)
}

pub(super) async fn follow_up(
    State(runtime): State<Arc<AgentRuntime>>,
    request: Request,
) -> Response {
    let result = send(&runtime, request, |_| Ok(QueuedAs::FollowUp)).await;
    answer("follow_up", StatusCode::OK, result)
}

async fn send(
    runtime: &AgentRuntime,
    request: Request,
    waits_as: impl FnOnce(&Prompt) -> Result<QueuedAs, Failure>,
) -> Result<Value, Failure> {
    let headers = request.headers().clone();
    let mut prompt: Prompt = body(request).await?;
    let waiting = waits_as(&prompt)?;
    let id = prompt.entry_id.take();
    let id = id.or_else(|| Some(headers.get(PROMPT_ID)?.to_str().ok()?.to_owned()));
    if id.as_deref().is_some_and(|id| !is_entry_id(id)) {
        return Err(Failure::invalid(
            "entryId must be 8 to 64 letters, digits, `-` or `_`, and not begin with `run-`: leave it \
             out to get one.",
        ));
    }
    let session = session_id(prompt.session_id.as_deref())?;
    let content = content(prompt)?;
    // A long body may have taken its time.
    in_time::check(&headers)?;
    once::say(runtime, session, id, content, waiting).await
}

/// Whether a caller may name an entry so. It becomes a name in a file that others read.
fn is_entry_id(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    // Nobody says in place of a run what it has not said yet.
    (8..=64).contains(&id.len()) && id.bytes().all(plain) && !id.starts_with(RUN_PREFIX)
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
                "Image {n} has {} bytes; at most {IMAGE_BYTES_MAX} fit: make it smaller.",
                bytes.len()
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
        let clear_queue = abort.clear_queue.unwrap_or(true);
        let command = |reply| Command::Abort { clear_queue, reply };
        let (handle, texts) = ask(&runtime, abort.session_id.as_deref(), command).await?;
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
struct Again {
    session_id: Option<String>,
}

pub(super) async fn retry(State(runtime): State<Arc<AgentRuntime>>, request: Request) -> Response {
    let result = async {
        let again: Again = body(request).await?;
        let command = |reply| Command::Retry { reply };
        let (handle, ()) = ask(&runtime, again.session_id.as_deref(), command).await?;
        Ok(json!({ "sessionId": handle.conversation().id() }))
    };
    answer("retry", StatusCode::ACCEPTED, result.await)
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
        let Queue { session_id, steering, follow_up } = body(request).await?;
        if steering.iter().chain(&follow_up).flatten().any(|text| text.trim().is_empty()) {
            return Err(Failure::invalid("A waiting text is empty: leave it out instead."));
        }
        let (_, texts) = ask(&runtime, session_id.as_deref(), |reply| Command::Queue {
            steering: steering.clone(),
            follow_up: follow_up.clone(),
            reply,
        })
        .await?;
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
    let outside = is_outside(&request);
    let Answer { tool_call_id, text, session_id } = body(request).await?;
    if text.trim().is_empty() {
        return Err(Failure::invalid("The answer is empty."));
    }
    if !outside {
        // What the agent runs must not allow the agent what a person is asked about.
        let id = super::session::session_id(session_id.as_deref())?;
        let question = runtime.session(id.as_ref()).await?.conversation().question();
        if question.is_some_and(|question| question.kind != QuestionKind::Tool) {
            return Err(Failure::only_outside("This question"));
        }
    }
    ask(runtime, session_id.as_deref(), |reply| Command::Answer {
        tool_call_id: tool_call_id.clone(),
        answer: text.clone(),
        reply,
    })
    .await?;
    Ok(json!({}))
}

pub(super) async fn answer_route(
    State(runtime): State<Arc<AgentRuntime>>,
    request: Request,
) -> Response {
    answer("answer", StatusCode::OK, answer_question(&runtime, request).await)
}
