//! Tool `bash`: a command in the machine's shell. It runs outside of the bridge and is found again by
//! its id, so a bridge that died in the middle neither ends nor repeats it.

use crate::{
    arguments::{Arguments, Refused},
    host::{ShellError, ShellEvent, ShellRun, Tool, ToolContext},
    outcome::{STOPPED, ToolOutcome},
    output::{Tail, Utf8Pieces, cut_at_char},
};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};
use std::time::Duration;
use toft_model::{
    event::LimitHit,
    init::{ExecExit, ExecSpec},
    tool::ToolSpec,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Longest time limit that a call may ask for: a day.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// Time between TERM and KILL when a call is stopped. A person who stops wants it stopped within a
/// second; programs that tidy up quickly may.
pub(crate) const STOP_GRACE_MS: u64 = 300;

/// Time between TERM and KILL when a time limit passes.
const TIMEOUT_GRACE_MS: u64 = 2_000;

/// How long to wait for the last output of a command that was ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a command in the background is watched before the call returns.
const BACKGROUND_WATCH: Duration = Duration::from_secs(1);

/// And how long after its first line: what belongs to it comes with it.
const BACKGROUND_AFTER_LINE: Duration = Duration::from_millis(200);

/// Bytes of one update for people; more only fills their log.
const UPDATE_BYTES_MAX: usize = 16 << 10;

/// Characters of a command that the process list shows.
const LABEL_CHARS_MAX: usize = 120;

/// How long to try again when init cannot be reached; a bridge and its init are restarted faster.
const LOST_PATIENCE: Duration = Duration::from_secs(30);

/// A process that KILL ended may have taken too much memory. The host sees that and tells it: a look
/// every few hundred milliseconds and a request.
const MEMORY_NEWS: Duration = Duration::from_millis(1_500);

/// Wait between such tries.
const LOST_WAIT: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct Bash;

struct Order {
    command: String,
    limit: Option<Duration>,
    background: bool,
}

#[async_trait]
impl Tool for Bash {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "bash".into(),
            description: "Run a command with bash in the project's folder. Returns its output \
                          (stdout and stderr, the last 2000 lines or 50 KB; a file has the rest). \
                          Set background for servers and others that do not end by themselves: it \
                          returns at once with an id for the tool process."
                .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "command": { "type": "string" },
                    "timeout": { "type": "number", "description": "Seconds after which it is ended; none by default" },
                    "background": { "type": "boolean", "description": "Leave it running" }
                },
                "required": ["command"],
                "additionalProperties": false
            }),
        }
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let order = match parse(arguments) {
            Ok(order) => order,
            Err(refused) => return refused.into(),
        };
        if ctx.cancel.is_cancelled() {
            return ToolOutcome::cancelled(STOPPED);
        }
        let began = Instant::now();
        let mut watch = Watch::new(ctx, &order.command);
        let run = match watch.attach(Instant::now() + LOST_PATIENCE).await {
            Ok(run) => run,
            Err(error) => return ToolOutcome::error(format!("The command was not run: {error}")),
        };
        let end = if order.background {
            watch.a_while(run).await
        } else {
            watch.until_it_ends(run, order.limit).await
        };
        let memory = match &end {
            End::Exit(exit) if exit_code(exit) != 0 => {
                let wait = if was_killed(exit) { MEMORY_NEWS } else { Duration::ZERO };
                ctx.shell.memory_limit(began, wait).await
            }
            _ => None,
        };
        watch.outcome(&end, &order, memory.as_ref())
    }

    async fn settled(&self, ctx: &ToolContext, outcome: &ToolOutcome) {
        let detail = |key: &str| outcome.details.as_ref().and_then(|d| d.get(key));
        let ended = detail("exitCode").is_some_and(|code| !code.is_null());
        // The model was told where the whole output is, so it stays.
        let spilled = detail("fullOutputPath").is_some_and(|path| !path.is_null());
        if ended && !spilled {
            // It ended; when init lost it there is nothing to drop.
            let _ = ctx.shell.forget(&ctx.run_id).await;
        }
    }
}

fn parse(arguments: Value) -> Result<Order, Refused> {
    let args = Arguments::new("bash", &["command", "timeout", "background"], arguments)?;
    let limit = args.positive("timeout")?.map(Duration::try_from_secs_f64);
    Ok(Order {
        command: args.some_text("command", "what to run")?,
        limit: limit.map(|limit| limit.unwrap_or(TIMEOUT_MAX).min(TIMEOUT_MAX)),
        background: args.flag("background")?,
    })
}

/// How watching a command came to its end.
enum End {
    Exit(ExecExit),
    TimedOut(Option<ExecExit>, Duration),
    Cancelled(Option<ExecExit>),
    /// It goes on.
    Background,
    Unreachable(ShellError),
}

