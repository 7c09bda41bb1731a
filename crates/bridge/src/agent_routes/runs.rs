//! Routes of runs: a server orders one, looks at it, and ends it; a person decides on its plan. What runs in the
//! machine orders none.

use super::session::{answer, ask};
use crate::{
    answer::Failure, asked::Named, body::body, in_time, proxy::is_outside, runtime::AgentRuntime,
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::sync::Arc;
use toft_agent::Command;
use toft_model::{
    plan::Plan,
    run::{JobId, RunOrder, Signature},
};

fn named(id: &str) -> Result<JobId, Failure> {
    id.parse().map_err(|error| Failure::invalid(format!("{error}.")))
}

/// Which run, and what is asked of it, by who is outside: what the agent runs must not have work done, end it or decide
/// on it as if a person had. `what` is told to who may not.
async fn outside<T: DeserializeOwned>(
    what: &str,
    id: &str,
    request: Request,
) -> Result<(JobId, T), Failure> {
    if !is_outside(&request) {
        return Err(Failure::only_outside(what));
    }
    let id = named(id)?;
    let headers = request.headers().clone();
    let asked = body(request).await?;
    in_time::check(&headers)?;
    Ok((id, asked))
}

pub(super) async fn order(
    State(runtime): State<Arc<AgentRuntime>>,
    Named(id): Named,
    request: Request,
) -> Response {
    let result = async {
        let (id, order) = outside::<RunOrder>("Ordering a run", &id, request).await?;
        check(&order)?;
        let (now, known) = runtime.order_run(id, order).await?;
        let mut data = json!(now);
        if known {
            data["repeated"] = true.into();
        }
        Ok(data)
    };
    answer("order_run", StatusCode::OK, result.await)
}

fn check(order: &RunOrder) -> Result<(), Failure> {
    if order.prompt.trim().is_empty() {
        return Err(Failure::invalid("The prompt is empty."));
    }
    if order.attempt == 0 || order.plan_timeout_s == 0 || order.build_timeout_s == 0 {
        let why = "attempt, planTimeoutS and buildTimeoutS begin at 1.";
        return Err(Failure::invalid(why));
    }
    let signs = [("author", &order.author), ("committer", &order.committer)];
    for (who, signature) in signs {
        let Some(Signature { name, email }) = signature else { continue };
        let odd = |c: char| c.is_control() || matches!(c, '<' | '>');
        let is_odd = |text: &String| {
            text.trim().is_empty()
                || text.contains(odd)
                || text.chars().nth(Signature::CHARS_MAX).is_some()
        };
        if is_odd(name) || is_odd(email) {
            return Err(Failure::invalid(format!(
                "{who}: name and email are lines of 1 to {} characters without `<` and `>`.",
                Signature::CHARS_MAX
            )));
        }
    }
    Ok(())
}

pub(super) async fn get(State(runtime): State<Arc<AgentRuntime>>, Named(id): Named) -> Response {
    let result = async { Ok(runtime.run_now(&named(&id)?).await?) };
    answer("get_run", StatusCode::OK, result.await)
}

pub(super) async fn list(State(runtime): State<Arc<AgentRuntime>>) -> Response {
    answer("list_runs", StatusCode::OK, Ok(json!({ "runs": runtime.runs_now() })))
}

#[derive(Deserialize)]
struct Cancel {
    fence: u64,
}

pub(super) async fn cancel(
    State(runtime): State<Arc<AgentRuntime>>,
    Named(id): Named,
    request: Request,
) -> Response {
    let result = async {
        let (id, Cancel { fence }) = outside("Cancelling a run", &id, request).await?;
        Ok(runtime.cancel_run(&id, fence).await?)
    };
    answer("cancel_run", StatusCode::OK, result.await)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Approve {
    plan_id: Option<String>,
    plan: Option<Plan>,
}

pub(super) async fn approve(
    State(runtime): State<Arc<AgentRuntime>>,
    Named(id): Named,
    request: Request,
) -> Response {
    let result = async {
        let (run, Approve { plan_id, plan }) = outside("Deciding on a plan", &id, request).await?;
        let session = runtime.session_of_run(&run)?;
        let (_, approved) = ask(&runtime, Some(session.as_str()), |reply| Command::Approve {
            plan_id: plan_id.clone(),
            plan: plan.clone(),
            reply,
        })
        .await?;
        let (plan_id, entry_id) = (approved.plan_id, approved.entry_id);
        Ok(json!({ "runId": run, "sessionId": session, "planId": plan_id, "entryId": entry_id }))
    };
    answer("approve_run", StatusCode::OK, result.await)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Reject {
    plan_id: Option<String>,
    reason: Option<String>,
}

pub(super) async fn reject(
    State(runtime): State<Arc<AgentRuntime>>,
    Named(id): Named,
    request: Request,
) -> Response {
    let result = async {
        let (run, Reject { plan_id, reason }) = outside("Deciding on a plan", &id, request).await?;
        let session = runtime.session_of_run(&run)?;
        let (_, entry_id) = ask(&runtime, Some(session.as_str()), |reply| Command::Reject {
            plan_id: plan_id.clone(),
            reason: reason.clone(),
            reply,
        })
        .await?;
        Ok::<Value, Failure>(json!({ "runId": run, "sessionId": session, "entryId": entry_id }))
    };
    answer("reject_run", StatusCode::OK, result.await)
}
