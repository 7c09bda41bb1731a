//! A tool that is a program of the project: it gets the arguments of a call as one line of JSON on its standard
//! input, and what it prints is the result. It runs as a command of `bash` does: found again by its id, followed,
//! bounded, ended by an abort or its time limit, read-only in plan mode.

use crate::{
    about::Again,
    bash,
    host::{ShellError, Tool, ToolContext},
    outcome::{STOPPED, ToolOutcome},
};
use async_trait::async_trait;
use serde_json::Value;
use std::{convert::Infallible, future::pending, time::Duration};
use toft_model::{init::ExecSpec, message::INVALID_ARGUMENTS, tool::ToolSpec};
use tokio::time::sleep;

/// Wait before the arguments are handed over again, when init could not be reached.
const LOST_WAIT: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug, Clone)]
pub struct Program {
    /// What models are told of it.
    pub spec: ToolSpec,
    /// Command line for bash; starts in the project's folder.
    pub command: String,
    /// Added to its environment.
    pub env: Vec<(String, String)>,
    /// How long a call may take.
    pub limit: Duration,
}

#[async_trait]
impl Tool for Program {
    fn spec(&self) -> ToolSpec {
        self.spec.clone()
    }

    fn again(&self, _: &Value) -> Again {
        Again::Attaches
    }

    fn keeps_read_only(&self) -> bool {
        true
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let whole = arguments.as_object().is_some_and(|all| !all.contains_key(INVALID_ARGUMENTS));
        if !whole {
            return ToolOutcome::error(format!(
                "The arguments of `{}` were not a JSON object, or cut off. Nothing was done. Call it again with a \
                 whole JSON object.",
                self.spec.name
            ));
        }
        if ctx.cancel.is_cancelled() {
            return ToolOutcome::cancelled(STOPPED);
        }
        let spec = ExecSpec {
            id: Some(ctx.run_id.clone()),
            argv: vec!["bash".into(), "-c".into(), self.command.clone()],
            cwd: Some(ctx.cwd.display().to_string()),
            env: self.env.clone(),
            merge_stderr: true,
            detach: true,
            stdin: true,
            read_only: ctx.read_only,
            label: Some(format!("Tool {}", self.spec.name)),
            ..ExecSpec::default()
        };
        bash::follow(ctx, spec, self.limit, feed(ctx, format!("{arguments}\n"))).await
    }

    async fn settled(&self, ctx: &ToolContext, outcome: &ToolOutcome) {
        bash::let_go(ctx, outcome).await;
    }
}

/// Hands the arguments over. A program that has them already, or reads none, loses nothing by it.
async fn feed(ctx: &ToolContext, line: String) -> Infallible {
    loop {
        match ctx.shell.input(&ctx.run_id, line.as_bytes(), true).await {
            Err(ShellError { code, .. }) if matches!(code.as_str(), "lost" | "io") => {
                sleep(LOST_WAIT).await;
            }
            // It does not read, or has ended.
            Ok(()) | Err(_) => return pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{host::Shell as _, testing::Bench};
    use serde_json::json;
    use std::sync::Arc;

    fn program(command: &str, limit: Duration) -> Arc<dyn Tool> {
        let spec = ToolSpec {
            name: "own".into(),
            description: "A program.".into(),
            parameters: json!({ "type": "object", "properties": {} }),
        };
        Arc::new(Program {
            spec,
            command: command.into(),
            env: vec![("TOFT_EXTENSION".into(), "/ext".into())],
            limit,
        })
    }

    fn bench(command: &str) -> Bench {
        with(program(command, Duration::from_mins(1)))
    }

    fn with(tool: Arc<dyn Tool>) -> Bench {
        let mut bench = Bench::new();
        bench.toolbox = bench.toolbox.clone().with(tool);
        bench
    }

    #[tokio::test]
    async fn a_program_gets_its_arguments_and_what_it_prints_is_the_result() {
        let bench = bench("read line; echo \"$TOFT_EXTENSION $line\"; echo more >&2; cat");
        let outcome = bench.call("own", json!({"a": [1, "ü"]})).await;
        assert_eq!(outcome.said(), "/ext {\"a\":[1,\"ü\"]}\nmore");
        assert!(!outcome.is_error);
    }

    #[tokio::test]
    async fn a_long_argument_is_whole_and_one_that_nobody_reads_is_no_matter() {
        let long = "x".repeat(300_000);
        let outcome = bench("wc -c").call("own", json!({ "text": long })).await;
        assert_eq!(outcome.said().trim(), "300012");
        let outcome = bench("exec <&-; echo done").call("own", json!({ "text": long })).await;
        assert_eq!(outcome.said(), "done");
    }

    #[tokio::test]
    async fn a_program_that_fails_or_takes_too_long_is_an_error_with_what_it_said() {
        let outcome = bench("echo no such page; exit 3").call("own", json!({})).await;
        assert!(outcome.is_error);
        assert!(outcome.said().contains("no such page") && outcome.said().contains("exit code 3"));
        let slow = with(program("echo begun; sleep 60", Duration::from_millis(300)));
        let outcome = slow.call("own", json!({})).await;
        assert!(outcome.is_error && outcome.said().contains("time limit"), "{}", outcome.said());
    }

    #[tokio::test]
    async fn arguments_that_are_no_object_begin_nothing() {
        let outcome = bench("echo ran").call("own", json!([1])).await;
        assert!(outcome.is_error && !outcome.said().contains("ran"));
    }

    #[tokio::test]
    async fn the_same_call_again_finds_the_same_program_and_plan_mode_lets_it_only_read() {
        let bench = bench("cat >/dev/null; echo $$");
        let first = bench.call_as("once", "own", json!({})).await;
        assert_eq!(first.said(), bench.call_as("once", "own", json!({})).await.said());
        assert_ne!(first.said(), bench.call_as("twice", "own", json!({})).await.said());
        bench.reading("third", "own", json!({})).await;
        let all = bench.shell.list().await.unwrap();
        assert_eq!(all.iter().filter(|run| run.read_only).count(), 1, "it is asked of init");
    }
}
