//! Tasks: work in conversations of their own. Kills at every event are tested with whole bridges.

use super::{
    bench::{Bench, pass, transcript},
    failure,
};
use crate::{Command, Refused, session::QueuedAs};
use std::{sync::atomic::Ordering, time::Duration};
use toft_llm::{
    ask::Retry,
    testing::{Prepared, call},
};
use toft_model::{
    event::{Event, EventBody},
    message::UserContent,
    permission::{Action, Rule},
    plan::Mode,
};

const ORDER: &str = r#"{"description":"count the files","prompt":"Count them."}"#;

fn of_child(bench: &Bench) -> crate::Handle {
    bench.kin.open.lock().unwrap().values().next().unwrap().clone()
}

fn events(bench: &Bench) -> Vec<Event> {
    bench.heard.events.lock().unwrap().clone()
}

#[tokio::test]
async fn only_the_last_answer_of_a_task_comes_back() {
    let bench = Bench::new([
        Prepared::call("t1", "task", ORDER),
        Prepared::call("c1", "step", "{}"),
        Prepared::text("There are 7."),
        Prepared::text("Seven."),
    ]);
    *bench.models.price.lock().unwrap() = 0.5;
    bench.run_ends("how many?", 2).await;
    assert_eq!(
        bench.transcript(),
        [
            "user: how many?",
            "assistant ToolUse: t1",
            "result t1: There are 7.",
            "assistant Stop: Seven."
        ]
    );
    let child = of_child(&bench);
    assert_eq!(
        transcript(&child.conversation().session()),
        [
            "user: Count them.",
            "assistant ToolUse: c1",
            "result c1: did 1 {}",
            "assistant Stop: There are 7."
        ]
    );
    assert_eq!(child.conversation().session().name(), Some("count the files"));
    // What it used is in the receipt of the prompt, and in the session's sum.
    let end = bench.heard.events.lock().unwrap().iter().rev().find_map(|event| match &event.body {
        EventBody::AgentEnd(end) => Some(end.clone()),
        _ => None,
    });
    let end = end.unwrap();
    assert_eq!((end.turns, end.usage.cost.unwrap().total), (2, 2.0));
    assert_eq!(end.changed, ["/etc/b", "a.txt"]);
    let usage = bench.handle.conversation().session().usage();
    assert!((usage.cost.unwrap().total - 2.0).abs() < 1e-9);
    // It is booked where its call is, and has fewer tools.
    let asked = bench.model.asked();
    assert_eq!(asked[1].booking.session.as_ref(), Some(bench.handle.conversation().id()));
    assert_eq!(asked[1].booking.run, asked[0].booking.run);
    let names: Vec<&str> = asked[1].tools.iter().map(|tool| tool.name.as_str()).collect();
    assert!(
        !names.contains(&"task") && !names.contains(&"ask") && names.contains(&"step"),
        "{names:?}"
    );
    // Whoever sees the call learns where its work is, and sees how far it is.
    let events = events(&bench);
    let start = events.iter().find_map(|event| match &event.body {
        EventBody::ToolStart(start) if start.tool_call_id == "t1" => start.child_session.clone(),
        _ => None,
    });
    assert_eq!(start.as_ref(), Some(child.conversation().id()));
    let shown = events.iter().any(|event| match &event.body {
        EventBody::ToolUpdate(update) => {
            update.tool_call_id == "t1" && update.delta.contains("step")
        }
        _ => false,
    });
    assert!(shown);
    let own = events.iter().filter(|event| event.session.as_ref() == start.as_ref()).count();
    assert!(own > 10, "{own} events of its own");
}

