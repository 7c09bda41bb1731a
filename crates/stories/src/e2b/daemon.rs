//! The daemon of a sandbox: programs, and what they are told. Files are in `files`.

use super::{
    Shared, files,
    sandbox::{Sandbox, child_of},
};
use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request, StatusCode},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::stream;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap, io, os::unix::process::ExitStatusExt as _, process::Stdio, sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStdin, Command},
    sync::{Mutex, mpsc},
    time::{interval_at, timeout},
};

/// `PATH` of its programs.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const BODY_BYTES_MAX: usize = 8 << 20;
/// As the daemon reads output.
const PIECE_BYTES: usize = 32 << 10;
/// Pieces that a slow reader may be behind.
const PIECES_QUEUED: usize = 16;
/// Output of a program that has ended, held open by what it has started.
const REST_TIMEOUT: Duration = Duration::from_millis(500);
/// Until a program is in its sandbox.
const CHILD_TIMEOUT: Duration = Duration::from_secs(10);
const LAST: u8 = 0b10;

/// A program that runs.
pub(super) struct Process {
    cmd: String,
    args: Vec<String>,
    tag: Option<String>,
    /// Of who enters the sandbox: the program is its child.
    pub(super) outer: u32,
    stdin: Mutex<Option<ChildStdin>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    process: Config,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    stdin: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    cmd: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    envs: BTreeMap<String, String>,
    #[serde(default)]
    cwd: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum Selector {
    Pid(u64),
    Tag(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfProcess {
    process: Selector,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendInput {
    process: Selector,
    input: Input,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    stdin: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendSignal {
    process: Selector,
    signal: String,
}

/// Connect's error, as plain calls have it.
pub(super) fn error(code: &str, message: &str) -> Response {
    let status = match code {
        "invalid_argument" => 400,
        "unauthenticated" => 401,
        "not_found" => 404,
        "unavailable" => 503,
        "unimplemented" => 501,
        _ => 500,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(json!({"code": code, "message": message}))).into_response()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The user that programs run as: by Basic authorisation, else the template's.
fn user(headers: &HeaderMap) -> Result<&'static str, Response> {
    let Some(basic) = headers.get("authorization") else { return Ok("user") };
    let name = basic.to_str().ok().and_then(|basic| basic.strip_prefix("Basic "));
    let name = name.and_then(|name| STANDARD.decode(name).ok());
    match name.as_deref() {
        Some(b"root:") => Ok("root"),
        Some(b"user:") => Ok("user"),
        _ => Err(error("unauthenticated", "invalid username")),
    }
}

/// Every request to a sandbox's daemon.
pub(super) async fn answer(shared: &Arc<Shared>, place: &str, request: Request<Body>) -> Response {
    let headers = request.headers();
    if header(headers, "e2b-sandbox-port") != "49983" {
        shared.fault(format!("{place}: no E2b-Sandbox-Port of the daemon's"));
    }
    if headers.contains_key("x-api-key") {
        shared.fault(format!("{place}: the team's key goes into a sandbox"));
    }
    let id = header(headers, "e2b-sandbox-id").to_owned();
    let gone = |message: &str| {
        let body = json!({"sandboxId": id, "message": message, "code": 502});
        (StatusCode::BAD_GATEWAY, axum::Json(body)).into_response()
    };
    let Some(sandbox) = shared.sandbox(&id) else { return gone("The sandbox was not found") };
    if !sandbox.runs() {
        return gone("The sandbox was not found");
    }
    if request.uri().path() == "/health" {
        return StatusCode::NO_CONTENT.into_response();
    }
    if header(headers, "x-access-token") != sandbox.token {
        return error("unauthenticated", "invalid access token");
    }
    if request.uri().path() == "/files" {
        return files::answer(shared, place, &sandbox, request).await;
    }
    let user = match user(headers) {
        Ok(user) => user,
        Err(answer) => return answer,
    };
    let (parts, body) = request.into_parts();
    if parts.method != "POST" || header(&parts.headers, "connect-protocol-version") != "1" {
        shared.fault(format!("{place}: no call of Connect's"));
    }
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return error("resource_exhausted", "message too large");
    };
    let kind = header(&parts.headers, "content-type");
    let called = match parts.uri.path() {
        "/process.Process/Start" => {
            if kind != "application/connect+json" {
                shared.fault(format!("{place}: of the kind {kind:?}"));
            }
            let every = header(&parts.headers, "keepalive-ping-interval").parse().unwrap_or(90);
            return match start(shared, place, &sandbox, user, &body, every).await {
                Ok(answer) | Err(answer) => answer,
            };
        }
        _ if kind != "application/json" => {
            shared.fault(format!("{place}: of the kind {kind:?}"));
            return error("invalid_argument", "unsupported content type");
        }
        "/process.Process/List" => list(shared, place, &sandbox, &body),
        "/process.Process/SendInput" => input(shared, place, &sandbox, &body).await,
        "/process.Process/SendSignal" => signal(shared, place, &sandbox, &body),
        "/process.Process/CloseStdin" => close(shared, place, &sandbox, &body).await,
        path => match path.strip_prefix("/filesystem.Filesystem/") {
            Some(call) => files::call(shared, place, &sandbox, user, call, &body),
            None => Ok(None),
        },
    };
    match called {
        Ok(Some(value)) => axum::Json(value).into_response(),
        Ok(None) => {
            shared.fault(format!("{place}: there is no such call"));
            error("unimplemented", "not implemented")
        }
        Err(answer) => answer,
    }
}

pub(super) type Called = Result<Option<Value>, Response>;

/// `T` refuses unknown fields.
pub(super) fn read<T: DeserializeOwned>(
    shared: &Shared,
    place: &str,
    body: &[u8],
) -> Result<T, Response> {
    serde_json::from_slice(body).map_err(|wrong| {
        shared.fault(format!("{place}: {wrong} in {}", String::from_utf8_lossy(body)));
        error("invalid_argument", &wrong.to_string())
    })
}

fn processes(sandbox: &Sandbox) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<Process>>> {
    sandbox.processes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn chosen(sandbox: &Sandbox, by: &Selector) -> Result<Arc<Process>, Response> {
    let all = processes(sandbox);
    let found = match by {
        Selector::Pid(pid) => all.get(pid),
        Selector::Tag(tag) => all.values().find(|p| p.tag.as_ref() == Some(tag)),
    };
    found.cloned().ok_or_else(|| error("not_found", "process not found"))
}

fn list(shared: &Shared, place: &str, sandbox: &Sandbox, body: &[u8]) -> Called {
    let Nothing {} = read(shared, place, body)?;
    let all = processes(sandbox);
    let shown: Vec<Value> = all
        .iter()
        .map(|(pid, process)| {
            let config = json!({"cmd": process.cmd, "args": process.args});
            let mut shown = json!({"pid": pid, "config": config});
            if let Some(tag) = &process.tag {
                shown["tag"] = json!(tag);
            }
            shown
        })
        .collect();
    // An empty list is left out, as everything empty is.
    Ok(Some(if shown.is_empty() { json!({}) } else { json!({"processes": shown}) }))
}

async fn input(shared: &Shared, place: &str, sandbox: &Sandbox, body: &[u8]) -> Called {
    let SendInput { process, input } = read(shared, place, body)?;
    let bytes = STANDARD.decode(&input.stdin);
    let bytes = bytes.map_err(|wrong| error("invalid_argument", &wrong.to_string()))?;
    let process = chosen(sandbox, &process)?;
    let mut stdin = process.stdin.lock().await;
    let stdin = stdin.as_mut().ok_or_else(|| error("invalid_argument", "stdin is closed"))?;
    let connections = sandbox.connections();
    // One that does not read holds its caller up; a sandbox that is paused breaks the connection.
    let written = connections.run_until_cancelled(async {
        stdin.write_all(&bytes).await?;
        stdin.flush().await
    });
    match written.await {
        Some(Ok(())) => Ok(Some(json!({}))),
        Some(Err(wrong)) => Err(error("internal", &wrong.to_string())),
        None => Err(error("unavailable", "the connection to the sandbox ended")),
    }
}

async fn close(shared: &Shared, place: &str, sandbox: &Sandbox, body: &[u8]) -> Called {
    let OfProcess { process } = read(shared, place, body)?;
    *chosen(sandbox, &process)?.stdin.lock().await = None;
    Ok(Some(json!({})))
}

fn signal(shared: &Shared, place: &str, sandbox: &Sandbox, body: &[u8]) -> Called {
    let SendSignal { process, signal } = read(shared, place, body)?;
    let signal = match signal.as_str() {
        "SIGNAL_SIGKILL" => Signal::KILL,
        "SIGNAL_SIGTERM" => Signal::TERM,
        _ => return Err(error("invalid_argument", "no such signal")),
    };
    let process = chosen(sandbox, &process)?;
    let inner = child_of(process.outer).and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let inner = inner.ok_or_else(|| error("not_found", "process not found"))?;
    kill_process(inner, signal).map_err(|wrong| error("internal", &wrong.to_string()))?;
    Ok(Some(json!({})))
}

fn seal(flags: u8, message: &Value) -> Bytes {
    let body = message.to_string().into_bytes();
    let mut out = vec![flags];
    out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(body);
    out.into()
}

/// The one message of a call that is answered by many.
fn unsealed(body: &[u8]) -> Option<&[u8]> {
    let (head, message) = body.split_first_chunk::<5>()?;
    let [flags, length @ ..] = *head;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    (flags == 0 && message.len() == length).then_some(message)
}

async fn start(
    shared: &Arc<Shared>,
    place: &str,
    sandbox: &Arc<Sandbox>,
    user: &str,
    body: &[u8],
    every_s: u64,
) -> Result<Response, Response> {
    let message = unsealed(body).ok_or_else(|| {
        shared.fault(format!("{place}: no envelope with one message"));
        error("invalid_argument", "protocol error")
    })?;
    let Start { process: Config { cmd, args, envs, cwd }, tag, stdin } =
        read(shared, place, message)?;
    let home = if user == "root" { "/root" } else { "/home/user" };
    let cwd = files::resolve(home, cwd.as_deref().unwrap_or_default());
    let mut command = Command::new("nsenter");
    command
        .args(["-t", &sandbox.first().to_string(), "-p", "-m", "-n", "-i", "-u", "--"])
        .args(["/bin/sh", "-c", "cd \"$1\" && shift && exec \"$@\"", "sh", &cwd, &cmd])
        .args(&args)
        .env_clear()
        .envs([("PATH", PATH), ("HOME", home), ("USER", user), ("LOGNAME", user)])
        .env("E2B_SANDBOX_ID", &sandbox.id)
        .envs(&envs)
        .stdin(if stdin.unwrap_or(false) { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child =
        command.spawn().map_err(|wrong| error("invalid_argument", &wrong.to_string()))?;
    let outer = child.id().unwrap_or_default();
    // Who enters the sandbox makes it a moment later; what has ended has none.
    let until = tokio::time::Instant::now() + CHILD_TIMEOUT;
    while child_of(outer).is_none() && matches!(child.try_wait(), Ok(None)) {
        if tokio::time::Instant::now() > until {
            return Err(error("internal", "the program did not start"));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let pid = u64::from(outer);
    let process = Process { cmd, args, tag, outer, stdin: Mutex::new(child.stdin.take()) };
    processes(sandbox).insert(pid, Arc::new(process));
    let (out, events) = mpsc::channel::<Value>(PIECES_QUEUED);
    let reading = [
        tokio::spawn(follow(child.stdout.take(), "stdout", out.clone())),
        tokio::spawn(follow(child.stderr.take(), "stderr", out.clone())),
    ];
    let of = Arc::downgrade(sandbox);
    tokio::spawn(async move {
        let ended = child.wait().await;
        for reading in reading {
            let _ = timeout(REST_TIMEOUT, reading).await;
        }
        if let Some(sandbox) = of.upgrade() {
            processes(&sandbox).remove(&pid);
        }
        let _ = out
            .send(json!({"end": ended.map_or_else(|e| json!({"error": e.to_string()}), end)}))
            .await;
    });
    let first = seal(0, &json!({"event": {"start": {"pid": pid}}}));
    let every = Duration::from_secs(every_s);
    let ticks = interval_at(tokio::time::Instant::now() + every, every);
    let state = (Some(first), events, ticks, sandbox.connections(), false);
    let body = stream::unfold(state, |(first, mut events, mut ticks, broken, over)| async move {
        if over {
            return None;
        }
        if let Some(first) = first {
            return Some((Ok(first), (None, events, ticks, broken, false)));
        }
        let (piece, over) = tokio::select! {
            () = broken.cancelled() => {
                (Err(io::Error::from(io::ErrorKind::ConnectionReset)), true)
            }
            event = events.recv() => match event {
                Some(event) => (Ok(seal(0, &json!({"event": event}))), false),
                None => (Ok(seal(LAST, &json!({}))), true),
            },
            _ = ticks.tick() => (Ok(seal(0, &json!({"event": {"keepalive": {}}}))), false),
        };
        Some((piece, (None, events, ticks, broken, over)))
    });
    let kind = [("content-type", "application/connect+json")];
    Ok((kind, Body::from_stream(body)).into_response())
}

/// What an end is called; what is nothing is left out.
fn end(status: std::process::ExitStatus) -> Value {
    match (status.code(), status.signal()) {
        (Some(0), _) => json!({"exited": true, "status": "exit status 0"}),
        (Some(code), _) => {
            let said = format!("exit status {code}");
            json!({"exitCode": code, "exited": true, "status": said, "error": said})
        }
        (None, signal) => {
            let said = format!("signal: {}", signal.unwrap_or_default());
            json!({"exitCode": -1, "status": said, "error": said})
        }
    }
}

/// Reads whether or not somebody listens: a program goes on without its caller.
async fn follow(from: Option<impl AsyncRead + Unpin>, name: &str, to: mpsc::Sender<Value>) {
    let Some(mut from) = from else { return };
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(count) = from.read(&mut piece).await {
        if count == 0 {
            return;
        }
        let _ = to.send(json!({"data": {name: STANDARD.encode(&piece[..count])}})).await;
    }
}
