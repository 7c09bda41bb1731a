//! `toft exec`: a command in a machine, its output as it comes, its exit code as ours.

use crate::{args::At, client::Client, output};
use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use std::io::Write as _;

/// What a shell answers for a command that a signal ended, less the signal's number.
const SIGNAL_EXIT_BASE: i64 = 128;
/// Exit code of `timeout(1)`, used for ours too.
const TIMED_OUT_EXIT: i32 = 124;

/// Runs it and returns the exit code.
pub(crate) async fn run(
    at: &At,
    project: &str,
    cwd: Option<&str>,
    timeout_s: u64,
    command: &[String],
    as_json: bool,
) -> Result<i32> {
    let client = Client::find(at)?;
    let id = client.project(project).await?;
    let path = format!("/v1/projects/{id}/exec");
    let mut body = json!({"argv": command, "timeoutMs": timeout_s.saturating_mul(1000)});
    if let Some(cwd) = cwd {
        body["cwd"] = cwd.into();
    }
    if as_json {
        let done = client.post(&path, &body).await?;
        output::json(&done);
        return Ok(exit_code(&done));
    }
    let mut events = client.stream(Method::POST, &path, Some(&body)).await?;
    while let Some(event) = events.next().await? {
        let text = event.data["text"].as_str().unwrap_or_default();
        match event.name.as_str() {
            "stdout" => output::piece(text),
            "stderr" => {
                let _ = std::io::stderr().write_all(text.as_bytes());
            }
            "exit" => return Ok(exit_code(&event.data)),
            _ => {}
        }
    }
    None.context("the connection ended before the command did; it was stopped")
}

fn exit_code(done: &Value) -> i32 {
    if done["timedOut"].as_bool() == Some(true) {
        return TIMED_OUT_EXIT;
    }
    let code = done["exitCode"]
        .as_i64()
        .or_else(|| done["signal"].as_i64().map(|s| SIGNAL_EXIT_BASE + s))
        .unwrap_or(1);
    i32::try_from(code).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_a_shell() {
        assert_eq!(exit_code(&json!({"exitCode": 3, "signal": null})), 3);
        assert_eq!(exit_code(&json!({"exitCode": null, "signal": 9})), 137);
        assert_eq!(exit_code(&json!({"exitCode": null, "signal": 9, "timedOut": true})), 124);
    }
}
