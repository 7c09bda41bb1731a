//! What events of a machine mean for a run, in the words of the runs API. What it must remember lies in the run's state,
//! which is written in the same transaction as what is made here, so an event is told once whoever tells it; and in the
//! calls that have begun and not ended, which the next teller reads again.

use super::shown::usage_of;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};
use toft_model::{
    event::{AgentEnd, Answered, MessageEnd, RetryStart, ToolEnd, ToolStart, ToolUpdate},
    message::{AssistantMessage, Message, text_of},
    plan::{AutoCheck, CheckStatus, PlanReady, PlanTodo},
    run::{Commit, JobId, Phase, RunStatus, RunStep, WaitsFor},
    text::is_plain,
    tool::TASK,
};
use toft_store::{NewEvent, NewRunEvent, RunState, RunUsage};

/// Characters of a tool's output that are told: the conversation has all of it.
const OUTPUT_CHARS_MAX: usize = 64_000;

/// What a program says that tried to write where only reading is allowed.
const EROFS: &str = "Read-only file system";

/// Calls under way of which is remembered what they were asked to do: far more than any agent makes at once.
const CALLS_MAX: usize = 256;
/// And bytes of it: some files that are written whole.
const CALLS_BYTES_MAX: usize = 32 << 20;

/// Characters of a name that a machine tells.
const NAME_CHARS_MAX: usize = 200;

/// Begins the id of a call that nobody asked for: the project's own check.
const CHECK_CALL: &str = "check_";

/// Says of a run's model that another one answered before: what was used is not that one's alone, and has no one price.
pub(super) const SEVERAL: &str = "several";

/// Data of the last event of a run that was ended.
pub(super) const CANCELLED: &str = r#"{"status":"cancelled"}"#;

/// A run's events, as they are made.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(pub(super) Vec<NewRunEvent>);

impl Told {
    pub(super) fn say(&mut self, ts: u64, kind: &str, data: &Value) {
        self.0.push(NewRunEvent { ts, kind: kind.to_owned(), data: data.to_string() });
    }

    /// A `status`, with what belongs to it.
    pub(super) fn status(&mut self, ts: u64, status: &str, mut with: Value) {
        with["status"] = status.into();
        self.say(ts, "status", &with);
    }
}

/// What calls of tools were asked to do, until they end, what is waited for, and what the project's check said last. A
/// machine may begin as many as it likes and end none: what is forgotten of them is told without it.
#[derive(Debug, Default)]
pub(super) struct Calls {
    asked: HashMap<String, Asked>,
    /// Of all of it.
    bytes: usize,
    check_passed: Option<bool>,
    /// Questions that nobody has answered.
    questions: HashSet<String>,
    /// What a call of a model waits for: a task's may wait while another one asks.
    model_waits: Option<WaitsFor>,
}

#[derive(Debug)]
struct Asked {
    input: Value,
    bytes: usize,
}

impl Calls {
    fn begin(&mut self, tool: ToolStart, bytes: usize) {
        self.end(&tool.tool_call_id);
        if self.asked.len() >= CALLS_MAX || self.bytes + bytes > CALLS_BYTES_MAX {
            (self.asked, self.bytes) = (HashMap::new(), 0);
        }
        if bytes <= CALLS_BYTES_MAX {
            self.bytes += bytes;
            self.asked.insert(tool.tool_call_id, Asked { input: tool.input, bytes });
        }
    }

    fn end(&mut self, call: &str) -> Value {
        let Some(asked) = self.asked.remove(call) else { return Value::Null };
        self.bytes -= asked.bytes;
        asked.input
    }

    fn command(&self, call: &str) -> Option<&Value> {
        command(&self.asked.get(call)?.input)
    }

    /// Takes in who is waited for, or not any more. Whether it said so.
    fn wait(&mut self, event: &NewEvent) -> bool {
        match event.kind.as_str() {
            "question" | "answered" => {
                // Both name it in the same way.
                let Ok(of) = serde_json::from_str::<Answered>(&event.data) else { return false };
                let key = of.id.unwrap_or(of.tool_call_id);
                if event.kind == "answered" {
                    self.questions.remove(&key);
                } else if self.questions.len() < CALLS_MAX {
                    self.questions.insert(key);
                }
                true
            }
            "auto_retry_start" => {
                let Ok(retry) = serde_json::from_str::<RetryStart>(&event.data) else {
                    return false;
                };
                // A budget that is spent is raised by a person.
                let what = if retry.asks { WaitsFor::Answer } else { WaitsFor::Provider };
                let waits = retry.asks || retry.waits;
                self.model_waits = waits.then_some(what).or(self.model_waits);
                waits
            }
            "auto_retry_end" => {
                self.model_waits = None;
                true
            }
            "agent_end" => {
                (self.questions, self.model_waits) = (HashSet::new(), None);
                false
            }
            _ => false,
        }
    }

