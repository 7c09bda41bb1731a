//! The pieces of work of the scripted model, played through with the real tools on this system: what
//! the demo promises, it does.

#![expect(
    clippy::unwrap_used,
    reason = "a test file; the lint sees only its #[test] functions as tests"
)]

use futures_util::StreamExt as _;
use serde_json::Value;
use std::{process::Command, time::Duration};
use toft_llm::{
    ask::{Model as _, ModelEvent},
    scripted::{Pace, Scripted},
    testing::{request, user},
};
use toft_model::message::{Message, ToolResultMessage, text_of};
use toft_tools::testing::Bench;
use tokio_util::sync::CancellationToken;

/// A conversation and the tools it has.
struct Play {
    bench: Bench,
    system: String,
    messages: Vec<Message>,
    /// What was called, in order: name and whether it failed.
    called: Vec<(String, bool)>,
}

impl Play {
    fn new() -> Self {
        let bench = Bench::new();
        let system =
            format!("The inspect database is at `{}`.", bench.path("inspect.db").display());
        Self { bench, system, messages: Vec::new(), called: Vec::new() }
    }

    /// Says something and lets the model work; its last text.
    async fn say(&mut self, prompt: &str) -> String {
        self.messages.push(user(prompt));
        self.called.clear();
        for _ in 0..50 {
            let mut request = request("demo", "app", self.messages.clone());
            request.system.clone_from(&self.system);
            request.tools = self.bench.toolbox.specs();
            let events: Vec<_> =
                Scripted::new(Pace::NONE).ask(request, CancellationToken::new()).collect().await;
            let Some(ModelEvent::Done { message, failure: None }) = events.into_iter().last()
            else {
                panic!("the scripted model does not fail")
            };
            let calls: Vec<_> = message.tool_calls().cloned().collect();
            let text = text_of(&message.content);
            self.messages.push(Message::Assistant(message));
            if calls.is_empty() {
                return text;
            }
            for call in calls {
                let arguments = Value::Object(call.arguments);
                let outcome = self.bench.call_as(&call.id, &call.name, arguments).await;
                self.called.push((call.name.clone(), outcome.is_error));
                self.messages.push(Message::ToolResult(ToolResultMessage {
                    tool_call_id: call.id,
                    tool_name: call.name,
                    content: outcome.content,
                    details: outcome.details,
                    is_error: outcome.is_error,
                    timestamp: 1,
                }));
            }
        }
        panic!("it does not end");
    }

    fn names(&self) -> Vec<&str> {
        self.called.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Leaves commands only these programs, and the plain ones of every system.
    fn only(&self, programs: &[&str]) {
        let bin = self.bench.path("bin");
        std::fs::create_dir_all(&bin).unwrap();
        for name in ["bash", "cat", "grep", "rm", "sleep", "seq"].iter().chain(programs) {
            let found = Command::new("bash").args(["-c", &format!("command -v {name}")]).output();
            let target = String::from_utf8(found.unwrap().stdout).unwrap();
            std::os::unix::fs::symlink(target.trim(), bin.join(name)).unwrap();
        }
        self.bench.shell.set_env("PATH", bin.to_str().unwrap());
    }

    fn port(&self) -> u16 {
        self.bench.read("todo/server.port").parse().unwrap()
    }
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success())
}

