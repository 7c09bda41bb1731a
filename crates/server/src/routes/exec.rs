//! `POST /v1/projects/{id}/exec`: one program, straight through init, answered whole or as it goes.
//! What a running one is told from outside is in `feed`.

pub(crate) mod feed;
mod output;

use crate::{
    api_error::{ApiError, Code},
    envelope::{Data, JsonBody},
    event_stream::event_stream,
    machines::{Machine, gone, life, machine::Hold},
    project::{Member, OfProject},
    state::App,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use output::{Encoding, Kept, Piece};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};
use toft_machine::{
    backend::MachineError,
    init_client::{self, ExecEvent, ExecHandle, InitError},
};
use toft_model::{
    init::{ExecExit, ExecSpec},
    machine::MachineState,
};
use tokio::time::{Instant, sleep_until, timeout};

/// How long a program may run when nothing is said.
const TIMEOUT_DEFAULT_MS: u64 = 120_000;
/// How long it may be allowed to run.
const TIMEOUT_MAX_MS: u64 = 3_600_000;
/// Beyond the kill, for the last output and the exit to arrive.
const KILL_TIMEOUT: Duration = Duration::from_secs(20);
/// Arguments and variables of one program (Linux takes 2 MiB in all).
const WORDS_MAX: usize = 4096;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wish {
    command: Option<String>,
    argv: Option<Vec<String>>,
    cwd: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    stdin: Option<String>,
    /// Standard input comes by its own route and stays open until that ends it.
    #[serde(default)]
    stdin_open: bool,
    #[serde(default)]
    encoding: Encoding,
    timeout_ms: Option<u64>,
}

/// What is to be run, checked.
struct Order {
    spec: ExecSpec,
    stdin: Option<String>,
    encoding: Encoding,
    limit: Duration,
}

impl Wish {
    fn check(self, streamed: bool) -> Result<Order, ApiError> {
        let argv = match (self.command, self.argv) {
            (Some(command), None) => vec!["bash".into(), "-lc".into(), command],
            (None, Some(argv)) if argv.first().is_some_and(|a| !a.is_empty()) => argv,
            _ => {
                return Err(ApiError::invalid(
                    "send either command (a shell line) or argv (a program and its arguments)",
                ));
            }
        };
        let name = |n: &str| !n.is_empty() && !n.contains(['=', '\0']);
        let words = argv.iter().chain(self.env.values()).chain(self.cwd.iter());
        if argv.len() + self.env.len() > WORDS_MAX
            || words.into_iter().any(|w| w.contains('\0'))
            || !self.env.keys().all(|n| name(n))
        {
            return Err(ApiError::invalid(
                "arguments, env and cwd must hold no NUL, names in env no `=`, and be at most 4096",
            ));
        }
        if self.stdin_open && self.stdin.is_some() {
            return Err(ApiError::invalid("send either stdin or stdinOpen"));
        }
        if !streamed && (self.stdin_open || self.encoding == Encoding::Base64) {
            return Err(ApiError::invalid(
                "stdinOpen and encoding are for streams: add Accept: text/event-stream",
            ));
        }
        let limit_ms = self.timeout_ms.unwrap_or(TIMEOUT_DEFAULT_MS);
        if !(1..=TIMEOUT_MAX_MS).contains(&limit_ms) {
            return Err(ApiError::invalid(format!("timeoutMs must be 1 to {TIMEOUT_MAX_MS}")));
        }
        let spec = ExecSpec {
            argv,
            cwd: self.cwd,
            env: self.env.into_iter().collect(),
            stdin: self.stdin.is_some() || self.stdin_open,
            ..ExecSpec::default()
        };
        let limit = Duration::from_millis(limit_ms);
        Ok(Order { spec, stdin: self.stdin, encoding: self.encoding, limit })
    }
}

