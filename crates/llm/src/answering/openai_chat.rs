//! OpenAI's Chat Completions, answered. Thinking is told as `reasoning_content`, as the format's
//! dialects do; it has no place for signatures, so thinking that comes back is left out.

pub mod message;
pub mod request;
pub mod stream;

use serde_json::{Value, json};
use toft_model::message::{StopReason, Usage};

/// Usage as the format counts it; `null` when none was reported.
pub(super) fn usage(usage: &Usage) -> Value {
    let input = usage.input.saturating_add(usage.cache_read).saturating_add(usage.cache_write);
    let total = input.saturating_add(usage.output);
    if total == 0 {
        return Value::Null;
    }
    json!({
        "prompt_tokens": input,
        "completion_tokens": usage.output,
        "total_tokens": total,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_cannot_be_are_no_panic() {
        let most = Usage { input: u64::MAX, output: 9, cache_read: 9, ..Usage::default() };
        assert_eq!(usage(&most)["total_tokens"], u64::MAX);
    }
}
