//! The `AGENTS.md` that a new project begins with (`SEED_AGENTS_MD`, `AGENTS_TEMPLATE_PATH`): put there before anybody
//! works in it, and never again. One that its image has stays. What agents do with it is theirs (`toft_agent`).

use super::Machine;
use crate::{bridge_client::BridgeError, state::App};
use axum::body::Body;
use http::{Request, StatusCode, header};
use std::time::Duration;
use tokio::time::timeout;

/// The file.
const FILE: &str = "AGENTS.md";
/// Files that agents read in its place: it would hide the last of them.
const FILES: [&str; 3] = ["AGENTS.override.md", FILE, "CLAUDE.md"];
/// A bridge that has just been started is still loading; nobody waits longer for this.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a project begins with, if it is new: it has never told anything, and is no fork.
pub(super) async fn of_new<'a>(app: &'a App, machine: &Machine) -> Option<&'a str> {
    let text = app.runs.settings.agents_md.as_deref()?;
    let head = app.store.head(&machine.id).await.ok()?;
    let origin = app.store.fork_origin(&machine.id).await.ok()?;
    (head.seq == 0 && origin.is_none()).then_some(text)
}

/// Puts it there. A machine is none the worse without it.
pub(super) async fn give(app: &App, machine: &Machine, text: &str) {
    let given = timeout(TIMEOUT, put(app, machine, text)).await;
    if let Err(error) = given.unwrap_or(Err(BridgeError::Timeout)) {
        tracing::warn!(project.id = %machine.id, %error, "the project begins without {FILE}");
    }
}

async fn put(app: &App, machine: &Machine, text: &str) -> Result<(), BridgeError> {
    let broken = |error: http::Error| BridgeError::Broken(error.to_string());
    for file in FILES {
        let request = Request::get(format!("/toft/files/content?path={file}"));
        let request = request.body(Body::empty()).map_err(broken)?;
        let status = app.bridge.send(&machine.id, request).await?.status();
        if status != StatusCode::NOT_FOUND {
            return Ok(());
        }
    }
    let request = Request::put(format!("/toft/files/content?path={FILE}"))
        .header(header::CONTENT_TYPE, "text/markdown")
        .body(Body::from(text.to_owned()))
        .map_err(broken)?;
    let status = app.bridge.send(&machine.id, request).await?.status();
    if status.is_success() { Ok(()) } else { Err(BridgeError::Status(status.as_u16())) }
}
