//! Rules of the project in the loop.

use super::bench::Bench;
use crate::session::{Body, custom};
use std::sync::atomic::Ordering;
use toft_llm::testing::Prepared;
use toft_model::{
    event::QuestionKind,
    permission::{Action, Rule},
};

fn rules(bench: &Bench, action: Action) {
    let rule = Rule {
        tool: "step".into(),
        argument: Some("*secret*".into()),
        action,
        reason: Some("It is not ours.".into()),
    };
    bench.set(|settings| settings.rules = vec![rule]);
}

fn calls(arguments: &[&str]) -> Vec<Prepared> {
    let calls =
        arguments.iter().enumerate().map(|(n, a)| Prepared::call(&format!("c{n}"), "step", a));
    calls.chain([Prepared::text("Done.")]).collect()
}

#[tokio::test]
async fn a_denied_call_is_not_done_and_the_model_learns_why() {
    let bench = Bench::new(calls(&[r#"{"a":"secret"}"#, r#"{"a":"plain"}"#]));
    rules(&bench, Action::Deny);
    bench.run("go").await;
    let transcript = bench.transcript();
    assert!(
        transcript[2].starts_with("result c0 failed: The rules of this project"),
        "{transcript:?}"
    );
    assert!(transcript[2].contains("It is not ours."), "{transcript:?}");
    assert_eq!(transcript[4], r#"result c1: did 1 {"a":"plain"}"#);
    assert_eq!(bench.end().reason, "done");
}

#[tokio::test]
async fn a_person_is_asked_and_their_word_counts() {
    let secret = r#"{"a":"secret"}"#;
    let bench = Bench::new(calls(&[secret, r#"{"b":"secret"}"#]));
    rules(&bench, Action::Ask);
    bench.prompt("go").await;
    let asked = bench.answer(1, "Allow once").await;
    assert_eq!((asked.kind, asked.tool_call_id.as_str()), (QuestionKind::Permission, "c0"));
    assert!(asked.question.contains("secret") && asked.question.contains("It is not ours."));
    let again = bench.answer(2, "Only on Tuesdays, please.").await;
    assert_eq!(again.tool_call_id, "c1");
    bench.hear("agent_end", 1).await;
    let transcript = bench.transcript();
    assert_eq!(transcript[2], format!("result c0: did 1 {secret}"));
    assert!(transcript[4].contains("They say: Only on Tuesdays"), "{transcript:?}");
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_allowed_for_good_is_not_asked_again_and_outlives_the_bridge() {
    let mut bench =
        Bench::new(calls(&[r#"{"a":"secret"}"#, r#"{"b":"secret"}"#, r#"{"c":"secret"}"#]));
    rules(&bench, Action::Ask);
    bench.prompt("go").await;
    bench.answer(1, "always in this conversation").await;
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.kinds().iter().filter(|kind| *kind == "question").count(), 1);
    bench.restart().await;
    bench.model.push(Prepared::call("d", "step", r#"{"d":"secret"}"#));
    bench.model.push(Prepared::text("Done."));
    bench.run("again").await;
    assert_eq!(bench.kinds().iter().filter(|kind| *kind == "question").count(), 1);
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 4);
    let session = bench.handle.conversation().session();
    let kept = session.entries().iter().filter(|entry| {
        matches!(&entry.body, Body::Custom { custom_type, .. } if custom_type == custom::ALLOW)
    });
    assert_eq!(kept.count(), 1);
}

#[tokio::test]
async fn a_question_outlives_the_bridge_and_is_told_once() {
    let mut bench = Bench::new(calls(&[r#"{"a":"secret"}"#]));
    rules(&bench, Action::Ask);
    bench.prompt("go").await;
    bench.hear("question", 1).await;
    bench.restart().await;
    bench.answer(1, "Deny").await;
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.kinds().iter().filter(|kind| *kind == "question").count(), 1);
    assert!(bench.transcript()[2].contains("A person does not allow this call"));
}

#[tokio::test]
async fn a_stop_ends_a_question() {
    let bench = Bench::new(calls(&[r#"{"a":"secret"}"#]));
    rules(&bench, Action::Ask);
    bench.prompt("go").await;
    bench.hear("question", 1).await;
    bench.abort().await;
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.end().reason, "aborted");
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 0);
    assert!(bench.handle.conversation().question().is_none());
    assert!(bench.story().contains("answered"), "nobody waits for it any more: {}", bench.story());
}

#[tokio::test]
async fn a_call_that_stands_for_another_is_judged_as_that_one() {
    let relayed = r#"{"tool":"step","arguments":{"a":"secret"}}"#;
    let bench = Bench::new([Prepared::call("c0", "relay", relayed), Prepared::text("Done.")]);
    rules(&bench, Action::Deny);
    bench.run("go").await;
    let transcript = bench.transcript();
    assert!(transcript[2].contains("do not allow `step`"), "{transcript:?}");
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 0);
}
