//! What the machine says of its MCP servers, and what it is told of them. Nothing of it is trusted: an address
//! that is named here is judged like any a stranger names.

use crate::{
    api_error::{ApiError, Code},
    bridge_client::BridgeError,
    machines::{Machine, life},
    state::App,
};
use axum::body::Body;
use http::{Request, header};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// A bridge answers at once; right after a start it is still loading.
const RESTART_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Listed {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    servers: Vec<Server>,
}

#[derive(Deserialize)]
struct Server {
    name: String,
    url: Option<String>,
}

/// Where a server is, as the project declares it.
pub(super) async fn url_of(
    app: &App,
    machine: &Arc<Machine>,
    name: &str,
) -> Result<String, ApiError> {
    let _hold = machine.in_use(&app.clock);
    life::ensure_running(app, machine, "an MCP server is connected").await?;
    let listed = app.bridge.get_json(&machine.id, "/toft/mcp").await;
    let listed =
        listed.map_err(|error: BridgeError| ApiError::new(Code::MachineError, error.told()))?;
    let listed: Listed = serde_json::from_value(listed).map_err(|_| {
        ApiError::new(Code::MachineError, "the machine did not list its MCP servers")
    })?;
    let found = listed.data.servers.into_iter().find(|server| server.name == name);
    let found = found.ok_or_else(|| {
        ApiError::new(
            Code::NotFound,
            "the project declares no MCP server of this name: GET …/toft/mcp lists them",
        )
    })?;
    found.url.ok_or_else(|| {
        ApiError::invalid(
            "this MCP server is a program of the machine: there is nothing to sign in to",
        )
    })
}

/// Has a server started again, with what it finds in its environment now. One that sleeps finds it later.
pub(super) async fn restart(app: &App, machine: &Arc<Machine>, name: &str) {
    let _hold = machine.being_read();
    if !machine.answers() {
        return;
    }
    let request = Request::post(format!("/toft/mcp/{name}/restart"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("{}"));
    let Ok(request) = request else { return };
    match timeout(RESTART_TIMEOUT, app.bridge.send(&machine.id, request)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::warn!(project.id = %machine.id, %error, "an MCP server was not restarted");
        }
        Err(_) => {
            tracing::warn!(project.id = %machine.id, "an MCP server was not restarted in time");
        }
    }
}
