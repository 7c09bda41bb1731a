//! The agent over HTTP: `events prompt steer follow-up abort retry queue state config sessions
//! messages answer runs`, shapes of `docs/http-api.md` §2. Thin: reads requests, asks the runtime, writes answers.

mod events;
mod extensions;
mod failures;
mod mcp;
mod plan;
mod runs;
mod session;
mod sessions;
mod skills;
mod state;
#[cfg(test)]
mod tests;
mod tree;
mod work;

use crate::{
    body::{BODY_BYTES_MAX, PROMPT_BYTES_MAX},
    runtime::AgentRuntime,
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use std::sync::Arc;

/// Bytes of a run's order: a prompt that the server took, and what it adds.
const ORDER_BYTES_MAX: usize = 2 * BODY_BYTES_MAX;

/// The routes, without a prefix.
pub fn router(runtime: Arc<AgentRuntime>) -> Router {
    let prompts = Router::new()
        .route("/prompt", post(work::prompt))
        .route("/steer", post(work::steer))
        .route("/follow-up", post(work::follow_up))
        .layer(DefaultBodyLimit::max(PROMPT_BYTES_MAX));
    let orders = Router::new()
        .route("/runs/{id}", get(runs::get).put(runs::order))
        .layer(DefaultBodyLimit::max(ORDER_BYTES_MAX));
    Router::new()
        .route("/events", get(events::events))
        .route("/abort", post(work::abort))
        .route("/retry", post(work::retry))
        .route("/queue", post(work::queue))
        .route("/answer", post(work::answer_route))
        .route("/state", get(state::state))
        .route("/config", post(state::config))
        .route("/messages", get(sessions::messages))
        .route("/sessions", get(sessions::list))
        .route("/sessions/new", post(sessions::create))
        .route("/sessions/switch", post(sessions::switch))
        .route("/sessions/compact", post(sessions::compact))
        .route("/skills", get(skills::list))
        .route("/extensions", get(extensions::list))
        .route("/mcp", get(mcp::list))
        .route("/mcp/{name}/restart", post(mcp::restart))
        .route("/sessions/{id}/tree", get(tree::tree))
        .route("/sessions/{id}/fork", post(tree::fork))
        .route("/sessions/{id}/navigate", post(tree::navigate))
        .route("/sessions/{id}/label", post(tree::label))
        .route("/sessions/{id}/mode", post(plan::mode))
        .route("/sessions/{id}/plan", get(plan::plan).post(plan::decide))
        .route("/sessions/{id}/export.html", get(tree::export))
        .route("/runs", get(runs::list))
        .route("/runs/{id}/cancel", post(runs::cancel))
        .route("/runs/{id}/approve", post(runs::approve))
        .route("/runs/{id}/reject", post(runs::reject))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(prompts)
        .merge(orders)
        .with_state(runtime)
}
