//! What events of a machine mean for a run, in the words of the runs API. What it must remember lies in the run's state,
//! which is written in the same transaction as what is made here, so an event is told once whoever tells it; and in what
//! is under way, which the next teller reads again.

mod calls;
mod events;
mod waiting;

pub(super) use events::Told;

use super::shown::usage_of;
use calls::Calls;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use toft_model::{
    event::{AgentEnd, MessageEnd, ToolEnd, ToolStart, ToolUpdate},
    message::{AssistantMessage, Message, text_of},
    plan::{AutoCheck, CheckStatus, PlanReady, PlanTodo},
    run::{Commit, JobId, Phase, RunStatus, RunStep, WaitsFor},
    text::is_plain,
    tool::TASK,
};
use toft_store::{NewEvent, RunState, RunUsage};
use waiting::Waiting;

/// Characters of a name that a machine tells.
const NAME_CHARS_MAX: usize = 200;

/// Says of a run's model that another one answered before: what was used is not that one's alone, and has no one price.
pub(super) const SEVERAL: &str = "several";

/// Data of the last event of a run that was ended.
pub(super) const CANCELLED: &str = r#"{"status":"cancelled"}"#;

/// What goes on in a run's conversation, as far as events told of it.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    calls: Calls,
    waiting: Waiting,
    /// What the project's check said last.
    check_passed: Option<bool>,
}

impl UnderWay {
    /// Takes in what was told before.
    pub(super) fn remember(&mut self, event: &NewEvent) {
        self.waiting.hear(event);
        if event.kind == "tool_start"
            && let Ok(tool) = serde_json::from_str::<ToolStart>(&event.data)
        {
            self.calls.begin(tool, event.data.len());
        } else if event.kind == "tool_end"
            && let Ok(tool) = serde_json::from_str::<ToolEnd>(&event.data)
        {
            self.calls.end(&tool.tool_call_id);
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
    under_way: &mut UnderWay,
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
            under_way.calls.began(told, ts, phase(state), tool, data.len());
        }
        "tool_update" => {
            let tool: ToolUpdate = serde_json::from_str(data).ok()?;
            under_way.calls.printed(told, ts, phase(state), &tool);
        }
        "tool_end" => {
            let tool: ToolEnd = serde_json::from_str(data).ok()?;
            helped(state, &tool);
            under_way.calls.ended(told, ts, phase(state), &tool);
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
            under_way.check(check.status);
            checked(told, ts, &check);
        }
        "agent_end" => {
            under_way.waiting.hear(event);
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
                        with["lintPassed"] = json!(under_way.check_passed);
                        "sandbox_snapshot"
                    }
                    None => "rollback_snapshot",
                };
                told.status(ts, status, with);
            }
        }
        "question" | "answered" | "auto_retry_start" if under_way.waiting.hear(event) => {
            waits(told, ts, state, under_way.waiting.whom());
        }
        // It answers, or is not waited for any more.
        "auto_retry_end"
            if under_way.waiting.hear(event)
                && matches!(state.waits_for, Some(WaitsFor::Provider | WaitsFor::Answer)) =>
        {
            waits(told, ts, state, under_way.waiting.whom());
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
