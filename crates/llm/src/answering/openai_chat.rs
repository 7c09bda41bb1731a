//! OpenAI's Chat Completions, answered. Thinking is told as `reasoning_content`, as the format's
//! dialects do; it has no place for signatures, so thinking that comes back is left out.

pub mod message;
pub mod request;
pub mod stream;

use crate::usage;
use serde_json::{Value, json};
use toft_model::message::{StopReason, Usage};

/// Usage as the format counts it; `null` when none was reported.
pub(super) fn usage(used: &Usage) -> Value {
    let (prompt, total) = (usage::prompt(used), usage::total(used));
    if total == 0 {
        return Value::Null;
    }
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": used.output,
        "total_tokens": total,
        "prompt_tokens_details": {
            "cached_tokens": used.cache_read,
            "cache_write_tokens": used.cache_write,
        },
    })
}

/// The format's word for why a model stopped.
pub(super) fn finish(stop: StopReason) -> &'static str {
    match stop {
        StopReason::Length => "length",
        StopReason::ToolUse => "tool_calls",
        StopReason::Stop | StopReason::Error | StopReason::Aborted => "stop",
    }
}
