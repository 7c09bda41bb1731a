//! Runs the calls of one answer. Calls that only read run side by side; any other runs alone, in
//! order, because it may need what the one before it did. Results are appended in the calls'
//! order. When a person steers, what has not begun is skipped (Pi's rule).

use super::{Run, Stop};
use crate::{
    people::Audience,
    session::{Body, Extra, QueuedAs, SessionError},
};
use futures_util::future::join_all;
use serde_json::Value;
use std::{
    borrow::Cow,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use toft_model::{
    event::{EventBody, ToolEnd, ToolStart, ToolUpdate},
    hash::fnv1a,
    mask::{Mask, Pieces},
    message::{Block, Message, ToolCall, ToolResultMessage},
};
use toft_tools::{ToolContext, ToolOutcome, Toolbox};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Tools that change nothing.
const READ_ONLY: [&str; 4] = ["read", "grep", "find", "ls"];

/// How long a tool may take to end by itself after an abort. Part of the second in which an abort
/// must be over.
const END_TIMEOUT: Duration = Duration::from_millis(500);

/// How long killing what a tool left may take after that.
const KILL_TIMEOUT: Duration = Duration::from_millis(300);

/// How long a tool may take to let go of what it kept: one request to init.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pieces of output that wait for the loop; the tool drops what does not fit.
const UPDATES_MAX: usize = 64;

/// Output of one call that is shown live: at once, and more with time. The result has what counts.
const UPDATE_BYTES_BURST: usize = 256 * 1024;
const UPDATE_BYTES_PER_SECOND: usize = 8 * 1024;

/// Largest piece in one event.
const UPDATE_BYTES_MAX: usize = 16 * 1024;

/// Tools whose output is that of programs.
const RUNS_PROGRAMS: [&str; 2] = ["bash", "process"];

/// Result of a call that an abort kept from ending.
pub(super) const ABORTED_CALL: &str = "Stopped by a person before it ended.";

/// Result of a call that a steering message kept from beginning (Pi's words).
const SKIPPED_CALL: &str = "Skipped due to queued user message.";

impl Run {
    /// Runs what has no result yet and appends the results.
    pub(super) async fn run_calls(
        &mut self,
        entry_id: &str,
        missing: Vec<(usize, ToolCall)>,
    ) -> Result<(), Stop> {
        let mut groups = grouped(missing).into_iter().peekable();
        while let Some(group) = groups.next() {
            self.run_group(entry_id, group).await?;
            if self.cancel.is_cancelled() {
                return Err(Stop::Aborted);
            }
            if groups.peek().is_some()
                && !self.conversation.queues.lock().await.is_empty(QueuedAs::Steer)
            {
                for (_, call) in groups.by_ref().flatten() {
                    self.close_call(&call, SKIPPED_CALL)?;
                }
                self.sync_meanwhile();
            }
        }
        Ok(())
    }

    async fn run_group(
        &mut self,
        entry_id: &str,
        group: Vec<(usize, ToolCall)>,
    ) -> Result<(), Stop> {
        let mut running = Vec::with_capacity(group.len());
        for (place, call) in group {
            if !self.conversation.shown().tool_open(&call.id) {
                self.conversation.emit(EventBody::ToolStart(ToolStart {
                    tool_call_id: call.id.clone(),
                    tool_name: call.name.clone(),
                    input: Value::Object(call.arguments.clone()),
                }));
            }
            let run_id = run_id(self.conversation.id().as_str(), entry_id, place);
            running.push(self.run_call(call, run_id));
        }
        let ended = join_all(running).await;
        for one in &ended {
            self.result(&one.call, one.outcome.clone(), one.duration)?;
        }
        self.sync_meanwhile();
        self.settle_later(ended);
        Ok(())
    }

    /// Lets go of what was kept to repeat these calls, once their results are on disk.
    fn settle_later(&mut self, ended: Vec<Ended>) {
        let around = Arc::clone(&self.conversation.around);
        let before = self.syncing.take();
        self.syncing = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            if let Some(before) = before {
                before.await.unwrap_or(Ok(()))?;
            }
            for Ended { call, context, outcome, .. } in ended {
                let settled = around.tools.settled(&call.name, &context, &outcome);
                let _ = tokio::time::timeout(SETTLE_TIMEOUT, settled).await;
                around.intents.forget(&context.run_id).await;
            }
            Ok(())
        })));
    }

    async fn run_call(&self, call: ToolCall, run_id: String) -> Ended {
        let around = &self.conversation.around;
        let began = Instant::now();
        let (updates, mut output) = mpsc::channel(UPDATES_MAX);
        let context = ToolContext {
            call_id: call.id.clone(),
            run_id,
            cwd: around.cwd.clone(),
            shell: Arc::clone(&around.shell),
            journal: Arc::clone(&around.intents) as _,
            people: Arc::new(Audience(Arc::clone(&self.conversation))),
            secrets: Arc::clone(&around.secrets),
            updates,
            cancel: self.cancel.child_token(),
        };
        let mut live = Live::new(&call);
        // A task of its own: calls of a group use more than one thread, and a panic stays there.
        let mut work = spawn(around.tools.clone(), &call, context.clone());
        let overdue = async {
            self.cancel.cancelled().await;
            tokio::time::sleep(END_TIMEOUT).await;
        };
        tokio::pin!(overdue);
        let outcome = loop {
            tokio::select! {
                Some(piece) = output.recv() => self.show(&mut live, piece, &mut output),
                outcome = &mut work => match outcome {
                    Ok(outcome) => break outcome,
                    Err(error) if error.is_panic() => break self.fault(&call),
                    // The event loop ends, and this task with it: the call is for the next process.
                    Err(_) => std::future::pending().await,
                },
                () = &mut overdue => {
                    drop(work);
                    let kill = around.shell.kill(&context.run_id, 0);
                    let _ = tokio::time::timeout(KILL_TIMEOUT, kill).await;
                    break ToolOutcome::cancelled(ABORTED_CALL);
                }
            }
        };
        while let Ok(piece) = output.try_recv() {
            self.show(&mut live, piece, &mut output);
        }
        self.show_rest(&mut live);
        if live.runs_programs {
            // What was not seen as it came, and the end of a last line.
            let rest = if live.observed { "\n".to_owned() } else { outcome.said() + "\n" };
            (around.observe_output)(&rest);
        }
        // Secrets that came meanwhile, too.
        let outcome = masked(outcome, &around.secrets.mask());
        Ended { call, context, outcome, duration: began.elapsed() }
    }

    /// A tool with a fault of ours: people learn of it too, not only the model.
    fn fault(&self, call: &ToolCall) -> ToolOutcome {
        let text = format!(
            "The tool `{}` failed in an unexpected way; its effect is not known.",
            call.name
        );
        self.conversation.emit(EventBody::Error { code: "internal".into(), message: text.clone() });
        ToolOutcome::error(text)
    }

    /// Shows output as it comes, as much as people can follow.
    fn show(&self, live: &mut Live, mut piece: String, more: &mut mpsc::Receiver<String>) {
        // Backpressure: what piled up meanwhile goes into one event.
        while piece.len() < UPDATE_BYTES_MAX
            && let Ok(next) = more.try_recv()
        {
            piece.push_str(&next);
        }
        if live.runs_programs {
            live.observed = true;
            (self.conversation.around.observe_output)(&piece);
        }
        let piece = live.pieces.pass(&self.conversation.around.secrets.mask(), piece);
        self.tell_piece(live, piece);
    }

    /// Shows what was kept because a secret might have begun with it.
    fn show_rest(&self, live: &mut Live) {
        let rest = live.pieces.rest(&self.conversation.around.secrets.mask());
        self.tell_piece(live, rest);
    }

    fn tell_piece(&self, live: &mut Live, piece: String) {
        if piece.is_empty() {
            return;
        }
        let Some(delta) = live.allowed(piece) else { return };
        self.conversation.emit(EventBody::ToolUpdate(ToolUpdate {
            tool_call_id: live.call_id.clone(),
            tool_name: live.tool_name.clone(),
            delta,
        }));
    }

    /// Appends a result and tells it.
    fn result(
        &self,
        call: &ToolCall,
        outcome: ToolOutcome,
        duration: Duration,
    ) -> Result<(), SessionError> {
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let cwd = &self.conversation.around.cwd;
        let shorter = |path: PathBuf| path.strip_prefix(cwd).map(PathBuf::from).unwrap_or(path);
        let changed =
            outcome.changed.into_iter().map(|p| shorter(p).display().to_string()).collect();
        let result = ToolResultMessage {
            tool_call_id: call.id.clone(),
            tool_name: call.name.clone(),
            content: outcome.content,
            details: outcome.details,
            is_error: outcome.is_error,
            timestamp: self.conversation.now_ms(),
        };
        let extra = Extra { changed, duration_ms: Some(duration_ms), queued: None };
        let body = Body::Message(Message::ToolResult(result.clone()));
        let id = self.conversation.append(body, extra)?;
        self.conversation.emit(EventBody::ToolEnd(ToolEnd {
            tool_call_id: call.id.clone(),
            tool_name: call.name.clone(),
            is_error: result.is_error,
            result,
            duration_ms,
        }));
        self.conversation.tell_message(&id, false);
        Ok(())
    }

    /// Gives a call that will not run a result that says so.
    pub(super) fn close_call(&self, call: &ToolCall, why: &str) -> Result<(), SessionError> {
        if !self.conversation.shown().tool_open(&call.id) {
            self.conversation.emit(EventBody::ToolStart(ToolStart {
                tool_call_id: call.id.clone(),
                tool_name: call.name.clone(),
                input: Value::Object(call.arguments.clone()),
            }));
        }
        self.result(call, ToolOutcome::cancelled(why), Duration::ZERO)
    }
}

