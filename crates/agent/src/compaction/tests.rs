//! What goes when the context is too long: old outputs first, then history, cut where Pi cuts it.

use super::{plan::plan, prune::edits, summary::whole};
use crate::session::{Body, Compaction, Extra, Session};
use serde_json::json;
use toft_model::message::{
    AssistantMessage, Block, Message, StopReason, ToolCall, ToolResultMessage, Usage, UserContent,
    UserMessage,
};

struct Talk {
    session: Session,
    _dir: tempfile::TempDir,
}

impl Talk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { session: Session::create(dir.path(), "/p", None, 1).unwrap(), _dir: dir }
    }

    fn add(&mut self, body: Body) -> String {
        self.with(body, Extra::default())
    }

    fn with(&mut self, body: Body, extra: Extra) -> String {
        let id = self.session.fresh_id();
        self.session.append(id.clone(), body, extra, 5).unwrap();
        id
    }

    fn user(&mut self, text: &str) -> String {
        self.add(Body::Message(Message::User(UserMessage {
            content: UserContent::Text(text.into()),
            timestamp: 1,
        })))
    }

    fn answer(&mut self, text: &str, calls: &[(&str, &str)]) -> String {
        let mut content = vec![Block::text(text)];
        content.extend(calls.iter().map(|(name, path)| {
            Block::ToolCall(ToolCall {
                id: format!("{name}-{path}"),
                name: (*name).into(),
                arguments: serde_json::Map::from_iter([("path".to_owned(), json!(path))]),
            })
        }));
        self.add(Body::Message(Message::Assistant(AssistantMessage {
            content,
            api: "a".into(),
            provider: "p".into(),
            model: "m".into(),
            usage: Usage { total_tokens: 90_000, ..Usage::default() },
            stop_reason: if calls.is_empty() { StopReason::Stop } else { StopReason::ToolUse },
            error_message: None,
            timestamp: 1,
        })))
    }

    fn result(&mut self, tool: &str, tokens: usize, changed: &[&str]) -> String {
        let result = ToolResultMessage {
            tool_call_id: "c".into(),
            tool_name: tool.into(),
            content: vec![Block::text("r".repeat(tokens * 4))],
            details: None,
            is_error: false,
            timestamp: 1,
        };
        let changed = changed.iter().map(|path| (*path).to_owned()).collect();
        let extra = Extra { changed, ..Extra::default() };
        self.with(Body::Message(Message::ToolResult(result)), extra)
    }
}

#[test]
fn old_outputs_go_when_that_wins_enough_and_the_newest_stay() {
    let mut talk = Talk::new();
    talk.user("go");
    let old = talk.result("bash", 15_000, &["a.rs"]);
    talk.result("todo", 9_000, &[]);
    talk.result("bash", 50, &[]);
    let older = talk.result("read", 6_000, &[]);
    // From here on 40,000 tokens are newer.
    talk.result("bash", 39_999, &[]);
    let edges = talk.result("bash", 1, &[]);
    let (found, freed) = edits(&talk.session);
    assert_eq!(freed, 21_000);
    let ids: Vec<&String> = found.iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [&old, &older]);
    assert!(!ids.contains(&&edges));
    let text = found[0].1["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("about 60000 characters") && text.contains("It changed a.rs"), "{text}");

    let before = talk.session.context_tokens();
    for (target_id, replacement) in found {
        talk.add(Body::ContextEdit { target_id, replacement: Some(replacement) });
    }
    let after = talk.session.context_tokens();
    assert!(after + 20_000 < before, "{before} {after}");
    assert_eq!(edits(&talk.session).0, [], "what is gone is not won again");
    let read = Session::open(talk.session.path()).unwrap();
    assert_eq!(read.context(), talk.session.context());
    assert_eq!(read.message_count(), talk.session.message_count(), "people see all of it");
}

#[test]
fn outputs_stay_when_too_little_would_be_won() {
    let mut talk = Talk::new();
    talk.user("go");
    talk.result("bash", 20_000, &[]);
    talk.result("bash", 40_000, &[]);
    assert_eq!(edits(&talk.session), (vec![], 0));
    // One token more, and it is worth it.
    let mut talk = Talk::new();
    talk.result("bash", 20_001, &[]);
    talk.result("bash", 40_000, &[]);
    assert_eq!(edits(&talk.session).0.len(), 1);
}

#[test]
fn a_count_from_before_an_edit_does_not_count() {
    let mut talk = Talk::new();
    let old = talk.result("bash", 5_000, &[]);
    talk.answer("A", &[]);
    assert_eq!(talk.session.context_tokens(), 90_000);
    talk.add(Body::ContextEdit { target_id: old, replacement: None });
    assert!(talk.session.context_tokens() < 10);
    talk.answer("B", &[]);
    assert_eq!(talk.session.context_tokens(), 90_000);
}

