//! Runs one program of these tools, without a shell, and gathers both of its streams apart. As a command of `bash`
//! it is found again by the call's id, followed, and ended by a person or its time limit.

use super::{Bounds, TIMEOUT_MAX};
use crate::{
    arguments::{Arguments, Refused},
    bash::STOP_GRACE_MS,
    checks,
    host::{ShellEvent, ShellRun, ToolContext, Update},
    outcome::{STOPPED, ToolOutcome},
    output::Utf8Pieces,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use toft_model::{
    event::OutputStream,
    init::{ExecExit, ExecSpec},
    receipt::ReceiptFor,
};
use tokio::time::{Instant, sleep, timeout};

/// How long init may be away.
const LOST_PATIENCE: Duration = Duration::from_secs(30);
/// Wait before it is asked again.
const LOST_WAIT: Duration = Duration::from_millis(100);
/// How long the last words of an ended program are waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Longer than anything works.
const FOREVER: Duration = Duration::from_hours(24 * 365);

/// What to run.
pub(super) struct Order<'a> {
    pub(super) argv: Vec<String>,
    /// As the model wrote it, for people.
    pub(super) shown: String,
    /// The line of a shell that would do the same, in which checks are looked for.
    pub(super) line: String,
    pub(super) cwd: &'a Path,
    pub(super) env: Vec<(String, String)>,
    /// `None`: what is set for all.
    pub(super) limit: Option<Duration>,
}

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Ran {
    exit: Option<ExecExit>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// Why it did not end by itself, or was not run.
    pub(super) error: Option<String>,
    is_stopped: bool,
}

impl Ran {
    pub(super) fn is_ok(&self) -> bool {
        self.error.is_none() && self.exit.as_ref().is_some_and(|exit| exit.code == Some(0))
    }

    /// As shells count; nothing when it was not run.
    pub(super) fn exit_code(&self) -> Option<i32> {
        self.exit
            .as_ref()
            .map(|exit| exit.code.unwrap_or_else(|| 128 + exit.signal.unwrap_or_default()))
    }

    /// In the words of the source.
    pub(super) fn result(&self, shown: &str) -> Value {
        let mut result = json!({
            "ok": self.is_ok(), "executedCmd": shown, "exitCode": self.exit_code(),
            "stdout": self.stdout, "stderr": self.stderr,
        });
        if let Some(error) = &self.error {
            result["error"] = error.as_str().into();
        }
        result
    }

    /// The outcome of a call that says this. What a person stopped is no answer.
    pub(super) fn outcome(&self, said: &Value) -> ToolOutcome {
        if self.is_stopped {
            return ToolOutcome::cancelled(STOPPED);
        }
        ToolOutcome::text(said.to_string()).details(said.clone())
    }
}

/// The answer of what is not allowed.
pub(super) fn denial(shown: &str, why: &str) -> ToolOutcome {
    let result = json!({
        "ok": false, "executedCmd": shown, "exitCode": null, "stdout": "", "stderr": "",
        "error": format!("Not allowed, and not run: {why}."),
    });
    ToolOutcome::text(result.to_string()).details(result)
}

/// How long a call lets its program work, if it says so.
pub(super) fn limit(args: &mut Arguments) -> Result<Option<Duration>, Refused> {
    let asked = args.positive("timeoutMs")?;
    let limit = asked.map(|ms| Duration::try_from_secs_f64(ms / 1_000.0));
    Ok(limit.map(|limit| limit.unwrap_or(TIMEOUT_MAX).min(TIMEOUT_MAX)))
}

/// The last characters of what came, in bounded memory.
struct Kept {
    bytes: Vec<u8>,
    chars_max: usize,
    is_cut: bool,
}

impl Kept {
    fn new(chars_max: usize) -> Self {
        Self { bytes: Vec::new(), chars_max, is_cut: false }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // A character has four bytes at most.
        let room = self.chars_max.saturating_mul(4);
        if self.bytes.len() > room.saturating_mul(2) {
            let drop = self.bytes.len() - room;
            self.bytes.drain(..drop);
            self.is_cut = true;
        }
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let chars = text.chars().count();
        if !self.is_cut && chars <= self.chars_max {
            return text.into_owned();
        }
        let last: String = text.chars().skip(chars.saturating_sub(self.chars_max)).collect();
        format!("[only the last {} characters]\n{last}", self.chars_max)
    }
}

/// One stream on its way to people. After a reconnect its bytes come again, and are not shown again.
struct Shown {
    stream: OutputStream,
    pieces: Utf8Pieces,
    /// Bytes that came by this connection, and that were shown by any.
    came: u64,
    told: u64,
}

impl Shown {
    fn new(stream: OutputStream) -> Self {
        Self { stream, pieces: Utf8Pieces::default(), came: 0, told: 0 }
    }

