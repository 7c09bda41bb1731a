//! Tool `process`: looks after commands in the background.

use crate::{
    arguments::Arguments,
    bash::{ending, one_line},
    host::{ShellEvent, Tool, ToolContext},
    outcome::{STOPPED, ToolOutcome},
    output::Tail,
};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use toft_model::{
    init::{ExecExit, ExecSpec},
    tool::ToolSpec,
};
use tokio::time::timeout;

/// How long kept output may take to arrive. It comes at once; then a program that is silent sends
/// nothing more.
const QUIET: Duration = Duration::from_millis(150);

/// How long output is read in all, from a program that never falls silent.
const READ_MAX: Duration = Duration::from_secs(2);

/// Time between TERM and KILL.
const KILL_GRACE_MS: u64 = 3_000;

/// Programs that are listed at most, newest first.
const LISTED_MAX: usize = 50;

/// See the module.
pub(crate) struct Process;

#[async_trait]
impl Tool for Process {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "process".into(),
            description:
                "Look after commands that run in the background: list them, read the output \
                          of one, or kill one with everything it started."
                    .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "action": { "type": "string", "enum": ["list", "output", "kill"] },
                    "id": { "type": "string", "description": "Which one; not for list" }
                },
                "required": ["action"],
                "additionalProperties": false
            }),
        }
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let parsed = Arguments::new("process", &["action", "id"], arguments)
            .and_then(|args| Ok((args.some_text("action", "list, output or kill")?, args)));
        let (action, args) = match parsed {
            Ok(parsed) => parsed,
            Err(refused) => return refused.into(),
        };
        if action == "list" {
            return list(ctx).await;
        }
        let id = match args.some_text("id", "the id of the process, see action list") {
            Ok(id) => id,
            Err(refused) => return refused.into(),
        };
        let work = async {
            match action.as_str() {
                "output" => output(ctx, &id).await,
                "kill" => kill(ctx, &id).await,
                other => ToolOutcome::error(format!(
                    "The argument `action` of process must be list, output or kill, not {other:?}."
                )),
            }
        };
        tokio::select! {
            outcome = work => outcome,
            () = ctx.cancel.cancelled() => ToolOutcome::cancelled(STOPPED),
        }
    }
}

async fn list(ctx: &ToolContext) -> ToolOutcome {
    let mut all = match ctx.shell.list().await {
        Ok(all) => all,
        Err(error) => return ToolOutcome::error(error.to_string()),
    };
    all.sort_by_key(|status| std::cmp::Reverse(status.started_at));
    let lines: Vec<String> = all
        .iter()
        .take(LISTED_MAX)
        .map(|status| {
            let state = match &status.exit {
                None => format!("runs, pid {}", status.pid),
                Some(exit) => format!("ended with {}", ending(exit)),
            };
            format!("{}: {state}: {}", status.id, one_line(&status.label))
        })
        .collect();
    if lines.is_empty() {
        return ToolOutcome::text("No process runs.");
    }
    ToolOutcome::text(lines.join("\n"))
}

async fn output(ctx: &ToolContext, id: &str) -> ToolOutcome {
    // A known id is attached to; an unknown one cannot be started without a program.
    let spec = ExecSpec { id: Some(id.to_owned()), detach: true, ..ExecSpec::default() };
    let Ok(mut run) = ctx.shell.start(spec).await else { return unknown(id) };
    let mut tail = Tail::default();
    let mut exit: Option<ExecExit> = None;
    let read = async {
        while let Ok(Some(event)) = timeout(QUIET, run.events.next()).await {
            match event {
                ShellEvent::Output(bytes) => tail.push(&bytes),
                ShellEvent::Gap(_) => {}
                ShellEvent::Exit(ended) => {
                    exit = Some(ended);
                    break;
                }
                ShellEvent::Lost => break,
            }
        }
    };
    // What has come by then is what there is to show.
    let _ = timeout(READ_MAX, read).await;
    let (shown, note) = tail.text();
    let mut parts = vec![if shown.is_empty() { "(no output)".to_owned() } else { shown }];
    if let Some(note) = note {
        let path = exit.as_ref().and_then(|e| e.output_path.clone());
        let path = path.map(|path| format!(" Full output: {path}")).unwrap_or_default();
        parts.push(format!("[{note}.{path}]"));
    }
    parts.push(match &exit {
        None => "It runs.".into(),
        Some(exit) => format!("It ended with {}.", ending(exit)),
    });
    ToolOutcome::text(parts.join("\n\n"))
}

async fn kill(ctx: &ToolContext, id: &str) -> ToolOutcome {
    match ctx.shell.kill(id, KILL_GRACE_MS).await {
        Ok(()) => ToolOutcome::text(format!("`{id}` and all that it started is ended.")),
        Err(error) if error.code == "not_found" => unknown(id),
        Err(error) => ToolOutcome::error(error.to_string()),
    }
}

fn unknown(id: &str) -> ToolOutcome {
    ToolOutcome::error(format!("There is no process `{id}`. Use action \"list\" to see all."))
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[tokio::test]
    async fn a_command_in_the_background_can_be_listed_read_and_killed() {
        let bench = Bench::new();
        let command = json!({"command": "echo ready; sleep 1000", "background": true});
        let started = bench.call_as("bg1", "bash", command).await;
        assert!(!started.is_error, "{}", started.said());
        let pid = started.details.as_ref().unwrap()["pid"].as_u64().unwrap();
        let listed = bench.call("process", json!({"action": "list"})).await.said();
        assert!(
            listed.contains(&format!("bg1: runs, pid {pid}: echo ready; sleep 1000")),
            "{listed}"
        );
        let output = bench.call("process", json!({"action": "output", "id": "bg1"})).await.said();
        assert_eq!(output, "ready\n\nIt runs.");
        let killed = bench.call("process", json!({"action": "kill", "id": "bg1"})).await;
        assert!(!killed.is_error, "{}", killed.said());
        let listed = bench.call("process", json!({"action": "list"})).await.said();
        assert!(listed.contains("bg1: ended with signal 15"), "{listed}");
    }

    #[tokio::test]
    async fn what_is_not_there_is_said() {
        let bench = Bench::new();
        assert_eq!(
            bench.call("process", json!({"action": "list"})).await.said(),
            "No process runs."
        );
        for action in ["output", "kill"] {
            let outcome = bench.call("process", json!({"action": action, "id": "x"})).await;
            assert!(outcome.is_error && outcome.said().contains("no process `x`"));
        }
        assert!(bench.call("process", json!({"action": "output"})).await.said().contains("`id`"));
        let wrong = bench.call("process", json!({"action": "pause", "id": "x"})).await;
        assert!(wrong.said().contains("list, output or kill"), "{}", wrong.said());
    }
}
