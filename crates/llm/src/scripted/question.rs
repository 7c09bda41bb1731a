//! Script: asks the person something, waits, and goes on with the answer.

use super::{intro::LABEL, say::Say, turn::Turn};
use crate::ask::ModelRequest;
use serde_json::json;

pub(super) fn next(turn: &Turn<'_>, _request: &ModelRequest) -> Say {
    if turn.steps.is_empty() {
        return Say::text("Before I begin I need to know one thing from you.").call(
            "ask",
            json!({
                "question": "What shall I write the greeting for?",
                "options": ["A birthday", "A new colleague", "The end of a long week"]
            }),
        );
    }
    if turn.last_failed() {
        return Say::text(format!("I got no answer, so I stop here.\n\n{LABEL}"));
    }
    let answer = turn.output(0);
    let answer = answer.trim();
    if turn.steps.len() == 1 {
        let greeting = match answer {
            "A birthday" => "Happy birthday! May the cake be large and the meetings few.",
            "A new colleague" => "Welcome! The coffee is good, the questions are welcome.",
            "The end of a long week" => "Well done. Close the laptop; it will keep.",
            _ => "All the best, from a machine of your own.",
        };
        return Say::text(format!("Thank you: “{answer}”. I write it down.")).call(
            "write",
            json!({
                "path": "greeting.md",
                "content": format!("# Greeting\n\nFor: {answer}\n\n{greeting}\n")
            }),
        );
    }
    Say::text(format!("I wrote `greeting.md` for “{answer}”.\n\n{LABEL}"))
}
