//! Conversations: what is appended, taken back and listed, and what of it the model sees.

mod formats;
mod next_step;
mod trees;

use super::*;
use serde_json::json;
use std::io::Write as _;
use toft_model::message::{
    Block, Message, StopReason, ToolCall, ToolResultMessage, UserContent, UserMessage,
};

fn user(text: &str) -> Body {
    Body::Message(Message::User(UserMessage {
        content: UserContent::Text(text.into()),
        timestamp: 1,
    }))
}

fn says(text: &str, stop_reason: StopReason, calls: &[&str]) -> Body {
    let mut content = vec![Block::text(text)];
    content.extend(calls.iter().map(|id| {
        let call =
            ToolCall { id: (*id).into(), name: "ls".into(), arguments: serde_json::Map::new() };
        Block::ToolCall(call)
    }));
    Body::Message(Message::Assistant(toft_model::message::AssistantMessage {
        content,
        api: "scripted".into(),
        provider: "demo".into(),
        model: "m".into(),
        usage: toft_model::message::Usage::default(),
        stop_reason,
        error_message: None,
        timestamp: 1,
    }))
}

fn result(call: &str) -> Body {
    Body::Message(Message::ToolResult(ToolResultMessage {
        tool_call_id: call.into(),
        tool_name: "ls".into(),
        content: vec![Block::text("r")],
        details: None,
        is_error: false,
        timestamp: 1,
    }))
}

fn add(session: &mut Session, body: Body) -> String {
    let id = session.fresh_id();
    session.append(id.clone(), body, Extra::default(), 5).unwrap();
    id
}

fn texts(session: &Session) -> Vec<String> {
    let text = |message: &Message| match message {
        Message::User(m) => format!("user {}", m.content.text()),
        Message::Assistant(m) => format!("assistant {}", toft_model::message::text_of(&m.content)),
        Message::ToolResult(m) => format!("result {}", toft_model::message::text_of(&m.content)),
        Message::Custom(m) => format!("custom {}", m.content.text()),
        Message::CompactionSummary(m) => format!("summary {}", m.summary),
        Message::BranchSummary(m) => format!("branch {}", m.summary),
    };
    session.context().iter().map(text).collect()
}

#[test]
fn the_branch_that_was_left_is_kept_but_not_in_the_context() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
    add(&mut session, user("one"));
    let first = add(&mut session, says("A", StopReason::Stop, &[]));
    add(&mut session, user("two"));
    add(&mut session, says("B", StopReason::Stop, &[]));
    session.go_back(WentBack::navigation(None, Some(first), 9), 9).unwrap();
    assert_eq!(session.step(), Step::Rest);
    add(&mut session, user("three"));
    let read = Session::open(session.path()).unwrap();
    for session in [&session, &read] {
        assert_eq!(texts(session), ["user one", "assistant A", "user three"]);
        assert_eq!(session.step(), Step::Ask);
    }
    assert_eq!(read.entries(), session.entries());
}

#[test]
fn context_is_the_newest_summary_and_what_it_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
    add(&mut session, user("one"));
    add(&mut session, says("A", StopReason::Stop, &[]));
    let kept = add(&mut session, user("two"));
    let compaction = |summary: &str, first: &str| {
        Body::Compaction(Compaction {
            summary: summary.into(),
            first_kept_entry_id: first.into(),
            tokens_before: 7,
            usage: None,
            details: None,
        })
    };
    add(&mut session, compaction("S1", &kept));
    let edited = add(&mut session, says("B", StopReason::Stop, &[]));
    assert_eq!(texts(&session), ["summary S1", "user two", "assistant B"]);
    let omitted = add(&mut session, user("three"));
    let short = json!({"content": [{"type": "text", "text": "short"}]});
    add(&mut session, Body::ContextEdit { target_id: edited, replacement: Some(short) });
    add(&mut session, Body::ContextEdit { target_id: omitted.clone(), replacement: None });
    assert_eq!(texts(&session), ["summary S1", "user two", "assistant short"]);
    add(&mut session, compaction("S2", &omitted));
    assert_eq!(texts(&Session::open(session.path()).unwrap()), ["summary S2"]);
    assert_eq!(session.transcript().count(), 7, "people still see everything");
}

