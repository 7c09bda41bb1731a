//! Calls of tools: what they were asked to do is remembered until they end, and told as they begin, print and end. A
//! machine may begin as many as it likes and end none: what is forgotten of them is told without it.

use super::events::Told;
use serde_json::{Value, json};
use std::collections::HashMap;
use toft_model::{
    event::{ToolEnd, ToolStart, ToolUpdate},
    message::text_of,
};

/// Characters of a tool's output that are told: the conversation has all of it.
const OUTPUT_CHARS_MAX: usize = 64_000;

/// What a program says that tried to write where only reading is allowed.
const EROFS: &str = "Read-only file system";

/// Calls under way of which is remembered what they were asked to do: far more than any agent makes at once.
const CALLS_MAX: usize = 256;
/// And bytes of it: some files that are written whole.
const CALLS_BYTES_MAX: usize = 32 << 20;

/// Begins the id of a call that nobody asked for: the project's own check.
const CHECK_CALL: &str = "check_";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Calls {
    asked: HashMap<String, Asked>,
    /// Of all of it.
    bytes: usize,
}

#[derive(Debug)]
struct Asked {
    input: Value,
    bytes: usize,
}

impl Calls {
    /// Remembers what one is asked to do, which came in so many bytes.
    pub(super) fn begin(&mut self, tool: ToolStart, bytes: usize) {
        self.end(&tool.tool_call_id);
        if self.asked.len() >= CALLS_MAX || self.bytes + bytes > CALLS_BYTES_MAX {
            *self = Self::default();
        }
        if bytes <= CALLS_BYTES_MAX {
            self.bytes += bytes;
            self.asked.insert(tool.tool_call_id, Asked { input: tool.input, bytes });
        }
    }

    /// Forgets one. What it was asked to do, null when that is not known.
    pub(super) fn end(&mut self, call: &str) -> Value {
        let Some(asked) = self.asked.remove(call) else { return Value::Null };
        self.bytes -= asked.bytes;
        asked.input
    }

    /// One begins, in this phase of the run.
    pub(super) fn began(
        &mut self,
        told: &mut Told,
        ts: u64,
        phase: &str,
        tool: ToolStart,
        bytes: usize,
    ) {
        let with = json!({
            "phase": "start", "runPhase": phase, "tool": tool.tool_name,
            "runId": tool.tool_call_id, "input": tool.input,
        });
        told.say(ts, "tool", &with);
        self.begin(tool, bytes);
    }

    /// One prints.
    pub(super) fn printed(&self, told: &mut Told, ts: u64, phase: &str, tool: &ToolUpdate) {
        let with = json!({
            "phase": "stream", "runPhase": phase, "tool": tool.tool_name,
            "runId": tool.tool_call_id, "cmd": self.command(&tool.tool_call_id),
            "stream": tool.stream.as_str(),
            "internal": tool.tool_call_id.starts_with(CHECK_CALL), "chunk": tool.delta,
        });
        told.say(ts, "tool", &with);
    }

    /// One has ended.
    pub(super) fn ended(&mut self, told: &mut Told, ts: u64, phase: &str, tool: &ToolEnd) {
        let input = self.end(&tool.tool_call_id);
        ended(told, ts, phase, tool, &input);
    }

    fn command(&self, call: &str) -> Option<&Value> {
        command(&self.asked.get(call)?.input)
    }
}

/// What a call runs, as it says.
fn command(input: &Value) -> Option<&Value> {
    ["command", "cmd", "action", "code"].into_iter().find_map(|name| input.get(name))
}

/// `phase`: the run's.
fn ended(told: &mut Told, ts: u64, phase: &str, tool: &ToolEnd, input: &Value) {
    let output = cut(&text_of(&tool.result.content));
    let mut with = json!({
        "phase": "end", "runPhase": phase, "tool": tool.tool_name, "runId": tool.tool_call_id,
        "durationMs": tool.duration_ms,
    });
    let is_refused = tool.result.details.as_ref().is_some_and(|of| of["planMode"] == true);
    let is_tried = phase == "plan" && command(input).is_some() && output.contains(EROFS);
    if is_refused || is_tried {
        // Nothing is changed while planning.
        let with = json!({ "tool": tool.tool_name, "detail": output });
        told.status(ts, "plan_policy_warning", with);
    }
    if tool.is_error {
        with["phase"] = "error".into();
        with["error"] = output.into();
    } else {
        for op in file_ops(tool, input, phase) {
            told.say(ts, "file_op", &op);
        }
        with["output"] = output.into();
    }
    told.say(ts, "tool", &with);
}

/// What a tool did to files, in the source's words.
fn file_ops(tool: &ToolEnd, input: &Value, phase: &str) -> Vec<Value> {
    let details = tool.result.details.as_ref().unwrap_or(&Value::Null);
    let op = match tool.tool_name.as_str() {
        "read" => "read",
        "write" => "write",
        "edit" => "edit",
        "ls" => "ls",
        "grep" => "grep",
        "find" => "glob",
        "apply_patch" => {
            let files = details["files"].as_array().into_iter().flatten();
            let one = |file: &Value| {
                let op = if file["change"] == "A" { "write" } else { "edit" };
                json!({ "op": op, "path": file["path"], "phase": phase })
            };
            return files.map(one).collect();
        }
        _ => return Vec::new(),
    };
    let path = [input, details].into_iter().find_map(|of| of["path"].as_str());
    // A search without one is of the project's folder.
    let mut with = json!({ "op": op, "path": path.unwrap_or("."), "phase": phase });
    let chars = |value: &Value| value.as_str().map(|text| text.chars().count());
    match op {
        "write" => with["sizeChars"] = chars(&input["content"]).into(),
        "ls" => with["entryCount"] = details["entries"].clone(),
        "glob" | "grep" => {
            with["pattern"] = input["pattern"].clone();
            let count = if op == "glob" { &details["results"] } else { &details["matches"] };
            with["matchCount"] = count.clone();
        }
        _ => {}
    }
    if let Some(fields) = with.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    vec![with]
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(OUTPUT_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(call: &str, command: &str) -> ToolStart {
        serde_json::from_value(json!({
            "toolCallId": call, "toolName": "bash", "input": { "command": command },
        }))
        .unwrap()
    }

    #[test]
    fn what_never_ends_is_forgotten_before_it_is_too_many_or_too_large() {
        let mut calls = Calls::default();
        for n in 0..CALLS_MAX * 3 {
            calls.begin(started(&format!("c{n}"), "make"), 40);
            assert!(calls.asked.len() <= CALLS_MAX);
        }
        let third = CALLS_BYTES_MAX / 3;
        for n in 0..9 {
            calls.begin(started(&format!("d{n}"), "make"), third);
            assert!(calls.bytes <= CALLS_BYTES_MAX, "{}", calls.bytes);
        }
        // The same one again counts once, and what has ended not at all.
        let mut calls = Calls::default();
        for _ in 0..9 {
            calls.begin(started("e", "make"), third);
        }
        assert_eq!((calls.command("e"), calls.bytes), (Some(&json!("make")), third));
        assert_eq!(calls.end("e")["command"], "make");
        assert_eq!((calls.asked.len(), calls.bytes), (0, 0));
        calls.begin(started("f", "make"), CALLS_BYTES_MAX + 1);
        assert_eq!(calls.command("f"), None, "more than all that is remembered");
    }
}
