//! Plan mode: looking, proposing, a person's decision, building, and the check after it.

use super::bench::Bench;
use crate::{
    Approved, Command, Refused,
    session::{Body, Session},
};
use std::sync::atomic::Ordering;
use toft_llm::testing::Prepared;
use toft_model::{
    event::{Event, EventBody},
    message::Message,
    plan::{CheckStatus, Mode, Plan, PlanSource, PlanState, PlanTodo},
    tool::{TodoItem, TodoStatus},
};

const PLAN: &str = "I looked.\n\n```json\n{\"summary\": \"A login.\", \"todos\": [{\"id\": \"a\", \"title\": \"Table\"}, {\"id\": \"b\", \"title\": \"Form\"}]}\n```";

impl Bench {
    async fn mode(&self, mode: Mode) {
        self.handle.ask(|reply| Command::Mode { mode, reply }).await.unwrap();
    }

    async fn approve(
        &self,
        plan_id: Option<&str>,
        plan: Option<Plan>,
    ) -> Result<Approved, Refused> {
        let plan_id = plan_id.map(str::to_owned);
        self.handle.ask(|reply| Command::Approve { plan_id, plan, reply }).await
    }

    async fn reject(&self, reason: Option<&str>) -> Result<Option<String>, Refused> {
        let reason = reason.map(str::to_owned);
        self.handle.ask(|reply| Command::Reject { plan_id: None, reason, reply }).await
    }

    fn heard(&self, kind: &str) -> Vec<EventBody> {
        let events = self.heard.events.lock().unwrap();
        let bodies = events.iter().map(|event| &event.body);
        bodies.filter(|body| body.kind() == kind).cloned().collect()
    }

    fn state(&self) -> (Mode, Option<PlanState>) {
        let session = self.handle.conversation().session();
        (session.mode(), session.plan().map(|(_, state)| state))
    }
}

fn plan(titles: &[&str]) -> Plan {
    let todo = |title: &&str| PlanTodo { title: (*title).to_owned(), ..PlanTodo::default() };
    Plan { summary: "Other.".into(), todos: titles.iter().map(todo).collect() }
}

#[tokio::test]
async fn a_plan_is_made_without_changing_anything_and_then_carried_out() {
    let bench = Bench::new([
        Prepared::call("c1", "step", "{}"),
        Prepared::text(PLAN),
        Prepared::call("c2", "step", "{}"),
        Prepared::text("Built."),
    ]);
    bench.mode(Mode::Plan).await;
    bench.run("a login").await;
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 0, "the tool is refused");
    assert_eq!(bench.state(), (Mode::Plan, Some(PlanState::Proposed)));
    let [EventBody::PlanReady(ready)] = &bench.heard("plan_ready")[..] else { panic!() };
    assert_eq!((ready.plan.summary.as_str(), ready.source), ("A login.", PlanSource::Json));
    let approved = bench.approve(Some(&ready.plan_id), None).await.unwrap();
    assert_eq!(approved.plan_id, ready.plan_id);
    bench.hear("agent_end", 2).await;
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 1);
    assert_eq!(bench.state(), (Mode::Build, Some(PlanState::Approved)));
    let transcript = bench.transcript();
    assert_eq!(
        transcript[5],
        "user: Carry out this plan. It is approved.\n\nA login.\n\n1. Table\n\n2. Form\n"
    );
    let notes: Vec<usize> =
        (0..transcript.len()).filter(|n| transcript[*n] == "note toft.mode").collect();
    assert_eq!(notes, [1, 6], "the model is told once when it begins and once when it ends");
    // The prompt's beginning is the same in all requests: caches hit.
    let asked = bench.model.asked();
    assert!(asked.iter().all(|request| request.system == asked[0].system));
    assert!(asked.iter().all(|request| request.tools == asked[0].tools));
    for pair in asked.windows(2) {
        assert_eq!(pair[1].messages[..pair[0].messages.len()], pair[0].messages[..]);
    }
    // Asked again it answers the same, and begins nothing.
    assert_eq!(bench.approve(Some(&ready.plan_id), None).await.unwrap(), approved);
    assert!(matches!(bench.approve(None, None).await, Err(Refused::NoPlan)));
    assert_eq!(bench.heard("agent_start").len(), 2);
}

#[tokio::test]
async fn the_steps_of_an_approved_plan_are_the_list_that_is_worked_through() {
    let bench = Bench::new([Prepared::text(PLAN), Prepared::text("Built.")]);
    bench.mode(Mode::Plan).await;
    bench.run("a login").await;
    assert!(bench.handle.conversation().session().todos().is_empty(), "nothing is decided yet");
    bench.approve(None, Some(plan(&["one", "two"]))).await.unwrap();
    bench.hear("agent_end", 2).await;
    let item = |content: &str| TodoItem { content: content.into(), status: TodoStatus::Pending };
    assert_eq!(bench.handle.conversation().session().todos(), [item("one"), item("two")]);
}

