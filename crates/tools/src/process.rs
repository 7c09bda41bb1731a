//! Tool `process`: looks after commands in the background: what they say, what is said to them, and
//! their end.

use crate::{
    about::{About, Again},
    arguments::{Arguments, Refused, peek},
    bash::{ending, one_line},
    host::{ShellEvent, Tool, ToolContext},
    outcome::{STOPPED, ToolOutcome},
    output::Tail,
};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use toft_model::{
    init::{ExecExit, ExecStatus},
    tool::ToolSpec,
};
use tokio::time::{Instant, timeout_at};

/// How long kept output may take to arrive. It comes at once; then a program that is silent sends
/// nothing more.
const QUIET: Duration = Duration::from_millis(150);

/// How long output is read in all, from a program that never falls silent, unless more is asked for.
const READ_MAX: Duration = Duration::from_secs(2);

/// How long an answer to input is waited for, unless more is asked for.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// Longest wait that a call may ask for.
const WAIT_MAX: Duration = Duration::from_mins(10);

/// How long a program may take none of its input.
const INPUT_MAX: Duration = Duration::from_secs(5);

/// Time between TERM and KILL.
const KILL_GRACE_MS: u64 = 3_000;

/// Programs that are listed at most, newest first.
const LISTED_MAX: usize = 50;

/// Programs whose output was looked at that are remembered; then all are forgotten.
const LOOKED_MAX: usize = 1_000;

const ACTIONS: [&str; 4] = ["list", "output", "input", "kill"];

/// See the module.
#[derive(Default)]
pub(crate) struct Process {
    /// How many bytes of a program's output were shown. Forgotten with the bridge: then all is shown
    /// again.
    looked: Mutex<HashMap<String, u64>>,
}

#[async_trait]
impl Tool for Process {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "process".into(),
            description:
                "Commands in the background: list them, output of one since the last look, input \
                          text to it, or kill it with all it started."
                    .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "action": { "type": "string", "enum": ACTIONS },
                    "id": { "type": "string" },
                    "text": { "type": "string" },
                    "close": { "type": "boolean", "description": "Ends its input" },
                    "wait": { "type": "number", "description": "Seconds for its end" }
                },
                "required": ["action"]
            }),
        }
    }

    fn about(&self, arguments: &Value) -> About {
        let words =
            [peek(arguments, &["action"]), peek(arguments, &["id"]), peek(arguments, &["text"])];
        About::Text(words.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }

    fn again(&self, arguments: &Value) -> Again {
        // What a program was told it may not be told twice.
        match peek(arguments, &["action"]).as_deref() {
            Some("input") => Again::Unsure,
            _ => Again::Safe,
        }
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let order = match Order::new(arguments) {
            Ok(order) => order,
            Err(refused) => return refused.into(),
        };
        let work = async {
            match order.action.as_str() {
                "list" => list(ctx).await,
                "output" => self.output(ctx, &order.id, order.wait).await,
                "input" => self.input(ctx, &order).await,
                _ => kill(ctx, &order.id).await,
            }
        };
        tokio::select! {
            outcome = work => outcome,
            () = ctx.cancel.cancelled() => ToolOutcome::cancelled(STOPPED),
        }
    }
}

struct Order {
    action: String,
    id: String,
    text: String,
    close: bool,
    wait: Option<Duration>,
}

