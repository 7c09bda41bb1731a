//! What a project adds to its agent with extensions, and what is wrong with others.

use super::session::answer;
use crate::{answer::Failure, runtime::AgentRuntime};
use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::{Value, json};
use std::sync::Arc;
use toft_agent::extensions::Extension;

pub(super) async fn list(State(runtime): State<Arc<AgentRuntime>>) -> Response {
    let extensions = Arc::clone(&runtime.around().extensions);
    let found = tokio::task::spawn_blocking(move || extensions.find()).await;
    let mask = runtime.around().secrets.mask();
    let result = found.map_err(|_| {
        let what = "the extensions could not be looked for";
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", what)
    });
    let result = result.map(|found| {
        let mut all: Value = found.iter().map(shown).collect();
        // A declaration may repeat what a fault quotes.
        mask.json(&mut all);
        json!({ "extensions": all })
    });
    answer("list_extensions", StatusCode::OK, result)
}

fn shown(extension: &Extension) -> Value {
    let hooks = extension.hooks.iter().map(|hook| {
        json!({
            "event": hook.event,
            "tools": hook.tools,
            "timeoutMs": u64::try_from(hook.timeout.as_millis()).unwrap_or(u64::MAX),
        })
    });
    let tools = extension.tools.iter();
    let tools =
        tools.map(|tool| json!({ "name": tool.spec.name, "description": tool.spec.description }));
    json!({
        "name": extension.name,
        "folder": extension.folder,
        "description": extension.description,
        "disabled": extension.disabled,
        "systemPrompt": extension.system_prompt.is_some(),
        "hooks": hooks.collect::<Vec<Value>>(),
        "tools": tools.collect::<Vec<Value>>(),
        "servers": extension.servers.keys().collect::<Vec<_>>(),
        "fault": extension.fault,
    })
}
