//! Calls of tools: as they begin, print, touch files and end.

use super::*;

#[test]
fn a_call_is_told_with_its_output_as_it_comes_by_stream() {
    let mut teller = Teller::new(Phase::Build);
    let input = json!({ "cmd": "bun test" });
    let update = |stream: Option<&str>, delta: &str| {
        let mut update = json!({ "toolCallId": "c", "toolName": "sandbox_cmd", "delta": delta });
        if let Some(stream) = stream {
            update["stream"] = stream.into();
        }
        update
    };
    let piece = |stream: &str, chunk: &str| {
        let data = json!({
            "phase": "stream", "runPhase": "build", "tool": "sandbox_cmd", "runId": "c",
            "cmd": "bun test", "stream": stream, "internal": false, "chunk": chunk,
        });
        ("tool", data)
    };
    teller.check(
        &[
            ("tool_start", start("c", "sandbox_cmd", &input)),
            ("tool_update", update(None, "one")),
            ("tool_update", update(Some("stderr"), "two")),
            ("tool_end", result("c", "sandbox_cmd", "done", &json!({}))),
        ],
        &[
            (
                "tool",
                json!({
                    "phase": "start", "runPhase": "build", "tool": "sandbox_cmd", "runId": "c", "input": input,
                }),
            ),
            piece("stdout", "one"),
            piece("stderr", "two"),
            (
                "tool",
                json!({
                    "phase": "end", "runPhase": "build", "tool": "sandbox_cmd", "runId": "c",
                    "durationMs": 7, "output": "done",
                }),
            ),
        ],
    );
    // The project's own check is nobody's call.
    let own = json!({ "toolCallId": "check_1", "toolName": "bash", "delta": "x" });
    assert_eq!(teller.hear("tool_update", &own)[0].1["internal"], true);
}

#[test]
fn a_failed_call_is_an_error_and_an_attempt_to_change_while_planning_a_warning() {
    let mut teller = Teller::new(Phase::Plan);
    let mut refused = result("c", "write", "refused", &json!({ "planMode": true }));
    refused["isError"] = true.into();
    teller.check(
        &[("tool_end", refused)],
        &[
            (
                "status",
                json!({ "status": "plan_policy_warning", "tool": "write", "detail": "refused" }),
            ),
            (
                "tool",
                json!({
                    "phase": "error", "runPhase": "plan", "tool": "write", "runId": "c", "durationMs": 7,
                    "error": "refused",
                }),
            ),
        ],
    );
}

#[test]
fn a_program_that_tries_to_write_while_planning_is_a_warning() {
    let output = "sh: 1: cannot create a: Read-only file system";
    for (phase, tool, input, warns) in [
        (Phase::Plan, "bash", json!({ "command": "echo > a" }), true),
        (Phase::Plan, "read", json!({ "path": "notes.md" }), false),
        (Phase::Build, "bash", json!({ "command": "echo > /usr/a" }), false),
    ] {
        let mut teller = Teller::new(phase);
        teller.hear("tool_start", &start("c", tool, &input));
        let told = teller.hear("tool_end", &result("c", tool, output, &json!({})));
        let warning = json!({ "status": "plan_policy_warning", "tool": tool, "detail": output });
        assert_eq!(told.contains(&("status".into(), warning)), warns, "{phase:?} {tool}");
    }
}

#[test]
fn what_a_set_action_and_a_piece_of_code_print_is_told_with_what_runs() {
    for (tool, input, cmd) in [
        ("project_actions", json!({ "action": "run_install" }), "run_install"),
        ("run_code", json!({ "code": "print(1)" }), "print(1)"),
    ] {
        let mut teller = Teller::new(Phase::Build);
        teller.hear("tool_start", &start("c", tool, &input));
        let update = json!({ "toolCallId": "c", "toolName": tool, "delta": "1" });
        assert_eq!(teller.hear("tool_update", &update)[0].1["cmd"], cmd);
    }
}

#[test]
fn what_tools_do_to_files_is_told_in_the_sources_words() {
    for (tool, input, details, expected) in [
        ("read", json!({ "path": "a" }), json!({}), json!({ "op": "read", "path": "a" })),
        (
            "write",
            json!({ "path": "a", "content": "h\u{e9}" }),
            json!({}),
            json!({ "op": "write", "path": "a", "sizeChars": 2 }),
        ),
        ("edit", json!({ "path": "a" }), json!({}), json!({ "op": "edit", "path": "a" })),
        (
            "ls",
            json!({}),
            json!({ "path": ".", "entries": 3 }),
            json!({ "op": "ls", "path": ".", "entryCount": 3 }),
        ),
        (
            "grep",
            json!({ "pattern": "x", "path": "src" }),
            json!({ "matches": 4 }),
            json!({ "op": "grep", "path": "src", "pattern": "x", "matchCount": 4 }),
        ),
        (
            "find",
            json!({ "pattern": "*.ts" }),
            json!({ "results": 5 }),
            json!({ "op": "glob", "path": ".", "pattern": "*.ts", "matchCount": 5 }),
        ),
    ] {
        let mut teller = Teller::new(Phase::Build);
        teller.hear("tool_start", &start("c", tool, &input));
        let told = teller.hear("tool_end", &result("c", tool, "done", &details));
        let mut expected = expected;
        expected["phase"] = "build".into();
        assert_eq!(told[0], ("file_op".into(), expected), "{tool}");
    }
    let mut teller = Teller::new(Phase::Build);
    let files =
        json!({ "files": [{ "path": "a", "change": "A" }, { "path": "b", "change": "M" }] });
    let told = teller.hear("tool_end", &result("c", "apply_patch", "done", &files));
    let ops: Vec<_> = told.iter().filter(|(kind, _)| kind == "file_op").collect();
    assert_eq!((&ops[0].1["op"], &ops[1].1["op"]), (&json!("write"), &json!("edit")));
}
