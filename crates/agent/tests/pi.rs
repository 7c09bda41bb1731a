//! The real Pi and we at one file, in turns: each reads what the other wrote as the other does, and no byte of
//! what is there is ever changed.

use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use toft_agent::session::{
    Body, BranchSummary, Compaction, Copy, Extra, QueuedAs, Session, Step, WentBack,
};
use toft_model::{
    message::{
        AssistantMessage, Block, Message, StopReason, ToolCall, ToolResultMessage, Usage,
        UserContent, UserMessage, text_of,
    },
    provider::ModelRef,
};

/// Fields and a kind that no version knows.
const UNKNOWN: &str = r#"{"type":"from_the_future","id":"future01","parentId":"PARENT","timestamp":"2026-03-01T10:00:03.500Z","payload":[null,1.50,"x\u2028y"],"deep":{"b":1,"a":2}}
{"type":"message","id":"future02","parentId":"future01","timestamp":"2026-03-01T10:00:04.000Z","new":{"z":[]},"message":{"role":"user","content":"from the future","timestamp":1772359204000,"mood":"bright"}}
"#;

/// What Pi says of a file.
#[derive(Debug, PartialEq, Deserialize)]
struct Told {
    file: PathBuf,
    leaf: Option<String>,
    model: String,
    #[serde(rename = "thinkingLevel")]
    thinking_level: String,
    name: Option<String>,
    labels: Vec<String>,
    parent: Option<PathBuf>,
    lines: Vec<String>,
}

struct Pi {
    node: PathBuf,
    package: PathBuf,
}

impl Pi {
    fn find() -> Option<Self> {
        let modules = toft_lane::installed("peers")?.join("node_modules");
        Some(Self {
            node: modules.join("node/bin/node"),
            package: modules.join("@earendil-works/pi-coding-agent/dist/index.js"),
        })
    }

    fn does(&self, what: &str, at: &Path) -> Told {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pi/session.mjs");
        let home = at.parent().expect("a file is in a folder");
        let done = Command::new(&self.node)
            .args([&script, &self.package, Path::new(what), at])
            .env("HOME", home)
            .env("PI_OFFLINE", "1")
            .output()
            .expect("Node is installed with Pi");
        let out = String::from_utf8_lossy(&done.stdout);
        let why = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{what}: {out}\n{why}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{why}"))
    }
}

/// What our model would see, in the words of the script.
fn lines(session: &Session) -> Vec<String> {
    let line = |message: &Message| match message {
        Message::User(m) => format!("user {}", m.content.text()),
        Message::Assistant(m) => format!("assistant {}", text_of(&m.content)),
        Message::ToolResult(m) => format!("toolResult {}", text_of(&m.content)),
        // Pi keeps a command and its output apart.
        Message::Custom(m) => {
            let text = m.content.text();
            format!("custom {}", text.lines().next().unwrap_or_default())
        }
        Message::CompactionSummary(m) => format!("compactionSummary {}", m.summary),
        Message::BranchSummary(m) => format!("branchSummary {}", m.summary),
    };
    session.context().iter().map(line).collect()
}

fn labels(session: &Session) -> Vec<String> {
    let nodes = session.nodes(0, usize::MAX);
    nodes.into_iter().filter_map(|node| Some(format!("{} {}", node.id, node.label?))).collect()
}

/// Both see the same.
fn agree(session: &Session, told: &Told) {
    assert_eq!(lines(session), told.lines);
    assert_eq!(session.leaf().map(|leaf| leaf.id.clone()), told.leaf);
    assert_eq!(session.name(), told.name.as_deref());
    assert_eq!(session.thinking_level(), Some(told.thinking_level.as_str()));
    assert_eq!(labels(session), told.labels);
}

fn add(session: &mut Session, body: Body) -> String {
    let id = session.fresh_id();
    session
        .append(id.clone(), body, Extra::default(), 1_772_359_300_000)
        .expect("the disk has room");
    id
}

fn user(text: &str) -> Body {
    let content = UserContent::Text(text.into());
    Body::Message(Message::User(UserMessage { content, timestamp: 1 }))
}

fn answer(text: &str, call: Option<&str>) -> Body {
    let mut content = vec![Block::text(text)];
    content.extend(call.map(|id| {
        Block::ToolCall(ToolCall {
            id: id.into(),
            name: "bash".into(),
            arguments: serde_json::Map::from_iter([("command".to_owned(), json!("ls"))]),
        })
    }));
    Body::Message(Message::Assistant(AssistantMessage {
        content,
        api: "anthropic-messages".into(),
        provider: "anthropic".into(),
        model: "claude-opus-4-5".into(),
        usage: Usage::default(),
        stop_reason: if call.is_some() { StopReason::ToolUse } else { StopReason::Stop },
        error_message: None,
        timestamp: 1,
    }))
}