#[tokio::test]
async fn a_stop_ends_the_task_too() {
    let bench =
        Bench::new([Prepared::call("t1", "task", ORDER), Prepared::call("c1", "slow", "{}")]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    bench.abort().await;
    bench.hear("agent_end", 2).await;
    let child = of_child(&bench);
    assert!(!child.conversation().is_working());
    let lines = transcript(&child.conversation().session());
    assert_eq!(lines.last().unwrap(), "assistant Aborted: ", "{lines:?}");
    assert!(bench.transcript()[2].starts_with("result t1 failed: "), "{:?}", bench.transcript());
}

#[tokio::test]
async fn plan_mode_holds_for_a_task_that_runs_already() {
    let bench = Bench::new([
        Prepared::call("t1", "task", ORDER),
        Prepared::call("c1", "gate", "{}"),
        Prepared::call("c2", "step", "{}"),
        Prepared::text("counted"),
        Prepared::text("heard"),
    ]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    bench.handle.ask(|reply| Command::Mode { mode: Mode::Plan, reply }).await.unwrap();
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 2).await;
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 0);
    let lines = transcript(&of_child(&bench).conversation().session());
    // It is told so before its next question, and its next call is refused.
    assert!(lines.iter().any(|line| line == "note toft.mode"), "{lines:?}");
    let refused = lines.iter().find(|line| line.starts_with("result c2 failed: "));
    assert!(refused.is_some_and(|line| line.contains("plan mode")), "{lines:?}");
}

#[tokio::test]
async fn words_to_the_parent_leave_the_task_alone() {
    let bench = Bench::new([
        Prepared::call("t1", "task", ORDER),
        Prepared::call("c1", "gate", "{}"),
        Prepared::text("counted"),
        Prepared::text("heard"),
    ]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    bench.send("also this", QueuedAs::Steer).await.unwrap();
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 2).await;
    assert_eq!(
        bench.transcript()[2..],
        ["result t1: counted", "user: also this", "assistant Stop: heard"]
    );
}

#[tokio::test]
async fn nobody_else_speaks_in_the_conversation_of_a_task() {
    let bench = Bench::new([
        Prepared::call("t1", "task", ORDER),
        Prepared::call("c1", "gate", "{}"),
        Prepared::text("counted"),
        Prepared::text("done"),
    ]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    let child = of_child(&bench);
    let content = UserContent::Text("and me?".into());
    let said = child.prompt(None, content, Some(QueuedAs::Steer)).await;
    assert!(matches!(said, Err(Refused::Task)));
    let refused = child.ask(|reply| Command::Retry { reply }).await;
    assert!(matches!(refused, Err(Refused::Task)), "{refused:?}");
    let (plan_id, plan) = (None, None);
    let refused = child.ask(|reply| Command::Approve { plan_id, plan, reply }).await;
    assert!(matches!(refused, Err(Refused::Task)), "{refused:?}");
    let (plan_id, reason) = (None, Some("no".to_owned()));
    let refused = child.ask(|reply| Command::Reject { plan_id, reason, reply }).await;
    assert!(matches!(refused, Err(Refused::Task)), "{refused:?}");
    let (steering, follow_up) = (Some(vec!["and me?".to_owned()]), None);
    let refused = child.ask(|reply| Command::Queue { steering, follow_up, reply }).await;
    assert!(matches!(refused, Err(Refused::Task)), "{refused:?}");
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 2).await;
}

