//! What is said while the agent works.

use super::bench::Bench;
use crate::{
    Command, Refused, Setting,
    session::{QueuedAs, Session},
    surroundings::QueueMode,
};
use std::sync::atomic::Ordering;
use toft_llm::testing::{Prepared, call};
use toft_model::{message::UserContent, plan::Mode};

#[tokio::test]
async fn what_is_said_while_the_agent_works_is_delivered_when_it_would_stop() {
    let bench = Bench::new([
        Prepared::call("c1", "gate", "{}"),
        Prepared::text("first"),
        Prepared::text("second"),
        Prepared::text("third"),
    ]);
    bench.prompt("one").await;
    bench.tools.began.notified().await;
    assert_eq!(bench.prompt("two").await.queued, Some(QueuedAs::FollowUp));
    bench.prompt("three").await;
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    assert_eq!(
        bench.transcript(),
        [
            "user: one",
            "assistant ToolUse: c1",
            "result c1: opened",
            "assistant Stop: first",
            "user: two",
            "assistant Stop: second",
            "user: three",
            "assistant Stop: third"
        ]
    );
    assert_eq!(bench.end().turns, 4, "one receipt for the prompt and what followed");
}

#[tokio::test]
async fn a_prompt_with_an_id_of_its_own_is_said_once_however_often_it_is_sent() {
    let bench = Bench::new([
        Prepared::call("c1", "gate", "{}"),
        Prepared::text("first"),
        Prepared::text("second"),
    ]);
    let say = async |id: &str, text: &str| bench.send_as(Some(id), text).await.unwrap();
    assert_eq!(say("firing-one", "one").await.entry_id.as_deref(), Some("firing-one"));
    bench.tools.began.notified().await;
    assert_eq!(say("firing-one", "one").await.entry_id.as_deref(), Some("firing-one"));
    assert_eq!(say("firing-two", "two").await.queued, Some(QueuedAs::FollowUp));
    assert_eq!(say("firing-two", "two").await.queued, Some(QueuedAs::FollowUp));
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    assert_eq!(say("firing-two", "two").await.entry_id.as_deref(), Some("firing-two"));
    let said: Vec<String> =
        bench.transcript().into_iter().filter(|line| line.starts_with("user")).collect();
    assert_eq!(said, ["user: one", "user: two"]);
}

#[tokio::test]
async fn steering_skips_the_calls_that_have_not_begun() {
    let bench = Bench::new([
        Prepared::Says(vec![call("c1", "gate", "{}"), call("c2", "step", "{}")]),
        Prepared::text("changed course"),
    ]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    bench.send("stop that", QueuedAs::Steer).await.unwrap();
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    assert_eq!(
        bench.transcript(),
        [
            "user: go",
            "assistant ToolUse: c1,c2",
            "result c1: opened",
            "result c2 failed: Skipped due to queued user message.",
            "user: stop that",
            "assistant Stop: changed course"
        ]
    );
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_may_not_wait_is_refused_while_work_goes_on_and_is_nowhere_then() {
    let bench =
        Bench::new([Prepared::call("c1", "gate", "{}"), Prepared::text("a"), Prepared::text("b")]);
    bench.prompt("one").await;
    bench.tools.began.notified().await;
    let say = async || {
        let content = UserContent::Text("two".into());
        let id = Some("named".to_owned());
        let setting = Some(Setting { model: None, mode: Mode::Plan });
        let say = |reply| Command::Prompt { id, content, waiting: None, setting, reply };
        bench.handle.ask(say).await
    };
    assert!(matches!(say().await, Err(Refused::Busy)));
    assert_eq!(bench.handle.conversation().session().mode(), Mode::Build, "others work in theirs");
    assert!(bench.handle.conversation().waiting().await.follow_up.is_empty());
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.transcript().len(), 4, "{:?}", bench.transcript());
    assert_eq!(say().await.unwrap().entry_id.as_deref(), Some("named"));
    assert_eq!(bench.handle.conversation().session().mode(), Mode::Plan);
    bench.hear("agent_end", 2).await;
}

#[tokio::test]
async fn all_waiting_messages_come_together_when_people_want_that() {
    let bench =
        Bench::new([Prepared::call("c1", "gate", "{}"), Prepared::text("a"), Prepared::text("b")]);
    bench.around.settings.write().unwrap().follow_up_mode = QueueMode::All;
    bench.prompt("one").await;
    bench.tools.began.notified().await;
    bench.prompt("two").await;
    bench.prompt("three").await;
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.model.asked().len(), 3);
}

#[tokio::test]
async fn waiting_messages_can_be_changed_and_survive_the_process() {
    let bench = Bench::new([Prepared::call("c1", "gate", "{}")]);
    bench.prompt("one").await;
    bench.tools.began.notified().await;
    bench.prompt("two").await;
    let (steering, follow_up) =
        (Some(vec!["s".to_owned()]), Some(vec!["two".into(), "new".into()]));
    let texts =
        bench.handle.ask(|reply| Command::Queue { steering, follow_up, reply }).await.unwrap();
    assert_eq!((texts.steering.len(), texts.follow_up.len()), (1, 2));
    bench.stop.cancel();
    let session = Session::open(bench.handle.conversation().session().path()).unwrap();
    let queues = crate::queue::Queues::open(&session).unwrap();
    assert_eq!(queues.texts().follow_up, ["two", "new"]);
    assert_eq!(queues.texts().steering, ["s"]);
}
