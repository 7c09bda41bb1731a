//! What the scripted model says, read from conversations. That its pieces of work really work is
//! tested with the real tools, in `tools`.

use super::{DEFAULT_MODEL, Pace, Scripted};
use crate::{
    ask::{Model as _, ModelEvent, ModelRequest},
    testing::{assistant, call, request, result, user},
};
use futures_util::StreamExt as _;
use serde_json::json;
use std::time::Duration;
use toft_model::{
    message::{AssistantMessage, Block, CustomMessage, Message, StopReason, UserContent, text_of},
    tool::ToolSpec,
};
use tokio_util::sync::CancellationToken;

fn asked(messages: Vec<Message>) -> ModelRequest {
    let mut asked = request("demo", DEFAULT_MODEL, messages);
    asked.tools = ["bash", "write", "read", "edit", "ask", "notify_dashboard"]
        .map(|name| ToolSpec {
            name: name.into(),
            description: String::new(),
            parameters: json!({"type": "object"}),
        })
        .to_vec();
    asked
}

async fn say(request: ModelRequest) -> AssistantMessage {
    let mut stream = Scripted::new(Pace::NONE).ask(request, CancellationToken::new());
    let mut last = None;
    while let Some(event) = stream.next().await {
        last = Some(event);
    }
    match last {
        Some(ModelEvent::Done { message, failure: None }) => message,
        other => panic!("{other:?}"),
    }
}

fn text(message: &AssistantMessage) -> String {
    text_of(&message.content)
}

fn tools(message: &AssistantMessage) -> Vec<&str> {
    message.tool_calls().map(|c| c.name.as_str()).collect()
}

#[tokio::test]
async fn words_choose_the_script() {
    for (prompt, first) in [
        ("Build me a to-do app", "bash"),
        ("Fix the failing test", "write"),
        ("Ask me a question", "ask"),
        ("Count to 30 please", "bash"),
        ("run `ls`", "bash"),
    ] {
        let message = say(asked(vec![user(prompt)])).await;
        assert_eq!(tools(&message)[0], first, "{prompt}");
        assert_eq!(message.stop_reason, StopReason::ToolUse);
    }
    let hello = say(asked(vec![user("Hello")])).await;
    assert!(tools(&hello).is_empty() && text(&hello).contains("scripted demo"));
    let mut fix = asked(vec![user("Hello")]);
    fix.model.id = "fix".into();
    assert_eq!(tools(&say(fix).await), ["write", "write"]);
}