#[tokio::test]
async fn four_tasks_run_side_by_side() {
    let order = |n: usize| call(&format!("t{n}"), "task", ORDER);
    let mut answers = vec![Prepared::Says((0..5).map(order).collect())];
    answers.extend((0..4).map(|n| Prepared::call(&format!("g{n}"), "gate", "{}")));
    answers.extend((0..4).map(|_| Prepared::text("counted")));
    answers.extend([Prepared::text("counted"), Prepared::text("Done.")]);
    let bench = Bench::new(answers);
    bench.prompt("go").await;
    // Four wait at the gate at the same time; the fifth has not begun.
    bench.hear("tool_start", 8).await;
    assert_eq!(bench.kin.open.lock().unwrap().len(), 4);
    for _ in 0..4 {
        bench.tools.gate.notify_one();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.hear("agent_end", 6).await;
    let results = bench.transcript().iter().filter(|line| line.ends_with(": counted")).count();
    assert_eq!(results, 5, "{:?}", bench.transcript());
}

#[tokio::test]
async fn a_task_asks_where_its_call_is() {
    let bench = Bench::new([
        Prepared::call("t1", "task", ORDER),
        Prepared::call("c1", "step", "{}"),
        Prepared::text("counted"),
        Prepared::text("done"),
    ]);
    let rule = Rule { tool: "step".into(), argument: None, action: Action::Ask, reason: None };
    bench.set(|settings| settings.rules = vec![rule]);
    bench.prompt("go").await;
    let asked = bench.answer(1, "Allow once").await;
    assert_eq!(asked.tool_call_id, "t1");
    assert_eq!(asked.child_session.as_ref(), Some(of_child(&bench).conversation().id()));
    bench.hear("agent_end", 2).await;
    assert_eq!(bench.transcript()[2], "result t1: counted");
    let told = events(&bench).into_iter().find(|event| event.body.kind() == "question").unwrap();
    assert_eq!(told.session.as_ref(), Some(bench.handle.conversation().id()));
}

#[tokio::test(start_paused = true)]
async fn what_a_task_waits_for_its_conversation_waits_for() {
    let spent = || Prepared::Fails(vec![], failure("budget_spent", Retry::Never));
    let bench = Bench::new([
        Prepared::call("t1", "task", ORDER),
        spent(),
        Prepared::text("counted"),
        Prepared::text("done"),
    ]);
    bench.set(|settings| settings.limits.seconds = Some(60));
    bench.prompt("go").await;
    bench.hear("auto_retry_start", 2).await;
    let conversation = bench.handle.conversation();
    assert!(conversation.needs_person() && !conversation.needs_provider());
    pass(120_000);
    bench.hear("agent_end", 2).await;
    assert_eq!((&*bench.end().reason, conversation.needs_person()), ("done", false));
    let own = Some(conversation.id());
    let told = events(&bench).into_iter().filter(|event| event.session.as_ref() == own);
    let told: Vec<_> = told.map(|event| event.body).collect();
    let asks = |body: &EventBody| matches!(body, EventBody::AutoRetryStart(start) if start.asks);
    let ends = |body: &EventBody| matches!(body, EventBody::AutoRetryEnd(end) if end.success);
    assert!(told.iter().any(asks) && told.iter().any(ends), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_stopped_while_it_waits_is_waited_for_no_more() {
    let spent = || Prepared::Fails(vec![], failure("budget_spent", Retry::Never));
    let bench = Bench::new([
        Prepared::call("t1", "task", ORDER),
        spent(),
        Prepared::call("c1", "slow", "{}"),
    ]);
    bench.prompt("go").await;
    bench.hear("auto_retry_start", 2).await;
    let child = of_child(&bench);
    child.ask(|reply| Command::Abort { clear_queue: true, reply }).await.unwrap();
    bench.tools.began.notified().await;
    let conversation = bench.handle.conversation();
    assert!(conversation.is_working() && !conversation.needs_person());
    let own = Some(conversation.id());
    let ends = |event: &Event| {
        event.session.as_ref() == own && matches!(event.body, EventBody::AutoRetryEnd(_))
    };
    assert!(events(&bench).iter().any(ends));
    bench.abort().await;
}

#[tokio::test]
async fn a_task_spends_from_what_its_prompt_may_cost() {
    let bench = Bench::new([
        Prepared::call("t1", "task", ORDER),
        Prepared::call("c1", "step", "{}"),
        Prepared::call("c2", "step", r#"{"n":2}"#),
        Prepared::text("never said"),
    ]);
    bench.set(|settings| settings.limits.money = Some(2_500_000_000));
    *bench.models.price.lock().unwrap() = 1.0;
    bench.run_ends("go", 2).await;
    assert_eq!(bench.model.asked().len(), 3);
    let lines = bench.transcript();
    assert!(lines[2].starts_with("result t1 failed: The helper reached a limit"), "{lines:?}");
    assert_eq!(bench.end().reason, "limit");
}

#[tokio::test]
async fn a_task_that_fails_says_so() {
    let failure = super::failure("provider_refused_key", toft_llm::ask::Retry::Never);
    let bench = Bench::new([
        Prepared::call("t1", "task", ORDER),
        Prepared::Fails(vec![], failure),
        Prepared::text("done"),
    ]);
    bench.run_ends("go", 2).await;
    let lines = bench.transcript();
    assert!(lines[2].starts_with("result t1 failed: The helper failed."), "{lines:?}");
    assert!(lines[2].contains("provider_refused_key happened"), "{lines:?}");
}
