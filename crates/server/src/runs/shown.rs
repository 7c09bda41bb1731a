//! Runs as the API shows them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toft_model::{
    id::{ProjectId, SessionId},
    run::{JobId, Phase, RunStatus, WaitsFor},
    time::rfc3339,
};
use toft_store::{self as store, Run, RunMessage, RunUsage};

/// Billionths of a unit.
const NANOS: f64 = 1e9;

/// A run, when it was accepted.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AcceptedRun")]
pub(crate) struct Accepted {
    id: JobId,
    project_id: ProjectId,
    status: RunStatus,
    /// Its number in the project, from 1.
    run_index: u64,
    /// Whether it is the project's latest.
    writable: bool,
    parent_run_id: Option<JobId>,
    /// Whether this request made it; false: it was known by its key.
    created: bool,
}

/// A run. Times are RFC 3339.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Run")]
pub(crate) struct Summary {
    id: JobId,
    project_id: ProjectId,
    /// Its number in the project, from 1.
    run_index: u64,
    /// Whether it is the project's latest.
    writable: bool,
    /// The run that it goes on from.
    parent_run_id: Option<JobId>,
    status: RunStatus,
    phase: Phase,
    waits_for: Option<WaitsFor>,
    /// More of its status, where there is more to know.
    status_detail: Option<StatusDetail>,
    created_at: String,
    started_at: Option<String>,
    completed_at: Option<String>,
    updated_at: String,
    prompt: String,
    /// JSON that came with it.
    input: Value,
    /// What it said at its end.
    output: Option<String>,
    /// What went wrong.
    error: Option<String>,
    usage: Option<Usage>,
    cost: Option<Cost>,
    /// The conversation that it works in.
    session_id: Option<SessionId>,
    commit_sha: Option<String>,
    /// The checkpoint before it.
    checkpoint_id: Option<String>,
    /// The number of its latest event.
    last_event_id: u64,
    meta: Meta,
}

/// What a status does not say.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum StatusDetail {
    /// The server that has its machine does not answer.
    WaitingHost,
}

/// Tokens that a run has used.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RunUsage")]
pub(crate) struct Usage {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) total_tokens: u64,
    pub(super) cached_input_tokens: u64,
    pub(super) reasoning_output_tokens: u64,
}

/// What that costs.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RunCost")]
pub(crate) struct Cost {
    currency: String,
    estimated_usd: f64,
    pricing_version: String,
}

/// Who answered, and how it was asked for.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RunMeta")]
struct Meta {
    provider: Option<String>,
    model: Option<String>,
    model_source: Option<String>,
    usage_source: Option<&'static str>,
    pricing_source: Option<&'static str>,
    /// How often it was tried.
    attempt: u32,
    max_attempts: u32,
    /// Of backends that have one.
    sandbox_id: Option<String>,
    idempotency_key: String,
    workspace_backend: Option<String>,
    priority: i64,
    approval: bool,
}

/// A message of a run.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RunMessage")]
pub(crate) struct Message {
    id: String,
    project_id: ProjectId,
    run_id: JobId,
    /// `user` or `assistant`.
    #[schemars(extend("enum" = ["user", "assistant"]))]
    role: String,
    content: String,
    /// JSON that came with it.
    input: Value,
    /// RFC 3339.
    created_at: String,
}

/// What became of a cancel.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CancelledRun")]
pub(crate) struct Cancelled {
    id: JobId,
    project_id: ProjectId,
    status: RunStatus,
    /// Whether this ended it.
    cancelled: bool,
    writable: bool,
}

/// What was asked for, when it was accepted: the source's short form.
pub(crate) fn accepted(run: &Run, created: bool) -> Accepted {
    Accepted {
        id: run.id.clone(),
        project_id: run.project.clone(),
        status: run.state.status,
        run_index: run.index,
        writable: run.is_writable,
        parent_run_id: run.parent.clone(),
        created,
    }
}

/// What it cost.
pub(crate) fn cost(cost: &store::RunCost) -> Cost {
    #[expect(clippy::cast_precision_loss, reason = "money is shown, not added up here")]
    let estimated_usd = cost.nanos as f64 / NANOS;
    let (currency, pricing_version) = (cost.currency.clone(), cost.version.clone());
    Cost { currency, estimated_usd, pricing_version }
}

/// All of a run.
pub(crate) fn summary(run: &Run) -> Summary {
    let state = &run.state;
    let time = |ms: Option<u64>| ms.map(rfc3339);
    let meta = Meta {
        provider: state.provider.as_ref().or(run.asked_provider.as_ref()).cloned(),
        model: state.model.as_ref().or(run.asked_model.as_ref()).cloned(),
        model_source: state.model_source.clone(),
        usage_source: state.usage.map(|_| "response_usage"),
        pricing_source: state.cost.as_ref().map(|_| "model_pricing_table"),
        attempt: state.attempt,
        max_attempts: run.attempts_max,
        sandbox_id: state.sandbox.clone(),
        idempotency_key: run.key.clone(),
        workspace_backend: run.backend.clone(),
        priority: run.priority,
        approval: run.approval,
    };
    Summary {
        id: run.id.clone(),
        project_id: run.project.clone(),
        run_index: run.index,
        writable: run.is_writable,
        parent_run_id: run.parent.clone(),
        status: state.status,
        // One that is tried again begins anew.
        phase: if state.status == RunStatus::Queued { Phase::Plan } else { state.phase },
        waits_for: if run.host_away { Some(WaitsFor::Host) } else { state.waits_for },
        status_detail: run.host_away.then_some(StatusDetail::WaitingHost),
        created_at: rfc3339(run.created_at),
        started_at: time(state.started_at),
        completed_at: time(state.completed_at),
        updated_at: rfc3339(run.updated_at),
        prompt: run.prompt.clone(),
        input: json_of(run.input.as_deref()),
        output: state.output.clone(),
        error: state.error.clone(),
        usage: state.usage.map(usage_of),
        cost: state.cost.as_ref().map(cost),
        session_id: state.session.clone(),
        commit_sha: state.commit.clone(),
        checkpoint_id: state.checkpoint.clone(),
        last_event_id: run.last_seq,
        meta,
    }
}

/// One message.
pub(crate) fn message(run: &Run, message: &RunMessage) -> Message {
    Message {
        id: message.id.clone(),
        project_id: run.project.clone(),
        run_id: run.id.clone(),
        role: message.role.clone(),
        content: message.content.clone(),
        input: json_of(message.input.as_deref()),
        created_at: rfc3339(message.created_at),
    }
}

/// What became of a cancel.
pub(crate) fn cancelled(cancelled: &store::Cancelled) -> Cancelled {
    let run = &cancelled.run;
    Cancelled {
        id: run.id.clone(),
        project_id: run.project.clone(),
        status: run.state.status,
        cancelled: cancelled.is_cancelled,
        writable: run.is_writable,
    }
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

/// Tokens as the source tells them.
pub(super) fn usage_of(usage: RunUsage) -> Usage {
    Usage {
        input_tokens: usage.input,
        output_tokens: usage.output,
        total_tokens: usage.input.saturating_add(usage.output),
        cached_input_tokens: usage.cached_input,
        reasoning_output_tokens: usage.reasoning_output,
    }
}