    /// Who is waited for now.
    fn waits(&self) -> Option<WaitsFor> {
        if self.questions.is_empty() { self.model_waits } else { Some(WaitsFor::Answer) }
    }

    /// Takes in what was told before.
    pub(super) fn remember(&mut self, event: &NewEvent) {
        self.wait(event);
        if event.kind == "tool_start"
            && let Ok(tool) = serde_json::from_str::<ToolStart>(&event.data)
        {
            self.begin(tool, event.data.len());
        } else if event.kind == "tool_end"
            && let Ok(tool) = serde_json::from_str::<ToolEnd>(&event.data)
        {
            self.end(&tool.tool_call_id);
        } else if event.kind == "auto_check"
            && let Ok(check) = serde_json::from_str::<AutoCheck>(&event.data)
        {
            self.check(check.status);
        }
    }

    fn check(&mut self, status: CheckStatus) {
        self.check_passed = match status {
            CheckStatus::Started => None,
            CheckStatus::FixAttempt | CheckStatus::Failed => Some(false),
            CheckStatus::Passed => Some(true),
        };
    }
}

/// Says what an event of the run's conversation means. What the machine says of the run's end, when it does.
pub(super) fn tell(
    told: &mut Told,
    calls: &mut Calls,
    run: &JobId,
    state: &mut RunState,
    event: &NewEvent,
) -> Option<RunStep> {
    let data = event.data.as_str();
    let ts = event.ts;
    match event.kind.as_str() {
        "message_update" => {
            let piece: Piece<'_> = serde_json::from_str(data).ok()?;
            if piece.kind == "text_delta" && !piece.delta.is_empty() {
                told.say(ts, "token", &json!({ "token": piece.delta }));
            }
        }
        "message_restarted" => {
            // Pieces that were told are void.
            let why: Value = serde_json::from_str(data).ok()?;
            let with = json!({ "messageId": why["messageId"], "reason": why["reason"] });
            told.status(ts, "message_restarted", with);
        }
        "message_end" => {
            let end: MessageEnd = serde_json::from_str(data).ok()?;
            if let Message::Assistant(answer) = end.message {
                said(told, ts, state, &answer);
            }
        }
        "tool_start" => {
            let tool: ToolStart = serde_json::from_str(data).ok()?;
            let with = json!({
                "phase": "start", "runPhase": phase(state), "tool": tool.tool_name,
                "runId": tool.tool_call_id, "input": tool.input,
            });
            told.say(ts, "tool", &with);
            calls.begin(tool, data.len());
        }
        "tool_update" => {
            let tool: ToolUpdate = serde_json::from_str(data).ok()?;
            let with = json!({
                "phase": "stream", "runPhase": phase(state), "tool": tool.tool_name,
                "runId": tool.tool_call_id, "cmd": calls.command(&tool.tool_call_id),
                "stream": tool.stream.as_str(),
                "internal": tool.tool_call_id.starts_with(CHECK_CALL), "chunk": tool.delta,
            });
            told.say(ts, "tool", &with);
        }
        "tool_end" => {
            let tool: ToolEnd = serde_json::from_str(data).ok()?;
            let input = calls.end(&tool.tool_call_id);
            helped(state, &tool);
            ended(told, ts, state, &tool, &input);
        }
        "plan_ready" => {
            let ready: PlanReady = serde_json::from_str(data).ok()?;
            let todos: Vec<Value> = ready.plan.todos.iter().map(step).collect();
            let with =
                json!({ "summary": ready.plan.summary, "todos": todos, "planId": ready.plan_id });
            told.status(ts, "plan_ready", with);
        }
        "auto_check" => {
            let check: AutoCheck = serde_json::from_str(data).ok()?;
            calls.check(check.status);
            checked(told, ts, &check);
        }
        "agent_end" => {
            calls.wait(event);
            let end: AgentEnd = serde_json::from_str(data).ok()?;
            // No provider answers for nothing: whoever tells of no tokens has told of none, which is not 0.
            if end.usage.total_tokens > 0 {
                let mut usage = state.usage.unwrap_or_default();
                add(&mut usage, &end);
                state.usage = Some(usage);
            }
            if phase(state) == "build" {
                let usage = state.usage.map(usage_of);
                let mut with = json!({
                    "touchedFiles": end.changed, "usage": usage, "durationMs": end.duration_ms,
                });
                // The source tells of sandboxes by another name.
                let status = match &state.sandbox {
                    Some(sandbox) => {
                        with["sandboxId"] = json!(sandbox);
                        with["lintPassed"] = json!(calls.check_passed);
                        "sandbox_snapshot"
                    }
                    None => "rollback_snapshot",
                };
                told.status(ts, status, with);
            }
        }
        "question" | "answered" | "auto_retry_start" if calls.wait(event) => {
            waits(told, ts, state, calls.waits());
        }
        // It answers, or is not waited for any more.
        "auto_retry_end"
            if calls.wait(event)
                && matches!(state.waits_for, Some(WaitsFor::Provider | WaitsFor::Answer)) =>
        {
            waits(told, ts, state, calls.waits());
        }
        "run_step" => {
            let step: RunStep = serde_json::from_str(data).ok()?;
            if step.run_id == *run {
                return stepped(told, ts, state, step);
            }
        }
        _ => {}
    }
    None
}

