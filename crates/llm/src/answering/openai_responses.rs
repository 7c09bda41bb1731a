//! OpenAI's Responses, answered. Nothing is kept from one call to the next: a program sends the whole
//! conversation each time, with the reasoning items that it was given.

mod item;
pub mod message;
pub mod request;
pub mod stream;

use super::Label;
use crate::usage;
use item::Item;
use serde_json::{Value, json};
use toft_model::message::{StopReason, Usage};

/// Usage as the format counts it. How much of the output was thinking is not told apart by every provider:
/// it says 0; so do all of them when none was reported, because programs take an end without counts for
/// no end, and some ask again for ever.
fn usage(used: &Usage) -> Value {
    let (prompt, total) = (usage::prompt(used), usage::total(used));
    json!({
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": used.cache_read,
            "cache_write_tokens": used.cache_write,
        },
        "output_tokens": used.output,
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

/// The event of a response that failed, but for its number. `body`: the failure as it would be told alone.
pub(super) fn failed(label: &Label, body: &Value) -> Value {
    let mut failed = response(label, "failed", &[]);
    failed["error"] = json!({
        "code": body["error"]["code"],
        "message": body["error"]["message"],
    });
    json!({"type": "response.failed", "response": failed})
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
    fn an_end_has_counts_also_where_none_were_reported() {
        assert_eq!(usage(&Usage::default())["total_tokens"], 0);
    }
}