    fn show(&mut self, ctx: &ToolContext, bytes: &[u8]) {
        let skip = usize::try_from(self.told.saturating_sub(self.came)).unwrap_or(usize::MAX);
        self.came += bytes.len() as u64;
        let Some(new) = bytes.get(skip..).filter(|new| !new.is_empty()) else { return };
        self.told = self.came;
        let text = self.pieces.push(new);
        if !text.is_empty() {
            // Nobody keeping up is no reason to stop.
            let _ = ctx.updates.try_send(Update { text, stream: self.stream });
        }
    }
}

/// Until it ends.
pub(super) async fn run(ctx: &ToolContext, bounds: Bounds, order: Order<'_>) -> Ran {
    if ctx.cancel.is_cancelled() {
        return Ran { is_stopped: true, ..Ran::default() };
    }
    let limit = order.limit.unwrap_or(bounds.timeout);
    let until = Instant::now() + limit;
    let spec = ExecSpec {
        id: Some(ctx.run_id.clone()),
        argv: order.argv,
        cwd: Some(order.cwd.display().to_string()),
        env: order.env,
        detach: true,
        read_only: ctx.read_only,
        receipt: Some(ReceiptFor {
            session_id: ctx.session_id.clone(),
            tool_call_id: ctx.call_id.clone(),
            checks: checks::of(&order.line),
        }),
        label: Some(order.shown),
        ..ExecSpec::default()
    };
    let mut lost_until = Instant::now() + LOST_PATIENCE;
    let mut shown = [OutputStream::Stdout, OutputStream::Stderr].map(Shown::new);
    loop {
        let error = match ctx.shell.start(spec.clone()).await {
            Ok(run) => {
                if let Some(ran) = follow(ctx, run, bounds, &mut shown, until, limit).await {
                    return ran;
                }
                lost_until = Instant::now() + LOST_PATIENCE;
                continue;
            }
            Err(error) => error,
        };
        let is_lost = matches!(error.code.as_str(), "lost" | "io");
        if !is_lost || Instant::now() > lost_until || ctx.cancel.is_cancelled() {
            let program = spec.argv.first().map_or("", String::as_str);
            let error = if error.code == "not_found" || error.code == "spawn" {
                format!("{program} is not in this machine, or cannot be started: {error}")
            } else {
                error.to_string()
            };
            return Ran { error: Some(error), ..Ran::default() };
        }
        sleep(LOST_WAIT).await;
    }
}

/// `None`: the connection was lost.
async fn follow(
    ctx: &ToolContext,
    mut run: ShellRun,
    bounds: Bounds,
    [shown, shown_errors]: &mut [Shown; 2],
    until: Instant,
    limit: Duration,
) -> Option<Ran> {
    (shown.came, shown_errors.came) = (0, 0);
    let (mut out, mut errors) = (Kept::new(bounds.chars_max), Kept::new(bounds.chars_max));
    let mut error = None;
    let mut is_stopped = false;
    let exit = loop {
        let event = tokio::select! {
            biased;
            () = ctx.cancel.cancelled(), if error.is_none() => {
                is_stopped = true;
                error = Some(STOPPED.to_owned());
                let _ = ctx.shell.kill(&ctx.run_id, STOP_GRACE_MS).await;
                continue;
            }
            () = tokio::time::sleep_until(until), if error.is_none() => {
                error = Some(format!("ended after its time limit of {} seconds", limit.as_secs_f64()));
                let _ = ctx.shell.kill(&ctx.run_id, STOP_GRACE_MS).await;
                continue;
            }
            // Of one that was ended the last words come at once, or not at all.
            event = timeout(if error.is_some() { LAST_WORDS } else { FOREVER }, run.events.next()) => {
                event.unwrap_or(None)
            }
        };
        match event {
            Some(ShellEvent::Output(bytes)) => {
                shown.show(ctx, &bytes);
                out.push(&bytes);
            }
            Some(ShellEvent::Errors(bytes)) => {
                shown_errors.show(ctx, &bytes);
                errors.push(&bytes);
            }
            Some(ShellEvent::Gap(_)) => {
                out.is_cut = true;
                // Of which stream it was is not known: what comes now is shown.
                (shown.came, shown_errors.came) = (shown.told, shown_errors.told);
            }
            Some(ShellEvent::Exit(exit)) => break Some(exit),
            Some(ShellEvent::Lost) | None if error.is_some() => break None,
            Some(ShellEvent::Lost) | None => return None,
        }
    };
    Some(Ran { exit, stdout: out.text(), stderr: errors.text(), error, is_stopped })
}

/// Lets go of what init keeps of it.
pub(super) async fn let_go(ctx: &ToolContext) {
    let _ = ctx.shell.forget(&ctx.run_id).await;
}
