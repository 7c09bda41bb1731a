//! `toft logs`: what happened in a project, one line per event.

use crate::{
    args::At,
    client::{Client, SseEvent},
    output,
};
use anyhow::Result;
use http::Method;
use serde_json::json;

pub(crate) async fn run(
    at: &At,
    project: &str,
    after: u64,
    follow: bool,
    as_json: bool,
) -> Result<()> {
    let client = Client::find(at)?;
    let id = client.project(project).await?;
    let path = format!("/v1/projects/{id}/toft/events?after={after}");
    let mut events = client.stream(Method::GET, &path, None).await?;
    let mut last = u64::MAX;
    while let Some(event) = events.next().await? {
        if event.name == "hello" {
            last = event.data["seq"].as_u64().unwrap_or(0);
            if !follow && last <= after {
                return Ok(());
            }
            continue;
        }
        let seq: u64 = event.id.as_deref().and_then(|i| i.parse().ok()).unwrap_or(0);
        if as_json {
            output::line(&json!({"seq": seq, "kind": event.name, "data": event.data}).to_string());
        } else if let Some(text) = human(&event) {
            output::line(&format!("{seq:>6}  {text}"));
        }
        if !follow && seq >= last {
            return Ok(());
        }
    }
    Ok(())
}

/// One line for people; `None` for pieces that a later event holds whole. Much of it is said inside: none of it is
/// another line, or a command to the terminal.
fn human(event: &SseEvent) -> Option<String> {
    let text = told(event)?.replace(['\r', '\n', '\t'], " ");
    Some(output::shown(&text).into_owned())
}

fn told(event: &SseEvent) -> Option<String> {
    let data = &event.data;
    let text = |field: &str| data[field].as_str().unwrap_or_default().to_owned();
    Some(match event.name.as_str() {
        "message_update" | "message_start" | "tool_update" | "turn_start" | "turn_end" => {
            return None;
        }
        "message_end" => {
            let message = &data["message"];
            let role = message["role"].as_str().unwrap_or("?");
            if role == "toolResult" {
                return None;
            }
            format!("{role}: {}", first_line(&content_text(&message["content"])))
        }
        "tool_start" => {
            format!("tool {} {}", text("toolName"), first_line(&data["input"].to_string()))
        }
        "tool_end" => format!(
            "tool {} {} in {} ms",
            text("toolName"),
            if data["isError"] == true { "failed" } else { "done" },
            data["durationMs"]
        ),
        "agent_end" => format!("agent_end {}", text("reason")),
        "notify" | "error" => format!("{}: {}", event.name, text("message")),
        "limit" => format!("limit ({}): {}", text("kind"), text("message")),
        "schedule" => {
            let line = format!("schedule {}: {}", text("name"), text("outcome"));
            data["reason"].as_str().map_or(line.clone(), |reason| format!("{line}: {reason}"))
        }
        "extension_error" => {
            let hook = data["hook"].as_str().map(|hook| format!(", hook {hook}"));
            let hook = hook.unwrap_or_default();
            format!("extension {}{hook}: {}", text("extension"), text("message"))
        }
        "mcp_server" => {
            let line = format!("mcp server {}: {}", text("name"), text("state"));
            data["message"].as_str().map_or(line.clone(), |why| format!("{line}: {why}"))
        }
        "service" => {
            let line = format!("service {}: {}", text("name"), text("state"));
            data["exitCode"]
                .as_i64()
                .map_or(line.clone(), |code| format!("{line} (exit code {code})"))
        }
        "run_step" => run_step(data),
        "plan_ready" => {
            let steps = data["todos"].as_array().map_or(0, Vec::len);
            let words = if steps == 1 { "step" } else { "steps" };
            format!("plan of {steps} {words}: {}", first_line(&text("summary")))
        }
        "plan_settled" => format!("plan {}", text("state")),
        "mode_change" => format!("mode {}", text("mode")),
        "auto_check" => {
            let line = format!("check {}: {}", text("status"), first_line(&text("command")));
            data["exitCode"]
                .as_i64()
                .map_or(line.clone(), |code| format!("{line} (exit code {code})"))
        }
        "app_port" => format!("app_port {}", data["port"]),
        "restored" => format!("restored to checkpoint {} {}", text("checkpointId"), text("label")),
        "navigated" => match data["sessions"][0]["toEntryId"].as_str() {
            Some(entry) => format!("navigated to {entry}"),
            None => "navigated to the beginning".to_owned(),
        },
        "label_change" => format!("label_change {} {}", text("targetId"), text("label")),
        "forked" => format!("forked from {}", text("from")),
        other => other.to_owned(),
    })
}

/// A step of a run: how it ended, else whom it waits for, else what it does.
fn run_step(data: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let step = match data["status"].as_str() {
        Some("error") => match data["error"].as_str() {
            Some(error) => format!("failed: {}", first_line(error)),
            None => "failed".to_owned(),
        },
        Some(status) => status.to_owned(),
        None => match data["waitsFor"].as_str() {
            Some("approval") => "waits for approval of its plan".to_owned(),
            Some("answer") => "waits for an answer".to_owned(),
            Some(other) => format!("waits for {other}"),
            None => match data["phase"].as_str() {
                Some("plan") => "plans".to_owned(),
                Some("build") => "builds".to_owned(),
                Some("commit") => "commits".to_owned(),
                _ => "ends".to_owned(),
            },
        },
    };
    let commit = match data["commit"]["result"].as_str() {
        Some("made") => format!(", committed as {}", text(&data["commit"]["commitSha"])),
        Some("skipped") => {
            format!(", not committed: {}", text(&data["commit"]["reason"]).replace('_', " "))
        }
        Some("failed") => {
            format!(", not committed: {}", first_line(&text(&data["commit"]["error"])))
        }
        _ => String::new(),
    };
    format!("run {} {step}{commit}", text(&data["runId"]))
}

