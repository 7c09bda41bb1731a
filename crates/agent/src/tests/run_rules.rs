//! What a run that works in a conversation says of its work holds there, in its tasks too, and nowhere else.

use super::{bench::Bench, failure};
use crate::Command;
use toft_llm::{ask::Retry, testing::Prepared};
use toft_model::{
    event::EventBody,
    plan::{CheckStatus, Mode},
    run::RunRules,
};

const ORDER: &str = r#"{"description":"count","prompt":"Count them."}"#;
const PLAN: &str =
    "```json\n{\"summary\": \"s\", \"todos\": [{\"id\": \"a\", \"title\": \"t\"}]}\n```";

impl Bench {
    fn rule(&self, rules: RunRules) {
        *self.rules.lock().unwrap() = Some((self.handle.conversation().id().clone(), rules));
    }
}

/// Names of the tools that the model was offered with a request.
fn offered(bench: &Bench, request: usize) -> Vec<String> {
    bench.model.asked()[request].tools.iter().map(|tool| tool.name.clone()).collect()
}

#[tokio::test]
async fn a_run_has_the_tools_for_projects_and_a_conversation_has_not() {
    let bench =
        Bench::new([Prepared::text("One."), Prepared::text("Two."), Prepared::text("Three.")]);
    bench.run("a").await;
    bench.rule(RunRules { project_tools: Some(true), ..RunRules::default() });
    bench.run("b").await;
    // The project is none that they are for.
    bench.rule(RunRules::default());
    bench.run("c").await;
    let has = |request| {
        offered(&bench, request)
            .iter()
            .filter(|n| *n == "sandbox_cmd" || *n == "project_actions")
            .count()
    };
    assert_eq!([has(0), has(1), has(2)], [0, 2, 0]);
}

#[tokio::test]
async fn a_run_has_only_the_tools_that_are_allowed_and_so_have_its_tasks() {
    let bench = Bench::new([
        Prepared::call("t1", "task", ORDER),
        Prepared::text("7"),
        Prepared::text("Seven."),
        Prepared::call("c1", "bash", r#"{"command":"x"}"#),
        Prepared::text("Not."),
    ]);
    let allowed = ["step", "task", "sandbox_cmd"].map(str::to_owned).to_vec();
    bench.rule(RunRules { allowed_tools: Some(allowed.clone()), ..RunRules::default() });
    bench.run_ends("how many?", 2).await;
    assert_eq!(offered(&bench, 0), ["step", "task", "sandbox_cmd"]);
    assert_eq!(offered(&bench, 1), ["step", "sandbox_cmd"], "a task has no more than the run");
    bench.rule(RunRules { allowed_tools: Some(allowed), subagents: false, ..RunRules::default() });
    bench.run_ends("again", 3).await;
    assert_eq!(offered(&bench, 3), ["step", "sandbox_cmd"]);
    let refused =
        bench.transcript().into_iter().find(|line| line.starts_with("result c1")).unwrap();
    assert!(refused.contains("failed") && refused.contains("no tool named `bash`"), "{refused}");
}

async fn checked(rules: RunRules, exits: &[i32]) -> Bench {
    let bench = Bench::new([
        Prepared::text(PLAN),
        Prepared::call("c1", "step", "{}"),
        Prepared::text("Built."),
        Prepared::text("Mended."),
        Prepared::text("Mended again."),
    ]);
    bench.rule(rules);
    bench.set(|settings| settings.check_command = Some("make check".into()));
    bench.tools.exits.lock().unwrap().extend(exits);
    bench.handle.ask(|reply| Command::Mode { mode: Mode::Plan, reply }).await.unwrap();
    bench.run("a login").await;
    bench.handle.ask(|reply| Command::Approve { plan_id: None, plan: None, reply }).await.unwrap();
    bench.hear("agent_end", 2).await;
    bench
}

fn ends(bench: &Bench) -> Vec<(CheckStatus, u32, u32)> {
    let events = bench.heard.events.lock().unwrap();
    let checks = events.iter().filter_map(|event| match &event.body {
        EventBody::AutoCheck(check) if check.status != CheckStatus::Started => {
            Some((check.status, check.attempt, check.attempts_max))
        }
        _ => None,
    });
    checks.collect()
}

#[tokio::test]
async fn a_run_says_whether_how_often_and_how_long_its_work_is_checked() {
    let once = checked(
        RunRules { check_fixes_max: 1, check_timeout_ms: 1_500, ..RunRules::default() },
        &[1, 1],
    )
    .await;
    assert_eq!(ends(&once), [(CheckStatus::FixAttempt, 1, 1), (CheckStatus::Failed, 1, 1)]);
    let limit = once.heard.events.lock().unwrap().iter().find_map(|event| match &event.body {
        EventBody::ToolStart(tool) if tool.tool_call_id.starts_with("check_") => {
            Some(tool.input["timeout"].clone())
        }
        _ => None,
    });
    assert_eq!(limit.unwrap(), 1.5);
    let never = checked(RunRules { check_fixes_max: 0, ..RunRules::default() }, &[1]).await;
    assert_eq!(ends(&never), [(CheckStatus::Failed, 0, 0)]);
    let off = checked(RunRules { auto_check: false, ..RunRules::default() }, &[]).await;
    assert!(ends(&off).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_a_provider_that_is_down_and_a_person_is_told_that_it_failed() {
    let down = || Prepared::Fails(vec![], failure("overloaded", Retry::Backoff));
    let never = || Prepared::Fails(vec![], failure("provider_refused_key", Retry::Never));
    // Three tries of a moment, four that wait, an answer; then what no waiting helps against.
    let answers = (0..8).map(|_| down()).chain([Prepared::text("at last"), never()]);
    let bench = Bench::new(answers.chain((0..4).map(|_| down())));
    bench.rule(RunRules::default());
    bench.run("go").await;
    assert_eq!(bench.transcript(), ["user: go", "assistant Stop: at last"]);
    assert!(!bench.handle.conversation().needs_provider());
    let waits: Vec<bool> = {
        let events = bench.heard.events.lock().unwrap();
        let starts = events.iter().filter_map(|event| match &event.body {
            EventBody::AutoRetryStart(start) => Some(start.waits),
            _ => None,
        });
        starts.collect()
    };
    // The waits are told at 1, 2 and 4.
    assert_eq!(waits, [false, false, false, true, true, true]);
    assert!(bench.story().contains("auto_retry_end"));
    bench.run("again").await;
    assert_eq!(bench.end().reason, "error");
    // Nobody said that this is a run: who sits before it is told at once.
    *bench.rules.lock().unwrap() = None;
    bench.run("by hand").await;
    assert_eq!(bench.end().reason, "error");
    assert_eq!(bench.model.asked().len(), 14);
}
