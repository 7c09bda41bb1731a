//! The bridge of a test's machine: an event log with its stream, a few fixed answers, and an app that
//! says what reached it.

use crate::{
    box_runs::{self, Runs},
    resting::Rest,
};
use axum::{
    Json, Router,
    body::Body,
    extract::{Query, Request, State, WebSocketUpgrade, ws::Message},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{any, get, post},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use toft_model::{event::wire_data, id::ProjectId};
use tokio::{net::UnixListener, sync::watch};
use tokio_util::task::AbortOnDropHandle;

/// When the event with that number happened.
pub(crate) fn time_of(seq: u64) -> u64 {
    1_000 + seq
}

/// What survives a machine's stop.
#[derive(Default)]
pub(crate) struct Disk {
    /// (session, kind, data) by number.
    pub(crate) log: Mutex<Vec<(String, String, Value)>>,
    grown: watch::Sender<u64>,
    /// Counts up to cut every event stream.
    cut: watch::Sender<u64>,
    /// Written into open streams as it is.
    raw: watch::Sender<String>,
    /// What it says of its only session: idle, not working.
    pub(crate) is_idle: AtomicBool,
    /// It takes messages and ends while it answers.
    pub(crate) breaks_off: AtomicBool,
    /// Whether it stands still.
    pub(crate) rest: Rest,
    /// What it was given to do.
    pub(crate) runs: Runs,
}

impl Disk {
    /// Appends an event as a bridge does: to the log file, then to streams.
    pub(crate) fn push(&self, log_dir: &Path, session: &str, kind: &str, data: &Value) -> u64 {
        let mut log = self.log.lock().unwrap();
        log.push((session.into(), kind.into(), data.clone()));
        let seq = log.len() as u64;
        let line = json!({"seq":seq,"ts":time_of(seq),"session":session,"kind":kind,"data":data});
        if log_dir.is_dir() {
            use std::io::Write as _;
            let path = log_dir.join("events.jsonl");
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            writeln!(file.unwrap(), "{line}").unwrap();
        }
        drop(log);
        self.grown.send_replace(seq);
        seq
    }

    /// Drops every open event stream.
    pub(crate) fn cut_streams(&self) {
        self.cut.send_modify(|n| *n += 1);
    }

    /// The end of the log is lost, as in a crash of the host.
    pub(crate) fn lose_after(&self, seq: usize) {
        self.log.lock().unwrap().truncate(seq);
    }

    /// Sends text into open streams that no log holds.
    pub(crate) fn forge(&self, text: &str) {
        self.raw.send_replace(text.to_owned());
    }

    fn frame(&self, seq: u64) -> Option<String> {
        let log = self.log.lock().unwrap();
        let (session, kind, data) = log.get(usize::try_from(seq).unwrap() - 1)?;
        let data = wire_data(kind, Some(session), time_of(seq), data.clone());
        Some(format!("event: {kind}\nid: {seq}\ndata: {data}\n\n"))
    }
}

#[derive(Clone)]
pub(crate) struct Bridge {
    pub(crate) disk: Arc<Disk>,
    pub(crate) log_dir: PathBuf,
    pub(crate) project: ProjectId,
}

pub(crate) async fn serve(listener: UnixListener, state: Bridge) {
    let router = Router::new()
        .route("/toft/events", get(bridge_events))
        .route("/toft/prompt", post(bridge_prompt))
        .route(
            "/toft/state",
            get(async |Query(query): Query<HashMap<String, String>>| {
                if let Some(refused) = unknown("get_state", &query) {
                    return refused;
                }
                Json(json!({"type":"response","command":"get_state","success":true,"data":{
                "sessionId":"s1","status":"working","isStreaming":true,"appPort":5173,
                "appListening":true,"seq":0}}))
                .into_response()
            }),
        )
        .route(
            "/toft/sessions",
            get(async |State(bridge): State<Bridge>| {
                let status =
                    if bridge.disk.is_idle.load(Ordering::SeqCst) { "idle" } else { "working" };
                Json(json!({"type":"response","command":"list_sessions","success":true,"data":{
                "current":"s1","sessions":[{"id":"s1","status":status}]}}))
            }),
        )
        .route("/toft/messages", get(bridge_messages))
        .route(
            "/toft/sessions/compact",
            post(async || {
                tokio::time::sleep(COMPACTION).await;
                Json(json!({"type":"response","command":"compact","success":true,"data":{}}))
            }),
        )
        .route(
            "/toft/inspect",
            get(async || Json(json!({"integrations":[],"services":[],"assets":[]}))),
        )
        .route("/toft/activity", get(activity))
        .route("/toft/observed", post(observed))
        .merge(box_runs::routes())
        .route("/toft/terminals", get(async || Json(json!({"data":{"terminals":[{"id":"t1"}]}}))))
        .route("/toft/ws", any(open_echo))
        .route("/ws", any(open_echo))
        .fallback(app)
        .layer(axum::middleware::from_fn_with_state(state.clone(), stand_still))
        .with_state(state);
    // Not `axum::serve`: a machine that is gone takes its open connections with it.
    let mut conns: Vec<AbortOnDropHandle<()>> = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        conns.retain(|c| !c.is_finished());
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        conns.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        })));
    }
}