/// A step of a plan, with its criteria also where it has none.
fn step(todo: &PlanTodo) -> Value {
    let mut step = json!(todo);
    step["acceptanceCriteria"] = json!(todo.acceptance_criteria);
    step
}

/// Most events are these, and most of them are not wanted whole.
#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    delta: Cow<'a, str>,
}

/// What a call runs, as it says.
fn command(input: &Value) -> Option<&Value> {
    ["command", "cmd", "action", "code"].into_iter().find_map(|name| input.get(name))
}

/// A name of something outside, as a machine tells it: one line, without what a database does not take in a name.
fn name(text: &str) -> String {
    text.chars().filter(|c| is_plain(*c)).take(NAME_CHARS_MAX).collect()
}

fn phase(state: &RunState) -> &'static str {
    match state.phase {
        Phase::Plan => "plan",
        Phase::Build | Phase::Commit | Phase::Over => "build",
    }
}

fn said(told: &mut Told, ts: u64, state: &mut RunState, answer: &AssistantMessage) {
    let text = text_of(&answer.content);
    if !text.trim().is_empty() {
        state.output = Some(text);
    }
    let (provider, model) = (name(&answer.provider), name(&answer.model));
    if state.provider.as_deref() != Some(&*provider) || state.model.as_deref() != Some(&*model) {
        if state.provider.is_some() {
            state.model_source = Some(SEVERAL.to_owned());
        }
        resolved(told, ts, state, &provider, &model);
    }
}

/// What a helper used counts as the run's; where another model helped, it is not the run's model's alone.
fn helped(state: &mut RunState, tool: &ToolEnd) {
    let details = tool.result.details.as_ref().filter(|_| tool.tool_name == TASK);
    let Some(by) = details.map(|details| &details["model"]) else { return };
    let is = |known: &Option<String>, said: &Value| known.as_deref() == said.as_str();
    if by.is_object() && !(is(&state.provider, &by["provider"]) && is(&state.model, &by["id"])) {
        state.model_source = Some(SEVERAL.to_owned());
    }
}

/// Somebody is waited for, or nobody any more.
pub(super) fn waits(told: &mut Told, ts: u64, state: &mut RunState, what: Option<WaitsFor>) {
    if state.waits_for != what {
        state.waits_for = what;
        told.status(ts, "waiting", json!({ "waitsFor": what }));
    }
}

/// Who answers is known, or another one does.
pub(super) fn resolved(
    told: &mut Told,
    ts: u64,
    state: &mut RunState,
    provider: &str,
    model: &str,
) {
    let (provider, model) = (name(provider), name(model));
    state.provider = Some(provider.clone());
    state.model = Some(model.clone());
    let source = state.model_source.clone();
    told.status(
        ts,
        "model_resolved",
        json!({ "provider": provider, "model": model, "source": source }),
    );
}

fn ended(told: &mut Told, ts: u64, state: &RunState, tool: &ToolEnd, input: &Value) {
    let output = cut(&text_of(&tool.result.content));
    let mut with = json!({
        "phase": "end", "runPhase": phase(state), "tool": tool.tool_name, "runId": tool.tool_call_id,
        "durationMs": tool.duration_ms,
    });
    let is_refused = tool.result.details.as_ref().is_some_and(|of| of["planMode"] == true);
    let is_tried = state.phase == Phase::Plan && command(input).is_some() && output.contains(EROFS);
    if is_refused || is_tried {
        // Nothing is changed while planning.
        let with = json!({ "tool": tool.tool_name, "detail": output });
        told.status(ts, "plan_policy_warning", with);
    }
    if tool.is_error {
        with["phase"] = "error".into();
        with["error"] = output.into();
    } else {
        for op in file_ops(tool, input, phase(state)) {
            told.say(ts, "file_op", &op);
        }
        with["output"] = output.into();
    }
    told.say(ts, "tool", &with);
}