/// A call that has ended.
struct Ended {
    call: ToolCall,
    context: ToolContext,
    outcome: ToolOutcome,
    duration: Duration,
}

fn spawn(tools: Toolbox, call: &ToolCall, context: ToolContext) -> AbortOnDropHandle<ToolOutcome> {
    let (name, arguments) = (call.name.clone(), Value::Object(call.arguments.clone()));
    AbortOnDropHandle::new(tokio::spawn(async move { tools.run(&name, &context, arguments).await }))
}

/// Neighbours that only read together, every other call alone.
fn grouped(calls: Vec<(usize, ToolCall)>) -> Vec<Vec<(usize, ToolCall)>> {
    let reads = |call: &ToolCall| READ_ONLY.contains(&call.name.as_str());
    let mut groups: Vec<Vec<(usize, ToolCall)>> = Vec::new();
    for (place, call) in calls {
        match groups.last_mut() {
            Some(group) if reads(&call) && group.iter().all(|(_, other)| reads(other)) => {
                group.push((place, call));
            }
            _ => groups.push(vec![(place, call)]),
        }
    }
    groups
}

/// `{session}.{entry}.{place}`: the same for the same call after a crash, unlike the provider's id
/// always short and of harmless characters.
fn run_id(session: &str, entry: &str, place: usize) -> String {
    // Imported files may have any ids.
    let fits = entry.len() <= 32 && entry.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits {
        return format!("{session}.{entry}.{place}");
    }
    format!("{session}.{:016x}.{place}", fnv1a(entry.as_bytes()))
}

