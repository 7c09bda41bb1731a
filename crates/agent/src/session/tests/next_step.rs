//! What comes next in a conversation, as its last entries tell it; also after an answer that failed.

use super::{super::*, add, result, says, texts, user};
use serde_json::{Value, json};
use toft_model::message::StopReason;

#[test]
fn the_next_step_is_told_by_the_last_entries() {
    let dir = tempfile::tempdir().unwrap();
    let check = |bodies: Vec<Body>, expected: &str| {
        let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
        for body in bodies {
            add(&mut session, body);
        }
        let step = match session.step() {
            Step::Ask => "ask".to_owned(),
            Step::Abort => "abort".to_owned(),
            Step::Rest => "rest".to_owned(),
            Step::Calls { missing, .. } => {
                let calls: Vec<_> = missing.iter().map(|(n, c)| format!("{n}:{}", c.id)).collect();
                calls.join(" ")
            }
        };
        assert_eq!(step, expected);
    };
    let mark = |kind: &str| Body::Custom { custom_type: kind.into(), data: Value::Null };
    let calls = || says("", StopReason::ToolUse, &["a", "b"]);
    check(vec![], "rest");
    check(vec![user("x")], "ask");
    check(vec![user("x"), says("y", StopReason::Stop, &[])], "rest");
    check(vec![user("x"), calls()], "0:a 1:b");
    check(vec![user("x"), calls(), result("a"), mark("other")], "1:b");
    check(vec![user("x"), calls(), result("b"), result("a")], "ask");
    check(vec![user("x"), calls(), mark(custom::ABORT), result("a")], "abort");
    check(
        vec![user("x"), calls(), result("a"), result("b"), says("", StopReason::Aborted, &[])],
        "rest",
    );
    check(vec![user("x"), says("", StopReason::Error, &["a"])], "rest");
    check(vec![user("x"), mark(custom::LEAF)], "rest");
    check(vec![user("x"), mark(custom::ABORT), user("y")], "ask");
    check(vec![user("x"), Body::SessionInfo { name: None }], "ask");
}

#[test]
fn an_answer_that_failed_can_be_asked_anew_and_counts_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mark = |kind: &str| Body::Custom { custom_type: kind.into(), data: Value::Null };
    // With the failed answer voided: what is next, and what the model sees.
    let check = |bodies: Vec<Body>, expected: Option<&[&str]>| {
        let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
        for body in bodies {
            add(&mut session, body);
        }
        let failed = session.failed_answer().map(|e| e.id.clone());
        assert_eq!(failed.is_some(), expected.is_some(), "{:?}", texts(&session));
        let (Some(failed), Some(expected)) = (failed, expected) else { return };
        assert_eq!(session.step(), Step::Rest);
        let data = json!({ "entryId": failed });
        add(&mut session, Body::Custom { custom_type: custom::RETRY.into(), data });
        for session in [&session, &Session::open(session.path()).unwrap()] {
            assert_eq!(session.step(), Step::Ask);
            assert_eq!(session.failed_answer(), None, "it is being retried");
            assert_eq!(session.open_calls().1, [], "nothing of it is open");
            assert_eq!(texts(session), expected);
            assert_eq!(session.prompt_entries().len(), 1, "its receipt begins here");
        }
        let listed = Index::open(dir.path()).refresh().unwrap();
        assert!(listed.iter().any(|l| l.id == *session.id() && l.maybe_unfinished));
        // Stopped before it came to an answer, and stopped again later: both can be retried.
        add(&mut session, mark(custom::ABORT));
        assert_eq!(session.step(), Step::Abort);
        add(&mut session, says("", StopReason::Aborted, &[]));
        assert!(session.failed_answer().is_some());
    };
    let error = || says("half", StopReason::Error, &["p"]);
    let calls = || says("do", StopReason::ToolUse, &["a"]);
    let aborted = || says("", StopReason::Aborted, &[]);
    check(vec![], None);
    check(vec![user("x")], None);
    check(vec![error()], None);
    check(vec![user("x"), says("y", StopReason::Stop, &[])], None);
    check(vec![user("x"), says("y", StopReason::Length, &[])], None);
    check(vec![user("x"), error(), user("y")], None);
    check(vec![user("x"), error()], Some(&["user x"]));
    check(
        vec![user("x"), calls(), result("a"), error()],
        Some(&["user x", "assistant do", "result r"]),
    );
    check(
        vec![user("x"), calls(), mark(custom::ABORT), result("a"), aborted()],
        Some(&["user x", "assistant do", "result r"]),
    );
    check(vec![user("x"), mark(custom::ABORT), aborted()], Some(&["user x"]));
    // After a restore to a moment at which the answer had failed.
    check(vec![user("x"), error(), mark(custom::LEAF)], Some(&["user x"]));
}
