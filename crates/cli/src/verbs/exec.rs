//! `toft exec`: a command in a machine. Input, output, signals and exit code pass through; bytes
//! stay what they are.

use crate::{
    args::At,
    client::{Client, Events, SseEvent},
    output,
    refused::Refused,
};
use anyhow::{Context, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::stream;
use http::Method;
use serde_json::{Value, json};
use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};
use tokio::{
    io::AsyncReadExt as _,
    signal::unix::{Signal, SignalKind, signal},
};

/// What a shell answers for a command that a signal ended, less the signal's number.
const SIGNAL_EXIT_BASE: i64 = 128;
/// After a second Ctrl-C.
const INTERRUPTED_EXIT: i32 = 130;
/// Exit code of `timeout(1)`, used for ours too.
const TIMED_OUT_EXIT: i32 = 124;
/// Ours failed, the command's own code is not known (as container tools have it).
const FAILED_EXIT: u8 = 125;
/// There is no such program, as shells say it.
const NO_PROGRAM_EXIT: u8 = 127;
/// Of each output, this much is kept for one JSON document; as much as the server keeps.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// Standard input is read in pieces of this size.
const READ_BYTES: usize = 64 << 10;

/// What to run, and how.
pub(crate) struct Order<'a> {
    pub(crate) cwd: Option<&'a str>,
    pub(crate) timeout_s: u64,
    pub(crate) no_stdin: bool,
    pub(crate) command: &'a [String],
}

/// Runs it and returns the exit code.
pub(crate) async fn run(at: &At, project: &str, order: &Order<'_>, as_json: bool) -> Result<i32> {
    let client = Client::find(at)?;
    let id = client.project(project).await?;
    let path = format!("/v1/projects/{id}/exec");
    // A person's keyboard is not sent: there is no terminal on the other side.
    let feeds = !order.no_stdin && !std::io::stdin().is_terminal();
    let mut body = json!({
        "argv": order.command,
        "timeoutMs": order.timeout_s.saturating_mul(1000),
        "encoding": "base64",
        "stdinOpen": feeds,
    });
    if let Some(cwd) = order.cwd {
        body["cwd"] = cwd.into();
    }
    let events = client.stream(Method::POST, &path, Some(&body)).await?;
    let sink = if as_json { Sink::Kept(Kept::default(), Kept::default()) } else { Sink::Ours };
    let mut running = Running { client, path, events, sink, id: None, interrupted: false };
    let Some(exit) = running.until_exit(feeds).await? else {
        return Ok(INTERRUPTED_EXIT);
    };
    if let Sink::Kept(out, err) = &running.sink {
        output::json(&json!({
            "exitCode": exit["exitCode"],
            "signal": exit["signal"],
            "stdout": out.text(),
            "stderr": err.text(),
            "truncated": out.cut || err.cut,
            "durationMs": exit["durationMs"],
            "timedOut": exit["timedOut"],
            "paused": exit["paused"],
        }));
    } else if exit["timedOut"] == true {
        output::remark(&timed_out(order.timeout_s, &exit));
    }
    Ok(exit_code(&exit))
}

/// What is said of a command whose time was over: more time does not help one that stood still.
fn timed_out(limit_s: u64, exit: &Value) -> String {
    match exit["paused"].as_str() {
        Some(why) => format!("toft: it was ended after {limit_s} s; {why}"),
        None => format!("toft: it was ended after {limit_s} s; --timeout SECONDS gives it longer"),
    }
}

/// Exit code when the command's own is not known.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    let no_program = error.downcast_ref::<Refused>().is_some_and(|r| r.code == "not_executable");
    ExitCode::from(if no_program { NO_PROGRAM_EXIT } else { FAILED_EXIT })
}

struct Running {
    client: Client,
    path: String,
    events: Events,
    sink: Sink,
    /// What the server calls the program, once it runs.
    id: Option<String>,
    interrupted: bool,
}

impl Running {
    /// The data of its `exit`; `None` when a person did not wait for that.
    async fn until_exit(&mut self, feeds: bool) -> Result<Option<Value>> {
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        loop {
            let event = tokio::select! {
                event = self.events.next() => event?,
                asked = pressed(&mut interrupt, &mut terminate) => {
                    // The connection's end is the command's.
                    if self.interrupted || self.id.is_none() {
                        return Ok(None);
                    }
                    self.interrupted = true;
                    self.pass_on(asked).await;
                    continue;
                }
            };
            let Some(event) = event else {
                bail!("the connection ended before the command did; it was stopped");
            };
            if let Some(exit) = self.take(event, feeds)? {
                return Ok(Some(exit));
            }
        }
    }