pub(crate) async fn exec(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    headers: HeaderMap,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Response, ApiError> {
    let streamed = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"));
    let order = wish.check(streamed)?;
    let encoding = order.encoding;
    // As long as it runs, the machine is not put away.
    let hold = machine.in_use(&app.clock);
    life::ensure_running(&app, &machine, "a command was run").await?;
    let deadline = Instant::now() + order.limit;
    let handle = begin(&app, &machine, order.spec).await?;
    let feeding = order.stdin.map(|text| {
        let input = handle.input();
        // Ends with the program: writing to a closed pipe fails.
        tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
            let sent = input.stdin(text.as_bytes()).await;
            if sent.is_ok() {
                // A program that ended early needs no end of its input.
                let _ = input.close_stdin().await;
            }
        }))
    });
    let run = Run {
        app,
        machine,
        handle,
        deadline,
        timed_out: false,
        paused: None,
        _feeding: feeding,
        _hold: hold,
    };
    if streamed { Ok(stream(run, encoding)) } else { whole(run).await }
}

/// Starts the program; a machine that died unnoticed is woken once.
async fn begin(app: &App, machine: &Arc<Machine>, spec: ExecSpec) -> Result<ExecHandle, ApiError> {
    let stream = match app.backend.connect_init(&machine.id).await {
        Ok(stream) => stream,
        Err(error) => {
            if !gone::check(app, machine).await {
                return Err(error.into());
            }
            life::ensure_running(app, machine, "a command was run").await?;
            app.backend.connect_init(&machine.id).await?
        }
    };
    init_client::exec(stream, spec).await.map_err(failed)
}

fn failed(error: InitError) -> ApiError {
    match error {
        InitError::Refused { code, message } if code == "not_executable" => {
            ApiError::new(Code::NotExecutable, message)
        }
        InitError::Refused { code, message } if code == "process_limit" => {
            ApiError::new(Code::ProcessLimit, message)
        }
        InitError::Refused { code, message } if matches!(code.as_str(), "spawn" | "invalid") => {
            ApiError::invalid(message)
        }
        other => ApiError::new(Code::MachineError, other.to_string()),
    }
}

/// A program that runs, with its deadline.
struct Run {
    app: App,
    machine: Arc<Machine>,
    handle: ExecHandle,
    deadline: Instant,
    timed_out: bool,
    /// Why it may have stood still, when its time was over.
    paused: Option<String>,
    _feeding: Option<tokio_util::task::AbortOnDropHandle<()>>,
    _hold: Hold,
}

impl Run {
    /// What comes next. At the deadline the program and all it started are killed; what they had
    /// printed still comes.
    async fn next(&mut self) -> Result<Option<ExecEvent>, ApiError> {
        if !self.timed_out {
            tokio::select! {
                event = self.handle.next() => return event.map_err(failed),
                () = sleep_until(self.deadline) => {}
            }
            self.timed_out = true;
            self.paused = self.app.backend.why_paused(&self.machine.id).await;
            // A paused one cannot end anything.
            if self.machine.state() == MachineState::Frozen {
                life::ensure_running(&self.app, &self.machine, "a command's time was over").await?;
            }
            let stream = self.app.backend.connect_init(&self.machine.id).await;
            let stream = stream.map_err(|e: MachineError| ApiError::from(e))?;
            init_client::kill(stream, &self.handle.id, 0).await.map_err(failed)?;
        }
        timeout(KILL_TIMEOUT, self.handle.next())
            .await
            .map_err(|_| ApiError::new(Code::MachineError, "the command did not end when killed"))?
            .map_err(failed)
    }
}

async fn whole(mut run: Run) -> Result<Response, ApiError> {
    let (mut stdout, mut stderr) = (Kept::default(), Kept::default());
    let mut skipped = false;
    let exit = loop {
        match run.next().await? {
            Some(ExecEvent::Stdout(bytes)) => stdout.push(&bytes),
            Some(ExecEvent::Stderr(bytes)) => stderr.push(&bytes),
            Some(ExecEvent::Gap(_)) => skipped = true,
            Some(ExecEvent::Exit(exit)) => break exit,
            None => return Err(lost()),
        }
    };
    let truncated = skipped || stdout.dropped > 0 || stderr.dropped > 0;
    Ok(Data(Exit {
        exit_code: exit.code,
        signal: exit.signal,
        stdout: stdout.text(),
        stderr: stderr.text(),
        truncated,
        duration_ms: exit.duration_ms,
        timed_out: run.timed_out,
        paused: run.paused,
    })
    .into_response())
}

