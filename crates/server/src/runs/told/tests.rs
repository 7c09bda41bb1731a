//! Each event of the source's list, with its fields: what is told of a machine's events, told from a list of them.

mod calls;
mod waits;

use super::*;
use toft_store::NewRunEvent;

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
    under_way: UnderWay,
    end: Option<RunStep>,
}

impl Teller {
    fn new(phase: Phase) -> Self {
        Self { state: RunState { phase, ..state() }, under_way: UnderWay::default(), end: None }
    }

    fn hear(&mut self, kind: &str, data: &Value) -> Vec<(String, Value)> {
        let mut told = Told::default();
        let event =
            NewEvent { seq: 1, ts: 5, session: None, kind: kind.into(), data: data.to_string() };
        let run: JobId = RUN.parse().unwrap();
        self.end = tell(&mut told, &mut self.under_way, &run, &mut self.state, &event);
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
