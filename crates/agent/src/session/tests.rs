//! The codec against hand-written files in Pi's format, cuts, and anything that JSON can hold.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};
use toft_model::{
    message::{Block, Message, StopReason, ToolCall, ToolResultMessage, UserContent, UserMessage},
    provider::ModelRef,
};

/// A session as Pi 0.87 writes it, with kinds and fields that we do not know.
const PI: &str = r#"{"type":"session","version":3,"id":"0198a0b0-1111-7222-8333-444455556666","timestamp":"2026-03-01T10:00:00.000Z","cwd":"/home/project","futureField":{"a":[1,2]}}
{"type":"model_change","id":"a0000001","parentId":null,"timestamp":"2026-03-01T10:00:00.001Z","provider":"anthropic","modelId":"claude-opus-4-6"}
{"type":"thinking_level_change","id":"a0000002","parentId":"a0000001","timestamp":"2026-03-01T10:00:00.002Z","thinkingLevel":"high"}
{"type":"message","id":"a0000003","parentId":"a0000002","timestamp":"2026-03-01T10:00:01.000Z","message":{"role":"user","content":[{"type":"text","text":"List files"}],"timestamp":1772359201000}}
{"type":"message","id":"a0000004","parentId":"a0000003","timestamp":"2026-03-01T10:00:02.000Z","message":{"role":"assistant","content":[{"type":"thinking","thinking":"hm","thinkingSignature":"c2ln"},{"type":"toolCall","id":"toolu_1","name":"ls","arguments":{"path":"."}}],"api":"anthropic-messages","provider":"anthropic","model":"claude-opus-4-6","usage":{"input":10,"output":5,"cacheRead":100,"cacheWrite":0,"totalTokens":115,"cost":{"input":0.1,"output":0.2,"cacheRead":0,"cacheWrite":0,"total":0.3}},"stopReason":"toolUse","timestamp":1772359202000}}
{"type":"message","id":"a0000005","parentId":"a0000004","timestamp":"2026-03-01T10:00:03.000Z","message":{"role":"toolResult","toolCallId":"toolu_1","toolName":"ls","content":[{"type":"text","text":"a.txt"}],"isError":false,"timestamp":1772359203000,"details":{"more":true}}}
{"type":"brand_new_kind","id":"a0000006","parentId":"a0000005","timestamp":"2026-03-01T10:00:03.500Z","payload":[null,1.5,"x\u2028y"]}
{"type":"message","id":"a0000007","parentId":"a0000006","timestamp":"2026-03-01T10:00:04.000Z","message":{"role":"system","content":"patched","timestamp":1772359204000}}
{"type":"message","id":"a0000008","parentId":"a0000007","timestamp":"2026-03-01T10:00:05.000Z","message":{"role":"bashExecution","command":"pwd","output":"/home","exitCode":0,"cancelled":false,"truncated":false,"timestamp":1772359205000}}
{"type":"custom_message","id":"a0000009","parentId":"a0000008","timestamp":"2026-03-01T10:00:05.100Z","customType":"ext","content":"remember","display":false}
{"type":"message","id":"a000000a","parentId":"a0000009","timestamp":"2026-03-01T10:00:06.000Z","message":{"role":"assistant","content":[{"type":"text","text":"One file."}],"api":"anthropic-messages","provider":"anthropic","model":"claude-opus-4-6","usage":{"input":1,"output":2,"cacheRead":3,"cacheWrite":4,"totalTokens":10},"stopReason":"stop","timestamp":1772359206000}}
{"type":"label","id":"a000000b","parentId":"a000000a","timestamp":"2026-03-01T10:00:07.000Z","targetId":"a0000003","label":"start"}
{"type":"session_info","id":"a000000c","parentId":"a000000b","timestamp":"2026-03-01T10:00:08.000Z","name":"Files"}
"#;

fn file(dir: &Path, text: &[u8]) -> PathBuf {
    let path = dir.join("2026-03-01T10-00-00-000Z_x.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

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
fn a_session_of_pi_is_read_and_goes_on_without_a_changed_byte() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), PI.as_bytes());
    let mut session = Session::open(&path).unwrap();
    assert_eq!(session.id().as_str(), "0198a0b0-1111-7222-8333-444455556666");
    assert_eq!(session.lines(), 13);
    assert_eq!(session.name(), Some("Files"));
    assert_eq!(session.thinking_level(), Some("high"));
    let model = ModelRef { provider: "anthropic".into(), id: "claude-opus-4-6".into() };
    assert_eq!(session.model(), Some(&model));
    assert_eq!(session.step(), Step::Rest);
    assert_eq!(session.usage().total_tokens, 125);
    assert_eq!(
        texts(&session),
        [
            "user List files",
            "assistant ",
            "result a.txt",
            "custom Ran `pwd`\n```\n/home\n```",
            "custom remember",
            "assistant One file."
        ]
    );
    assert!(matches!(&session.entry("a0000006").unwrap().body,
        Body::Unknown { kind } if kind == "brand_new_kind"));
    assert!(matches!(&session.entry("a0000007").unwrap().body,
        Body::Unknown { kind } if kind == "message/system"));

    add(&mut session, user("more"));
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.starts_with(PI.as_bytes()));
    let line: Value = serde_json::from_slice(&bytes[PI.len()..]).unwrap();
    assert_eq!(line["parentId"], "a000000c");
    assert_eq!(line["message"], json!({"role": "user", "content": "more", "timestamp": 1}));
    assert_eq!(line["timestamp"], "1970-01-01T00:00:00.005Z");
    assert_eq!(line["id"].as_str().unwrap().len(), 8);
}

