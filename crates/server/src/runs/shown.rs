//! Runs as the API shows them.

use super::told::usage_of;
use serde_json::{Value, json};
use toft_model::{run::WaitsFor, time::rfc3339};
use toft_store::{Cancelled, Run, RunCost, RunMessage};

/// Billionths of a unit.
const NANOS: f64 = 1e9;

/// What was asked for, when it was accepted: the source's short form.
pub(crate) fn accepted(run: &Run, created: bool) -> Value {
    json!({
        "id": run.id, "projectId": run.project, "status": run.state.status, "runIndex": run.index,
        "writable": run.is_writable, "parentRunId": run.parent, "created": created,
    })
}

/// What it cost.
pub(crate) fn cost(cost: &RunCost) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "money is shown, not added up here")]
    let units = cost.nanos as f64 / NANOS;
    json!({ "currency": cost.currency, "estimatedUsd": units, "pricingVersion": cost.version })
}

/// All of a run.
pub(crate) fn summary(run: &Run) -> Value {
    let state = &run.state;
    let time = |ms: Option<u64>| ms.map(rfc3339);
    let cost = state.cost.as_ref().map(cost);
    json!({
        "id": run.id,
        "projectId": run.project,
        "runIndex": run.index,
        "writable": run.is_writable,
        "parentRunId": run.parent,
        "status": state.status,
        "phase": state.phase,
        "waitsFor": if run.host_away { Some(WaitsFor::Host) } else { state.waits_for },
        "statusDetail": run.host_away.then_some("waiting_host"),
        "createdAt": rfc3339(run.created_at),
        "startedAt": time(state.started_at),
        "completedAt": time(state.completed_at),
        "updatedAt": rfc3339(run.updated_at),
        "prompt": run.prompt,
        "input": json_of(run.input.as_deref()),
        "output": state.output,
        "error": state.error,
        "usage": state.usage.map(usage_of),
        "cost": cost,
        "sessionId": state.session,
        "commitSha": state.commit,
        "checkpointId": state.checkpoint,
        "lastEventId": run.last_seq,
        "meta": {
            "provider": state.provider.as_ref().or(run.asked_provider.as_ref()),
            "model": state.model.as_ref().or(run.asked_model.as_ref()),
            "modelSource": state.model_source,
            "usageSource": state.usage.map(|_| "response_usage"),
            "pricingSource": state.cost.as_ref().map(|_| "model_pricing_table"),
            "attempt": state.attempt,
            "maxAttempts": run.attempts_max,
            "sandboxId": null,
            "idempotencyKey": run.key,
            "workspaceBackend": run.backend,
            "priority": run.priority,
            "approval": run.approval,
        },
    })
}

/// One message.
pub(crate) fn message(run: &Run, message: &RunMessage) -> Value {
    json!({
        "id": message.id, "projectId": run.project, "runId": run.id, "role": message.role,
        "content": message.content, "input": json_of(message.input.as_deref()),
        "createdAt": rfc3339(message.created_at),
    })
}

/// What became of a cancel.
pub(crate) fn cancelled(cancelled: &Cancelled) -> Value {
    let run = &cancelled.run;
    json!({
        "id": run.id, "projectId": run.project, "status": run.state.status,
        "cancelled": cancelled.is_cancelled, "writable": run.is_writable,
    })
}

fn json_of(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The prompt of a run that goes on from one whose conversation there is none of.
pub(super) fn go_on(parent: &Run, prompt: &str) -> String {
    format!(
        "This continues earlier work in the same project. The run before this one ({}) was asked:\n\n{}\n\n\
         It ended as {} and said:\n\n{}\n\nNow do this:\n\n{prompt}",
        parent.id,
        parent.prompt,
        parent.state.status.as_str(),
        parent.state.output.as_deref().or(parent.state.error.as_deref()).unwrap_or("nothing"),
    )
}
