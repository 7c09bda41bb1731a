//! MCP servers of a project: those that are declared, and what became of each.

use super::session::answer;
use crate::{answer::Failure, runtime::AgentRuntime};
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::json;
use std::sync::Arc;
use toft_model::mcp::McpState;
use toft_tools::mcp::NoRestart;

pub(super) async fn list(State(runtime): State<Arc<AgentRuntime>>) -> Response {
    let mut seen = json!(runtime.around().servers.seen().await);
    // What servers say of their tools may repeat what they were given.
    runtime.around().secrets.mask().json(&mut seen);
    answer("list_mcp_servers", StatusCode::OK, Ok(seen))
}

pub(super) async fn restart(
    State(runtime): State<Arc<AgentRuntime>>,
    Path(name): Path<String>,
) -> Response {
    let result = match runtime.around().servers.restart(&name).await {
        Ok(()) => Ok(json!({ "name": name, "state": McpState::Starting })),
        Err(why @ NoRestart::Unknown) => {
            Err(Failure::new(StatusCode::NOT_FOUND, "no_server", why.to_string()))
        }
        Err(why @ NoRestart::Disabled) => {
            Err(Failure::new(StatusCode::CONFLICT, "server_disabled", why.to_string()))
        }
    };
    answer("restart_mcp_server", StatusCode::ACCEPTED, result)
}