#[test]
fn a_file_of_the_first_version_is_a_line_of_messages() {
    let dir = tempfile::tempdir().unwrap();
    let old = r#"{"type":"session","id":"old","timestamp":"2025-01-01T00:00:00.000Z","cwd":"/"}
{"type":"message","timestamp":"2025-01-01T00:00:01.000Z","message":{"role":"user","content":"hi","timestamp":1}}
{"type":"message","timestamp":"2025-01-01T00:00:02.000Z","message":{"role":"hookMessage","customType":"h","content":"x","display":true,"timestamp":1}}
"#;
    let session = Session::open(&file(dir.path(), old.as_bytes())).unwrap();
    assert_eq!(texts(&session), ["user hi", "custom x"]);
    assert_eq!(session.header().version, None);
}

#[test]
fn what_is_no_session_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for text in
        ["", "\n", "{\"type\":\"other\",\"id\":\"x\"}\n", "{\"type\":\"session\"", "\0\0\0\0\n"]
    {
        let refused = Session::open(&file(dir.path(), text.as_bytes()));
        assert!(matches!(refused, Err(SessionError::NoHeader { .. })), "{text:?}");
    }
}

#[test]
fn the_branch_that_was_left_is_kept_but_not_in_the_context() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
    add(&mut session, user("one"));
    let first = add(&mut session, says("A", StopReason::Stop, &[]));
    add(&mut session, user("two"));
    add(&mut session, says("B", StopReason::Stop, &[]));
    session.move_leaf(Some(&first), 9).unwrap();
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
    add(&mut session, Body::ContextEdit { target_id: edited, replacement: Some(json!("short")) });
    add(&mut session, Body::ContextEdit { target_id: omitted.clone(), replacement: None });
    assert_eq!(texts(&session), ["summary S1", "user two", "assistant short"]);
    add(&mut session, compaction("S2", &omitted));
    assert_eq!(texts(&Session::open(session.path()).unwrap()), ["summary S2"]);
    assert_eq!(session.transcript().count(), 7, "people still see everything");
}

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

#[test]
fn a_summary_has_the_time_of_its_entry() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
    add(&mut session, Body::BranchSummary { from_id: "x".into(), summary: "left".into() });
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
    std::fs::write(a.path(), &PI.as_bytes()[..=PI.find('\n').unwrap()]).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
    std::fs::write(dir.path().join("empty.jsonl"), "").unwrap();
    let listed = again.refresh().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].lines, listed[0].first_message.as_deref()), (1, None));
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

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_body() -> impl Strategy<Value = Body> {
    let arguments = any_json().prop_map(|v| match v {
        Value::Object(map) => map,
        other => serde_json::Map::from_iter([("v".to_owned(), other)]),
    });
    prop_oneof![
        ".{0,40}".prop_map(|text| user(&text)),
        (".{0,40}", arguments).prop_map(|(text, arguments)| {
            let Body::Message(Message::Assistant(mut m)) = says(&text, StopReason::ToolUse, &[])
            else {
                unreachable!()
            };
            let call = ToolCall { id: "c".into(), name: "ls".into(), arguments };
            m.content.push(Block::ToolCall(call));
            Body::Message(Message::Assistant(m))
        }),
        (".{0,40}", any_json()).prop_map(|(text, details)| {
            let Body::Message(Message::ToolResult(mut m)) = result("c") else { unreachable!() };
            m.content = vec![Block::text(text)];
            // Null and absent are the same in this format.
            m.details = Some(details).filter(|d| !d.is_null());
            Body::Message(Message::ToolResult(m))
        }),
        (".{0,10}", any_json()).prop_map(|(custom_type, data)| Body::Custom { custom_type, data }),
        (".{0,10}", prop::option::of(any_json().prop_filter("null is absence", |v| !v.is_null())))
            .prop_map(|(target_id, replacement)| Body::ContextEdit { target_id, replacement }),
        prop::option::of(".{0,20}").prop_map(|name| Body::SessionInfo { name }),
        (".{0,20}", any::<u64>()).prop_map(|(summary, tokens_before)| {
            Body::Compaction(Compaction {
                summary,
                first_kept_entry_id: "x".into(),
                tokens_before,
                usage: None,
                details: None,
            })
        }),
    ]
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_appended_is_read_back_the_same(bodies in prop::collection::vec(any_body(), 0..12)) {
        let dir = tempfile::tempdir().unwrap();
        let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
        for body in bodies {
            add(&mut session, body);
        }
        let read = Session::open(session.path()).unwrap();
        prop_assert_eq!(read.entries(), session.entries());
        prop_assert_eq!(read.lines(), session.lines());
        prop_assert_eq!(read.context(), session.context());
    }

    #[test]
    fn any_line_survives_and_a_cut_anywhere_costs_only_the_torn_line(
        lines in prop::collection::vec(any_json(), 0..8),
        cut in 0.0f64..1.0,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut text = PI.to_owned();
        for line in lines {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "a place in a small file")]
        let at = (text.len() as f64 * cut) as usize;
        let bytes = &text.as_bytes()[..at];
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        let path = file(dir.path(), bytes);
        match Session::open(&path) {
            Err(SessionError::NoHeader { .. }) => prop_assert_eq!(whole, 0),
            other => {
                let mut session = other.unwrap();
                prop_assert_eq!(std::fs::read(&path).unwrap(), &bytes[..whole]);
                let id = add(&mut session, user("on"));
                let read = Session::open(&path).unwrap();
                prop_assert_eq!(&read.leaf().unwrap().id, &id);
                prop_assert!(std::fs::read(&path).unwrap().starts_with(&bytes[..whole]));
            }
        }
    }
}