struct Watch<'a> {
    ctx: &'a ToolContext,
    spec: ExecSpec,
    tail: Tail,
    pieces: Utf8Pieces,
    pid: u32,
    /// Bytes that were passed on as updates; after a reconnect they come again.
    told: u64,
    /// Whether output was skipped that is no longer kept.
    gap: bool,
}

impl<'a> Watch<'a> {
    fn new(ctx: &'a ToolContext, command: &str) -> Self {
        let label: String = command.chars().take(LABEL_CHARS_MAX).collect();
        let spec = ExecSpec {
            id: Some(ctx.run_id.clone()),
            argv: vec!["bash".into(), "-c".into(), command.to_owned()],
            cwd: Some(ctx.cwd.display().to_string()),
            merge_stderr: true,
            detach: true,
            label: Some(label),
            ..ExecSpec::default()
        };
        Self {
            ctx,
            spec,
            tail: Tail::default(),
            pieces: Utf8Pieces::default(),
            pid: 0,
            told: 0,
            gap: false,
        }
    }

    /// Starts it, or attaches to it. While init cannot be reached it tries again until then.
    async fn attach(&mut self, give_up: Instant) -> Result<ShellRun, ShellError> {
        loop {
            match self.ctx.shell.start(self.spec.clone()).await {
                Ok(run) => {
                    self.pid = run.pid;
                    self.tail.clear();
                    return Ok(run);
                }
                Err(error)
                    if matches!(error.code.as_str(), "lost" | "io")
                        && Instant::now() < give_up
                        && !self.ctx.cancel.is_cancelled() =>
                {
                    sleep(LOST_WAIT).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes one event; the end when it was the last.
    async fn take(&mut self, run: &mut ShellRun, event: Option<ShellEvent>) -> Option<End> {
        match event {
            Some(ShellEvent::Output(bytes)) => {
                self.output(&bytes);
                None
            }
            Some(ShellEvent::Gap(_)) => {
                self.gap = true;
                None
            }
            Some(ShellEvent::Exit(exit)) => Some(End::Exit(exit)),
            Some(ShellEvent::Lost) | None => {
                match self.attach(Instant::now() + LOST_PATIENCE).await {
                    Ok(again) => {
                        *run = again;
                        None
                    }
                    Err(error) => Some(End::Unreachable(error)),
                }
            }
        }
    }

    fn output(&mut self, bytes: &[u8]) {
        let seen = self.tail.bytes();
        self.tail.push(bytes);
        let skip = usize::try_from(self.told.saturating_sub(seen)).unwrap_or(usize::MAX);
        let Some(new) = bytes.get(skip..).filter(|new| !new.is_empty()) else { return };
        self.told = self.tail.bytes();
        let text = self.pieces.push(new);
        if text.is_empty() {
            return;
        }
        // The end of a flood is what people look at.
        let from = text.ceil_char_boundary(text.len().saturating_sub(UPDATE_BYTES_MAX));
        // Nobody keeping up is no reason to stop.
        let _ = self.ctx.updates.try_send(text[from..].to_owned());
    }

    async fn until_it_ends(&mut self, mut run: ShellRun, limit: Option<Duration>) -> End {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let cancel = self.ctx.cancel.clone();
        loop {
            let event = tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    return End::Cancelled(self.end(run, STOP_GRACE_MS).await);
                }
                () = until(deadline) => {
                    let exit = self.end(run, TIMEOUT_GRACE_MS).await;
                    return End::TimedOut(exit, limit.unwrap_or_default());
                }
                event = run.events.next() => event,
            };
            if let Some(end) = self.take(&mut run, event).await {
                return end;
            }
        }
    }

    async fn a_while(&mut self, mut run: ShellRun) -> End {
        let mut deadline = Instant::now() + BACKGROUND_WATCH;
        let cancel = self.ctx.cancel.clone();
        loop {
            let event = tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    return End::Cancelled(self.end(run, STOP_GRACE_MS).await);
                }
                event = run.events.next() => event,
                () = sleep_until(deadline) => return End::Background,
            };
            let had_line = self.tail.has_line();
            if let Some(end) = self.take(&mut run, event).await {
                return end;
            }
            if !had_line && self.tail.has_line() {
                deadline = deadline.min(Instant::now() + BACKGROUND_AFTER_LINE);
            }
        }
    }

    /// Ends it with all that it started, and waits for what it still said.
    async fn end(&mut self, mut run: ShellRun, grace_ms: u64) -> Option<ExecExit> {
        // When it cannot be killed it is gone, or init is; both show below.
        let _ = self.ctx.shell.kill(&self.ctx.run_id, grace_ms).await;
        let last = async {
            loop {
                match run.events.next().await {
                    Some(ShellEvent::Output(bytes)) => self.output(&bytes),
                    Some(ShellEvent::Gap(_)) => self.gap = true,
                    Some(ShellEvent::Exit(exit)) => return Some(exit),
                    Some(ShellEvent::Lost) | None => return None,
                }
            }
        };
        timeout(LAST_WORDS, last).await.ok().flatten()
    }