fn result(call: &str, text: &str) -> Body {
    Body::Message(Message::ToolResult(ToolResultMessage {
        tool_call_id: call.into(),
        tool_name: "bash".into(),
        content: vec![Block::text(text)],
        details: Some(json!({"exitCode": 0})),
        is_error: false,
        timestamp: 1,
    }))
}

/// One of every kind that we write, and a move; gives where it ends.
fn go_on(session: &mut Session) {
    add(session, user("we go on"));
    add(session, answer("runs", Some("ours1")));
    let long = add(session, result("ours1", "a long output"));
    let extra = Extra { queued: Some(QueuedAs::Steer), duration_ms: Some(7), ..Extra::default() };
    session.append("ours-steer".into(), user("also this"), extra, 2).expect("the disk has room");
    let done = add(session, answer("done", None));
    let short = json!({"content": [{"type": "text", "text": "left out"}]});
    add(session, Body::ContextEdit { target_id: long, replacement: Some(short) });
    add(session, Body::Label { target_id: done.clone(), label: Some("good".into()) });
    add(session, Body::SessionInfo { name: Some("Our name".into()) });
    let model = ModelRef { provider: "openai".into(), id: "gpt-5".into() };
    add(session, Body::ModelChange(model));
    add(session, Body::ThinkingLevelChange { level: "low".into() });
    add(session, Body::Usage(Usage { input: 1, total_tokens: 1, ..Usage::default() }));
    add(session, user("left again"));
    let left = add(session, answer("nothing came of it", None));
    session
        .go_back(WentBack::navigation(Some(left.clone()), Some(done), 3), 3)
        .expect("the disk has room");
    let summary = BranchSummary {
        from_id: left,
        summary: "nothing came of it".into(),
        usage: Some(Usage::default()),
        details: Some(json!({"readFiles": [], "modifiedFiles": []})),
    };
    add(session, Body::BranchSummary(summary));
    let kept = add(session, user("and on"));
    add(session, answer("yes", None));
    let compaction = Compaction {
        summary: "all of it".into(),
        first_kept_entry_id: kept,
        tokens_before: 99,
        usage: None,
        details: None,
    };
    add(session, Body::Compaction(compaction));
}

#[test]
fn a_session_goes_from_pi_to_us_and_back_and_on() {
    let Some(pi) = Pi::find() else {
        toft_lane::skip("Pi's sessions", "it is not installed: `make prepare` does that with npm");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let told = pi.does("write", &dir.path().join("sessions"));
    let path = told.file.clone();
    let mut bytes = fs::read(&path).unwrap();
    agree(&Session::open(&path).unwrap(), &told);

    // Lines that neither knows.
    let unknown = UNKNOWN.replace("PARENT", told.leaf.as_deref().unwrap());
    bytes.extend(unknown.as_bytes());
    fs::write(&path, &bytes).unwrap();
    let mut session = Session::open(&path).unwrap();
    agree(&session, &pi.does("read", &path));
    assert_eq!(session.step(), Step::Ask, "what was said last is to be answered");
    assert!(lines(&session).contains(&"user from the future".to_owned()));

    go_on(&mut session);
    let told = pi.does("read", &path);
    agree(&session, &told);
    assert_eq!(told.lines, ["compactionSummary all of it", "user and on", "assistant yes"]);
    assert_eq!(told.thinking_level, "high", "the other level is on the branch that was left");
    let ours = fs::read(&path).unwrap();
    assert!(ours.starts_with(&bytes), "not a byte of theirs was changed");

    let told = pi.does("append", &path);
    let theirs = fs::read(&path).unwrap();
    assert!(theirs.starts_with(&ours), "not a byte of ours was changed");
    let mut session = Session::open(&path).unwrap();
    agree(&session, &told);
    assert_eq!(told.lines[3..], ["user Pi again", "assistant goes on"]);
    add(&mut session, user("and we"));
    agree(&session, &pi.does("read", &path));

    // A copy of a branch, from before any summary.
    let leaf = session.leaf().unwrap().id.clone();
    let how = Copy { dir: dir.path(), cwd: "/p", name: None, why_cut: "cut", now_ms: 9 };
    let copy = session.branch_to(Some(&leaf)).copy(how).unwrap();
    let told = pi.does("read", copy.path());
    agree(&copy, &told);
    assert_eq!(told.parent.as_deref(), Some(path.as_path()));
    let all = fs::read_to_string(&path).unwrap();
    let copied = fs::read_to_string(copy.path()).unwrap();
    let is_new = |line: &&str| !all.lines().any(|old| old == *line);
    let new: Vec<Value> =
        copied.lines().filter(is_new).map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&Value> = new.iter().map(|line| &line["type"]).collect();
    // Its header, the name that was given on a branch that is not copied, and what closes it.
    assert_eq!(kinds, ["session", "label", "message"]);
    assert!(copied.contains(unknown.lines().next().unwrap()), "lines that nobody knows too");
}
