//! Runs the calls of one answer. Calls that only read run side by side; any other runs alone, in
//! order, because it may need what the one before it did. Results are appended in the calls'
//! order. When a person steers, what has not begun is skipped (Pi's rule).

use super::{Run, Stop, hooks::with_note, ids::run_id, live::Live, permit::start_of};
use crate::{
    extensions::HookEvent,
    people::Audience,
    session::{Body, Extra, QueuedAs, SessionError},
    task::Helpers,
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
    event::{EventBody, OutputStream, ToolEnd, ToolUpdate},
    id::SessionId,
    mask::Mask,
    message::{AssistantMessage, Block, Message, ToolCall, ToolResultMessage},
    plan::Mode,
    tool::TASK,
};
use toft_tools::{Again, STOPPED, ToolContext, ToolOutcome, Toolbox, Update};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Tools that change nothing, and of which nobody outside of the machine learns.
const LOCAL: [&str; 4] = ["read", "grep", "find", "ls"];

/// Changes nothing either, but is seen by the host that it asks.
const WEB_FETCH: &str = "web_fetch";

/// How long a tool may take to end by itself after an abort. Part of the second in which an abort
/// must be over.
const END_TIMEOUT: Duration = Duration::from_millis(500);

/// How long killing what a tool left may take after that.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_millis(300);

/// How long a tool may take to let go of what it kept: one request to init.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pieces of output that wait for the loop; the tool drops what does not fit.
const UPDATES_MAX: usize = 64;

/// Largest piece in one event.
pub(super) const UPDATE_BYTES_MAX: usize = 16 * 1024;

/// Result of a call that an abort kept from ending.
pub(super) const ABORTED_CALL: &str = "Stopped by a person before it ended.";

/// Result of a call that the prompt's time limit kept from ending.
pub(super) const OVERDUE_CALL: &str =
    "Stopped before it ended: the prompt has taken the time that it may.";