    fn outcome(&self, end: &End, order: &Order, memory: Option<&LimitHit>) -> ToolOutcome {
        let (shown, note) = self.tail.text();
        let exit = match end {
            End::Exit(exit) => Some(exit),
            End::TimedOut(exit, _) | End::Cancelled(exit) => exit.as_ref(),
            End::Background | End::Unreachable(_) => None,
        };
        let note = note.or_else(|| self.gap.then(|| "The beginning is no longer kept".to_owned()));
        let path = exit.and_then(|exit| exit.output_path.as_deref()).filter(|_| note.is_some());
        let mut parts = Vec::new();
        if !shown.trim().is_empty() {
            parts.push(shown);
        }
        if let Some(note) = &note {
            let rest = match (path, exit.is_some_and(|e| e.truncated)) {
                (Some(path), false) => format!(" Full output: {path}"),
                (Some(path), true) => format!(" Its first part is in {path}"),
                (None, _) => String::new(),
            };
            parts.push(format!("[{note}.{rest}]"));
        }
        let silent = parts.is_empty();
        let mut details = Map::new();
        details.insert("id".into(), self.ctx.run_id.as_str().into());
        details.insert("pid".into(), self.pid.into());
        details.insert("background".into(), order.background.into());
        details.insert("exitCode".into(), exit.map(exit_code).into());
        details.insert("signal".into(), exit.and_then(|e| e.signal).into());
        details.insert("durationMs".into(), exit.map(|e| e.duration_ms).into());
        details.insert("outputBytes".into(), self.tail.bytes().into());
        details.insert("truncated".into(), note.is_some().into());
        details.insert("fullOutputPath".into(), path.into());
        let mut is_error = true;
        match end {
            End::Exit(exit) if order.background => parts.push(format!(
                "It did not stay in the background: it ended at once with {}.",
                ending(exit)
            )),
            End::Exit(exit) if exit.code == Some(0) => {
                is_error = false;
                if silent {
                    parts.push("(no output)".into());
                }
            }
            End::Exit(exit) => parts.push(format!("The command ended with {}.", ending(exit))),
            End::TimedOut(_, limit) => {
                details.insert("timedOut".into(), true.into());
                parts.push(format!(
                    "The command was ended after its time limit of {} seconds.",
                    limit.as_secs_f64()
                ));
            }
            End::Cancelled(_) => {
                details.insert("cancelled".into(), true.into());
                parts.push(STOPPED.into());
            }
            End::Background => {
                is_error = false;
                let id = &self.ctx.run_id;
                parts.insert(0, format!("It runs in the background as `{id}` (pid {}).", self.pid));
                if silent {
                    parts.push("It said nothing yet.".into());
                }
                parts.push(format!(
                    "To see more: process with action \"output\" and id \"{id}\"; to end it: action \
                     \"kill\"."
                ));
            }
            End::Unreachable(error) => parts.push(format!(
                "The connection to the command was lost ({error}); it may still run. Look with \
                 process, action \"list\"."
            )),
        }
        if let Some(hit) = memory {
            details.insert("memoryLimit".into(), json!(hit));
            parts.push(out_of_memory(hit));
        }
        let text = parts.join("\n\n");
        ToolOutcome { is_error, ..ToolOutcome::text(text).details(Value::Object(details)) }
    }
}

/// As shells count: 128 and the signal.
fn exit_code(exit: &ExecExit) -> i32 {
    exit.code.unwrap_or_else(|| 128 + exit.signal.unwrap_or_default())
}

/// How a program ended, in words.
pub(crate) fn ending(exit: &ExecExit) -> String {
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(9)) => "signal 9 (killed; perhaps for lack of memory)".into(),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".into(),
    }
}

/// Whether KILL ended it, or the last command of its shell.
fn was_killed(exit: &ExecExit) -> bool {
    exit_code(exit) == 128 + 9
}

/// What the model is told when the machine's memory limit ended something.
fn out_of_memory(hit: &LimitHit) -> String {
    let limit = match hit.limit {
        Some(bytes) => format!("the machine's memory limit of {} MiB", bytes >> 20),
        None => "the memory of the host".to_owned(),
    };
    let command = hit.command.as_deref().map(one_line);
    let victim = match command {
        Some(command) => format!("`{command}` was ended"),
        None => "a process was ended".to_owned(),
    };
    format!(
        "Out of memory: {victim} because {limit} was reached. Do it with less memory, or tell the \
         person that the limit is too low for this."
    )
}

/// A label in one line.
pub(crate) fn one_line(label: &str) -> String {
    let line = label.split_whitespace().collect::<Vec<_>>().join(" ");
    cut_at_char(&line, LABEL_CHARS_MAX).to_owned()
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
