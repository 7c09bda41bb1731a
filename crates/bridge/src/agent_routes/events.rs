//! `GET events`: the log as server-sent events, from any number, without a gap or a doubled one.
//! One frame per event; frames of events that were written together leave together, none waits for another.

use super::session::session_id;
use crate::{
    answer::Failure,
    asked::{Asked, query},
    log::Batch,
    runtime::AgentRuntime,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use std::{convert::Infallible, sync::Arc, time::Duration};
use toft_model::id::SessionId;
use tokio::time::{Instant, timeout_at};

/// Silence after which a comment shows that the stream lives; proxies cut at 30 to 60 s.
const PING_EVERY: Duration = Duration::from_secs(15);

/// `session` and `sessionId` mean the same.
#[derive(Deserialize)]
pub(super) struct Wanted {
    session: Option<String>,
    #[serde(rename = "sessionId")]
    session_id: Option<String>,
    after: Option<String>,
}

pub(super) async fn events(
    State(runtime): State<Arc<AgentRuntime>>,
    asked: Asked<Wanted>,
    headers: HeaderMap,
) -> Response {
    match query(asked).and_then(|wanted| open(&runtime, &wanted, &headers)) {
        Ok(response) => response,
        Err(failure) => failure.of("events").into_response(),
    }
}

fn open(runtime: &AgentRuntime, wanted: &Wanted, headers: &HeaderMap) -> Result<Response, Failure> {
    let session = session_id(wanted.session_id.as_deref().or(wanted.session.as_deref()))?;
    let last = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
    let log = runtime.log();
    let newest = log.last_seq();
    let after = match last.filter(|text| !text.is_empty()).or(wanted.after.as_deref()) {
        None => newest,
        Some(text) => number(text, newest)?,
    };
    let hello = json!({
        "type": "hello",
        "seq": newest,
        "project": runtime.boot().project,
        "version": env!("CARGO_PKG_VERSION"),
    });
    let hello = Bytes::from(format!("event: hello\ndata: {hello}\n\n"));
    let frames = frames(log.batches(Some(after)), session);
    let first = futures_util::stream::once(async move { Ok::<_, Infallible>(hello) });
    let mut response = Response::new(Body::from_stream(first.chain(frames)));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers would hold the deltas back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn number(text: &str, newest: u64) -> Result<u64, Failure> {
    let bad = |why: &str| {
        Failure::invalid(format!(
            "The event number {:?} {why}; the newest is {newest}. Send the `id` of the last event that \
             you have, or none to begin now.",
            text.chars().take(32).collect::<String>()
        ))
    };
    let after: u64 = text.trim().parse().map_err(|_| bad("is no number"))?;
    if after > newest {
        return Err(bad("was not given yet"));
    }
    Ok(after)
}

fn frames(
    batches: impl Stream<Item = Batch> + Send,
    session: Option<SessionId>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    async_stream::stream! {
        tokio::pin!(batches);
        let mut ping_at = Instant::now() + PING_EVERY;
        let mut out = BytesMut::new();
        loop {
            match timeout_at(ping_at, batches.next()).await {
                Ok(Some(batch)) => {
                    batch.write_frames(session.as_ref(), &mut out);
                    if out.is_empty() {
                        continue;
                    }
                    yield Ok(out.split().freeze());
                }
                Ok(None) => return,
                Err(_) => yield Ok(Bytes::from_static(b": ping\n\n")),
            }
            ping_at = Instant::now() + PING_EVERY;
        }
    }
}