/// One request to the app; its body.
async fn http(port: u16, method: &str, path: &str, body: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn the_app_is_built_started_checked_listed_and_keeps_its_data() {
    assert!(has("python3") || has("node"), "this test needs Python 3 or Node");
    let mut play = Play::new();
    let text = play.say("Build me a to-do app").await;
    assert!(text.starts_with("The to-do app is running on port "), "{text}");
    assert_eq!(
        play.names(),
        [&["bash"][..], &["write"; 4], &["bash"; 4], &["notify_dashboard"]].concat(),
        "nothing keeps services running here, so it is started in the background"
    );
    let told = play.bench.people.told();
    assert!(told.len() == 1 && told[0].refresh_iframe);
    let port = play.port();
    assert!(http(port, "GET", "/", "").await.contains("<title>To-do</title>"));
    let added = http(port, "POST", "/api/tasks", r#"{"title":"Buy <milk>"}"#).await;
    assert!(added.contains("Buy <milk>"), "{added}");
    assert!(http(port, "POST", "/api/tasks", r#"{"title":" "}"#).await.contains("needs a title"));
    assert!(http(port, "POST", "/api/tasks", "[").await.contains("no JSON"));
    assert!(http(port, "GET", "/../server.pid", "").await.contains("nothing here"));
    if has("sqlite3") || has("python3") {
        assert!(play.called.iter().all(|(_, failed)| !failed), "{:?}", play.called);
        // `python3 -m sqlite3` would need Python 3.12.
        let look = if has("sqlite3") {
            r#"sqlite3 inspect.db "SELECT id, port FROM services; SELECT id, path FROM assets""#
        } else {
            r#"python3 -c 'import sqlite3
db = sqlite3.connect("inspect.db")
print(*db.execute("SELECT id, port FROM services"), *db.execute("SELECT id, path FROM assets"))'"#
        };
        let rows = play.bench.call("bash", serde_json::json!({"command": look})).await.said();
        assert!(rows.contains("todo") && rows.contains(&port.to_string()), "{rows}");
        assert!(rows.contains("todo/README.md"), "{rows}");
    }

    // Once more: the same app is started again, with what it holds.
    let text = play.say("Please start the app again").await;
    assert!(text.starts_with("The to-do app runs again on port "), "{text}");
    assert_eq!(play.names(), [&["bash"; 5][..], &["notify_dashboard"]].concat());
    assert!(http(play.port(), "GET", "/api/tasks", "").await.contains("Buy <milk>"));
}

#[tokio::test]
async fn the_app_is_built_with_node_where_there_is_no_python() {
    assert!(has("node"), "this test needs Node");
    let mut play = Play::new();
    play.only(&["node"]);
    let text = play.say("Build me a to-do app").await;
    assert!(text.contains("Node without any package"), "{text}");
    let port = play.port();
    let added = http(port, "POST", "/api/tasks", r#"{"title":"Buy milk"}"#).await;
    assert!(added.contains("Buy milk"), "{added}");
    assert!(http(port, "POST", "/api/tasks", "[").await.contains("no JSON"));
    // Whether the sidebar could be updated depends on this Node; either way the text says the truth.
    let listed = play.called.iter().filter(|(name, _)| name == "bash").nth(4).unwrap();
    assert_eq!(text.contains("could not be updated"), listed.1, "{text}");
    assert!(play.say("Start it again").await.contains("runs again"));
    assert!(http(play.port(), "GET", "/api/tasks", "").await.contains("Buy milk"));
}

#[tokio::test]
async fn a_machine_with_neither_is_told_so() {
    let mut play = Play::new();
    play.only(&[]);
    let text = play.say("Build me a to-do app").await;
    assert!(text.starts_with("This machine has neither Python 3 nor Node"), "{text}");
    assert_eq!(play.names(), ["bash"]);
}

#[tokio::test]
async fn the_failing_test_really_fails_and_is_really_mended() {
    let mut play = Play::new();
    let text = play.say("There is a failing test, fix it").await;
    assert!(text.starts_with("The test passes"), "{text}");
    let expected: Vec<(String, bool)> = [
        ("write", false),
        ("write", false),
        ("bash", true),
        ("read", false),
        ("edit", false),
        ("bash", false),
    ]
    .map(|(name, failed)| (name.to_owned(), failed))
    .to_vec();
    assert_eq!(play.called, expected);
}

#[tokio::test]
async fn the_answer_to_a_question_is_used() {
    let mut play = Play::new();
    play.bench.people.will_answer("A birthday");
    let text = play.say("Ask me something").await;
    assert!(text.starts_with("I wrote `greeting.md` for “A birthday”."), "{text}");
    assert!(play.bench.read("greeting.md").contains("Happy birthday!"));
}

#[tokio::test]
async fn counting_and_turns_and_any_command_run() {
    let mut play = Play::new();
    assert!(play.say("Count to 1").await.starts_with("Counted."));
    assert!(play.say("12 turns").await.starts_with("All 12 turns are done."));
    assert_eq!(play.called.len(), 12);
    assert!(play.say("run `exit 4`").await.starts_with("It failed"));
    assert!(play.say("Hello?").await.starts_with("Hello."));
}
