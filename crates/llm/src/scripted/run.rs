//! Script: runs the one command that the prompt names, and tells what came of it.

use super::{intro::LABEL, say::Say, turn::Turn};
use crate::ask::ModelRequest;
use serde_json::json;

/// The command in `run: …`, ``run `…` `` or `execute …`.
pub(super) fn command(prompt: &str) -> Option<String> {
    let prompt = prompt.trim();
    let first = prompt.split([' ', ':']).next()?.to_lowercase();
    if !matches!(first.as_str(), "run" | "execute") {
        return None;
    }
    let rest = prompt[first.len()..].trim_start_matches([' ', ':']);
    let command = match rest.split_once('`') {
        Some((_, quoted)) => quoted.split('`').next()?,
        None => rest,
    };
    let command = command.trim();
    (!command.is_empty()).then(|| command.to_owned())
}

pub(super) fn next(turn: &Turn<'_>, _request: &ModelRequest) -> Say {
    let command = command(&turn.prompt).unwrap_or_default();
    if turn.steps.is_empty() {
        return Say::text("I run that command now.").call("bash", json!({ "command": command }));
    }
    let outcome = if turn.last_failed() { "It failed" } else { "It is done" };
    Say::text(format!("{outcome}; the output is above.\n\n{LABEL}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_command_is_found_where_one_is_named() {
        let check = |prompt: &str, expected: Option<&str>| {
            assert_eq!(super::command(prompt).as_deref(), expected, "{prompt}");
        };
        check("run: ls -la", Some("ls -la"));
        check("Run `echo hi` please", Some("echo hi"));
        check("execute true", Some("true"));
        check("run", None);
        check("running late", None);
        check("please run `x`", None);
    }
}
