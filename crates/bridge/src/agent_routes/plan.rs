//! Routes about what a session's agent may do, and its plan.

use super::session::{answer, ask, named};
use crate::{answer::Failure, body::body, in_time, proxy::is_outside, runtime::AgentRuntime};
use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use toft_agent::{Command, Handle};
use toft_model::plan::{Mode, Plan, PlanNow};

#[derive(Deserialize)]
struct Wanted {
    mode: Mode,
}

pub(super) async fn mode(
    State(runtime): State<Arc<AgentRuntime>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let result = async {
        // What the agent runs must not take off what a person has put on the agent.
        if !is_outside(&request) {
            return Err(Failure::only_outside("Changing the mode"));
        }
        let Wanted { mode } = body(request).await?;
        ask(&runtime, Some(&id), |reply| Command::Mode { mode, reply }).await?;
        Ok(json!({ "sessionId": id, "mode": mode }))
    };
    answer("set_mode", StatusCode::OK, result.await)
}

pub(super) async fn plan(
    State(runtime): State<Arc<AgentRuntime>>,
    Path(id): Path<String>,
) -> Response {
    let result = async {
        let handle = runtime.session(Some(&named(&id)?)).await?;
        Ok(now(&runtime, &handle).await)
    };
    answer("get_plan", StatusCode::OK, result.await)
}

async fn now(runtime: &AgentRuntime, handle: &Handle) -> Value {
    let read_only_programs = runtime.around().shell.has_read_only().await;
    let session = handle.conversation().session();
    let (plan, plan_state) = session.plan().unzip();
    json!(PlanNow {
        session_id: session.id().clone(),
        mode: session.mode(),
        read_only_programs,
        plan,
        plan_state,
    })
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", rename_all_fields = "camelCase")]
enum Decision {
    Approve { plan_id: Option<String>, plan: Option<Plan> },
    Reject { plan_id: Option<String>, reason: Option<String> },
}

pub(super) async fn decide(
    State(runtime): State<Arc<AgentRuntime>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let result = async {
        if !is_outside(&request) {
            return Err(Failure::only_outside("Deciding on a plan"));
        }
        let headers = request.headers().clone();
        let decision: Decision = body(request).await?;
        in_time::check(&headers)?;
        match decision {
            Decision::Approve { plan_id, plan } => {
                let command = |reply| Command::Approve {
                    plan_id: plan_id.clone(),
                    plan: plan.clone(),
                    reply,
                };
                let (_, approved) = ask(&runtime, Some(&id), command).await?;
                let (plan_id, entry_id) = (approved.plan_id, approved.entry_id);
                Ok(json!({ "sessionId": id, "planId": plan_id, "entryId": entry_id }))
            }
            Decision::Reject { plan_id, reason } => {
                let command = |reply| Command::Reject {
                    plan_id: plan_id.clone(),
                    reason: reason.clone(),
                    reply,
                };
                let (_, entry_id) = ask(&runtime, Some(&id), command).await?;
                Ok(json!({ "sessionId": id, "entryId": entry_id }))
            }
        }
    };
    answer("plan", StatusCode::OK, result.await)
}