#[tokio::test]
async fn the_same_conversation_gets_the_same_answer() {
    let history = || {
        vec![
            user("Build an app"),
            assistant(vec![call("x", "bash", "{}")]),
            result("x", "node=/n (v20)\nfolder=/p"),
        ]
    };
    let one = say(asked(history())).await;
    assert_eq!(one, say(asked(history())).await);
    assert_eq!(tools(&one), ["write", "write", "write", "write"]);
    let paths: Vec<_> = one.tool_calls().map(|c| c.arguments["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["todo/server.mjs", "todo/index.html", "todo/check.mjs", "todo/README.md"]);
}

#[tokio::test]
async fn ids_of_calls_differ_over_a_conversation() {
    let mut history = vec![user("3 turns")];
    let mut ids = Vec::new();
    for _ in 0..3 {
        let message = say(asked(history.clone())).await;
        let id = message.tool_calls().next().unwrap().id.clone();
        history.push(Message::Assistant(message));
        history.push(result(&id, "turn"));
        ids.push(id);
    }
    let end = say(asked(history)).await;
    assert!(tools(&end).is_empty() && text(&end).starts_with("All 3 turns are done."));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_machine_without_anything_to_build_with_is_told_honestly() {
    let history = vec![
        user("Build an app"),
        assistant(vec![call("x", "bash", "{}")]),
        result("x", "sqlite3=/usr/bin/sqlite3\nfolder=/p"),
    ];
    let message = say(asked(history)).await;
    assert!(text(&message).starts_with("This machine has neither Python 3 nor Node"));
    assert_eq!(message.stop_reason, StopReason::Stop);
}

#[tokio::test]
async fn steering_is_heard_and_the_work_goes_on() {
    let begun = || vec![user("count to 5"), assistant(vec![call("x", "bash", "{}")])];
    let mut history = begun();
    history.extend([result("x", "tick"), user("faster!")]);
    let message = say(asked(history)).await;
    assert!(text(&message).starts_with("You said “faster!” while I worked."), "{}", text(&message));
    assert!(text(&message).contains("Counted."));
    let mut stopped = begun();
    stopped.extend([result("x", "tick"), user("please stop")]);
    assert!(text(&say(asked(stopped)).await).contains("All right, I stop here."));
}

#[tokio::test]
async fn a_round_that_steering_cut_short_is_made_again() {
    let history = vec![
        user("fix the bug"),
        assistant(vec![call("x", "write", "{}"), call("y", "write", "{}")]),
        result("x", "Wrote"),
        result("y", "Skipped due to queued user message."),
        user("hurry"),
    ];
    let message = say(asked(history)).await;
    assert!(text(&message).starts_with("You said “hurry”"));
    assert_eq!(tools(&message), ["write", "write"]);
}

#[tokio::test]
async fn after_an_end_or_an_abort_the_next_message_is_a_new_prompt() {
    let done = vec![user("count"), assistant(vec![Block::text("Counted.")]), user("fix the bug")];
    assert_eq!(tools(&say(asked(done)).await), ["write", "write"]);
    let mut stopped = result("x", "Stopped by a person before it ended.");
    if let Message::ToolResult(r) = &mut stopped {
        r.details = Some(json!({"cancelled": true}));
    }
    let aborted =
        vec![user("count"), assistant(vec![call("x", "bash", "{}")]), stopped, user("fix the bug")];
    assert_eq!(tools(&say(asked(aborted)).await), ["write", "write"]);
}

#[tokio::test]
async fn a_tool_that_is_not_offered_is_not_called() {
    let mut asked = asked(vec![user("ask me")]);
    asked.tools.retain(|t| t.name != "ask");
    let message = say(asked).await;
    assert!(tools(&message).is_empty() && text(&message).contains("needs the tool `ask`"));
}

#[tokio::test]
async fn without_tools_it_sums_up() {
    let prompt = "Summarize this conversation:\nuser: build an app\nassistant: done";
    let message = say(request("demo", "app", vec![user(prompt)])).await;
    assert!(
        text(&message).contains("- user: build an app\n- assistant: done"),
        "{}",
        text(&message)
    );
}

#[tokio::test(start_paused = true)]
async fn it_speaks_at_its_pace_and_stops_at_once() {
    let pace = Pace { first: Duration::from_secs(1), piece: Duration::from_millis(100) };
    let cancel = CancellationToken::new();
    let mut stream = Scripted::new(pace).ask(asked(vec![user("Hello")]), cancel.clone());
    let began = tokio::time::Instant::now();
    assert!(matches!(stream.next().await, Some(ModelEvent::Delta(_))));
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    for _ in 0..4 {
        assert!(matches!(stream.next().await, Some(ModelEvent::Delta(_))));
    }
    cancel.cancel();
    let Some(ModelEvent::Done { message, failure }) = stream.next().await else { panic!() };
    assert_eq!(message.stop_reason, StopReason::Aborted);
    assert_eq!(failure.unwrap().code, "aborted");
    assert!("Hello. I am Toft's".starts_with(text(&message).trim()), "{}", text(&message));
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn in_plan_mode_it_looks_plans_and_builds_once_that_is_over() {
    let mode = |mode: &str| {
        Message::Custom(CustomMessage {
            custom_type: "toft.mode".into(),
            content: UserContent::Text("[…]".into()),
            display: false,
            details: Some(json!({ "mode": mode })),
            timestamp: 0,
        })
    };
    for (prompt, word) in [("build an app", "to-do app"), ("the test fails", "failing test")] {
        let mut messages = vec![user(prompt), mode("plan")];
        let look = say(asked(messages.clone())).await;
        assert_eq!(look.tool_calls().map(|call| &*call.name).collect::<Vec<_>>(), ["bash"]);
        let id = look.tool_calls().next().unwrap().id.clone();
        messages.extend([Message::Assistant(look), result(&id, "total 0")]);
        let planned = say(asked(messages.clone())).await;
        let text = text_of(&planned.content);
        let plan = text.split_once("```json").unwrap().1.strip_suffix("```").unwrap();
        let plan: serde_json::Value = serde_json::from_str(plan).unwrap();
        assert!(plan["summary"].as_str().unwrap().contains(word), "{plan}");
        let order = format!("Carry out this plan.\n{plan}");
        messages.extend([Message::Assistant(planned), user(&order), mode("build")]);
        let built = say(asked(messages)).await;
        assert!(!text_of(&built.content).contains("change nothing"), "it begins to build");
        assert!(built.tool_calls().next().is_some());
    }
}