pub(crate) fn content_text(content: &serde_json::Value) -> String {
    match content {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(blocks) => {
            blocks.iter().filter_map(|b| b["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// Longest piece of a message in a list line, in characters.
const LINE_CHARS_MAX: usize = 100;

pub(crate) fn first_line(text: &str) -> String {
    let line = output::shown(text.trim().lines().next().unwrap_or_default());
    if line.chars().count() <= LINE_CHARS_MAX {
        return line.into_owned();
    }
    let cut: String = line.chars().take(LINE_CHARS_MAX - 1).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        let event = SseEvent {
            name: "message_end".into(),
            id: None,
            data: json!({"message":{"role":"user","content":"Build a shop\nwith a cart"}}),
        };
        assert_eq!(human(&event).unwrap(), "user: Build a shop");
    }

    #[test]
    fn a_limit_says_whom_it_hit_and_a_schedule_why() {
        let told = |name: &str, data: serde_json::Value| {
            human(&SseEvent { name: name.into(), id: None, data }).unwrap()
        };
        let message = "Out of memory: `node` was killed.";
        assert_eq!(
            told("limit", json!({"kind":"memory","message":message})),
            format!("limit (memory): {message}")
        );
        assert_eq!(
            told(
                "schedule",
                json!({"name":"nightly","outcome":"skipped","reason":"it is stopped"})
            ),
            "schedule nightly: skipped: it is stopped"
        );
        assert_eq!(
            told("service", json!({"name":"web","state":"backoff","exitCode":3})),
            "service web: backoff (exit code 3)"
        );
    }

    #[test]
    fn a_run_says_each_of_its_steps() {
        let check = |name: &str, data: serde_json::Value, expected: &str| {
            let event = SseEvent { name: name.into(), id: None, data };
            assert_eq!(human(&event).unwrap(), expected);
        };
        let step = |data: serde_json::Value, expected: &str| {
            let mut data = data;
            data["runId"] = "r1".into();
            check("run_step", data, expected);
        };
        step(json!({"phase": "plan"}), "run r1 plans");
        step(
            json!({"phase": "plan", "waitsFor": "approval"}),
            "run r1 waits for approval of its plan",
        );
        step(json!({"phase": "build", "waitsFor": "answer"}), "run r1 waits for an answer");
        step(json!({"phase": "build"}), "run r1 builds");
        step(json!({"phase": "commit"}), "run r1 commits");
        let made = json!({"result": "made", "commitSha": "9b7de01"});
        step(
            json!({"phase": "over", "status": "completed", "commit": made}),
            "run r1 completed, committed as 9b7de01",
        );
        let skipped = json!({"result": "skipped", "reason": "no_changes"});
        step(
            json!({"phase": "over", "status": "completed", "commit": skipped}),
            "run r1 completed, not committed: no changes",
        );
        let failed = json!({"result": "failed", "error": "no author\nmore"});
        step(
            json!({"phase": "over", "status": "completed", "commit": failed}),
            "run r1 completed, not committed: no author",
        );
        step(
            json!({"phase": "over", "status": "error", "error": "out of time"}),
            "run r1 failed: out of time",
        );
        step(json!({"phase": "over", "status": "cancelled"}), "run r1 cancelled");
        let plan = json!({"planId": "p", "summary": "A file.", "todos": [{"id": "a"}]});
        check("plan_ready", plan, "plan of 1 step: A file.");
        check("plan_settled", json!({"planId": "p", "state": "approved"}), "plan approved");
        check("mode_change", json!({"mode": "build"}), "mode build");
        let failed = json!({"status": "fix_attempt", "command": "make test", "exitCode": 2});
        check("auto_check", failed, "check fix_attempt: make test (exit code 2)");
    }

    #[test]
    fn what_is_said_inside_is_one_line_and_no_command_to_the_terminal() {
        for (name, data) in [
            (
                "run_step",
                json!({"runId": "\u{1b}[2K", "status": "error", "error": "a\u{1b}[2K\nb"}),
            ),
            ("plan_ready", json!({"summary": "a\u{1b}[2K", "todos": []})),
            ("auto_check", json!({"status": "failed", "command": "a\u{1b}]0;x\u{7}\nb"})),
            ("notify", json!({"message": "a\u{1b}[2Kb\nc"})),
            ("error", json!({"message": "a\u{1b}[2Kb\nc"})),
            ("mcp_server", json!({"name": "a\u{1b}[2K", "state": "failed", "message": "b\r\nc"})),
            (
                "extension_error",
                json!({"extension": "\u{1b}", "hook": "\u{9b}1A", "message": "c\n"}),
            ),
            ("label_change", json!({"targetId": "a", "label": "\u{1b}]0;x\u{7}"})),
            ("navigated", json!({"sessions": [{"toEntryId": "a\u{1b}[2K\nb"}]})),
            ("\u{1b}[2K", json!({})),
        ] {
            let line = human(&SseEvent { name: name.into(), id: None, data }).unwrap();
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = first_line(&"ä".repeat(300));
        assert_eq!(line.chars().count(), LINE_CHARS_MAX);
        assert!(line.ends_with('…'));
    }
}
