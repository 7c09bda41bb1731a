//! What a prompt may take, and a model that goes round in circles.

use super::bench::{Bench, pass};
use crate::session::Session;
use std::{sync::atomic::Ordering, time::Duration};
use toft_llm::{ask::Retry, testing::Prepared};
use toft_model::{
    event::QuestionKind,
    message::Message,
    permission::{Action, Reached, Rule},
};

fn steps(n: usize) -> Vec<Prepared> {
    let calls =
        (0..n).map(|n| Prepared::call(&format!("c{n}"), "step", &format!(r#"{{"n":{n}}}"#)));
    calls.chain([Prepared::text("Done.")]).collect()
}

/// The words of the answer that a conversation ends with.
fn last_words(session: &Session) -> String {
    let last = session.transcript().last().map(|(_, _, message)| message.into_owned());
    match last {
        Some(Message::Assistant(answer)) => answer.error_message.unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_prompt_that_costs_too_much_ends_and_another_one_begins_anew() {
    let bench = Bench::new(steps(4));
    bench.set(|settings| settings.limits.money = Some(1_500_000_000));
    *bench.models.price.lock().unwrap() = 1.0;
    bench.run("go").await;
    let end = bench.end();
    assert_eq!((end.reason.as_str(), end.turns), ("limit", 2));
    let conversation = bench.handle.conversation();
    assert!(last_words(&conversation.session()).contains("$1.50"));
    assert_eq!(conversation.last_limit(), Some(Reached::Money));
    bench.run("go on").await;
    assert_eq!(bench.end().turns, 2);
}

#[tokio::test]
async fn prices_that_are_not_known_count_as_nothing() {
    let bench = Bench::new(steps(3));
    bench.set(|settings| settings.limits.money = Some(1));
    bench.run("go").await;
    assert_eq!((bench.end().reason.as_str(), bench.end().turns), ("done", 4));
}

#[tokio::test]
async fn a_prompt_ends_after_its_model_calls() {
    let mut bench = Bench::new(steps(4));
    bench.set(|settings| settings.limits.steps = Some(2));
    bench.run("go").await;
    assert_eq!((bench.end().reason.as_str(), bench.end().turns), ("limit", 2));
    // How it ended is in the session, not in memory.
    bench.restart().await;
    assert_eq!(bench.handle.conversation().last_limit(), Some(Reached::Steps));
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_takes_too_long_ends_in_the_middle_of_a_call() {
    let bench = Bench::new([Prepared::call("c1", "slow", "{}"), Prepared::text("never said")]);
    bench.set(|settings| settings.limits.seconds = Some(60));
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    pass(61_000);
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.end().reason, "limit");
    let session = bench.handle.conversation().session();
    assert!(last_words(&session).contains("60 seconds"), "{}", last_words(&session));
    assert!(session.open_calls().1.is_empty());
    // No person stopped it, and nobody is told so.
    let told = super::bench::transcript(&session).join("\n");
    assert!(told.contains("the time that it may") && !told.contains("person"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_prompt_stands_still_while_a_person_is_asked() {
    let bench = Bench::new([Prepared::call("c1", "ask", "{}"), Prepared::text("Thank you.")]);
    bench.set(|settings| settings.limits.seconds = Some(60));
    bench.prompt("go").await;
    bench.hear("question", 1).await;
    pass(120_000);
    tokio::time::sleep(Duration::from_secs(30)).await;
    bench.answer(1, "blue").await;
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.end().reason, "done");
    // The next prompt has its own time, and no more.
    bench.model.push(Prepared::call("c2", "slow", "{}"));
    bench.prompt("go on").await;
    bench.hear("tool_start", 2).await;
    pass(61_000);
    bench.hear("agent_end", 2).await;
    assert_eq!(bench.end().reason, "limit");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_outlives_the_bridge_takes_no_time_either() {
    let mut bench = Bench::new([Prepared::call("c1", "ask", "{}"), Prepared::text("Thank you.")]);
    bench.set(|settings| settings.limits.seconds = Some(60));
    bench.prompt("go").await;
    bench.hear("question", 1).await;
    pass(120_000);
    bench.restart().await;
    pass(120_000);
    bench.answer(1, "blue").await;
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.end().reason, "done");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_task_stands_still_with_that_of_its_prompt() {
    let order = r#"{"description":"count","prompt":"Count them."}"#;
    let bench = Bench::new([
        Prepared::call("t1", "task", order),
        Prepared::call("c1", "step", "{}"),
        Prepared::text("counted"),
        Prepared::text("done"),
    ]);
    let rule = Rule { tool: "step".into(), argument: None, action: Action::Ask, reason: None };
    bench.set(|settings| {
        settings.rules = vec![rule];
        settings.limits.seconds = Some(60);
    });
    bench.prompt("go").await;
    bench.hear("question", 1).await;
    pass(120_000);
    tokio::time::sleep(Duration::from_secs(30)).await;
    bench.answer(1, "Allow once").await;
    bench.hear("agent_end", 2).await;
    assert_eq!(bench.end().reason, "done");
    assert_eq!(bench.transcript()[2], "result t1: counted");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_prompt_stands_still_while_a_budget_is_spent() {
    let spent = || Prepared::Fails(vec![], super::failure("budget_spent", Retry::Never));
    let bench = Bench::new([spent(), Prepared::text("at last")]);
    bench.set(|settings| settings.limits.seconds = Some(60));
    bench.prompt("go").await;
    bench.hear("auto_retry_start", 1).await;
    assert!(bench.handle.conversation().needs_person());
    pass(120_000);
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.end().reason, "done");
    // A stop in the middle of it leaves nothing of it to the next prompt.
    bench.model.push(spent());
    bench.prompt("go").await;
    bench.hear("auto_retry_start", 2).await;
    bench.abort().await;
    bench.model.push(Prepared::call("c1", "slow", "{}"));
    bench.prompt("go").await;
    bench.hear("tool_start", 1).await;
    assert!(!bench.handle.conversation().needs_person());
    pass(61_000);
    bench.hear("agent_end", 3).await;
    assert_eq!(bench.end().reason, "limit");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_voided_costs_what_it_used() {
    let overloaded = super::failure("overloaded", Retry::Backoff);
    let half = vec![toft_model::message::Block::text("half")];
    let bench = Bench::new([Prepared::Fails(half, overloaded), Prepared::text("whole")]);
    *bench.models.price.lock().unwrap() = 0.5;
    bench.run("go").await;
    let cost = |usage: toft_model::message::Usage| usage.cost.unwrap().total;
    assert!((cost(bench.end().usage) - 1.0).abs() < 1e-9);
    assert!((cost(bench.handle.conversation().session().usage()) - 1.0).abs() < 1e-9);
}

fn circle(n: usize) -> Vec<Prepared> {
    (0..n).map(|n| Prepared::call(&format!("c{n}"), "step", "{}")).collect()
}

#[tokio::test]
async fn a_model_in_a_circle_is_told_twice_and_then_a_person_is_asked() {
    let mut answers = circle(9);
    answers.push(Prepared::text("Something else."));
    let bench = Bench::new(answers);
    bench.prompt("go").await;
    let asked = bench.answer(1, "Go on").await;
    assert_eq!((asked.kind, asked.tool_call_id.as_str()), (QuestionKind::Loop, "c8"));
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.end().reason, "done");
    let hints = bench.transcript().iter().filter(|line| *line == "note toft.nudge").count();
    assert_eq!(hints, 2);
}

#[tokio::test]
async fn a_person_stops_a_circle() {
    let bench = Bench::new(circle(12));
    bench.prompt("go").await;
    bench.answer(1, "stop").await;
    bench.hear("agent_end", 1).await;
    assert_eq!(
        (bench.end().reason.as_str(), bench.tools.runs.load(Ordering::SeqCst)),
        ("aborted", 9)
    );
}

#[tokio::test]
async fn words_for_a_circle_reach_the_model_also_after_a_restart() {
    let mut answers = circle(9);
    answers.push(Prepared::text("I see."));
    let mut bench = Bench::new(answers);
    bench.prompt("go").await;
    bench.hear("question", 1).await;
    bench.restart().await;
    bench.answer(1, "Try the other door.").await;
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.kinds().iter().filter(|kind| *kind == "question").count(), 1);
    let asked = bench.model.asked();
    let last = serde_json::to_string(&asked.last().unwrap().messages).unwrap();
    assert!(last.contains("The person says: Try the other door."), "{last}");
}
