//! Follows the bridge of a running machine: events into the copy, its answers into snapshots. One
//! pair of tasks per running machine; a cold one has none.

use super::{Machine, gone, intake, intake::Taken, observed, sse::SseParser, status::AgentStatus};
use crate::{bridge_client::BridgeError, runs::settle, state::App};
use axum::body::Body;
use futures_util::FutureExt as _;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use toft_store::{NewEvent, SnapshotKind};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// First pause before asking again; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Longest pause: a bridge that restarts is back within this.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A bridge pings every 15 s: silence of three pings means a dead connection.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long a bridge may take to begin its answer: it may just be loading sessions.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// Events stored in one transaction.
const BATCH_EVENTS_MAX: usize = 1024;
/// Bytes read before they are stored, but for the end of an event: a machine that floods waits.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Changes that come within this are fetched together.
const SNAPSHOT_PAUSE: Duration = Duration::from_millis(100);

/// Follows a machine until it is told to stop or the machine is gone.
pub(crate) async fn follow(app: App, machine: Arc<Machine>, cancel: CancellationToken) {
    let mut pause = PAUSE_MIN;
    loop {
        match stream(&app, &machine, &cancel).await {
            Ended::NoProject | Ended::Cancelled => return,
            Ended::AfterEvents => pause = PAUSE_MIN,
            Ended::Broken => {}
            Ended::NotThere => {
                let gone = tokio::select! {
                    () = cancel.cancelled() => return,
                    gone = gone::check(&app, &machine) => gone,
                };
                if gone {
                    return;
                }
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = sleep(jittered(pause)) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Between half and all of a pause, so that many do not come at once.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0u8];
    // Without randomness there is no jitter, and nothing else is lost.
    let _ = getrandom::fill(&mut byte);
    pause / 2 + pause.mul_f64(f64::from(byte[0]) / 512.0)
}

/// How a stream ended.
enum Ended {
    /// It brought something first.
    AfterEvents,
    /// It brought nothing.
    Broken,
    /// Nobody takes connections.
    NotThere,
    /// The project is deleted.
    NoProject,
    /// Nobody wants it any more.
    Cancelled,
}

#[derive(Deserialize)]
struct Hello {
    seq: u64,
}

/// Cancelled only while it waits for the bridge: what was read is stored and sent whole.
async fn stream(app: &App, machine: &Arc<Machine>, cancel: &CancellationToken) -> Ended {
    let head = match app.store.head(&machine.id).await {
        Ok(head) => head.seq,
        Err(toft_store::StoreError::Missing { .. }) => return Ended::NoProject,
        Err(error) => {
            tracing::warn!(project.id = %machine.id, %error, "the copy cannot be read");
            return Ended::Broken;
        }
    };
    let opened = tokio::select! {
        () = cancel.cancelled() => return Ended::Cancelled,
        opened = open(app, machine, head) => opened,
    };
    let mut body = match opened {
        Ok(body) => body,
        Err(ended) => return ended,
    };
    machine.stale.notify_one();
    // What was seen while no bridge listened.
    let (a, m, c) = (app.clone(), Arc::clone(machine), cancel.clone());
    let ends = app.stop.token().clone();
    app.tasks.spawn(ends.run_until_cancelled_owned(async move {
        c.run_until_cancelled(async {
            observed::deliver(&a, &m).await;
            settle::settle(&a, &m).await;
        })
        .await;
    }));
    let mut parser = SseParser::default();
    let mut came = Vec::new();
    let mut last = head;
    let mut any = false;
    let ended = |any| if any { Ended::AfterEvents } else { Ended::Broken };
    loop {
        let more = tokio::select! {
            () = cancel.cancelled() => return Ended::Cancelled,
            () = machine.doubtful.notified() => match app.store.head(&machine.id).await {
                Ok(kept) if kept.seq >= last => continue,
                // What comes next would say that there is a gap, and nothing may come.
                Ok(_) | Err(_) => return ended(any),
            },
            more = read_some(&mut body, &mut parser, &mut came) => more,
        };
        if !more {
            return ended(any);
        }
        let now = app.clock.now_ms();
        let mut batch: Vec<NewEvent> = Vec::with_capacity(came.len());
        for event in came.drain(..) {
            if event.kind == "hello" && event.id.is_none() {
                let hello = serde_json::from_str::<Hello>(&event.data);
                if hello.is_ok_and(|h| h.seq < head) {
                    tracing::error!(project.id = %machine.id,
                        "the machine's event log is shorter than its copy");
                    machine.view().tampered.get_or_insert(head);
                }
            } else if let Some(event) = intake::from_stream(event, now) {
                batch.push(event);
            }
        }
        any |= !batch.is_empty();
        match intake::take(app, machine, &batch).await {
            Taken::All => last = batch.last().map_or(last, |event| event.seq.max(last)),
            Taken::Gap => return ended(any),
            Taken::NoProject => return Ended::NoProject,
        }
    }
}

/// Asks for what comes after `head`. A bridge whose log is shorter than the copy refuses that
/// number: then what comes from now on is compared with the copy.
async fn open(app: &App, machine: &Machine, head: u64) -> Result<Incoming, Ended> {
    for path in [format!("/toft/events?after={head}"), "/toft/events".to_owned()] {
        let req = Request::get(path)
            .header(header::ACCEPT, "text/event-stream")
            .body(Body::empty())
            .expect("the request is well formed");
        match timeout(ANSWER_TIMEOUT, app.bridge.send(&machine.id, req)).await {
            Ok(Ok(answer)) if answer.status().is_success() => return Ok(answer.into_body()),
            Ok(Ok(answer)) if answer.status() == StatusCode::BAD_REQUEST => {}
            Ok(Err(BridgeError::Connect(_))) => return Err(Ended::NotThere),
            Ok(Ok(_) | Err(_)) | Err(_) => return Err(Ended::Broken),
        }
    }
    Err(Ended::Broken)
}

/// Reads what is there: waits for the first bytes, takes what else has come, never waits for more.
/// False at the end.
async fn read_some(
    body: &mut Incoming,
    parser: &mut SseParser,
    came: &mut Vec<super::sse::SseEvent>,
) -> bool {
    let mut next = timeout(SILENCE_MAX, body.frame()).await.ok().flatten();
    let mut bytes_read = 0;
    loop {
        match next {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    bytes_read += bytes.len();
                    parser.push(bytes, came);
                }
            }
            // What came before the end is still taken in; the next read sees the end again.
            Some(Err(_)) | None => return !came.is_empty(),
        }
        if came.len() >= BATCH_EVENTS_MAX || bytes_read >= BATCH_BYTES_MAX {
            return true;
        }
        match body.frame().now_or_never() {
            Some(more) => next = more,
            None => return true,
        }
    }
}

