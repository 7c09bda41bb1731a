//! OpenAI's Responses, answered. Nothing is kept from one call to the next: a program sends the whole
//! conversation each time, with the reasoning items that it was given.

mod item;
pub mod message;
pub mod request;
pub mod stream;

use super::Label;
use item::Item;
use serde_json::{Value, json};
use toft_model::message::{StopReason, Usage};

/// Usage as the format counts it; `null` when none was reported. How much of the output was thinking
/// is not told apart by every provider: it says 0.
fn usage(usage: &Usage) -> Value {
    let input = usage.input.saturating_add(usage.cache_read).saturating_add(usage.cache_write);
    let total = input.saturating_add(usage.output);
    if total == 0 {
        return Value::Null;
    }
    json!({
        "input_tokens": input,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": total,
    })
}

/// A response with what is known of it so far.
fn response(label: &Label, status: &str, output: &[Value]) -> Value {
    json!({
        "id": format!("resp_{}", label.id),
        "object": "response",
        "created_at": label.created,
        "status": status,
        "background": false,
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "metadata": {},
        "model": label.name,
        "output": output,
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "store": false,
        "tool_choice": "auto",
        "tools": [],
        "usage": null,
    })
}

/// A response that came to its end.
fn ended(label: &Label, output: &[Value], stop: StopReason, used: &Usage) -> Value {
    let whole = stop != StopReason::Length;
    let mut response = response(label, if whole { "completed" } else { "incomplete" }, output);
    if !whole {
        response["incomplete_details"] = json!({"reason": "max_output_tokens"});
    }
    response["usage"] = usage(used);
    response
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
