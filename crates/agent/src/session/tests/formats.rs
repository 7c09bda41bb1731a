//! Files of others: hand-written ones in Pi's format, old ones, cut ones, and anything that JSON can hold.

use super::{super::*, add, result, says, texts, user};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use toft_model::{
    message::{Block, Message, StopReason, ToolCall},
    provider::ModelRef,
};

/// A session as Pi 0.87 writes it, with kinds and fields that we do not know.
pub(super) const PI: &str = r#"{"type":"session","version":3,"id":"0198a0b0-1111-7222-8333-444455556666","timestamp":"2026-03-01T10:00:00.000Z","cwd":"/home/project","futureField":{"a":[1,2]}}
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

pub(super) fn file(dir: &Path, text: &[u8]) -> PathBuf {
    let path = dir.join("2026-03-01T10-00-00-000Z_x.jsonl");
    std::fs::write(&path, text).unwrap();
    path
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
fn a_long_file_is_read_in_its_order_by_however_many() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
    for n in 0..300 {
        add(&mut session, user(&format!("{n} {}", "x".repeat(4_000))));
    }
    assert!(std::fs::metadata(session.path()).unwrap().len() > 1 << 20);
    let read = Session::open(session.path()).unwrap();
    assert_eq!((read.entries(), read.lines()), (session.entries(), session.lines()));
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

#[test]
fn a_compaction_of_the_first_version_keeps_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let text = concat!(
        r#"{"type":"session","id":"0198a0b0-1111-7222-8333-444455556666"}"#,
        "\n",
        r#"{"type":"message","message":{"role":"user","content":"old","timestamp":1}}"#,
        "\n",
        r#"{"type":"message","message":{"role":"user","content":"kept","timestamp":1}}"#,
        "\n",
        r#"{"type":"compaction","summary":"S","firstKeptEntryIndex":2,"tokensBefore":9}"#,
        "\n",
    );
    let session = Session::open(&file(dir.path(), text.as_bytes())).unwrap();
    assert_eq!(session.context().len(), 2);
    assert!(matches!(&session.context()[1], Message::User(m) if m.content.text() == "kept"));
}

#[test]
fn a_strange_value_among_our_fields_costs_that_one_alone() {
    let dir = tempfile::tempdir().unwrap();
    let text = concat!(
        r#"{"type":"session","version":3,"id":"0198a0b0-1111-7222-8333-444455556666"}"#,
        "\n",
        r#"{"type":"message","id":"a","parentId":null,"message":{"role":"user","content":"x","timestamp":1},"toft":{"queued":"whenIdle","life":"one"}}"#,
        "\n",
    );
    let session = Session::open(&file(dir.path(), text.as_bytes())).unwrap();
    let extra = &session.entry("a").unwrap().extra;
    assert_eq!((extra.queued, extra.life.as_deref()), (None, Some("one")));
}

#[test]
fn an_id_that_comes_twice_leads_nobody_in_a_circle() {
    let dir = tempfile::tempdir().unwrap();
    let line = |id: &str, parent: &str| {
        format!(
            r#"{{"type":"message","id":"{id}","parentId":{parent},"message":{{"role":"user","content":"x","timestamp":1}}}}"#
        )
    };
    let lines = [
        r#"{"type":"session","version":3,"id":"0198a0b0-1111-7222-8333-444455556666"}"#.to_owned(),
        line("A", "null"),
        line("B", "\"A\""),
        line("A", "\"B\""),
    ];
    let text = lines.join("\n") + "\n";
    let session = Session::open(&file(dir.path(), text.as_bytes())).unwrap();
    assert!(session.left_behind(Some("A")).is_empty());
    assert_eq!(session.message_at(Some("A")).as_deref(), Some("A"));
    let how = Copy { dir: dir.path(), cwd: "/p", name: None, why_cut: "cut", now_ms: 9_000 };
    assert_eq!(texts(&session.branch_to(Some("A")).copy(how).unwrap()).len(), 4);
}