/// Fetches the bridge's answers whenever they changed.
pub(crate) async fn keep_snapshots(app: App, machine: Arc<Machine>, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = machine.stale.notified() => {}
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = async {
                sleep(SNAPSHOT_PAUSE).await;
                snapshot(&app, &machine).await;
            } => {}
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionStatus {
    id: String,
    status: AgentStatus,
    #[serde(default)]
    plan_proposed: bool,
}

/// Keeps what the bridge says now.
pub(crate) async fn snapshot(app: &App, machine: &Machine) {
    tokio::join!(
        keep_answer(app, machine, SnapshotKind::State, "/toft/state"),
        keep_answer(app, machine, SnapshotKind::Sessions, "/toft/sessions"),
        keep_answer(app, machine, SnapshotKind::Inspect, "/toft/inspect"),
    );
}

async fn keep_answer(app: &App, machine: &Machine, kind: SnapshotKind, path: &str) {
    let mut answer = match app.bridge.get_json(&machine.id, path).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(project.id = %machine.id, %error, path, "no snapshot");
            return;
        }
    };
    // Everything but `inspect` comes in the shape of Pi's responses.
    let data = match kind {
        SnapshotKind::Inspect => Some(answer),
        SnapshotKind::State | SnapshotKind::Sessions => {
            answer.get_mut("data").map(serde_json::Value::take)
        }
    };
    let Some(data) = data.filter(serde_json::Value::is_object) else { return };
    if kind == SnapshotKind::Sessions {
        let list = data.get("sessions").and_then(|s| s.as_array()).into_iter().flatten();
        let list: Vec<_> =
            list.take(64).filter_map(|s| SessionStatus::deserialize(s).ok()).collect();
        let mut view = machine.view();
        // Newest first on the wire; the newest has the last word.
        for session in list.iter().rev() {
            view.statuses.set(&session.id, session.status);
            view.statuses.set_proposes(&session.id, session.plan_proposed);
        }
    }
    intake::keep(app, machine, kind, &data.to_string()).await;
}