#[test]
fn a_cut_within_a_turn_divides_what_is_summarised() {
    let mut talk = Talk::new();
    talk.user("first wish");
    talk.answer("first answer", &[]);
    talk.user("second wish");
    talk.answer("reads", &[("read", "a.rs"), ("write", "b.rs")]);
    talk.result("read", 100, &["c.rs"]);
    let kept = talk.answer("", &[("read", "b.rs")]);
    talk.result("read", 400, &[]);
    let plan = plan(&talk.session, 300).unwrap();
    // Its results alone are more than what stays: the call that they answer stays with them.
    assert_eq!(plan.first_kept_entry_id, kept);
    assert!(plan.history.contains("first wish") && plan.history.contains("first answer"));
    assert!(!plan.history.contains("second wish"));
    let turn = plan.turn.as_deref().unwrap();
    assert!(turn.contains("second wish") && turn.contains("reads"), "{turn}");
    assert_eq!(
        plan.files.details(),
        json!({"readFiles": ["a.rs"], "modifiedFiles": ["b.rs", "c.rs"]})
    );
}

#[test]
fn a_cut_between_turns_divides_nothing_and_takes_what_no_model_sees_along() {
    let mut talk = Talk::new();
    talk.user(&"old".repeat(100));
    talk.answer("answer", &[]);
    let level = talk.add(Body::ThinkingLevelChange { level: "high".into() });
    talk.user(&"new".repeat(100));
    let plan = plan(&talk.session, 60).unwrap();
    assert_eq!(plan.first_kept_entry_id, level, "it stays with what follows");
    assert_eq!(plan.turn, None);
    assert!(plan.history.contains("oldold") && !plan.history.contains("newnew"));
}

#[test]
fn a_first_turn_that_is_cut_has_no_history_before_it() {
    let mut talk = Talk::new();
    talk.user("the only wish");
    talk.answer("step", &[("read", "a")]);
    talk.result("read", 1_000, &[]);
    let plan = plan(&talk.session, 500).unwrap();
    assert_eq!(plan.history, "");
    assert_eq!(plan.turn.as_deref(), Some("[User]: the only wish\n\n"));
    assert!(super::plan::plan(&talk.session, 5_000).is_none(), "all of it fits");
}

#[test]
fn the_next_summary_begins_where_the_last_one_kept_and_carries_it_on() {
    let mut talk = Talk::new();
    talk.user("gone");
    let kept = talk.user("kept once");
    let compaction = Compaction {
        summary: "S1".into(),
        first_kept_entry_id: kept,
        tokens_before: 1,
        usage: None,
        details: Some(json!({"readFiles": ["r", "both"], "modifiedFiles": ["m"]})),
    };
    talk.add(Body::Compaction(compaction));
    talk.answer("writes", &[("write", "both")]);
    talk.result("write", 1, &[]);
    let branch = crate::session::BranchSummary {
        from_id: "x".into(),
        summary: "elsewhere ".repeat(30),
        usage: None,
        details: None,
    };
    let branch = talk.add(Body::BranchSummary(branch));
    let plan = plan(&talk.session, 60).unwrap();
    assert_eq!(plan.first_kept_entry_id, branch, "a summary of a branch is a place to cut");
    assert_eq!(plan.previous.as_deref(), Some("S1"));
    assert!(plan.history.contains("kept once") && !plan.history.contains("gone"));
    assert_eq!(plan.files.details(), json!({"readFiles": ["r"], "modifiedFiles": ["both", "m"]}));
}

#[test]
fn half_of_a_summary_is_none() {
    let check = |content: Vec<Block>, stop_reason: StopReason, want: Result<&str, &str>| {
        let message = AssistantMessage {
            content,
            api: "a".into(),
            provider: "p".into(),
            model: "m".into(),
            usage: Usage::default(),
            stop_reason,
            error_message: None,
            timestamp: 1,
        };
        let found = whole(&message);
        match want {
            Ok(text) => assert_eq!(found.as_deref(), Ok(text)),
            Err(part) => assert!(found.is_err_and(|why| why.contains(part)), "{part}"),
        }
    };
    let call = || {
        let arguments = serde_json::Map::new();
        Block::ToolCall(ToolCall { id: "c".into(), name: "ls".into(), arguments })
    };
    check(vec![Block::text("S")], StopReason::Stop, Ok("S"));
    check(vec![Block::text("S")], StopReason::Length, Err("ran out of room"));
    check(vec![Block::text("S"), call()], StopReason::ToolUse, Err("a tool"));
    check(vec![Block::text(" \n")], StopReason::Stop, Err("empty"));
}
