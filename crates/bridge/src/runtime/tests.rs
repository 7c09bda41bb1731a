//! A bridge that is killed at every event it tells, before and after writing it, must leave what an
//! undisturbed one leaves.

mod doubt;
mod house;
mod tasks;
mod tickets;
mod trees;

use super::*;
use crate::log::tests::Fate;
use futures_util::StreamExt as _;
pub(crate) use house::House;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use toft_agent::{
    Command,
    session::{QueuedAs, Step},
};
use toft_llm::testing::call;
use toft_model::{
    event::Event,
    message::{Block, Message, StopReason, UserContent},
};
use toft_tools::host::Shell as _;

/// What a person would do: prompts once, queues two more, answers the question, waits for the end.
async fn person(runtime: Arc<AgentRuntime>) {
    let mut events = Box::pin(runtime.log().follow(Some(0), None));
    let handle = runtime.session(None).await.unwrap();
    let said = handle.conversation().session().transcript().count() > 0;
    if !said {
        let content = UserContent::Text("build it".into());
        let waiting = QueuedAs::FollowUp;
        let _ = handle.prompt(None, content, Some(waiting)).await;
    }
    while let Some(event) = events.next().await {
        match event.body {
            EventBody::Question(question) => {
                let tool_call_id = question.tool_call_id;
                // A resumed call takes a moment to ask again; an answered one needs no answer.
                loop {
                    let open = handle.conversation().question();
                    if open.is_some_and(|q| q.tool_call_id == tool_call_id) {
                        let (tool_call_id, answer) = (tool_call_id.clone(), "blue".to_owned());
                        let _ = handle
                            .ask(|reply| Command::Answer { tool_call_id, answer, reply })
                            .await;
                        break;
                    }
                    let session = handle.conversation().session().transcript().any(|(_, _, m)| {
                        matches!(&*m, Message::ToolResult(r) if r.tool_call_id == tool_call_id)
                    });
                    if session {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            EventBody::AgentEnd(_) if handle.conversation().session().step() == Step::Rest => {
                return;
            }
            _ => {}
        }
    }
}

fn script() -> Vec<Vec<Block>> {
    vec![
        vec![
            Block::text("I will begin now."),
            call(
                "c1",
                "bash",
                r#"{"command":"echo one; echo ran >> runs.txt; sleep 0.02; echo two"}"#,
            ),
        ],
        vec![call("c2", "write", r#"{"path":"a.txt","content":"red\n"}"#)],
        vec![
            call(
                "c3",
                "edit",
                r#"{"path":"a.txt","edits":[{"oldText":"red","newText":"redder"}]}"#,
            ),
            call("c4", "read", r#"{"path":"a.txt"}"#),
            call("c5", "ls", r#"{"path":"."}"#),
        ],
        vec![call("c6", "ask", r#"{"question":"Which colour?"}"#)],
        vec![call("c7", "notify_dashboard", r#"{"message":"built"}"#)],
        vec![Block::text("It is built.")],
    ]
}

/// The conversation without times and ids.
fn story(house: &House) -> Vec<String> {
    let sessions = house.dir.path().join("home/sessions");
    let files: Vec<_> = std::fs::read_dir(sessions)
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    assert_eq!(files.len(), 1, "one session");
    let session = Session::open(&files[0]).unwrap();
    session
        .transcript()
        .map(|(_, _, message)| {
            let mut value = serde_json::to_value(&message).unwrap();
            value.as_object_mut().unwrap().remove("timestamp");
            value.as_object_mut().unwrap().remove("details");
            value.to_string()
        })
        .collect()
}

/// Every begun thing has its end exactly once, every number comes once.
fn check_events(house: &House, why: &str) {
    let events = house.events();
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event.seq, n as u64 + 1, "{why}");
    }
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    let mut add = |key: String| *counts.entry(key).or_default() += 1;
    for event in &events {
        match &event.body {
            EventBody::MessageStart(m) => add(format!("start {}", m.message_id)),
            EventBody::MessageEnd(m) => add(format!("end {}", m.message_id)),
            EventBody::MessageRestarted(m) => add(format!("void {}", m.message_id)),
            EventBody::ToolStart(t) => add(format!("tool {}", t.tool_call_id)),
            EventBody::ToolEnd(t) => add(format!("tool end {}", t.tool_call_id)),
            EventBody::Notify(n) => add(format!("notify {}", n.message)),
            EventBody::Question(q) => add(format!("question {}", q.tool_call_id)),
            EventBody::Answered(a) => add(format!("answered {}", a.tool_call_id)),
            EventBody::SessionCreated(_) => add("session".into()),
            _ => {}
        }
    }
    for (key, count) in &counts {
        assert_eq!(*count, 1, "{why}: {key}");
    }
    let one = |key: &str| counts.keys().filter(|k| k.starts_with(key)).count();
    assert_eq!(one("start "), one("end ") + one("void "), "{why}");
    assert_eq!((one("tool c"), one("tool end ")), (7, 7), "{why}");
    assert_eq!((one("notify"), one("question"), one("session")), (1, 1, 1), "{why}");
    assert_eq!(one("answered "), 1, "{why}");
    let kinds = |kind: &str| events.iter().filter(|e| e.body.kind() == kind).count();
    assert_eq!((kinds("agent_start"), kinds("agent_end")), (1, 1), "{why}");
    // One turn per answer: one that was cut goes on, it does not end and begin again.
    assert_eq!((kinds("turn_start"), kinds("turn_end")), (6, 6), "{why}");
    // Every message of the session was told.
    assert_eq!(kinds("message_end"), story(house).len(), "{why}");
}

#[test]
fn a_bridge_killed_at_any_event_leaves_what_an_undisturbed_one_leaves() {
    let calm = House::new(script());
    assert!(calm.life(None, person));
    check_events(&calm, "undisturbed");
    let expected = story(&calm);
    assert_eq!(expected.len(), 14, "{expected:#?}");
    let events = calm.events().len() as u64;
    assert!(events > 60, "{events}");

    for (at, after) in points(events) {
        let (house, why) = killed(script(), at, after, events, person);
        assert!(house.life(None, person), "{why}");
        same(&story(&house), &expected, &why);
        check_events(&house, &why);
        let ran = std::fs::read_to_string(house.dir.path().join("project/runs.txt")).unwrap();
        assert_eq!(ran, "ran\n", "{why}: the command ran once");
        let intents = std::fs::read_dir(house.dir.path().join("log/intents")).unwrap().count();
        assert!(intents <= 2, "{why}: intents are forgotten");
    }
}

fn same(found: &[String], expected: &[String], why: &str) {
    for (n, line) in expected.iter().enumerate() {
        assert_eq!(found.get(n), Some(line), "{why}: message {n}");
    }
    assert_eq!(found.len(), expected.len(), "{why}");
}

fn points(events: u64) -> impl Iterator<Item = (u64, bool)> {
    (1..=events).flat_map(|at| [(at, false), (at, true)])
}

/// A house whose first bridge was killed there.
fn killed<F: Future<Output = ()>>(
    answers: Vec<Vec<Block>>,
    at: u64,
    after: bool,
    events: u64,
    live: impl FnOnce(Arc<AgentRuntime>) -> F,
) -> (House, String) {
    let why = format!("killed {} event {at}", if after { "after" } else { "before" });
    let house = House::new(answers);
    let told = AtomicU64::new(0);
    let fate = Arc::new(Fate { at, after, told, died: CancellationToken::new() });
    house.life(Some(Arc::clone(&fate)), live);
    // Now and then output comes in fewer pieces.
    assert!(fate.died.is_cancelled() || fate.told.load(Ordering::SeqCst) > events / 2, "{why}");
    (house, why)
}

/// Says `text` unless it is in the conversation or waits.
async fn say(handle: &Handle, text: &str, waiting: QueuedAs) {
    let conversation = handle.conversation();
    let waits = conversation.waiting().await;
    let said = conversation.session().transcript().any(|(_, _, m)| match &*m {
        Message::User(m) => m.content.text() == text,
        _ => false,
    });
    if !said && !waits.steering.iter().chain(&waits.follow_up).any(|t| t == text) {
        let content = UserContent::Text(text.into());
        let said = handle.prompt(None, content, Some(waiting)).await;
        if said.is_err() {
            // The bridge is gone; this life is over.
            std::future::pending::<()>().await;
        }
    }
}

async fn hear(
    events: &mut (impl futures_util::Stream<Item = Event> + Unpin),
    kind: &str,
) -> EventBody {
    loop {
        let event = events.next().await.expect("the log goes on");
        if event.body.kind() == kind {
            return event.body;
        }
    }
}

#[test]
fn what_waits_is_delivered_once_wherever_the_bridge_is_killed() {
    let answers = || {
        let wait = r#"{"command":"until test -e go; do sleep 0.01; done; echo gone"}"#;
        vec![
            vec![call("c1", "bash", wait)],
            vec![Block::text("steered")],
            vec![Block::text("followed")],
        ]
    };
    let steering_person = async |runtime: Arc<AgentRuntime>| {
        let mut events = Box::pin(runtime.log().follow(Some(0), None));
        let handle = runtime.session(None).await.unwrap();
        say(&handle, "begin", QueuedAs::FollowUp).await;
        hear(&mut events, "tool_start").await;
        say(&handle, "later", QueuedAs::FollowUp).await;
        say(&handle, "now", QueuedAs::Steer).await;
        std::fs::write(Path::new(&runtime.boot().cwd).join("go"), "").unwrap();
        loop {
            hear(&mut events, "agent_end").await;
            let conversation = handle.conversation();
            let waits = conversation.waiting().await;
            if waits.follow_up.is_empty() && conversation.session().step() == Step::Rest {
                return;
            }
        }
    };
    let calm = House::new(answers());
    assert!(calm.life(None, steering_person));
    let expected = story(&calm);
    assert_eq!(expected.len(), 7, "{expected:#?}");
    let events = calm.events().len() as u64;
    for (at, after) in points(events) {
        let (house, why) = killed(answers(), at, after, events, steering_person);
        assert!(house.life(None, steering_person), "{why}");
        same(&story(&house), &expected, &why);
        let told = house.events();
        let ends = told.iter().filter(|e| e.body.kind() == "message_end").count();
        assert_eq!(ends, expected.len(), "{why}");
        let last_queue = told.iter().rev().find_map(|e| match &e.body {
            EventBody::QueueUpdate(q) => Some(q.clone()),
            _ => None,
        });
        let last_queue = last_queue.unwrap();
        assert!(last_queue.steering.is_empty() && last_queue.follow_up.is_empty(), "{why}");
    }
}

/// Who said what, and how answers ended.
fn roles(house: &House) -> Vec<String> {
    let role = |line: &String| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let stop = value.get("stopReason").map(ToString::to_string).unwrap_or_default();
        format!("{} {stop}", value["role"].as_str().unwrap_or_default())
    };
    story(house).iter().map(role).collect()
}

#[test]
fn a_stopped_prompt_stays_stopped_wherever_the_bridge_is_killed() {
    let answers = || {
        vec![vec![call("c1", "bash", r#"{"command":"sleep 60"}"#)], vec![Block::text("never said")]]
    };
    let stopping_person = async |runtime: Arc<AgentRuntime>| {
        let mut events = Box::pin(runtime.log().follow(Some(0), None));
        let handle = runtime.session(None).await.unwrap();
        say(&handle, "begin", QueuedAs::FollowUp).await;
        hear(&mut events, "tool_start").await;
        if handle.conversation().last_stop() != Some(StopReason::Aborted) {
            let _ = handle.ask(|reply| Command::Abort { clear_queue: true, reply }).await;
        }
        hear(&mut events, "agent_end").await;
    };
    let calm = House::new(answers());
    assert!(calm.life(None, stopping_person));
    let expected = ["user ", r#"assistant "toolUse""#, "toolResult ", r#"assistant "aborted""#];
    assert_eq!(roles(&calm), expected);
    let events = calm.events().len() as u64;
    for (at, after) in points(events) {
        let (house, why) = killed(answers(), at, after, events, stopping_person);
        assert!(house.life(None, stopping_person), "{why}");
        assert_eq!(roles(&house), expected, "{why}");
        let ends = house.events().iter().filter(|e| e.body.kind() == "agent_end").count();
        assert_eq!(ends, 1, "{why}");
        let programs = house.init.block_on(house.shell.list()).unwrap();
        assert!(programs.iter().all(|p| p.exit.is_some()), "{why}: nothing runs on");
    }
}

#[test]
fn a_retried_turn_is_finished_once_wherever_the_bridge_is_killed() {
    let answers = || {
        vec![vec![call("c1", "bash", r#"{"command":"sleep 60"}"#)], vec![Block::text("at last")]]
    };
    // Begins, stops it in the middle, has it tried again, waits for the answer.
    let insisting_person = async |runtime: Arc<AgentRuntime>| {
        let mut events = Box::pin(runtime.log().follow(Some(0), None));
        let handle = runtime.session(None).await.unwrap();
        let conversation = Arc::clone(handle.conversation());
        say(&handle, "begin", QueuedAs::FollowUp).await;
        hear(&mut events, "tool_start").await;
        if conversation.last_stop() == Some(StopReason::ToolUse) {
            let _ = handle.ask(|reply| Command::Abort { clear_queue: true, reply }).await;
        }
        hear(&mut events, "agent_end").await;
        let retried = conversation.session().branch().iter().any(|e| e.retries().is_some());
        if !retried && handle.ask(|reply| Command::Retry { reply }).await.is_err() {
            // The bridge is gone; this life is over.
            std::future::pending::<()>().await;
        }
        hear(&mut events, "agent_end").await;
    };
    let calm = House::new(answers());
    assert!(calm.life(None, insisting_person));
    let expected = roles(&calm);
    let ends = [r#"assistant "toolUse""#, "toolResult ", r#"assistant "aborted""#];
    assert_eq!(expected, [&["user "][..], &ends, &[r#"assistant "stop""#]].concat());
    let events = calm.events().len() as u64;
    for (at, after) in points(events) {
        let (house, why) = killed(answers(), at, after, events, insisting_person);
        assert!(house.life(None, insisting_person), "{why}");
        assert_eq!(roles(&house), expected, "{why}");
        let told = house.events();
        let kinds = |kind: &str| told.iter().filter(|e| e.body.kind() == kind).count();
        assert_eq!((kinds("agent_start"), kinds("agent_end")), (2, 2), "{why}");
        assert_eq!(kinds("message_end"), expected.len(), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_rests_for_long_gives_its_memory_back_and_opens_again() {
    let house = tokio::task::spawn_blocking(|| House::new(script())).await.unwrap();
    let runtime = house.bridge(None).await;
    let id = runtime.session(None).await.unwrap().conversation().id().clone();
    assert_eq!(runtime.open_sessions().await.len(), 1);
    tokio::time::timeout(Duration::from_hours(1), async {
        while !runtime.open_sessions().await.is_empty() {
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    })
    .await
    .expect("it is let go of");
    let again = runtime.session(Some(&id)).await.unwrap();
    assert_eq!(again.conversation().id(), &id);
    let created = house.events().iter().filter(|e| e.body.kind() == "session_created").count();
    assert_eq!(created, 1, "opening is no news");
    runtime.stop();
    tokio::task::spawn_blocking(move || drop(house)).await.unwrap();
}