/// The outcome without the values of secrets: a model and the session's file get names.
fn masked(mut outcome: ToolOutcome, mask: &Mask) -> ToolOutcome {
    for block in &mut outcome.content {
        if let Block::Text { text, .. } = block
            && let Cow::Owned(masked) = mask.text(text)
        {
            *text = masked;
        }
    }
    if let Some(details) = &mut outcome.details {
        mask.json(details);
    }
    outcome
}

/// Live output of one call.
struct Live {
    call_id: String,
    tool_name: String,
    began: Instant,
    sent: usize,
    left_out: bool,
    /// Whether its output is that of programs, which may name the app's port.
    runs_programs: bool,
    observed: bool,
    /// Values of secrets are not shown, those that come meanwhile neither.
    pieces: Pieces,
}

impl Live {
    fn new(call: &ToolCall) -> Self {
        Self {
            call_id: call.id.clone(),
            tool_name: call.name.clone(),
            began: Instant::now(),
            sent: 0,
            left_out: false,
            runs_programs: RUNS_PROGRAMS.contains(&call.name.as_str()),
            observed: false,
            pieces: Pieces::default(),
        }
    }

    /// The piece, or what may be shown of it now.
    fn allowed(&mut self, piece: String) -> Option<String> {
        let seconds = usize::try_from(self.began.elapsed().as_secs()).unwrap_or(usize::MAX);
        let budget =
            UPDATE_BYTES_BURST.saturating_add(seconds.saturating_mul(UPDATE_BYTES_PER_SECOND));
        if self.sent + piece.len() > budget {
            let first = !self.left_out;
            self.left_out = true;
            return first.then(|| "\n[output left out here; the result has its end]\n".to_owned());
        }
        self.sent += piece.len();
        self.left_out = false;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> ToolCall {
        ToolCall { id: name.into(), name: name.into(), arguments: serde_json::Map::new() }
    }

    #[test]
    fn only_calls_that_read_run_side_by_side() {
        let names = ["read", "ls", "bash", "grep", "write", "write", "find", "read"];
        let calls = names.iter().enumerate().map(|(n, name)| (n, call(name))).collect();
        let shape: Vec<usize> = grouped(calls).iter().map(Vec::len).collect();
        assert_eq!(shape, [2, 1, 1, 1, 1, 2]);
    }

    #[test]
    fn a_run_id_is_always_fit_for_init() {
        let check = |session: &str, entry: &str| {
            let id = run_id(session, entry, 127);
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
            assert!(id.len() <= 128 && id.bytes().all(fits), "{id}");
        };
        check("0190a4c0-0000-7000-8000-000000000000", "a1b2c3d4");
        check(&"s".repeat(80), "../../etc/passwd and a very long id that somebody made up");
    }

    #[test]
    fn a_flood_of_output_is_shown_in_part() {
        let mut live = Live::new(&call("bash"));
        let shown: usize = (0..1_000)
            .filter_map(|_| live.allowed("x".repeat(UPDATE_BYTES_MAX)))
            .map(|s| s.len())
            .sum();
        assert!((UPDATE_BYTES_BURST - UPDATE_BYTES_MAX..UPDATE_BYTES_BURST * 2).contains(&shown));
    }
}
