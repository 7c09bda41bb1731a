//! Script: a long run. Either one command that counts once a second, or many short turns.

use super::{intro::LABEL, say::Say, turn::Turn};
use crate::ask::ModelRequest;
use serde_json::json;

/// Seconds that the counting takes when the prompt names none.
const DEFAULT_COUNT: u64 = 25;

/// Most seconds, and most turns: a demo must end.
const COUNT_MAX: u64 = 600;

pub(super) fn next(turn: &Turn<'_>, _request: &ModelRequest) -> Say {
    let n = number(&turn.prompt);
    if turn.prompt.to_lowercase().contains("turn") {
        return turns(turn, n.unwrap_or(DEFAULT_COUNT).min(COUNT_MAX));
    }
    let n = n.unwrap_or(DEFAULT_COUNT).min(COUNT_MAX);
    if turn.steps.is_empty() {
        return Say::text(format!(
            "I count to {n}, once a second. Say something meanwhile, or stop me."
        ))
        .call(
            "bash",
            json!({
                "command": format!(
                    "for i in $(seq 1 {n}); do echo \"tick $i of {n}\"; sleep 1; done"
                )
            }),
        );
    }
    let outcome = if turn.last_failed() { "The counting was cut short" } else { "Counted" };
    Say::text(format!("{outcome}.\n\n{LABEL}"))
}

fn turns(turn: &Turn<'_>, n: u64) -> Say {
    let done = turn.steps.len() as u64;
    if turn.last_failed() {
        return Say::text(format!("Turn {done} of {n} failed, so I stop here.\n\n{LABEL}"));
    }
    if done >= n {
        return Say::text(format!("All {n} turns are done.\n\n{LABEL}"));
    }
    let i = done + 1;
    Say::text(format!("Turn {i} of {n}."))
        .call("bash", json!({ "command": format!("echo turn {i}") }))
}

/// The first number in a text.
fn number(text: &str) -> Option<u64> {
    text.split(|c: char| !c.is_ascii_digit())
        .find(|digits| !digits.is_empty())
        .and_then(|digits| digits.parse().ok())
}
