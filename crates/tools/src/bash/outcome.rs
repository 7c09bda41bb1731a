//! What the model is told of a command: its output, how it ended, and what to do about that.

use super::{
    Order, one_line,
    watch::{End, Watch},
};
use crate::outcome::{STOPPED, ToolOutcome};
use serde_json::{Map, Value, json};
use toft_model::{
    event::{LimitHit, LimitKind},
    init::ExecExit,
};

impl Watch<'_> {
    pub(super) fn outcome(
        &self,
        end: &End,
        order: &Order,
        limit: Option<&LimitHit>,
    ) -> ToolOutcome {
        let (shown, note) = self.tail.text();
        let exit = match end {
            End::Exit(exit) => Some(exit),
            End::TimedOut(exit, _) | End::Cancelled(exit) => exit.as_ref(),
            End::Background | End::Unreachable(_) => None,
        };
        let note = note.or_else(|| self.gap.then(|| "The beginning is no longer kept".to_owned()));
        let path = exit.and_then(|exit| exit.output_path.as_deref()).filter(|_| note.is_some());
        let mut parts = Vec::new();
        if !shown.trim().is_empty() {
            parts.push(shown);
        }
        if let Some(note) = &note {
            let rest = match (path, exit.is_some_and(|e| e.truncated)) {
                (Some(path), false) => format!(" Full output: {path}"),
                (Some(path), true) => format!(" Its first part is in {path}"),
                (None, _) => String::new(),
            };
            parts.push(format!("[{note}.{rest}]"));
        }
        let silent = parts.is_empty();
        let mut details = Map::new();
        details.insert("id".into(), self.ctx.run_id.as_str().into());
        details.insert("pid".into(), self.pid.into());
        details.insert("background".into(), order.background.into());
        details.insert("exitCode".into(), exit.map(exit_code).into());
        details.insert("signal".into(), exit.and_then(|e| e.signal).into());
        details.insert("durationMs".into(), exit.map(|e| e.duration_ms).into());
        details.insert("outputBytes".into(), self.tail.bytes().into());
        details.insert("truncated".into(), note.is_some().into());
        details.insert("fullOutputPath".into(), path.into());
        let mut is_error = true;
        match end {
            End::Exit(exit) if order.background => parts.push(format!(
                "It did not stay in the background: it ended at once with {}.",
                ending(exit)
            )),
            End::Exit(exit) if exit.code == Some(0) => {
                is_error = false;
                if silent {
                    parts.push("(no output)".into());
                }
            }
            End::Exit(exit) => parts.push(format!("The command ended with {}.", ending(exit))),
            End::TimedOut(_, limit) => {
                details.insert("timedOut".into(), true.into());
                parts.push(format!(
                    "The command was ended after its time limit of {} seconds.",
                    limit.as_secs_f64()
                ));
            }
            End::Cancelled(_) => {
                details.insert("cancelled".into(), true.into());
                parts.push(STOPPED.into());
            }
            End::Background => {
                is_error = false;
                let id = &self.ctx.run_id;
                parts.insert(0, format!("It runs in the background as `{id}` (pid {}).", self.pid));
                if silent {
                    parts.push("It said nothing yet.".into());
                }
                parts.push(format!(
                    "Go on with process and id \"{id}\": action \"output\", \"input\" or \"kill\"."
                ));
            }
            End::Unreachable(error) => parts.push(format!(
                "The connection to the command was lost ({error}); it may still run. Look with \
                 process, action \"list\"."
            )),
        }
        if let Some(hit) = limit {
            let (name, told) = match hit.kind {
                LimitKind::Disk => ("diskLimit", out_of_disk(hit)),
                LimitKind::Memory | LimitKind::Pids | LimitKind::Log => {
                    ("memoryLimit", out_of_memory(hit))
                }
            };
            details.insert(name.into(), json!(hit));
            parts.push(told);
        }
        let text = parts.join("\n\n");
        ToolOutcome { is_error, ..ToolOutcome::text(text).details(Value::Object(details)) }
    }
}

/// As shells count: 128 and the signal.
pub(super) fn exit_code(exit: &ExecExit) -> i32 {
    exit.code.unwrap_or_else(|| 128 + exit.signal.unwrap_or_default())
}

/// How a program ended, in words.
pub(crate) fn ending(exit: &ExecExit) -> String {
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(9)) => "signal 9 (killed; perhaps for lack of memory)".into(),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".into(),
    }
}

/// Whether KILL ended it, or the last command of its shell.
pub(super) fn was_killed(exit: &ExecExit) -> bool {
    exit_code(exit) == 128 + 9
}

/// What the model is told of a command that took too long, while there was no room on the disk.
fn out_of_disk(hit: &LimitHit) -> String {
    format!(
        "The disk was full meanwhile, so it may have stood still as it wrote: {} Delete what is not needed, or tell \
         the person.",
        hit.message
    )
}

/// What the model is told when the machine's memory limit ended something.
fn out_of_memory(hit: &LimitHit) -> String {
    let limit = match hit.limit {
        Some(bytes) => format!("the machine's memory limit of {} MiB", bytes >> 20),
        None => "the memory of the host".to_owned(),
    };
    let command = hit.command.as_deref().map(one_line);
    let victim = match command {
        Some(command) => format!("`{command}` was ended"),
        None => "a process was ended".to_owned(),
    };
    format!(
        "Out of memory: {victim} because {limit} was reached. Do it with less memory, or tell the \
         person that the limit is too low for this."
    )
}
