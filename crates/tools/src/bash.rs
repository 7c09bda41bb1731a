//! Tool `bash`: a command in the machine's shell. It runs outside of the bridge and is found again by
//! its id, so a bridge that died in the middle neither ends nor repeats it.

mod outcome;
mod watch;

pub(crate) use outcome::ending;

use crate::{
    about::{About, Again},
    arguments::{Arguments, Refused, peek},
    host::{ShellError, Tool, ToolContext},
    outcome::{STOPPED, ToolOutcome},
    output::cut_at_char,
};
use async_trait::async_trait;
use outcome::{exit_code, was_killed};
use serde_json::{Value, json};
use std::{convert::Infallible, time::Duration};
use toft_model::{event::LimitKind, init::ExecSpec, tool::ToolSpec};
use tokio::time::Instant;
use watch::{End, LOST_PATIENCE, Watch};

/// Longest time limit that a call may ask for: a day.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// Time between TERM and KILL when a call is stopped. A person who stops wants it stopped within a
/// second; programs that tidy up quickly may.
pub(crate) const STOP_GRACE_MS: u64 = 300;

/// Code of init's where nothing can be run that only reads.
const NOT_READ_ONLY: &str = "not_read_only";

/// Characters of a command that the process list shows.
const LABEL_CHARS_MAX: usize = 120;

/// A process that KILL ended may have taken too much memory. The host sees that and tells it: a look
/// every few hundred milliseconds and a request.
const MEMORY_NEWS: Duration = Duration::from_millis(1_500);

/// See the module.
pub(crate) struct Bash;

struct Order {
    command: String,
    limit: Option<Duration>,
    background: bool,
}

#[async_trait]
impl Tool for Bash {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "bash".into(),
            description: "Run a command with bash in the project's folder; returns stdout and stderr \
                          (last 2000 lines or 50 KB, the rest in a file). background is for servers: \
                          returns at once with an id for the tool process."
                .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "command": { "type": "string" },
                    "timeout": { "type": "number", "description": "Seconds" },
                    "background": { "type": "boolean" }
                },
                "required": ["command"]
            }),
        }
    }

    fn about(&self, arguments: &Value) -> About {
        About::Command(peek(arguments, &["command"]).unwrap_or_default())
    }

    fn again(&self, _arguments: &Value) -> Again {
        Again::Attaches
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let order = match parse(arguments) {
            Ok(order) => order,
            Err(refused) => return refused.into(),
        };
        if ctx.cancel.is_cancelled() {
            return ToolOutcome::cancelled(STOPPED);
        }
        let began = Instant::now();
        let mut watch = Watch::new(ctx, &order.command, order.background);
        let run = match watch.attach(Instant::now() + LOST_PATIENCE).await {
            Ok(run) => run,
            Err(error) => return not_run("command", &error),
        };
        let end = if order.background {
            watch.a_while(run).await
        } else {
            watch.until_it_ends(run, order.limit).await
        };
        told(&watch, &end, &order, began).await
    }

    async fn settled(&self, ctx: &ToolContext, outcome: &ToolOutcome) {
        let_go(ctx, outcome).await;
    }
}

fn not_run(what: &str, error: &ShellError) -> ToolOutcome {
    let outcome = ToolOutcome::error(format!("The {what} was not run: {error}"));
    // Where nothing can be run that only reads, plan mode runs nothing.
    let is_refused = error.code == NOT_READ_ONLY;
    if is_refused { outcome.details(json!({ "planMode": true })) } else { outcome }
}

/// Runs another program in the same way, until it ends. `meanwhile` is done beside that and never ends.
pub(crate) async fn follow(
    ctx: &ToolContext,
    spec: ExecSpec,
    limit: Duration,
    meanwhile: impl Future<Output = Infallible>,
) -> ToolOutcome {
    let began = Instant::now();
    let mut watch = Watch::of(ctx, spec);
    let run = match watch.attach(Instant::now() + LOST_PATIENCE).await {
        Ok(run) => run,
        Err(error) => return not_run("program", &error),
    };
    let order = Order { command: String::new(), limit: Some(limit), background: false };
    let end = tokio::select! {
        end = watch.until_it_ends(run, order.limit) => end,
        never = meanwhile => match never {},
    };
    told(&watch, &end, &order, began).await
}

/// What the model is told, also of a limit of the machine that was reached meanwhile.
async fn told(watch: &Watch<'_>, end: &End, order: &Order, began: Instant) -> ToolOutcome {
    let shell = &watch.ctx.shell;
    let limit = match end {
        End::Exit(exit) if exit_code(exit) != 0 => {
            let wait = if was_killed(exit) { MEMORY_NEWS } else { Duration::ZERO };
            shell.limit_hit(LimitKind::Memory, began, wait).await
        }
        // Programs that write on a full disk stand still until there is room.
        End::TimedOut(..) => shell.limit_hit(LimitKind::Disk, began, Duration::ZERO).await,
        _ => None,
    };
    watch.outcome(end, order, limit.as_ref())
}

/// Drops what init keeps of a program whose result is stored.
pub(crate) async fn let_go(ctx: &ToolContext, outcome: &ToolOutcome) {
    let detail = |key: &str| outcome.details.as_ref().and_then(|d| d.get(key));
    let ended = detail("exitCode").is_some_and(|code| !code.is_null());
    // The model was told where the whole output is, so it stays.
    let spilled = detail("fullOutputPath").is_some_and(|path| !path.is_null());
    if ended && !spilled {
        // It ended; when init lost it there is nothing to drop.
        let _ = ctx.shell.forget(&ctx.run_id).await;
    }
}

fn parse(arguments: Value) -> Result<Order, Refused> {
    let args = Arguments::new("bash", &["command", "timeout", "background"], arguments)?;
    let limit = args.positive("timeout")?.map(Duration::try_from_secs_f64);
    Ok(Order {
        command: args.some_text("command", "what to run")?,
        limit: limit.map(|limit| limit.unwrap_or(TIMEOUT_MAX).min(TIMEOUT_MAX)),
        background: args.flag("background")?,
    })
}

/// A label in one line.
pub(crate) fn one_line(label: &str) -> String {
    let line = label.split_whitespace().collect::<Vec<_>>().join(" ");
    cut_at_char(&line, LABEL_CHARS_MAX).to_owned()
}

#[cfg(test)]
mod tests;
