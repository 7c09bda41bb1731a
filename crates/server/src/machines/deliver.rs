//! Getting a message to a machine's agent: sent until it is known what became of it, to one bridge after
//! the other, under an id by which a bridge tells that it came before. What it says is not looked at.
//!
//! Init holds the bridges' socket, so what is sent to one that hangs or dies may be read later. Each
//! attempt therefore says until when it may be taken up, and is over by then.

use super::{Machine, bridge_watch, gone, life};
use crate::{
    api_error::{ApiError, Code},
    bridge_client::BridgeError,
    clock::monotonic_ms,
    state::App,
};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use toft_model::http::{PROMPT_ID, TAKE_BEFORE};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long it is tried at a machine that runs: a person waits.
const PATIENCE: Duration = Duration::from_mins(1);
/// Until when a bridge may take an attempt up. One that comes back takes milliseconds.
const LEASE: Duration = Duration::from_secs(5);
/// What a bridge that took it up may then need for its disk.
const GRACE: Duration = Duration::from_secs(5);
/// First pause between two attempts; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Answers are a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A message.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// Path and query for the bridge.
    pub(crate) path: &'a str,
    /// The whole body, JSON.
    pub(crate) body: Bytes,
    /// Names it; a name within the body goes first. 8 to 64 letters, digits, `-` or `_`.
    pub(crate) id: &'a str,
    /// Why the machine is woken, if it must be.
    pub(crate) cause: &'a str,
}

/// What a bridge said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Bytes>,
    /// Whether an earlier attempt may have been the one that was taken.
    pub(crate) tried: bool,
}

/// No bridge said what became of it.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// No bridge has it, and none will take it.
    NotTaken(ApiError),
    /// A bridge may have taken it. Sent again under its id it is not said twice. Why, in words.
    Unknown(String),
}

/// Delivers it. The caller holds the machine ([`Machine::in_use`]).
pub(crate) async fn deliver(
    app: &App,
    machine: &Arc<Machine>,
    message: &Message<'_>,
) -> Result<Answer, Undelivered> {
    let mut tried = false;
    let mut until = None;
    let mut pause = PAUSE_MIN;
    let never_up = bridge_watch::never_up(app, machine);
    tokio::pin!(never_up);
    loop {
        if let Err(error) = life::ensure_running(app, machine, message.cause).await {
            return Err(undelivered(tried, error));
        }
        let until = *until.get_or_insert_with(|| Instant::now() + PATIENCE);
        let over = Instant::now() + LEASE;
        let attempt = tokio::select! {
            attempt = attempt(app, machine, message) => attempt,
            starts = &mut never_up => {
                // A bridge that had taken this one would have broken it off with its end. Once it may not
                // be taken any more it never was.
                sleep_until(over).await;
                let error = BridgeError::NeverUp { starts };
                return Err(undelivered(tried, ApiError::new(Code::MachineError, error.told())));
            }
        };
        let error = match attempt {
            Ok(Attempt::Said(response)) => return Ok(Answer { response, tried }),
            Ok(Attempt::TooLate) => BridgeError::Timeout,
            Ok(Attempt::Ending) => {
                tried = true;
                BridgeError::Broken("it is just ending".into())
            }
            Err(error @ BridgeError::Connect(_)) => {
                // Gone without our doing, it is started again.
                gone::check(app, machine).await;
                error
            }
            Err(error) => {
                tried = true;
                error
            }
        };
        if Instant::now() >= until {
            return Err(undelivered(tried, ApiError::new(Code::MachineError, error.told())));
        }
        tracing::debug!(project.id = %machine.id, %error, "a message is sent again");
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn undelivered(tried: bool, error: ApiError) -> Undelivered {
    if tried { Undelivered::Unknown(error.message) } else { Undelivered::NotTaken(error) }
}

/// What came of one attempt.
enum Attempt {
    /// The bridge says what became of it.
    Said(Response<Bytes>),
    /// The bridge came to it too late, and has not taken it.
    TooLate,
    /// The bridge was about to end; it may have taken it.
    Ending,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
}

async fn attempt(
    app: &App,
    machine: &Machine,
    message: &Message<'_>,
) -> Result<Attempt, BridgeError> {
    let until = monotonic_ms() + u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
    let request = Request::post(message.path)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(PROMPT_ID, message.id)
        .header(TAKE_BEFORE, until)
        .body(Body::from(message.body.clone()))
        .map_err(|e| BridgeError::Broken(e.to_string()))?;
    let asked = async {
        let (parts, body) = app.bridge.send(&machine.id, request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|e| BridgeError::Broken(e.to_string()))?.to_bytes();
        Ok(Response::from_parts(parts, body))
    };
    let answer = timeout(LEASE + GRACE, asked).await.map_err(|_| BridgeError::Timeout)??;
    let refusal = serde_json::from_slice::<Refusal>(answer.body());
    let code = refusal.map(|refusal| refusal.code).unwrap_or_default();
    Ok(match (answer.status(), code.as_str()) {
        (StatusCode::SERVICE_UNAVAILABLE, "too_late") => Attempt::TooLate,
        (StatusCode::CONFLICT, "unavailable") => Attempt::Ending,
        _ => Attempt::Said(answer),
    })
}
