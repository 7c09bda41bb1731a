//! Calls of which nobody knows whether they were done.

use super::bench::Bench;
use std::sync::atomic::Ordering;
use toft_llm::testing::Prepared;
use toft_model::{
    event::QuestionKind,
    permission::{Action, Rule},
};

/// A bridge that dies while this tool runs. The tool itself ends only with it.
async fn cut(tool: &str) -> Bench {
    let mut bench = Bench::new([Prepared::call("c1", tool, "{}"), Prepared::text("Done.")]);
    // Not done yet when the bridge dies, or done and not told: nobody can say.
    bench.tools.hang.store(true, Ordering::SeqCst);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    bench.tools.hang.store(false, Ordering::SeqCst);
    bench.stop.cancel();
    bench.handle.closed().await;
    let _ = &mut bench;
    bench
}

fn questions(bench: &Bench) -> usize {
    bench.kinds().iter().filter(|kind| *kind == "question").count()
}

#[tokio::test]
async fn in_the_same_life_of_the_machine_a_call_goes_on_by_itself() {
    let mut bench = cut("attached").await;
    bench.restart().await;
    bench.hear("agent_end", 1).await;
    assert_eq!((questions(&bench), bench.tools.runs.load(Ordering::SeqCst)), (0, 1));
    assert_eq!(bench.transcript().last().unwrap(), "assistant Stop: Done.");
}

#[tokio::test]
async fn after_the_machine_ended_a_person_decides_about_a_call() {
    let mut bench = cut("attached").await;
    *bench.shell.life.lock().unwrap() = "second".into();
    bench.restart().await;
    let asked = bench.answer(1, "Go on without it").await;
    assert_eq!((asked.kind, asked.tool_call_id.as_str()), (QuestionKind::Doubt, "c1"));
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 0, "never by itself");
    let transcript = bench.transcript();
    assert!(
        transcript[2].starts_with("result c1 failed: It is not known whether"),
        "{transcript:?}"
    );
    assert_eq!(transcript.last().unwrap(), "assistant Stop: Done.");
}

#[tokio::test]
async fn a_call_that_is_to_be_run_again_is_asked_about_in_each_life() {
    let mut bench = cut("attached").await;
    *bench.shell.life.lock().unwrap() = "second".into();
    bench.tools.hang.store(true, Ordering::SeqCst);
    bench.restart().await;
    bench.answer(1, "Run it again").await;
    bench.tools.began.notified().await;
    // The bridge alone dies: init still knows whether it began.
    bench.restart().await;
    bench.tools.began.notified().await;
    assert_eq!(questions(&bench), 1);
    // The machine dies once more.
    *bench.shell.life.lock().unwrap() = "third".into();
    bench.tools.hang.store(false, Ordering::SeqCst);
    bench.restart().await;
    bench.answer(2, "run it again").await;
    bench.hear("agent_end", 1).await;
    assert_eq!((questions(&bench), bench.tools.runs.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test]
async fn a_program_that_is_known_is_attached_to_and_not_asked_about() {
    let mut bench = cut("attached").await;
    let conversation = bench.handle.conversation().clone();
    let run_id = {
        let session = conversation.session();
        let answer = session.branch()[1].id.clone();
        format!("{}.{answer}.0", session.id())
    };
    *bench.shell.life.lock().unwrap() = String::new();
    bench.shell.known.lock().unwrap().push(run_id);
    bench.restart().await;
    bench.hear("agent_end", 1).await;
    assert_eq!((questions(&bench), bench.tools.runs.load(Ordering::SeqCst)), (0, 1));
}

#[tokio::test]
async fn a_tool_that_nobody_watches_is_asked_about_in_the_same_life_too() {
    let mut bench = cut("unsure").await;
    assert_eq!(bench.intents.0.lock().unwrap().len(), 1, "its start is written down before it");
    bench.restart().await;
    bench.answer(1, "Run it again").await;
    bench.hear("agent_end", 1).await;
    assert_eq!((questions(&bench), bench.tools.runs.load(Ordering::SeqCst)), (1, 1));
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(bench.intents.0.lock().unwrap().is_empty(), "and forgotten with its result");
}

#[tokio::test]
async fn a_call_that_only_reads_is_done_again_without_a_question() {
    let mut bench = cut("step").await;
    *bench.shell.life.lock().unwrap() = "second".into();
    bench.restart().await;
    bench.hear("agent_end", 1).await;
    assert_eq!((questions(&bench), bench.tools.runs.load(Ordering::SeqCst)), (0, 1));
}

#[tokio::test]
async fn a_call_of_a_task_that_a_person_allowed_is_asked_about_after_the_machine_ended() {
    let order = r#"{"description":"count","prompt":"Count them."}"#;
    let mut bench = Bench::new([
        Prepared::call("t1", "task", order),
        Prepared::call("c1", "attached", "{}"),
        Prepared::text("counted"),
        Prepared::text("done"),
    ]);
    let rule = Rule { tool: "attached".into(), argument: None, action: Action::Ask, reason: None };
    bench.set(|settings| settings.rules = vec![rule]);
    bench.tools.hang.store(true, Ordering::SeqCst);
    bench.prompt("go").await;
    bench.answer(1, "Allow once").await;
    bench.tools.began.notified().await;
    bench.tools.hang.store(false, Ordering::SeqCst);
    *bench.shell.life.lock().unwrap() = "second".into();
    bench.restart().await;
    let asked = bench.answer(2, "Go on without it").await;
    assert_eq!((asked.kind, asked.tool_call_id.as_str()), (QuestionKind::Doubt, "t1"));
    bench.hear("agent_end", 2).await;
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 0, "never by itself");
}