impl Order {
    fn new(arguments: Value) -> Result<Self, Refused> {
        let args =
            Arguments::new("process", &["action", "id", "text", "close", "wait"], arguments)?;
        let action = args.some_text("action", "list, output, input or kill")?;
        if !ACTIONS.contains(&action.as_str()) {
            return Err(Refused::new(format!(
                "The argument `action` of process must be list, output, input or kill, not {action:?}."
            )));
        }
        let id = if action == "list" {
            String::new()
        } else {
            args.some_text("id", "the id of the process, see action list")?
        };
        let wait = args.positive("wait")?.map(Duration::try_from_secs_f64);
        let order = Self {
            id,
            text: args.optional_text("text")?.unwrap_or_default(),
            close: args.flag("close")?,
            wait: wait.map(|wait| wait.unwrap_or(WAIT_MAX).min(WAIT_MAX)),
            action,
        };
        if order.action == "input" && order.text.is_empty() && !order.close {
            return Err(Refused::new(
                "The argument `text` of process is missing: what to give to the program. Nothing was \
                 done.",
            ));
        }
        Ok(order)
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

/// How long a look lasts.
#[derive(Clone, Copy)]
struct Look {
    until: Instant,
    /// Whether it ends when the program falls silent after it said something.
    until_quiet: bool,
}

impl Process {
    fn shown(&self, id: &str) -> u64 {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.get(id).copied().unwrap_or_default()
    }

    fn set_shown(&self, id: &str, bytes: u64) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.len() >= LOOKED_MAX {
            looked.clear();
        }
        looked.insert(id.to_owned(), bytes);
    }

    async fn output(&self, ctx: &ToolContext, id: &str, wait: Option<Duration>) -> ToolOutcome {
        let until = Instant::now() + wait.unwrap_or(READ_MAX);
        self.look(ctx, id, Look { until, until_quiet: wait.is_none() }, QUIET).await
    }

    async fn input(&self, ctx: &ToolContext, order: &Order) -> ToolOutcome {
        let id = order.id.as_str();
        let all = match ctx.shell.list().await {
            Ok(all) => all,
            Err(error) => return ToolOutcome::error(error.to_string()),
        };
        let Some(status) = all.iter().find(|status| status.id == id) else { return unknown(id) };
        if let Some(exit) = &status.exit {
            return ToolOutcome::error(format!(
                "`{id}` takes no input: it ended with {}.",
                ending(exit)
            ));
        }
        if let Some(refused) = refused(ctx, status) {
            return refused;
        }
        if !status.stdin {
            return ToolOutcome::error(format!(
                "`{id}` takes no input: that was ended, or it was not started with bash and background."
            ));
        }
        let given = ctx.shell.input(id, order.text.as_bytes(), order.close);
        match tokio::time::timeout(INPUT_MAX, given).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return ToolOutcome::error(format!("The input was not given: {error}"));
            }
            Err(_) => {
                return ToolOutcome::error(format!(
                    "`{id}` does not read its input; not all was given."
                ));
            }
        }
        let until = Instant::now() + order.wait.unwrap_or(ANSWER_WAIT);
        let look = Look { until, until_quiet: order.wait.is_none() };
        self.look(ctx, id, look, ANSWER_WAIT).await
    }

    /// What a program said since the last look, and meanwhile; `patience` for its first word.
    async fn look(
        &self,
        ctx: &ToolContext,
        id: &str,
        look: Look,
        patience: Duration,
    ) -> ToolOutcome {
        let from = self.shown(id);
        let Ok(mut run) = ctx.shell.attach(id, from).await else { return unknown(id) };
        let mut tail = Tail::default();
        let mut exit: Option<ExecExit> = None;
        // Where the output stands, and how much of it is no longer kept.
        let (mut at, mut gap) = (from, 0);
        loop {
            let quiet = if tail.bytes() == 0 { patience } else { QUIET };
            let until =
                if look.until_quiet { look.until.min(Instant::now() + quiet) } else { look.until };
            match timeout_at(until, run.events.next()).await {
                Ok(Some(ShellEvent::Output(bytes) | ShellEvent::Errors(bytes))) => {
                    tail.push(&bytes);
                    at += bytes.len() as u64;
                    // A program that never falls silent must not keep the look open.
                    if Instant::now() >= look.until {
                        break;
                    }
                }
                Ok(Some(ShellEvent::Gap(to))) => {
                    gap += to.saturating_sub(at);
                    at = to;
                }
                Ok(Some(ShellEvent::Exit(ended))) => {
                    exit = Some(ended);
                    break;
                }
                // What has come by then is what there is to show.
                Ok(Some(ShellEvent::Lost) | None) | Err(_) => break,
            }
        }
        self.set_shown(id, at);
        let (shown, note) = tail.text();
        let mut parts = vec![match (shown.is_empty(), from) {
            (false, _) => shown,
            (true, 0) => "(no output)".to_owned(),
            (true, _) => "(nothing new)".to_owned(),
        }];
        if let Some(note) = note {
            let path = exit.as_ref().and_then(|e| e.output_path.clone());
            let path = path.map(|path| format!(" Full output: {path}")).unwrap_or_default();
            parts.push(format!("[{note}.{path}]"));
        }
        if gap > 0 {
            parts.push(format!("[{gap} more bytes came meanwhile and are no longer kept.]"));
        }
        parts.push(match &exit {
            None => "It runs.".into(),
            Some(exit) => format!("It ended with {}.", ending(exit)),
        });
        let details = json!({
            "id": id, "fromByte": from, "outputBytes": tail.bytes(), "lostBytes": gap,
            "running": exit.is_none()
        });
        ToolOutcome::text(parts.join("\n\n")).details(details)
    }
}

/// A call that only reads leaves programs alone that do more.
fn refused(ctx: &ToolContext, status: &ExecStatus) -> Option<ToolOutcome> {
    (ctx.read_only && !status.read_only).then(|| {
        ToolOutcome::error(format!(
            "`{}` was not started in plan mode, and may change things. In plan mode its output can be \
             looked at; it gets no input and is not ended.",
            status.id
        ))
    })
}

async fn kill(ctx: &ToolContext, id: &str) -> ToolOutcome {
    if ctx.read_only {
        let all = match ctx.shell.list().await {
            Ok(all) => all,
            Err(error) => return ToolOutcome::error(error.to_string()),
        };
        let known = all.iter().find(|status| status.id == id);
        if let Some(refused) = known.and_then(|status| refused(ctx, status)) {
            return refused;
        }
    }
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
mod tests;