#[tokio::test]
async fn a_person_changes_a_plan_before_it_is_carried_out() {
    let bench = Bench::new([Prepared::text(PLAN), Prepared::text("Built.")]);
    bench.mode(Mode::Plan).await;
    bench.run("a login").await;
    assert!(matches!(bench.approve(None, Some(plan(&[]))).await, Err(Refused::BadPlan(_))));
    assert_eq!(bench.state(), (Mode::Plan, Some(PlanState::Proposed)));
    let approved = bench.approve(None, Some(plan(&["one"]))).await.unwrap();
    bench.hear("agent_end", 2).await;
    let [EventBody::PlanReady(first), EventBody::PlanReady(edited)] =
        &bench.heard("plan_ready")[..]
    else {
        panic!()
    };
    assert_eq!(edited.of.as_ref(), Some(&first.plan_id));
    assert_eq!((edited.source, &edited.plan_id), (PlanSource::Edited, &approved.plan_id));
    assert!(bench.transcript().iter().any(|line| line.contains("Other.\n\n1. one")));
}

#[tokio::test]
async fn a_plan_that_is_rejected_is_made_anew() {
    let bench = Bench::new([Prepared::text(PLAN), Prepared::text("1. one\n2. two")]);
    bench.mode(Mode::Plan).await;
    bench.run("a login").await;
    assert!(bench.reject(Some("smaller")).await.unwrap().is_some());
    bench.hear("agent_end", 2).await;
    assert_eq!(bench.state(), (Mode::Plan, Some(PlanState::Proposed)));
    let newest = bench.handle.conversation().session().plan().unwrap().0;
    assert_eq!((newest.source, newest.plan.todos.len()), (PlanSource::List, 2));
    assert!(bench.transcript().contains(&"user: smaller".to_owned()));
    // Without a word nothing begins.
    assert_eq!(bench.reject(None).await.unwrap(), None);
    assert_eq!(bench.state(), (Mode::Plan, Some(PlanState::Rejected)));
    assert_eq!(bench.heard("plan_settled").len(), 2);
    assert_eq!(bench.heard("agent_start").len(), 2);
}

#[tokio::test]
async fn an_answer_to_a_question_is_no_plan_unless_a_person_says_so() {
    let bench = Bench::new([Prepared::text("It uses SQLite."), Prepared::text("Built.")]);
    bench.mode(Mode::Plan).await;
    bench.run("which database?").await;
    assert_eq!(bench.state(), (Mode::Plan, None));
    assert!(matches!(bench.approve(Some("12345678"), None).await, Err(Refused::NoPlan)));
    bench.approve(None, None).await.unwrap();
    bench.hear("agent_end", 2).await;
    assert!(bench.transcript().iter().any(|line| line.contains("1. It uses SQLite.")));
}

#[tokio::test]
async fn what_is_said_instead_of_a_decision_drops_the_plan() {
    let bench =
        Bench::new([Prepared::text(PLAN), Prepared::text("Yes."), Prepared::text("Built.")]);
    bench.mode(Mode::Plan).await;
    bench.run("a login").await;
    bench.run("is it safe?").await;
    assert_eq!(bench.state(), (Mode::Plan, Some(PlanState::Dropped)));
    let id = bench.handle.conversation().session().plan().unwrap().0.plan_id;
    bench.approve(Some(&id), None).await.unwrap();
    bench.hear("agent_end", 3).await;
    assert_eq!(bench.state(), (Mode::Build, Some(PlanState::Approved)));
}

#[tokio::test]
async fn a_plan_is_not_decided_on_while_the_agent_works() {
    let bench =
        Bench::new([Prepared::text(PLAN), Prepared::call("c1", "gate", "{}"), Prepared::text("x")]);
    bench.mode(Mode::Plan).await;
    bench.run("a login").await;
    bench.mode(Mode::Build).await;
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    assert!(matches!(bench.approve(None, None).await, Err(Refused::Busy)));
    assert!(matches!(bench.reject(Some("no")).await, Err(Refused::Busy)));
    // The mode may change meanwhile: it holds for what begins after that.
    bench.mode(Mode::Plan).await;
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 2).await;
    assert_eq!(bench.state().0, Mode::Plan);
    assert_eq!(bench.heard("mode_change").len(), 3);
}