/// What became of a program.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ExecExit")]
pub(crate) struct Exit {
    /// Null when a signal ended it.
    exit_code: Option<i32>,
    signal: Option<i32>,
    stdout: String,
    stderr: String,
    /// Whether there was more output than is kept.
    truncated: bool,
    duration_ms: u64,
    timed_out: bool,
    /// With `timedOut`: why it stood still.
    paused: Option<String>,
}

fn lost() -> ApiError {
    ApiError::new(Code::MachineError, "the machine ended before the command did: run it again")
}

fn frame(name: &str, data: &serde_json::Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

fn stream(mut run: Run, encoding: Encoding) -> Response {
    let body = async_stream::stream! {
        let start = json!({"pid": run.handle.pid, "id": run.handle.id});
        yield Ok::<_, Infallible>(frame("start", &start));
        let (mut out, mut err) = (Piece::new(encoding), Piece::new(encoding));
        loop {
            match run.next().await {
                Ok(Some(ExecEvent::Stdout(bytes))) => {
                    if let Some(data) = out.push(&bytes) {
                        yield Ok(frame("stdout", &data));
                    }
                }
                Ok(Some(ExecEvent::Stderr(bytes))) => {
                    if let Some(data) = err.push(&bytes) {
                        yield Ok(frame("stderr", &data));
                    }
                }
                // Whoever reads too slowly is told what was lost.
                Ok(Some(ExecEvent::Gap(to))) => yield Ok(frame("gap", &json!({"to": to}))),
                Ok(Some(ExecEvent::Exit(exit))) => {
                    for (name, rest) in [("stdout", out.rest()), ("stderr", err.rest())] {
                        if let Some(data) = rest {
                            yield Ok(frame(name, &data));
                        }
                    }
                    yield Ok(frame("exit", &ended(&exit, &run)));
                    return;
                }
                Ok(None) => {
                    let error = lost();
                    yield Ok(frame("error", &json!({"code": error.code_text(), "message": error.message})));
                    return;
                }
                Err(error) => {
                    yield Ok(frame("error", &json!({"code": error.code_text(), "message": error.message})));
                    return;
                }
            }
        }
    };
    event_stream(Body::from_stream(body))
}

fn ended(exit: &ExecExit, run: &Run) -> serde_json::Value {
    json!({
        "exitCode": exit.code,
        "signal": exit.signal,
        "durationMs": exit.duration_ms,
        "timedOut": run.timed_out,
        "paused": run.paused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_a_line_or_a_program_not_both() {
        let check = |json: serde_json::Value| {
            serde_json::from_value::<Wish>(json).unwrap().check(false).map(|o| o.spec.argv)
        };
        assert_eq!(check(json!({"command": "ls"})).unwrap(), ["bash", "-lc", "ls"]);
        assert_eq!(check(json!({"argv": ["ls"]})).unwrap(), ["ls"]);
        for bad in [
            json!({}),
            json!({"command": "a", "argv": ["b"]}),
            json!({"argv": []}),
            json!({"argv": [""]}),
            json!({"argv": ["a\u{0}b"]}),
            json!({"command": "ls", "timeoutMs": 0}),
            json!({"command": "ls", "timeoutMs": 3_600_001}),
            json!({"command": "ls", "env": {"A=B": "c"}}),
            json!({"command": "ls", "stdinOpen": true}),
            json!({"command": "ls", "encoding": "base64"}),
        ] {
            assert!(check(bad.clone()).is_err(), "{bad}");
        }
    }
}
