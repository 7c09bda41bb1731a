//! Following a command: what it says goes on to people, a lost connection is made anew, a limit or a
//! person ends it.

use super::{LABEL_CHARS_MAX, STOP_GRACE_MS};
use crate::{
    checks,
    host::{ShellError, ShellEvent, ShellRun, ToolContext},
    output::{Tail, Utf8Pieces},
};
use futures_util::StreamExt as _;
use std::time::Duration;
use toft_model::{
    init::{ExecExit, ExecSpec},
    receipt::ReceiptFor,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

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

/// How long to try again when init cannot be reached; a bridge and its init are restarted faster.
pub(super) const LOST_PATIENCE: Duration = Duration::from_secs(30);

/// Wait between such tries.
const LOST_WAIT: Duration = Duration::from_millis(100);

/// How watching a command came to its end.
pub(super) enum End {
    Exit(ExecExit),
    TimedOut(Option<ExecExit>, Duration),
    Cancelled(Option<ExecExit>),
    /// It goes on.
    Background,
    Unreachable(ShellError),
}

pub(super) struct Watch<'a> {
    pub(super) ctx: &'a ToolContext,
    spec: ExecSpec,
    pub(super) tail: Tail,
    pieces: Utf8Pieces,
    pub(super) pid: u32,
    /// Bytes that were passed on as updates; after a reconnect they come again.
    told: u64,
    /// Whether output was skipped that is no longer kept.
    pub(super) gap: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(ctx: &'a ToolContext, command: &str, background: bool) -> Self {
        let label: String = command.chars().take(LABEL_CHARS_MAX).collect();
        let spec = ExecSpec {
            id: Some(ctx.run_id.clone()),
            argv: vec!["bash".into(), "-c".into(), command.to_owned()],
            cwd: Some(ctx.cwd.display().to_string()),
            merge_stderr: true,
            detach: true,
            // The tool `process` can answer what it asks.
            stdin: background,
            read_only: ctx.read_only,
            label: Some(label),
            receipt: Some(ReceiptFor {
                session_id: ctx.session_id.clone(),
                tool_call_id: ctx.call_id.clone(),
                checks: checks::of(command),
            }),
            ..ExecSpec::default()
        };
        Self::of(ctx, spec)
    }

    /// Of another program; it is named by the run's id.
    pub(super) fn of(ctx: &'a ToolContext, spec: ExecSpec) -> Self {
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
    pub(super) async fn attach(&mut self, give_up: Instant) -> Result<ShellRun, ShellError> {
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
            Some(ShellEvent::Output(bytes) | ShellEvent::Errors(bytes)) => {
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
        let _ = self.ctx.updates.try_send(text[from..].to_owned().into());
    }

    pub(super) async fn until_it_ends(
        &mut self,
        mut run: ShellRun,
        limit: Option<Duration>,
    ) -> End {
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

    pub(super) async fn a_while(&mut self, mut run: ShellRun) -> End {
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
                    Some(ShellEvent::Output(bytes) | ShellEvent::Errors(bytes)) => {
                        self.output(&bytes);
                    }
                    Some(ShellEvent::Gap(_)) => self.gap = true,
                    Some(ShellEvent::Exit(exit)) => return Some(exit),
                    Some(ShellEvent::Lost) | None => return None,
                }
            }
        };
        timeout(LAST_WORDS, last).await.ok().flatten()
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
