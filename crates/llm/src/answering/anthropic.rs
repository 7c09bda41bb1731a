//! Anthropic's Messages, answered.

pub mod message;
pub mod request;
pub mod stream;

use serde_json::{Value, json};
use toft_model::message::{StopReason, Usage};

/// Usage as the format counts it.
pub(super) fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    })
}

/// The format's word for why a model stopped.
pub(super) fn stop_reason(stop: StopReason) -> &'static str {
    match stop {
        StopReason::Length => "max_tokens",
        StopReason::ToolUse => "tool_use",
        StopReason::Stop | StopReason::Error | StopReason::Aborted => "end_turn",
    }
}
