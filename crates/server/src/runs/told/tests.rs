//! Each event of the source's list, with its fields: what is told of a machine's events, told from a list of them.

use super::*;

const RUN: &str = "aaaaaaaaaaaa";

fn state() -> RunState {
    RunState {
        status: RunStatus::Running,
        attempt: 1,
        model_source: Some("request".into()),
        ..RunState::queued()
    }
}

struct Teller {
    state: RunState,
    calls: Calls,
    end: Option<RunStep>,
}

impl Teller {
    fn new(phase: Phase) -> Self {
        Self { state: RunState { phase, ..state() }, calls: Calls::default(), end: None }
    }

    fn hear(&mut self, kind: &str, data: &Value) -> Vec<(String, Value)> {
        let mut told = Told::default();
        let event =
            NewEvent { seq: 1, ts: 5, session: None, kind: kind.into(), data: data.to_string() };
        let run: JobId = RUN.parse().unwrap();
        self.end = tell(&mut told, &mut self.calls, &run, &mut self.state, &event);
        let one = |event: NewRunEvent| (event.kind, serde_json::from_str(&event.data).unwrap());
        told.0.into_iter().map(one).collect()
    }

    /// What is said of each of these, one after the other.
    fn check(&mut self, events: &[(&str, Value)], expected: &[(&str, Value)]) {
        let told: Vec<_> = events.iter().flat_map(|(kind, data)| self.hear(kind, data)).collect();
        let told: Vec<_> = told.iter().map(|(kind, data)| (kind.as_str(), data.clone())).collect();
        assert_eq!(told, expected);
    }
}

fn result(call: &str, tool: &str, text: &str, details: &Value) -> Value {
    json!({
        "toolCallId": call, "toolName": tool, "isError": false, "durationMs": 7,
        "result": {
            "role": "toolResult", "toolCallId": call, "toolName": tool, "isError": false, "timestamp": 1,
            "content": [{ "type": "text", "text": text }], "details": details,
        },
    })
}

fn start(call: &str, tool: &str, input: &Value) -> Value {
    json!({ "toolCallId": call, "toolName": tool, "input": input })
}

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
fn of_two_helpers_one_waits_for_a_model_while_the_other_asks() {
    let mut teller = Teller::new(Phase::Build);
    let retry = |asks: bool| {
        json!({ "attempt": 1, "maxAttempts": 3, "delayMs": 1, "errorMessage": "e", "asks": asks,
                "waits": !asks })
    };
    let question = json!({ "question": "May I?", "toolCallId": "t2", "id": "child:c1" });
    let answered = json!({ "toolCallId": "t2", "id": "child:c1" });
    let end = json!({ "success": true, "attempt": 1 });
    let mut after = |kind: &str, data: &Value| {
        teller.hear(kind, data);
        teller.state.waits_for
    };
    assert_eq!(after("auto_retry_start", &retry(false)), Some(WaitsFor::Provider));
    assert_eq!(after("question", &question), Some(WaitsFor::Answer));
    assert_eq!(after("auto_retry_end", &end), Some(WaitsFor::Answer), "it is still asked");
    assert_eq!(after("auto_retry_start", &retry(true)), Some(WaitsFor::Answer));
    assert_eq!(after("answered", &answered), Some(WaitsFor::Answer), "a budget is spent");
    assert_eq!(after("auto_retry_end", &end), None);
}

