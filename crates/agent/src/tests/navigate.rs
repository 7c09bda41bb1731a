//! Going to entries of a conversation, and naming them.

use super::bench::Bench;
use crate::{
    Arrived, Command, Refused,
    session::{Body, QueuedAs, Session, Step},
};
use std::sync::atomic::Ordering;
use toft_llm::{
    ask::{ModelFailure, Retry},
    testing::Prepared,
};
use toft_model::{
    event::{Event, EventBody},
    message::Message,
};

async fn go(bench: &Bench, to: &str, summarize: bool) -> Result<Arrived, Refused> {
    let entry_id = to.to_owned();
    bench
        .handle
        .ask(|reply| Command::Navigate { entry_id, summarize, instructions: None, reply })
        .await
}

/// Entries of the messages on the branch.
fn messages(bench: &Bench) -> Vec<String> {
    let session = bench.handle.conversation().session();
    session.transcript().map(|(entry, ..)| entry.id.clone()).collect()
}

fn events(bench: &Bench) -> Vec<Event> {
    bench.heard.events.lock().unwrap().clone()
}

#[tokio::test]
async fn a_message_is_said_anew_from_where_it_was_said() {
    let bench = Bench::new([Prepared::text("A"), Prepared::text("B"), Prepared::text("C")]);
    bench.run("one").await;
    bench.run("two").await;
    let said = messages(&bench);
    let before = events(&bench).len();
    let arrived = go(&bench, &said[2], false).await.unwrap();
    assert_eq!(arrived.text.as_deref(), Some("two"));
    assert_eq!(arrived.entry_id.as_ref(), Some(&said[1]));
    assert_eq!(messages(&bench), said[..2]);
    let told = &events(&bench)[before..];
    let [Event { session: Some(_), body: EventBody::Navigated(went), .. }] = told else {
        panic!("{told:?}")
    };
    let moved = &went.sessions[0];
    assert_eq!(moved.to_message_id.as_ref(), Some(&said[1]));
    assert_eq!(
        (&moved.to_entry_id, &moved.from_entry_id),
        (&Some(said[1].clone()), &Some(said[3].clone()))
    );
    bench.run("three").await;
    assert_eq!(
        bench.transcript(),
        ["user: one", "assistant Stop: A", "user: three", "assistant Stop: C"]
    );
    // The other branch is still there, and one can go back to it.
    go(&bench, &said[3], false).await.unwrap();
    assert_eq!(bench.transcript()[2..], ["user: two", "assistant Stop: B"]);
    let path = bench.handle.conversation().session().path().to_owned();
    let read = Session::open(&path).unwrap();
    assert_eq!(super::bench::transcript(&read), bench.transcript());
    // Before the first.
    assert_eq!(go(&bench, &said[0], false).await.unwrap().entry_id, None);
    assert_eq!(bench.transcript(), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_goes_anywhere_while_it_works() {
    let bench = Bench::new([Prepared::call("c1", "gate", "{}"), Prepared::text("done")]);
    bench.prompt("one").await;
    bench.tools.began.notified().await;
    let said = messages(&bench);
    assert!(matches!(go(&bench, &said[0], false).await, Err(Refused::Busy)));
    // A name may be given meanwhile: the work goes on below it.
    let named = |label: Option<&str>| {
        let (entry_id, label) = (said[0].clone(), label.map(str::to_owned));
        bench.handle.ask(|reply| Command::Label { entry_id, label, reply })
    };
    named(Some("start")).await.unwrap();
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.transcript().last().unwrap(), "assistant Stop: done");
    let labels =
        |bench: &Bench| bench.kinds().iter().filter(|kind| *kind == "label_change").count();
    assert_eq!(labels(&bench), 1);
    named(Some("start")).await.unwrap();
    assert_eq!(labels(&bench), 1, "it has that name");
    named(None).await.unwrap();
    assert_eq!(bench.handle.conversation().session().label_of(&said[0]), None);
    let unknown =
        bench.handle.ask(|reply| Command::Label { entry_id: "?".into(), label: None, reply }).await;
    assert!(matches!(unknown, Err(Refused::NoEntry(_))));
    assert!(matches!(go(&bench, "?", false).await, Err(Refused::NoEntry(_))));
}

#[tokio::test]
async fn work_that_was_under_way_at_an_earlier_place_is_closed_there() {
    let bench =
        Bench::new([Prepared::call("c1", "step", "{}"), Prepared::text("A"), Prepared::text("B")]);
    bench.run("one").await;
    let said = messages(&bench);
    // To the answer that asked for a tool.
    let before = events(&bench).len();
    go(&bench, &said[1], false).await.unwrap();
    let transcript = bench.transcript();
    assert_eq!(transcript[..2], ["user: one", "assistant ToolUse: c1"]);
    assert!(transcript[2].starts_with("result c1 failed: Not finished here"), "{transcript:?}");
    assert_eq!(bench.handle.conversation().session().step(), Step::Rest);
    let kinds = &bench.kinds()[before..];
    assert_eq!(
        kinds,
        ["navigated", "message_start", "message_end", "message_start", "message_end"]
    );
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 1, "it is not run again");
    bench.run("go on").await;
    assert_eq!(bench.transcript().last().unwrap(), "assistant Stop: B");
}

