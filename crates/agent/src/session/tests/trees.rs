//! Sessions as trees: copies of branches, names of entries, where one stands, and what a move leaves.

use super::{
    super::*,
    add,
    formats::{PI, file},
    result, says, texts, user,
};
use serde_json::{Value, json};
use std::path::Path;
use toft_model::message::{Block, Message, StopReason};

fn copy(session: &Session, leaf: Option<&str>, dir: &Path) -> Session {
    let how = Copy { dir, cwd: "/p", name: None, why_cut: "cut", now_ms: 9_000 };
    session.branch_to(leaf).copy(how).unwrap()
}

fn lines(session: &Session) -> Vec<String> {
    let text = std::fs::read_to_string(session.path()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_copied_branch_has_its_lines_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let source = Session::open(&file(dir.path(), PI.as_bytes())).unwrap();
    let made = copy(&source, Some("a000000a"), dir.path());
    let now = lines(&made);
    let then: Vec<&str> = PI.lines().collect();
    assert_eq!(now[1..=10], then[1..=10], "unknown kinds and fields too");
    let header: Value = serde_json::from_str(&now[0]).unwrap();
    assert_eq!((&header["version"], &header["type"]), (&json!(3), &json!("session")));
    assert_eq!(header["parentSession"], source.path().display().to_string());
    assert_ne!(header["id"], source.id().as_str());
    // The name that the first message was given below the copied branch comes along.
    let label: Value = serde_json::from_str(&now[11]).unwrap();
    assert_eq!((&label["targetId"], &label["label"]), (&json!("a0000003"), &json!("start")));
    assert_eq!(label["timestamp"], "2026-03-01T10:00:07.000Z");
    assert_eq!(now.len(), 12);
    assert_eq!(texts(&made), texts(&source));
    assert_eq!(std::fs::read_to_string(source.path()).unwrap(), PI);
    let read = Session::open(made.path()).unwrap();
    assert_eq!((read.entries(), read.lines()), (made.entries(), made.lines()));
}

#[test]
fn a_copy_of_work_that_goes_on_is_closed_and_rests() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Session::create(dir.path(), "/p", None, 1).unwrap();
    let asked = add(&mut source, user("go"));
    let calls = add(&mut source, says("", StopReason::ToolUse, &["c1", "c2"]));
    add(&mut source, result("c1"));
    for (at, want) in [
        (&asked, vec!["user go", "assistant "]),
        (&calls, vec!["user go", "assistant ", "result cut", "result cut", "assistant "]),
    ] {
        let made = copy(&source, Some(at), dir.path());
        assert_eq!(texts(&made), want);
        assert_eq!(made.step(), Step::Rest);
        assert!(made.failed_answer().is_some(), "a person can have it asked again");
    }
    assert!(matches!(source.step(), Step::Calls { .. }), "the original goes on");
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|path| path.extension().is_none_or(|e| e != "jsonl"))
        .collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_copy_that_cannot_be_written_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Session::create(dir.path(), "/p", None, 1).unwrap();
    let asked = add(&mut source, user("go"));
    let branch = source.branch_to(Some(&asked));
    std::fs::remove_file(source.path()).unwrap();
    let how = Copy { dir: dir.path(), cwd: "/p", name: None, why_cut: "cut", now_ms: 9 };
    assert!(branch.copy(how).is_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // One that the process before did not finish is no session, and goes.
    std::fs::write(dir.path().join("x.jsonl.part"), "{").unwrap();
    assert_eq!(Index::open(dir.path()).refresh().unwrap(), []);
    Session::sweep_copies(dir.path()).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_copy_of_an_old_file_is_one_of_the_newest_version() {
    let dir = tempfile::tempdir().unwrap();
    let old = r#"{"type":"session","id":"old","timestamp":"2025-01-01T00:00:00.000Z","cwd":"/"}
{"type":"message","timestamp":"2025-01-01T00:00:01.000Z","extra":[1],"message":{"role":"user","content":"hi","timestamp":1}}
{"type":"message","timestamp":"2025-01-01T00:00:02.000Z","message":{"role":"hookMessage","customType":"h","content":"x","display":true,"timestamp":1}}
"#;
    let mut source = Session::open(&file(dir.path(), old.as_bytes())).unwrap();
    add(&mut source, says("A", StopReason::Stop, &[]));
    let leaf = source.leaf().unwrap().id.clone();
    let made = copy(&source, Some(&leaf), dir.path());
    assert_eq!(texts(&made), ["user hi", "custom x", "assistant A"]);
    let lines = lines(&made);
    let first: Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!((&first["extra"], &first["parentId"]), (&json!([1]), &Value::Null));
    let second: Value = serde_json::from_str(&lines[2]).unwrap();
    assert_eq!((&second["parentId"], &second["message"]["role"]), (&first["id"], &json!("custom")));
}

#[test]
fn one_stands_before_what_was_said_to_say_it_anew_and_at_anything_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
    let one = add(&mut session, user("one"));
    let answer = add(&mut session, says("A", StopReason::Stop, &[]));
    let two = add(&mut session, user("two"));
    let place = |id: &str| session.place_of(id).map(|place| (place.leaf, place.text));
    assert_eq!(place(&one), Some((None, Some("one".into()))));
    assert_eq!(place(&two), Some((Some(answer.clone()), Some("two".into()))));
    assert_eq!(place(&answer), Some((Some(answer.clone()), None)));
    assert_eq!(place("nobody"), None);

    let left = |to: Option<&str>| {
        session.left_behind(to).iter().map(|entry| entry.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(left(Some(&answer)), std::slice::from_ref(&two));
    assert_eq!(left(None), [one, answer, two.clone()]);
    assert_eq!(left(Some(&two)), Vec::<String>::new());
}

#[test]
fn a_tree_shows_all_branches_with_names_and_where_one_stands() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::create(dir.path(), "/p", None, 1).unwrap();
    let one = add(&mut session, user("one"));
    let first = add(&mut session, says("A", StopReason::Stop, &["c"]));
    let label = |target: &str, label: Option<&str>| Body::Label {
        target_id: target.into(),
        label: label.map(str::to_owned),
    };
    add(&mut session, label(&one, Some("begin")));
    add(&mut session, label(&first, Some("x")));
    let named = add(&mut session, label(&first, None));
    session.go_back(WentBack::navigation(Some(named), Some(one.clone()), 9), 9).unwrap();
    add(&mut session, says(&"é".repeat(300), StopReason::Stop, &[]));

    let nodes = session.nodes(0, 99);
    let brief: Vec<String> = nodes
        .iter()
        .map(|node| {
            let role = node.role.unwrap_or("-");
            let on = if node.on_path { " on" } else { "" };
            let label = node.label.as_deref().map(|l| format!(" [{l}]")).unwrap_or_default();
            format!("{} {role}{label}{on}", node.kind)
        })
        .collect();
    assert_eq!(
        brief,
        [
            "message user [begin] on",
            "message assistant",
            "label -",
            "label -",
            "label -",
            "custom - on",
            "message assistant on"
        ]
    );
    assert_eq!(nodes[1].text, "A\nls {}");
    assert_eq!(nodes[6].text.chars().count(), 200);
    assert_eq!(nodes[5].parent_id.as_ref(), Some(&one));
    assert_eq!(session.nodes(2, 2), nodes[2..4]);
    assert_eq!((session.place(&first), session.place("?")), (Some(1), None));
    assert_eq!(session.label_of(&one).as_deref(), Some("begin"));
    assert_eq!(session.label_of(&first), None);
}

/// What a page is made of, whatever was said.
fn page(session: &Session) -> String {
    let mut page = Page::of(session);
    std::iter::from_fn(|| page.next(session)).collect()
}

#[test]
fn a_page_shows_what_was_said_and_nothing_of_it_runs() {
    const EVIL: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\
        [x](javascript:alert(3)) <a href=\"javascript:alert(4)\">\" autofocus onfocus='alert(5)' \
        data:text/html,<b>&amp;</style></title></details>\0";
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::create(dir.path(), EVIL, None, 1).unwrap();
    let blocks = |blocks: Vec<Block>| {
        let Body::Message(Message::Assistant(mut m)) = says("", StopReason::ToolUse, &[]) else {
            unreachable!()
        };
        m.content = blocks;
        m.model = EVIL.into();
        m.error_message = Some(EVIL.into());
        Body::Message(Message::Assistant(m))
    };
    let image = |data: &str, mime_type: &str| Block::Image {
        data: data.into(),
        mime_type: mime_type.into(),
    };
    let thinking =
        Block::Thinking { thinking: EVIL.into(), thinking_signature: None, redacted: false };
    let call = toft_model::message::ToolCall {
        id: EVIL.into(),
        name: EVIL.into(),
        arguments: serde_json::Map::from_iter([(EVIL.to_owned(), EVIL.into())]),
    };
    add(&mut session, user(EVIL));
    add(&mut session, Body::SessionInfo { name: Some(EVIL.into()) });
    add(
        &mut session,
        blocks(vec![
            thinking,
            Block::text(EVIL),
            Block::ToolCall(call),
            image("aGk=", "image/png"),
            image("\" onload=\"alert(6)", "image/png"),
            image("PHN2Zz4=", "image/svg+xml"),
            image("aGk=", "text/html\" x=\""),
        ]),
    );
    let Body::Message(Message::ToolResult(mut answer)) = result("c") else { unreachable!() };
    answer.content = vec![Block::text(EVIL)];
    answer.tool_name = EVIL.into();
    add(&mut session, Body::Message(Message::ToolResult(answer)));
    let left =
        BranchSummary { from_id: EVIL.into(), summary: EVIL.into(), usage: None, details: None };
    add(&mut session, Body::BranchSummary(left));

    let page = page(&session);
    // Our own tags are known; whatever begins another one came out of the conversation.
    let ours = [
        "!doctype", "html", "/html", "head", "/head", "meta", "title", "/title", "style", "/style",
        "body", "/body", "header", "/header", "h1", "/h1", "h2", "/h2", "p", "/p", "main", "/main",
        "article", "/article", "span", "/span", "details", "/details", "summary", "/summary",
        "pre", "/pre", "code", "/code", "img",
    ];
    for part in page.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("every tag ends");
        // What stands outside of quotes: the tag's name and those of its attributes.
        let bare: String = tag.split('"').step_by(2).collect();
        let mut words = bare.split_ascii_whitespace();
        assert!(ours.contains(&words.next().unwrap()), "<{tag}>");
        let known = [
            "class=",
            "lang=",
            "charset=",
            "http-equiv=",
            "content=",
            "name=",
            "alt=",
            "src=",
            "html",
        ];
        for word in words {
            assert!(known.contains(&word), "{word} in <{tag}>");
        }
    }
    assert!(!page.contains('\0') && !page.contains("image/svg+xml;"));
    assert!(page.contains("src=\"data:image/png;base64,aGk=\""));
    assert_eq!(page.matches("<img").count(), 1, "of four, one is an image");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "it is shown as it was said");
    assert!(page.contains("default-src 'none'"));
    assert_eq!(page.matches("<article").count(), 4);
    assert!(page.ends_with("</html>\n"));
}