#[test]
fn a_question_that_comes_before_the_step_to_building_stays() {
    let mut teller = Teller::new(Phase::Plan);
    teller.state.waits_for = Some(WaitsFor::Answer);
    teller.hear("run_step", &json!({ "runId": RUN, "phase": "build" }));
    assert_eq!(teller.state.waits_for, Some(WaitsFor::Answer));
    teller.hear("run_step", &json!({ "runId": RUN, "phase": "commit" }));
    assert_eq!(teller.state.waits_for, None);
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

#[test]
fn phases_follow_each_other_and_a_plan_has_all_its_fields() {
    let mut teller = Teller::new(Phase::Plan);
    let todos = json!([{ "id": "1", "title": "a" }, { "id": "2", "title": "b", "details": "d", "acceptanceCriteria": ["c"] }]);
    let ready = json!({ "planId": "p", "source": "json", "summary": "s", "todos": todos });
    let step = |phase: &str, more: Value| {
        let mut step = json!({ "runId": RUN, "phase": phase });
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        step
    };
    let status = |name: &str, more: Value| {
        let mut status = more;
        status["status"] = name.into();
        ("status", status)
    };
    teller.check(
        &[
            ("message_update", json!({ "type": "text_delta", "delta": "hi" })),
            ("message_update", json!({ "type": "thinking_delta", "delta": "hm" })),
            ("plan_ready", ready),
            ("question", json!({ "question": "?", "options": [], "toolCallId": "c" })),
            // Told a moment later: it does not take the question back.
            ("run_step", step("plan", json!({}))),
            ("answered", json!({ "toolCallId": "c" })),
            ("run_step", step("plan", json!({ "waitsFor": "approval" }))),
            // Another plan is wanted.
            ("run_step", step("plan", json!({}))),
            ("run_step", step("plan", json!({ "waitsFor": "approval" }))),
            ("run_step", step("build", json!({}))),
            (
                "run_step",
                json!({ "runId": "bbbbbbbbbbbb", "phase": "over", "status": "completed" }),
            ),
            ("run_step", step("commit", json!({}))),
        ],
        &[
            ("token", json!({ "token": "hi" })),
            status(
                "plan_ready",
                json!({
                    "planId": "p", "summary": "s",
                    "todos": [
                        { "id": "1", "title": "a", "acceptanceCriteria": [] },
                        { "id": "2", "title": "b", "details": "d", "acceptanceCriteria": ["c"] },
                    ],
                }),
            ),
            status("waiting", json!({ "waitsFor": "answer" })),
            status("waiting", json!({ "waitsFor": null })),
            status("waiting", json!({ "waitsFor": "approval" })),
            status("waiting", json!({ "waitsFor": null })),
            status("waiting", json!({ "waitsFor": "approval" })),
            status("waiting", json!({ "waitsFor": null })),
            status("phase_completed", json!({ "phase": "plan" })),
            status("phase_transition", json!({ "from": "plan", "to": "build" })),
            status("phase_started", json!({ "phase": "build" })),
            status("phase_completed", json!({ "phase": "build" })),
        ],
    );
    assert!(teller.end.is_none());
    for (commit, expected) in [
        (
            json!({ "result": "made", "commitSha": "abc" }),
            status("git_commit", json!({ "commitSha": "abc" })),
        ),
        (
            json!({ "result": "skipped", "reason": "no_changes" }),
            status("git_commit_skipped", json!({ "reason": "no_changes" })),
        ),
        (
            json!({ "result": "failed", "error": "e" }),
            status("git_commit_error", json!({ "error": "e" })),
        ),
    ] {
        let mut teller = Teller::new(Phase::Commit);
        teller.check(
            &[("run_step", step("over", json!({ "status": "completed", "commit": commit })))],
            &[expected],
        );
        assert_eq!(teller.end.unwrap().status, Some(RunStatus::Completed));
    }
}

#[test]
fn the_check_after_a_build_is_told_as_the_source_tells_it() {
    let check = |status: &str, attempt: u32, code: Option<i32>| {
        let mut check = json!({ "status": status, "command": "make check", "attempt": attempt, "attemptsMax": 2 });
        if let Some(code) = code {
            check["exitCode"] = code.into();
        }
        ("auto_check", check)
    };
    let begun = |code: Value| {
        let data = json!({
            "status": "auto_lint_started", "cmd": "make check", "maxFixPasses": 2, "initialExitCode": code,
        });
        ("status", data)
    };
    let told = |status: &str, fields: Value| {
        let mut data = fields;
        data["status"] = format!("auto_lint_{status}").into();
        ("status", data)
    };
    let mut teller = Teller::new(Phase::Build);
    teller.check(
        &[
            check("started", 0, None),
            check("fix_attempt", 1, Some(3)),
            check("started", 1, Some(3)),
            check("fix_attempt", 2, Some(4)),
            check("started", 2, Some(4)),
            check("passed", 2, Some(0)),
        ],
        &[
            begun(3.into()),
            told("fix_attempt", json!({ "attempt": 1, "exitCode": 3 })),
            told("fix_attempt", json!({ "attempt": 2, "exitCode": 4 })),
            told("passed", json!({ "attempts": 2 })),
        ],
    );
    teller.check(
        &[check("started", 0, None), check("passed", 0, Some(0))],
        &[begun(0.into()), told("passed", json!({ "attempts": 0 }))],
    );
    teller.check(
        &[check("started", 0, None), check("failed", 0, None)],
        &[
            begun(Value::Null),
            told("failed", json!({ "attempts": 0, "error": "`make check` could not be run" })),
        ],
    );
}

#[test]
fn usage_is_what_providers_said_and_a_snapshot_names_what_was_touched() {
    let mut teller = Teller::new(Phase::Build);
    let end = json!({
        "reason": "done", "turns": 1, "tools": 1, "changed": ["a"], "durationMs": 9, "demo": false,
        "usage": { "input": 10, "output": 5, "cacheRead": 3, "cacheWrite": 2, "totalTokens": 20, "reasoning": 1 },
    });
    let told = teller.hear("agent_end", &end);
    let usage = json!({
        "inputTokens": 15, "outputTokens": 5, "totalTokens": 20, "cachedInputTokens": 3,
        "reasoningOutputTokens": 1,
    });
    let data = json!({
        "status": "rollback_snapshot", "touchedFiles": ["a"], "usage": usage, "durationMs": 9,
    });
    assert_eq!(told, [("status".to_owned(), data)]);
}

#[test]
fn a_snapshot_in_a_sandbox_names_it_and_says_whether_the_check_passed() {
    let mut teller = Teller::new(Phase::Build);
    teller.state.sandbox = Some("sbx".into());
    let end = json!({
        "reason": "done", "turns": 1, "tools": 1, "changed": ["a"], "durationMs": 9, "demo": false,
        "usage": { "input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "totalTokens": 0 },
    });
    let check = |status: &str| json!({ "status": status, "command": "make check", "attempt": 0, "attemptsMax": 2, "exitCode": 0 });
    for (said, passed) in
        [(None, None), (Some("failed"), Some(false)), (Some("passed"), Some(true))]
    {
        if let Some(said) = said {
            teller.hear("auto_check", &check("started"));
            teller.hear("auto_check", &check(said));
        }
        let data = json!({
            "status": "sandbox_snapshot", "touchedFiles": ["a"], "usage": null, "durationMs": 9,
            "sandboxId": "sbx", "lintPassed": passed,
        });
        assert_eq!(teller.hear("agent_end", &end), [("status".to_owned(), data)]);
    }
}

#[test]
fn what_no_provider_told_of_is_not_known_and_not_nothing() {
    let mut teller = Teller::new(Phase::Build);
    let end = |input: u64| {
        json!({
            "reason": "done", "turns": 1, "tools": 0, "changed": [], "durationMs": 9, "demo": false,
            "usage": { "input": input, "output": 0, "cacheRead": 0, "cacheWrite": 0, "totalTokens": input },
        })
    };
    let told = teller.hear("agent_end", &end(0));
    assert_eq!((teller.state.usage, &told[0].1["usage"]), (None, &Value::Null));
    teller.hear("agent_end", &end(7));
    teller.hear("agent_end", &end(0));
    assert_eq!(teller.state.usage.map(|usage| usage.input), Some(7));
}

#[test]
fn a_run_that_several_models_answered_says_so_and_has_no_one_price() {
    let mut teller = Teller::new(Phase::Plan);
    teller.state.model_source = Some("project".into());
    let answer = |provider: &str, model: &str| {
        json!({
            "messageId": "m", "entryId": "e", "parentId": null,
            "message": {
                "role": "assistant", "content": [], "api": "x", "provider": provider, "model": model,
                "usage": { "input": 1, "output": 1, "cacheRead": 0, "cacheWrite": 0, "totalTokens": 2 },
                "stopReason": "stop", "timestamp": 1,
            },
        })
    };
    let resolved = |provider: &str, model: &str, source: &str| {
        let data = json!({
            "status": "model_resolved", "provider": provider, "model": model, "source": source,
        });
        vec![("status".to_owned(), data)]
    };
    assert_eq!(teller.hear("message_end", &answer("a", "one")), resolved("a", "one", "project"));
    assert_eq!(teller.hear("message_end", &answer("a", "one")), []);
    assert_eq!(teller.hear("message_end", &answer("b", "two")), resolved("b", "two", SEVERAL));
    assert_eq!(teller.state.model_source.as_deref(), Some(SEVERAL));

    // What a helper of the same model used has its price, and of another one none.
    let helper = |provider: &str, model: &str| {
        let by = json!({ "provider": provider, "id": model });
        result("t", "task", "done", &json!({ "model": by }))
    };
    let mut teller = Teller::new(Phase::Build);
    teller.hear("message_end", &answer("a", "one"));
    let source = teller.state.model_source.clone();
    teller.hear("tool_end", &helper("a", "one"));
    assert_eq!(teller.state.model_source, source);
    teller.hear("tool_end", &helper("a", "two"));
    assert_eq!(teller.state.model_source.as_deref(), Some(SEVERAL));
}

#[test]
fn a_budget_that_is_spent_is_waited_for_like_an_answer_until_the_model_is_asked_again() {
    let mut teller = Teller::new(Phase::Build);
    let retry = |asks: bool, waits: bool| {
        json!({
            "attempt": 1, "maxAttempts": 9, "delayMs": 1, "errorMessage": "e", "asks": asks, "waits": waits,
        })
    };
    for (asks, waits, expected) in [
        (true, false, Some(WaitsFor::Answer)),
        (false, true, Some(WaitsFor::Provider)),
        (false, false, None),
    ] {
        teller.hear("auto_retry_start", &retry(asks, waits));
        assert_eq!(teller.state.waits_for, expected);
        teller.hear("auto_retry_end", &json!({ "success": true, "attempt": 1 }));
        assert_eq!(teller.state.waits_for, None);
    }
}

#[test]
fn calls_that_never_end_are_forgotten_before_they_are_too_many_or_too_large() {
    let start = |call: String, text: &str| json!({ "toolCallId": call, "toolName": "bash", "input": { "command": text } });
    let mut teller = Teller::new(Phase::Build);
    for n in 0..CALLS_MAX * 3 {
        teller.hear("tool_start", &start(format!("c{n}"), "make"));
        assert!(teller.calls.asked.len() <= CALLS_MAX);
    }
    let large = "x".repeat(CALLS_BYTES_MAX / 3);
    for n in 0..9 {
        teller.hear("tool_start", &start(format!("d{n}"), &large));
        assert!(teller.calls.bytes <= CALLS_BYTES_MAX, "{}", teller.calls.bytes);
    }
    // The same one again counts once, and what has ended not at all.
    let mut teller = Teller::new(Phase::Build);
    for _ in 0..9 {
        teller.hear("tool_start", &start("e".into(), &large));
    }
    let cmd = teller.calls.command("e").and_then(Value::as_str);
    assert_eq!(cmd.map(str::len), Some(large.len()));
    teller.hear("tool_end", &result("e", "bash", "", &Value::Null));
    assert_eq!((teller.calls.asked.len(), teller.calls.bytes), (0, 0));
    teller.hear("tool_start", &start("f".into(), &"x".repeat(CALLS_BYTES_MAX)));
    assert_eq!(teller.calls.command("f"), None, "more than all that is remembered");
}

#[test]
fn names_that_a_machine_tells_are_ones_that_a_database_takes() {
    let mut teller = Teller::new(Phase::Build);
    let odd = format!("a\0b\n{}", "m".repeat(NAME_CHARS_MAX));
    let made = json!({
        "runId": RUN, "phase": "commit", "commit": { "result": "made", "commitSha": "0\u{0}1" },
    });
    teller.hear("run_step", &made);
    assert_eq!(teller.state.commit.as_deref(), Some("01"));
    let mut told = Told::default();
    resolved(&mut told, 5, &mut teller.state, "p\0", &odd);
    assert_eq!(teller.state.provider.as_deref(), Some("p"));
    assert_eq!(teller.state.model.map(|model| model.len()), Some(NAME_CHARS_MAX));
    assert!(!told.0[0].data.contains("\\u0000"), "{}", told.0[0].data);
}