/// A bridge that is paused says nothing until it goes on.
async fn stand_still(
    State(bridge): State<Bridge>,
    req: Request,
    next: axum::middleware::Next,
) -> Response {
    bridge.disk.rest.goes_on().await;
    next.run(req).await
}

async fn activity(State(bridge): State<Bridge>) -> Response {
    match &*bridge.disk.rest.busy() {
        Some(busy) => Json(json!({"busy": busy})).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn observed(State(bridge): State<Bridge>, Json(told): Json<Value>) -> StatusCode {
    bridge.disk.rest.told().push(told);
    StatusCode::NO_CONTENT
}

async fn open_echo(State(bridge): State<Bridge>, ws: WebSocketUpgrade) -> Response {
    ws.on_upgrade(move |socket| echo(socket, bridge.disk))
}

async fn echo(mut socket: axum::extract::ws::WebSocket, disk: Arc<Disk>) {
    while let Some(Ok(message)) = socket.recv().await {
        disk.rest.goes_on().await;
        if let Message::Text(_) | Message::Binary(_) = &message
            && socket.send(message).await.is_err()
        {
            return;
        }
    }
}

async fn bridge_events(
    State(bridge): State<Bridge>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let disk = bridge.disk;
    let newest = disk.log.lock().unwrap().len() as u64;
    let after = query.get("after").map_or(newest, |a| a.parse::<u64>().unwrap());
    if after > newest {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let mut next = after + 1;
    let (mut grown, mut cut, mut raw) =
        (disk.grown.subscribe(), disk.cut.subscribe(), disk.raw.subscribe());
    grown.mark_changed();
    let hello = json!({"seq": newest, "project": bridge.project});
    let body = async_stream::stream! {
        yield Ok::<_, Infallible>(format!("event: hello\ndata: {hello}\n\n"));
        loop {
            tokio::select! {
                _ = grown.changed() => {}
                _ = cut.changed() => return,
                _ = raw.changed() => {
                    let text = raw.borrow_and_update().clone();
                    yield Ok(text);
                }
            }
            while let Some(frame) = disk.frame(next) {
                next += 1;
                yield Ok(frame);
            }
        }
    };
    ([("content-type", "text/event-stream")], Body::from_stream(body)).into_response()
}

/// Longer than it takes to find out that a bridge never comes up.
const COMPACTION: std::time::Duration = std::time::Duration::from_secs(4);

/// It knows the session `s1` only.
fn unknown(command: &str, query: &HashMap<String, String>) -> Option<Response> {
    let session = query.get("sessionId").filter(|id| *id != "s1")?;
    let body = json!({"type":"response","command":command,"success":false,
        "error":format!("there is no session {session:?}"),"code":"session_not_found"});
    Some((StatusCode::NOT_FOUND, Json(body)).into_response())
}

async fn bridge_messages(Query(query): Query<HashMap<String, String>>) -> Response {
    if let Some(refused) = unknown("get_messages", &query) {
        return refused;
    }
    Json(json!({"type":"response","command":"get_messages","success":true,
        "data":{"sessionId":"s1","messages":[],"seq":0}}))
    .into_response()
}

/// The session is always `s1`; `entryId` and `parentId` may be chosen. With a `streamingBehavior` it is
/// only queued.
async fn bridge_prompt(State(bridge): State<Bridge>, Json(body): Json<Value>) -> Response {
    let named = body["sessionId"].as_str().map(|id| ("sessionId".to_owned(), id.to_owned()));
    if let Some(refused) = unknown("prompt", &named.into_iter().collect()) {
        return refused;
    }
    if let Some(how) = body["streamingBehavior"].as_str() {
        let data = json!({"sessionId": "s1", "queued": how});
        let answer = json!({"type":"response","command":"prompt","success":true,"data":data});
        return (StatusCode::ACCEPTED, Json(answer)).into_response();
    }
    let entry = body["entryId"].as_str().unwrap_or("e1");
    let known = |(_, _, data): &(String, String, Value)| data["entryId"] == entry;
    if body["entryId"].is_string() && bridge.disk.log.lock().unwrap().iter().any(known) {
        let data = json!({"sessionId": "s1", "entryId": entry});
        let answer = json!({"type":"response","command":"prompt","success":true,"data":data});
        return (StatusCode::ACCEPTED, Json(answer)).into_response();
    }
    let push = |kind: &str, data: &Value| bridge.disk.push(&bridge.log_dir, "s1", kind, data);
    push("agent_start", &json!({}));
    push(
        "message_end",
        &json!({"messageId":"m1","entryId":entry,"parentId":body["parentId"],
               "message":{"role":"user","content":body["message"],"timestamp":1}}),
    );
    push(
        "message_update",
        &json!({"messageId":"m2","type":"text_delta","contentIndex":0,"delta":"Hi"}),
    );
    push("agent_end", &json!({"reason":"done"}));
    if bridge.disk.breaks_off.load(Ordering::SeqCst) {
        let cut = futures_util::stream::once(async { Err::<String, _>("it ended") });
        return (StatusCode::ACCEPTED, Body::from_stream(cut)).into_response();
    }
    (
        StatusCode::ACCEPTED,
        Json(json!({"type":"response","command":"prompt","success":true,
        "data":{"sessionId":"s1"}})),
    )
        .into_response()
}

/// The app: says what reached it.
async fn app(req: Request) -> Response {
    let (parts, body) = req.into_parts();
    let bytes = axum::body::to_bytes(body, 80 << 20).await.unwrap_or_default();
    let headers: HashMap<&str, Vec<&str>> = parts
        .headers
        .keys()
        .map(|name| {
            let all = parts.headers.get_all(name).iter();
            (name.as_str(), all.map(|v| v.to_str().unwrap_or("?")).collect())
        })
        .collect();
    let told = json!({
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "headers": headers,
        "bytes": bytes.len(),
    });
    let mut answer = Json(told).into_response();
    if parts.uri.path() == "/cookies" {
        let out = answer.headers_mut();
        for cookie in ["id=1; Path=/", "wide=1; Domain=localhost", "toft_session=evil; Path=/"] {
            out.append("set-cookie", cookie.parse().unwrap());
        }
        out.insert("x-toft-port", "1".parse().unwrap());
    }
    if parts.uri.path().ends_with("/evil.html") {
        answer.headers_mut().insert("content-type", "text/html".parse().unwrap());
    }
    answer
}

/// A header of the request as the app saw it.
pub(crate) fn seen<'a>(told: &'a Value, name: &str) -> Option<&'a str> {
    told["headers"][name][0].as_str()
}