/// What a tool did to files, in the source's words.
fn file_ops(tool: &ToolEnd, input: &Value, phase: &str) -> Vec<Value> {
    let details = tool.result.details.as_ref().unwrap_or(&Value::Null);
    let op = match tool.tool_name.as_str() {
        "read" => "read",
        "write" => "write",
        "edit" => "edit",
        "ls" => "ls",
        "grep" => "grep",
        "find" => "glob",
        "apply_patch" => {
            let files = details["files"].as_array().into_iter().flatten();
            let one = |file: &Value| {
                let op = if file["change"] == "A" { "write" } else { "edit" };
                json!({ "op": op, "path": file["path"], "phase": phase })
            };
            return files.map(one).collect();
        }
        _ => return Vec::new(),
    };
    let path = [input, details].into_iter().find_map(|of| of["path"].as_str());
    // A search without one is of the project's folder.
    let mut with = json!({ "op": op, "path": path.unwrap_or("."), "phase": phase });
    let chars = |value: &Value| value.as_str().map(|text| text.chars().count());
    match op {
        "write" => with["sizeChars"] = chars(&input["content"]).into(),
        "ls" => with["entryCount"] = details["entries"].clone(),
        "glob" | "grep" => {
            with["pattern"] = input["pattern"].clone();
            let count = if op == "glob" { &details["results"] } else { &details["matches"] };
            with["matchCount"] = count.clone();
        }
        _ => {}
    }
    if let Some(fields) = with.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    vec![with]
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(OUTPUT_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The source tells that mending begins, with what the check said first, and not each time that it runs: that is a
/// `tool` of its own here.
fn checked(told: &mut Told, ts: u64, check: &AutoCheck) {
    let (first, status, with) = match check.status {
        CheckStatus::Started => return,
        CheckStatus::FixAttempt => (
            1,
            "auto_lint_fix_attempt",
            json!({ "attempt": check.attempt, "exitCode": check.exit_code }),
        ),
        CheckStatus::Passed => (0, "auto_lint_passed", json!({ "attempts": check.attempt })),
        CheckStatus::Failed => {
            let error = match check.exit_code {
                Some(code) => format!("`{}` ended with {code}", check.command),
                None => format!("`{}` could not be run", check.command),
            };
            (0, "auto_lint_failed", json!({ "attempts": check.attempt, "error": error }))
        }
    };
    if check.attempt == first {
        let begun = json!({
            "cmd": check.command, "maxFixPasses": check.attempts_max, "initialExitCode": check.exit_code,
        });
        told.status(ts, "auto_lint_started", begun);
    }
    told.status(ts, status, with);
}

fn add(usage: &mut RunUsage, end: &AgentEnd) {
    let one = &end.usage;
    let read = one.input.saturating_add(one.cache_read).saturating_add(one.cache_write);
    usage.input = usage.input.saturating_add(read);
    usage.output = usage.output.saturating_add(one.output);
    usage.cached_input = usage.cached_input.saturating_add(one.cache_read);
    usage.reasoning_output = usage.reasoning_output.saturating_add(one.reasoning.unwrap_or(0));
}

fn stepped(told: &mut Told, ts: u64, state: &mut RunState, step: RunStep) -> Option<RunStep> {
    // A step speaks of approval alone: a question is told by events of its own, in the moment of an approval before the
    // step that comes of it.
    let asks = step.phase <= Phase::Build && state.waits_for == Some(WaitsFor::Answer);
    if step.waits_for.is_some() || !asks {
        waits(told, ts, state, step.waits_for);
    }
    if step.phase > state.phase {
        if state.phase < Phase::Commit
            && !matches!(step.status, Some(RunStatus::Error | RunStatus::Cancelled))
        {
            told.status(ts, "phase_completed", json!({ "phase": phase(state) }));
        }
        if step.phase == Phase::Build {
            told.status(ts, "phase_transition", json!({ "from": "plan", "to": "build" }));
            told.status(ts, "phase_started", json!({ "phase": "build" }));
        }
        state.phase = step.phase;
    }
    if let Some(commit) = &step.commit {
        match commit {
            Commit::Made { sha } => {
                let sha = name(sha);
                state.commit = Some(sha.clone());
                told.status(ts, "git_commit", json!({ "commitSha": sha }));
            }
            Commit::Skipped { reason } => {
                told.status(ts, "git_commit_skipped", json!({ "reason": reason }));
            }
            Commit::Failed { error } => {
                told.status(ts, "git_commit_error", json!({ "error": error }));
            }
        }
    }
    (step.phase == Phase::Over).then_some(step)
}

#[cfg(test)]
mod tests;