#[test]
fn a_summary_has_the_time_of_its_entry() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
    let left =
        BranchSummary { from_id: "x".into(), summary: "left".into(), usage: None, details: None };
    add(&mut session, Body::BranchSummary(left));
    let read = Session::open(session.path()).unwrap();
    for session in [&session, &read] {
        let (_, _, message) = session.transcript().next().unwrap();
        assert_eq!(serde_json::to_value(message).unwrap()["timestamp"], 5);
    }
}

#[test]
fn the_index_reads_only_what_is_new_and_agrees_with_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut a = Session::create(dir.path(), "/p", None, 1_000).unwrap();
    let mut index = Index::open(dir.path());
    assert_eq!(index.refresh().unwrap()[0].message_count, 0);
    add(&mut a, user("the first words"));
    add(&mut a, says("x", StopReason::ToolUse, &["c"]));
    let listed = index.refresh().unwrap().remove(0);
    assert_eq!(listed.id, *a.id());
    assert_eq!(listed.first_message.as_deref(), Some("the first words"));
    assert_eq!((listed.message_count, listed.lines, listed.created_at), (2, 3, 1_000));
    assert!(listed.maybe_unfinished);
    index.save().unwrap();

    add(&mut a, result("c"));
    add(&mut a, says("done", StopReason::Stop, &[]));
    add(&mut a, Body::SessionInfo { name: Some("N".into()) });
    let mut again = Index::open(dir.path());
    let listed = again.refresh().unwrap().remove(0);
    assert_eq!((listed.message_count, listed.lines), (4, a.lines()));
    assert_eq!(listed.name.as_deref(), Some("N"));
    assert!(!listed.maybe_unfinished);

    // A torn end is not counted; a replaced file is read anew; other files are no sessions.
    let mut file = std::fs::OpenOptions::new().append(true).open(a.path()).unwrap();
    file.write_all(b"{\"type\":\"mess").unwrap();
    assert_eq!(again.refresh().unwrap().remove(0).lines, a.lines());
    std::fs::write(a.path(), &formats::PI.as_bytes()[..=formats::PI.find('\n').unwrap()]).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
    std::fs::write(dir.path().join("empty.jsonl"), "").unwrap();
    let listed = again.refresh().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].lines, listed[0].first_message.as_deref()), (1, None));
}

#[test]
fn the_index_knows_where_a_plan_waits_as_the_session_does() {
    use toft_model::plan::{Plan, PlanSource, PlanState};
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
    let mut index = Index::open(dir.path());
    let mut step = |body: Body, waits: bool| {
        let id = add(&mut session, body);
        let state = session.plan().map(|(_, state)| state);
        assert_eq!(state == Some(PlanState::Proposed), waits, "{state:?}");
        assert_eq!(index.refresh().unwrap()[0].proposes, waits);
        id
    };
    let plan = || proposed(&Plan::default(), PlanSource::Json, None);
    step(user("plan it"), false);
    step(plan(), true);
    step(user("something else"), false);
    let id = step(plan(), true);
    step(rejected(&id), false);
}

#[test]
fn an_entry_that_cannot_be_written_leaves_the_session_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
    add(&mut session, user("x"));
    let before = std::fs::read(session.path()).unwrap();
    session
        .replace_file_for_test(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let id = session.fresh_id();
    let refused = session.append(id, user("y"), Extra::default(), 1).unwrap_err();
    assert!(refused.to_string().contains("free some disk space"), "{refused}");
    assert_eq!(session.entries().len(), 1);
    assert_eq!(std::fs::read(session.path()).unwrap(), before);
}

#[test]
fn the_last_entry_can_be_taken_back_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
    let one = add(&mut session, user("one"));
    let before = std::fs::read(session.path()).unwrap();
    let two = add(&mut session, user("two"));
    assert!(session.take_back(&one).is_err());
    session.take_back(&two).unwrap();
    assert_eq!(std::fs::read(session.path()).unwrap(), before);
    assert_eq!((session.lines(), session.leaf().unwrap().id.as_str()), (2, one.as_str()));
    assert!(session.entry(&two).is_none() && session.take_back(&one).is_err());
    let three = add(&mut session, user("three"));
    let mut read = Session::open(session.path()).unwrap();
    assert_eq!(read.entries(), session.entries());
    assert!(read.take_back(&three).is_err(), "who wrote it may have told of it");
}