#[tokio::test]
async fn what_is_left_behind_is_summarised_when_a_person_wants_that() {
    let bench = Bench::new([
        Prepared::text("A"),
        Prepared::call("c1", "read", r#"{"path":"lib.rs"}"#),
        Prepared::text("B"),
        Prepared::text("## Goal\nit was tried"),
        Prepared::text("C"),
    ]);
    // `read` of the bench waits for a twin.
    bench.tools.readers.store(1, Ordering::SeqCst);
    bench.run("one").await;
    bench.run("try it").await;
    let said = messages(&bench);
    let before = bench.kinds().len();
    let arrived = go(&bench, &said[1], true).await.unwrap();
    let asked = bench.model.asked();
    let Message::User(question) = &asked[3].messages[0] else { panic!() };
    let question = question.content.text();
    assert!(
        question.contains("[User]: try it") && question.contains("[Assistant]: B"),
        "{question}"
    );
    assert!(!question.contains("[User]: one"), "only what is left: {question}");
    assert!(asked[3].tools.is_empty());
    assert_eq!(
        bench.kinds()[before..],
        ["compaction_start", "compaction_end", "navigated", "message_start", "message_end"]
    );
    {
        let session = bench.handle.conversation().session();
        let entry = session.entry(arrived.summary_entry_id.as_deref().unwrap()).unwrap();
        let Body::BranchSummary(left) = &entry.body else { panic!("{entry:?}") };
        assert!(left.summary.contains("it was tried"));
        assert!(left.summary.ends_with("<read-files>\nlib.rs\n</read-files>"), "{}", left.summary);
        assert_eq!(Some(&left.from_id), said.last());
        assert_eq!(left.details.as_ref().unwrap()["readFiles"][0], "lib.rs");
        assert!(left.usage.is_some());
    }
    bench.run("and now?").await;
    let last = bench.model.asked().pop().unwrap();
    assert!(matches!(&last.messages[2], Message::BranchSummary(m) if m.summary.contains("tried")));
    assert!(!bench.handle.conversation().is_compacting());
}

#[tokio::test]
async fn without_its_summary_it_stays_where_it_is() {
    let refused = ModelFailure {
        code: "provider_refused_key".into(),
        message: "no key".into(),
        retry: Retry::Never,
    };
    let bench =
        Bench::new([Prepared::text("A"), Prepared::text("B"), Prepared::Fails(vec![], refused)]);
    bench.run("one").await;
    bench.run("two").await;
    let said = messages(&bench);
    let failed = go(&bench, &said[0], true).await;
    assert!(matches!(failed, Err(Refused::Compaction(words)) if words.contains("no key")));
    assert_eq!(messages(&bench), said);
    assert!(!bench.kinds().contains(&"navigated".to_owned()));
    // Nothing was left: nobody is asked, and it goes.
    bench.send("three", QueuedAs::FollowUp).await.unwrap();
    bench.hear("agent_end", 3).await;
}

#[tokio::test]
async fn a_move_that_was_not_told_is_told_by_the_next_process_once() {
    let bench = Bench::new([Prepared::text("A")]);
    bench.run("one").await;
    let told = bench.handle.conversation().told();
    let said = messages(&bench);
    go(&bench, &said[0], false).await.unwrap();
    let path = bench.handle.conversation().session().path().to_owned();
    bench.stop.cancel();
    let before = bench.kinds().len();
    let session = Session::open(&path).unwrap();
    let next =
        crate::Conversation::new(session, told, std::sync::Arc::clone(&bench.around)).unwrap();
    next.catch_up();
    next.catch_up();
    assert_eq!(bench.kinds()[before..], ["navigated"]);
}