#[tokio::test]
async fn a_compaction_does_not_make_the_model_forget_the_mode() {
    let bench = Bench::new(["Hm.", "Hm.", "Summary.", "Ok."].map(Prepared::text));
    bench.mode(Mode::Plan).await;
    bench.run(&"long ".repeat(40_000)).await;
    bench.run(&"long ".repeat(40_000)).await;
    bench.handle.ask(|reply| Command::Compact { instructions: None, reply }).await.unwrap();
    bench.run("and now?").await;
    let told = bench.transcript().iter().filter(|line| *line == "note toft.mode").count();
    assert_eq!(told, 2);
}

#[tokio::test]
async fn a_helper_changes_nothing_either_and_proposes_nothing() {
    let order = r#"{"description":"look","prompt":"Look."}"#;
    let bench = Bench::new([
        Prepared::call("t1", "task", order),
        Prepared::call("c1", "step", "{}"),
        Prepared::text(PLAN),
        Prepared::text("Seen."),
    ]);
    bench.mode(Mode::Plan).await;
    bench.run_ends("look", 2).await;
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 0);
    let child = bench.kin.open.lock().unwrap().values().next().unwrap().clone();
    let child =
        child.conversation().session().branch().iter().find_map(|entry| match &entry.body {
            Body::Message(Message::ToolResult(result)) => {
                Some((result.is_error, toft_model::message::text_of(&result.content)))
            }
            _ => None,
        });
    let (is_error, words) = child.unwrap();
    assert!(is_error && words.contains("plan mode"), "{words}");
    assert!(bench.heard("plan_ready").is_empty());
}

/// The check fails once and then passes.
fn with_check() -> [Prepared; 5] {
    [
        Prepared::text(PLAN),
        Prepared::call("c1", "step", "{}"),
        Prepared::text("Built."),
        Prepared::call("c2", "step", "{}"),
        Prepared::text("Mended."),
    ]
}

fn checking(bench: &Bench, exits: &[i32]) {
    bench.set(|settings| settings.check_command = Some("make check".into()));
    bench.tools.exits.lock().unwrap().extend(exits);
}

fn statuses(bench: &Bench) -> Vec<(CheckStatus, u32)> {
    let checks = bench.heard("auto_check").into_iter().map(|body| match body {
        EventBody::AutoCheck(check) => (check.status, check.attempt),
        other => panic!("{other:?}"),
    });
    checks.collect()
}

#[tokio::test]
async fn the_projects_check_runs_after_a_build_and_its_failure_goes_back_to_the_model() {
    let bench = Bench::new(with_check());
    checking(&bench, &[2, 0]);
    bench.mode(Mode::Plan).await;
    bench.run("a login").await;
    bench.approve(None, None).await.unwrap();
    bench.hear("agent_end", 2).await;
    assert_eq!(
        statuses(&bench),
        [
            (CheckStatus::Started, 0),
            (CheckStatus::FixAttempt, 1),
            (CheckStatus::Started, 1),
            (CheckStatus::Passed, 1)
        ]
    );
    let transcript = bench.transcript();
    assert_eq!(transcript.last().unwrap(), "note toft.check");
    let asked = bench.model.asked();
    let words = asked[3].messages.iter().rev().find_map(|message| match message {
        Message::Custom(m) => Some(m.content.text()),
        _ => None,
    });
    let words = words.unwrap();
    assert!(words.contains("`make check`") && words.contains("ran make check: exit 2"), "{words}");
    // People see it as any tool that runs.
    let starts = bench.heard("tool_start").into_iter().filter(
        |body| matches!(body, EventBody::ToolStart(t) if t.tool_call_id.starts_with("check_")),
    );
    assert_eq!((starts.count(), bench.heard("tool_end").len()), (2, 4));
    assert_eq!(bench.end().reason, "done");
    // What is said next is checked no more.
    assert_eq!(
        bench.handle.conversation().session().check_due(),
        crate::session::CheckDue::Nothing
    );
}

#[tokio::test]
async fn the_model_is_asked_twice_to_mend_what_the_check_says_and_no_more() {
    let answers = with_check().into_iter().chain([Prepared::text("Mended more.")]);
    let bench = Bench::new(answers);
    checking(&bench, &[1, 1, 1]);
    bench.mode(Mode::Plan).await;
    bench.run("a login").await;
    bench.approve(None, None).await.unwrap();
    bench.hear("agent_end", 2).await;
    let ends: Vec<_> = statuses(&bench)
        .into_iter()
        .filter(|(status, _)| *status != CheckStatus::Started)
        .collect();
    assert_eq!(
        ends,
        [(CheckStatus::FixAttempt, 1), (CheckStatus::FixAttempt, 2), (CheckStatus::Failed, 2)]
    );
}