/// Tasks of one answer that run side by side: each asks a model of its own accord.
const TASKS_MAX: usize = 4;

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
        let mut done = Vec::with_capacity(group.len());
        for (place, call) in group {
            let run_id = run_id(self.conversation.id().as_str(), entry_id, place);
            let (call, hooked) = self.hooked(call, entry_id).await?;
            let child = self.is_task(&call).then(|| SessionId::of(&run_id));
            self.conversation.tell_begun(&call, child);
            let (permit, changed_by) = match hooked {
                // One after the other: a person is asked one question at a time.
                Ok(changed_by) => (self.may_run(&call, entry_id, &run_id).await, changed_by),
                Err(refused) => (Err(refused), Vec::new()),
            };
            done.push(permit.is_ok().then_some(changed_by));
            running.push(self.run_call(call, run_id, permit));
        }
        let mut ended = join_all(running).await;
        for (one, done) in ended.iter_mut().zip(done) {
            if let Some(changed_by) = done {
                with_note(&mut one.outcome, &one.call, &changed_by);
                self.hook_result(one).await?;
            }
            self.result(&one.call, one.outcome.clone(), one.duration)?;
        }
        self.sync_meanwhile();
        self.settle_later(ended);
        Ok(())
    }

    /// Lets go of what was kept to repeat these calls, once their results are on disk.
    pub(super) fn settle_later(&mut self, ended: Vec<Ended>) {
        let around = Arc::clone(&self.conversation.around);
        let tools = self.conversation.tools();
        let before = self.syncing.take();
        self.syncing = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            if let Some(before) = before {
                before.await.unwrap_or(Ok(()))?;
            }
            for Ended { call, context, outcome, .. } in ended {
                let settled = tools.settled(&call.name, &context, &outcome);
                let _ = tokio::time::timeout(SETTLE_TIMEOUT, settled).await;
                around.intents.forget(&context.run_id).await;
                let arguments = Value::Object(call.arguments);
                if tools.again(&call.name, &arguments) == Again::Unsure {
                    around.intents.forget(&start_of(&context.run_id)).await;
                }
            }
            Ok(())
        })));
    }

    pub(super) async fn run_call(
        &self,
        call: ToolCall,
        run_id: String,
        permit: Result<(), ToolOutcome>,
    ) -> Ended {
        let around = &self.conversation.around;
        let began = Instant::now();
        let (updates, mut output) = mpsc::channel(UPDATES_MAX);
        let context = ToolContext {
            session_id: self.conversation.id().clone(),
            call_id: call.id.clone(),
            run_id,
            cwd: around.cwd.clone(),
            shell: Arc::clone(&around.shell),
            journal: Arc::clone(&around.intents) as _,
            people: Arc::new(Audience(Arc::clone(&self.conversation))),
            secrets: Arc::clone(&around.secrets),
            tasks: Arc::new(Helpers {
                conversation: Arc::clone(&self.conversation),
                sessions: Arc::clone(&self.sessions),
            }),
            seen: Arc::clone(&self.conversation.seen),
            read_only: self.conversation.mode() == Mode::Plan,
            updates,
            cancel: self.cancel.child_token(),
        };
        if let Err(outcome) = permit {
            return Ended { call, context, outcome, duration: Duration::ZERO };
        }
        let mut live = Live::new(&call);
        // A task of its own: calls of a group use more than one thread, and a panic stays there.
        let mut work = spawn(self.conversation.tools(), &call, context.clone());
        let overdue = async {
            self.cancel.cancelled().await;
            tokio::time::sleep(END_TIMEOUT).await;
        };
        tokio::pin!(overdue);
        let outcome = loop {
            tokio::select! {
                Some(update) = output.recv() => self.show(&mut live, update, &mut output),
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
        while let Ok(update) = output.try_recv() {
            self.show(&mut live, update, &mut output);
        }
        self.show_rest(&mut live);
        if live.runs_programs {
            // What was not seen as it came, and the end of a last line.
            let rest = if live.observed { "\n".to_owned() } else { outcome.said() + "\n" };
            (around.observe_output)(&rest);
        }
        let outcome = if self.is_overdue() { by_limit(outcome) } else { outcome };
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
    fn show(&self, live: &mut Live, update: Update, more: &mut mpsc::Receiver<Update>) {
        let mut next = Some(update);
        while let Some(Update { mut text, stream }) = next.take() {
            // Backpressure: what piled up meanwhile of the same stream goes into one event.
            while text.len() < UPDATE_BYTES_MAX
                && let Ok(came) = more.try_recv()
            {
                if came.stream != stream {
                    next = Some(came);
                    break;
                }
                text.push_str(&came.text);
            }
            if live.runs_programs {
                live.observed = true;
                (self.conversation.around.observe_output)(&text);
            }
            let mask = self.conversation.around.secrets.mask();
            let shown = live.pieces(stream).pass(&mask, text);
            self.tell_piece(live, shown, stream);
        }
    }

    /// Shows what was kept because a secret might have begun with it.
    fn show_rest(&self, live: &mut Live) {
        let mask = self.conversation.around.secrets.mask();
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            let rest = live.pieces(stream).rest(&mask);
            self.tell_piece(live, rest, stream);
        }
    }

    fn tell_piece(&self, live: &mut Live, piece: String, stream: OutputStream) {
        if piece.is_empty() {
            return;
        }
        let Some(delta) = live.allowed(piece) else { return };
        self.conversation.emit(EventBody::ToolUpdate(ToolUpdate {
            tool_call_id: live.call_id.clone(),
            tool_name: live.tool_name.clone(),
            delta,
            stream,
        }));
    }

    /// Appends a result and tells it.
    pub(super) fn result(
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
        let extra = Extra { changed, duration_ms: Some(duration_ms), ..Extra::default() };
        let body = Body::Message(Message::ToolResult(result.clone()));
        let id = self.conversation.append(body, extra)?;
        if call.name == TASK
            && let Some(task) =
                result.details.as_ref().and_then(|d| d["sessionId"].as_str()?.parse().ok())
        {
            // What it spent is in the result now.
            self.conversation.purse.remove(&task);
        }
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

    /// Whether an answer has calls, and nothing that they do is seen by anybody before people are told.
    pub(super) fn may_run_ahead(&self, message: &AssistantMessage) -> bool {
        let mut calls = message.tool_calls().peekable();
        calls.peek().is_some()
            && calls.all(is_local)
            && !self.extensions.has(HookEvent::ToolCall)
            && !self.extensions.has(HookEvent::ToolResult)
    }

    /// Whether a call has a conversation of its own.
    fn is_task(&self, call: &ToolCall) -> bool {
        call.name == TASK && !self.conversation.is_task()
    }
}

/// A call that has ended.
pub(super) struct Ended {
    pub(super) call: ToolCall,
    context: ToolContext,
    pub(super) outcome: ToolOutcome,
    duration: Duration,
}

fn spawn(tools: Toolbox, call: &ToolCall, context: ToolContext) -> AbortOnDropHandle<ToolOutcome> {
    let (name, arguments) = (call.name.clone(), Value::Object(call.arguments.clone()));
    AbortOnDropHandle::new(tokio::spawn(async move { tools.run(&name, &context, arguments).await }))
}

/// Whether a call changes nothing.
fn reads(call: &ToolCall) -> bool {
    is_local(call) || call.name == WEB_FETCH
}

fn is_local(call: &ToolCall) -> bool {
    LOCAL.contains(&call.name.as_str())
}

/// Neighbours that only read together, and so are a few tasks; every other call alone.
fn grouped(calls: Vec<(usize, ToolCall)>) -> Vec<Vec<(usize, ToolCall)>> {
    let task = |call: &ToolCall| call.name == TASK;
    let mut groups: Vec<Vec<(usize, ToolCall)>> = Vec::new();
    for (place, call) in calls {
        match groups.last_mut() {
            Some(group) if reads(&call) && group.iter().all(|(_, other)| reads(other)) => {
                group.push((place, call));
            }
            Some(group)
                if task(&call)
                    && group.len() < TASKS_MAX
                    && group.iter().all(|(_, other)| task(other)) =>
            {
                group.push((place, call));
            }
            _ => groups.push(vec![(place, call)]),
        }
    }
    groups
}

/// The outcome of a call that the time limit ended: tools take whoever ends them for a person.
fn by_limit(mut outcome: ToolOutcome) -> ToolOutcome {
    for block in &mut outcome.content {
        if let Block::Text { text, .. } = block {
            *text = text.replace(STOPPED, OVERDUE_CALL);
        }
    }
    outcome
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

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> ToolCall {
        ToolCall { id: name.into(), name: name.into(), arguments: serde_json::Map::new() }
    }

    #[test]
    fn calls_that_only_read_and_tasks_run_side_by_side() {
        let tasks = ["task"; 5];
        let names = ["read", "ls", "bash", "grep", "write", "write", "find", "read"];
        let names: Vec<&str> = names.into_iter().chain(tasks).collect();
        let calls = names.iter().enumerate().map(|(n, name)| (n, call(name))).collect();
        let shape: Vec<usize> = grouped(calls).iter().map(Vec::len).collect();
        assert_eq!(shape, [2, 1, 1, 1, 1, 2, 4, 1]);
    }
}
