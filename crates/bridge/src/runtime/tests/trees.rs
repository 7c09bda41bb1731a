//! Copies of conversations and moves within them, with the bridge killed at every event that they tell.

use super::*;
use crate::runtime::fork::Fork;
use toft_agent::Refused;

fn answers() -> Vec<Vec<Block>> {
    vec![vec![Block::text("first")], vec![Block::text("second")], vec![Block::text("third")]]
}

/// Says two things, goes back to before the second, and copies the branch that was left: once, however
/// often a bridge begins with it.
async fn person(runtime: Arc<AgentRuntime>) {
    let mut events = Box::pin(runtime.log().follow(Some(0), None));
    let main = oldest(&runtime).await;
    for (n, text) in ["one", "two"].into_iter().enumerate() {
        let entries = said(&main).len();
        if went(&main) || entries > 2 * (n + 1) {
            continue;
        }
        say(&main, text, QueuedAs::FollowUp).await;
        while said(&main).len() < 2 * (n + 1) || main.conversation().is_working() {
            hear(&mut events, "agent_end").await;
        }
    }
    while !went(&main) {
        let entry_id = said(&main)[2].clone();
        let navigate =
            |reply| Command::Navigate { entry_id, summarize: false, instructions: None, reply };
        match main.ask(navigate).await {
            // The end of what the bridge before left is still being told.
            Err(Refused::Busy) => tokio::time::sleep(Duration::from_millis(2)).await,
            Err(_) => std::future::pending().await,
            Ok(_) => {}
        }
    }
    if runtime.list().await.unwrap().len() == 1 {
        let left = main.conversation().session().entries().iter().rev().find_map(|entry| {
            matches!(entry.body, toft_agent::session::Body::Message(Message::Assistant(_)))
                .then(|| entry.id.clone())
        });
        let wanted = Fork { entry_id: left, name: Some("Copy".into()), current: false };
        let from = main.conversation().id().clone();
        if runtime.fork(&from, wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn oldest(runtime: &AgentRuntime) -> Handle {
    let first = runtime.session(None).await.unwrap();
    let listed = runtime.list().await.unwrap();
    let oldest = listed.into_iter().min_by(|a, b| a.id.cmp(&b.id));
    match oldest {
        Some(one) => runtime.session(Some(&one.id)).await.unwrap(),
        None => first,
    }
}

fn said(handle: &Handle) -> Vec<String> {
    let session = handle.conversation().session();
    session.transcript().map(|(entry, ..)| entry.id.clone()).collect()
}

fn went(handle: &Handle) -> bool {
    handle.conversation().session().entries().iter().any(|entry| {
        toft_agent::session::WentBack::of(entry).is_some_and(|went| went.is_navigation())
    })
}

/// Both conversations, as their files and as the events have them.
fn check(house: &House, why: &str) {
    let dir = house.dir.path().join("home/sessions");
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "jsonl" || e == "part"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 2, "{why}: {files:?}");
    let sessions: Vec<Session> = files.iter().map(|path| Session::open(path).unwrap()).collect();
    let events = house.events();
    for session in &sessions {
        let of = |event: &&Event| event.session.as_ref() == Some(session.id());
        let told: Vec<&str> = events
            .iter()
            .filter(of)
            .filter_map(|event| match &event.body {
                EventBody::MessageEnd(m) => Some(m.entry_id.as_str()),
                _ => None,
            })
            .collect();
        let messages: Vec<&str> = session
            .entries()
            .iter()
            .filter(|entry| entry.message().is_some())
            .map(|entry| entry.id.as_str())
            .collect();
        assert_eq!(told, messages, "{why}: each message is told once, in order");
        let count = |kind: &str| events.iter().filter(of).filter(|e| e.body.kind() == kind).count();
        assert_eq!(count("session_created"), 1, "{why}");
        assert_eq!(session.step(), Step::Rest, "{why}: nothing is gone on with");
    }
    let main = &sessions[0];
    assert_eq!(events.iter().filter(|e| e.body.kind() == "navigated").count(), 1, "{why}");
    assert_eq!(main.message_count(), 2, "{why}");
    assert_eq!(sessions[1].message_count(), 4, "{why}");
    assert_eq!(sessions[1].name(), Some("Copy"), "{why}");
}

#[test]
fn a_bridge_killed_at_any_event_of_a_move_or_a_copy_loses_and_doubles_nothing() {
    let calm = House::new(answers());
    assert!(calm.life(None, person));
    check(&calm, "undisturbed");
    let events = calm.events().len() as u64;
    // What comes before the move is another story's.
    let begin = calm.events().iter().position(|e| e.body.kind() == "navigated").unwrap() as u64;
    for (at, after) in points(events).filter(|(at, _)| *at >= begin) {
        let (house, why) = killed(answers(), at, after, events, person);
        assert!(house.life(None, person), "{why}");
        check(&house, &why);
    }
}