#[tokio::test]
async fn a_check_that_cannot_be_run_is_not_for_the_model_to_mend() {
    let bench = Bench::new(with_check());
    checking(&bench, &[127]);
    bench.mode(Mode::Plan).await;
    bench.run("a login").await;
    bench.approve(None, None).await.unwrap();
    bench.hear("agent_end", 2).await;
    assert_eq!(statuses(&bench), [(CheckStatus::Started, 0), (CheckStatus::Failed, 0)]);
    assert_eq!(bench.model.asked().len(), 3);
}

#[tokio::test]
async fn there_is_no_check_without_a_plan_without_work_or_where_it_is_switched_off() {
    let bench = Bench::new([
        Prepared::call("c1", "step", "{}"),
        Prepared::text("Done."),
        Prepared::text(PLAN),
        Prepared::text("Nothing to do."),
        Prepared::text(PLAN),
        Prepared::call("c2", "step", "{}"),
        Prepared::text("Built."),
    ]);
    checking(&bench, &[]);
    bench.run("do it").await;
    bench.mode(Mode::Plan).await;
    bench.run("a login").await;
    bench.approve(None, None).await.unwrap();
    bench.hear("agent_end", 3).await;
    bench.set(|settings| settings.auto_check = false);
    bench.mode(Mode::Plan).await;
    bench.run("again").await;
    bench.approve(None, None).await.unwrap();
    bench.hear("agent_end", 5).await;
    assert!(statuses(&bench).is_empty());
}

#[tokio::test]
async fn a_person_stops_a_check() {
    let bench = Bench::new(with_check());
    checking(&bench, &[]);
    bench.mode(Mode::Plan).await;
    bench.run("a login").await;
    bench.tools.hang_checks.store(true, Ordering::SeqCst);
    bench.approve(None, None).await.unwrap();
    bench.hear("auto_check", 1).await;
    bench.abort().await;
    assert_eq!(bench.end().reason, "aborted");
    assert_eq!(statuses(&bench)[1].0, CheckStatus::Failed);
    assert!(bench.shell.killed.lock().unwrap().iter().any(|id| id.ends_with(".0")));
}

/// What a conversation came to, whatever happened in between.
fn outcome(bench: &Bench) -> (Vec<String>, (Mode, Option<PlanState>)) {
    (bench.transcript(), bench.state())
}

#[tokio::test]
async fn a_bridge_that_dies_after_any_line_comes_to_the_same_end() {
    let bench = Bench::new(with_check());
    checking(&bench, &[2, 0]);
    bench.mode(Mode::Plan).await;
    bench.run("a login").await;
    bench.approve(None, None).await.unwrap();
    bench.hear("agent_end", 2).await;
    let undisturbed = outcome(&bench);
    let path = bench.handle.conversation().session().path().to_owned();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    // The header, the mode and the prompt; then every place.
    for kept in 3..lines.len() {
        let before = Session::open(&path).unwrap();
        let entries = &before.entries()[..kept - 1];
        let count = |is: fn(&Body) -> bool| entries.iter().filter(|e| is(&e.body)).count();
        let answers = count(|body| matches!(body, Body::Message(Message::Assistant(_))));
        let results = entries.iter().filter(|e| e.check_of().is_some()).count();
        let mut other = Bench::new(with_check().into_iter().skip(answers));
        checking(&other, &[2, 0][results..]);
        other.stop.cancel();
        other.handle.closed().await;
        let file = other.handle.conversation().session().path().to_owned();
        std::fs::write(&file, lines[..kept].concat()).unwrap();
        // The log has told that work began, and nothing after that.
        let session = Some(before.id().clone());
        let begun = Event { seq: 1, ts: 0, session, body: EventBody::AgentStart {} };
        other.heard.events.lock().unwrap().push(begun);
        other.restart().await;
        other.hear("agent_end", 1).await;
        if other.state().1 == Some(PlanState::Proposed) {
            other.approve(None, None).await.unwrap();
            other.hear("agent_end", 2).await;
        }
        // The numbers that the tool counts are of this process.
        let plain = |(lines, state): (Vec<String>, _)| {
            (
                lines.into_iter().map(|line| line.replace("did 2", "did 1")).collect::<Vec<_>>(),
                state,
            )
        };
        assert_eq!(plain(outcome(&other)), plain(undisturbed.clone()), "after line {kept}");
        for (kind, times) in
            [("plan_ready", 1), ("plan_settled", 1), ("mode_change", 2), ("auto_check", 4)]
        {
            assert_eq!(other.heard(kind).len(), times, "{kind} after line {kept}");
        }
    }
}