    fn take(&mut self, event: SseEvent, feeds: bool) -> Result<Option<Value>> {
        match event.name.as_str() {
            "start" => {
                let id = event.data["id"].as_str().context("the program has no id")?.to_owned();
                if feeds {
                    self.feed(&id);
                }
                self.id = Some(id);
            }
            "stdout" | "stderr" => {
                let coded = event.data["base64"].as_str().context("output without bytes")?;
                let bytes = STANDARD.decode(coded).context("output that is no base64")?;
                self.sink.push(event.name == "stdout", &bytes);
            }
            "gap" => {
                if let Sink::Kept(out, _) = &mut self.sink {
                    out.cut = true;
                }
                output::remark("toft: output was lost here: it came faster than it was read");
            }
            "exit" => return Ok(Some(event.data)),
            "error" => bail!(Refused {
                code: output::text(&event.data["code"]),
                message: output::text(&event.data["message"]),
            }),
            _ => {}
        }
        Ok(None)
    }

    /// Sends our standard input, to its end or the program's.
    fn feed(&self, id: &str) {
        let (client, path) = (self.client.clone(), format!("{}/{id}/stdin?end=true", self.path));
        let pieces = stream::unfold(tokio::io::stdin(), async |mut stdin| {
            let mut piece = vec![0; READ_BYTES];
            // What cannot be read has ended.
            let read = stdin.read(&mut piece).await.unwrap_or(0);
            piece.truncate(read);
            (read > 0).then(|| (Ok(Bytes::from(piece)), stdin))
        });
        // Ends with this process. A program that did not want all of it is no failure.
        tokio::spawn(async move { client.feed(&path, Box::pin(pieces)).await });
    }

    async fn pass_on(&self, name: &str) {
        let Some(id) = &self.id else { return };
        let path = format!("{}/{id}/signal", self.path);
        // A program that has just ended needs no signal.
        let _ = self.client.post(&path, &json!({"signal": name})).await;
    }
}

async fn pressed(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "INT",
        _ = terminate.recv() => "TERM",
    }
}

/// Where output goes.
enum Sink {
    /// Our own standard output and error.
    Ours,
    /// One document at the end.
    Kept(Kept, Kept),
}

impl Sink {
    fn push(&mut self, is_out: bool, bytes: &[u8]) {
        match self {
            Self::Ours if is_out => output::bytes(bytes),
            Self::Ours => {
                let _ = std::io::stderr().write_all(bytes);
            }
            Self::Kept(out, err) => if is_out { out } else { err }.push(bytes),
        }
    }
}

/// The beginning of an output.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    cut: bool,
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES_MAX - self.bytes.len();
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

fn exit_code(done: &Value) -> i32 {
    if done["timedOut"].as_bool() == Some(true) {
        return TIMED_OUT_EXIT;
    }
    let code = done["exitCode"]
        .as_i64()
        .or_else(|| done["signal"].as_i64().map(|s| SIGNAL_EXIT_BASE + s))
        .unwrap_or(1);
    i32::try_from(code).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_a_shell() {
        assert_eq!(exit_code(&json!({"exitCode": 3, "signal": null})), 3);
        assert_eq!(exit_code(&json!({"exitCode": null, "signal": 9})), 137);
        assert_eq!(exit_code(&json!({"exitCode": null, "signal": 9, "timedOut": true})), 124);
    }

    #[test]
    fn a_command_that_stood_still_is_told_why_and_not_to_wait_longer() {
        let paused = timed_out(120, &json!({"timedOut": true, "paused": "the disk is full"}));
        assert_eq!(paused, "toft: it was ended after 120 s; the disk is full");
        for exit in [json!({"timedOut": true, "paused": null}), json!({"timedOut": true})] {
            assert!(timed_out(9, &exit).contains("after 9 s; --timeout SECONDS"));
        }
    }

    #[test]
    fn what_is_kept_has_an_end_and_says_so() {
        let mut kept = Kept::default();
        kept.push(&vec![b'x'; KEPT_BYTES_MAX]);
        assert!(!kept.cut);
        kept.push(b"y");
        assert!(kept.cut && kept.bytes.len() == KEPT_BYTES_MAX);
    }
}
