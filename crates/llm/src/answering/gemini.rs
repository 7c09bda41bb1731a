//! Google's Gemini, answered. Its programs keep signatures and not always the thoughts, so a seal holds
//! the thought too; it stands in the part after it, as the format's own signatures do.

pub mod message;
pub mod request;
mod schema;
pub mod stream;

use super::Label;
use crate::usage;
use serde_json::{Value, json};
use toft_model::message::{StopReason, Usage};

/// Usage as the format counts it; `None` when none was reported.
fn usage(used: &Usage) -> Option<Value> {
    let (prompt, total) = (usage::prompt(used), usage::total(used));
    (total > 0).then(|| {
        json!({
            "promptTokenCount": prompt,
            "candidatesTokenCount": used.output,
            "totalTokenCount": total,
            "cachedContentTokenCount": used.cache_read,
        })
    })
}

fn finish(stop: StopReason) -> &'static str {
    match stop {
        StopReason::Length => "MAX_TOKENS",
        StopReason::Stop | StopReason::ToolUse | StopReason::Error | StopReason::Aborted => "STOP",
    }
}

/// An answer, or a piece of one.
fn response(label: &Label, parts: &[Value], end: Option<(StopReason, &Usage)>) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if let Some((stop, _)) = end {
        candidate["finishReason"] = json!(finish(stop));
    }
    let mut response = json!({"candidates": [candidate]});
    if let Some(usage) = end.and_then(|(_, used)| usage(used)) {
        response["usageMetadata"] = usage;
    }
    response["modelVersion"] = json!(label.name);
    response["responseId"] = json!(label.id);
    response
}
