//! Extensions in a conversation: their hooks are real programs, everything else is prepared.

use super::bench::Bench;
use crate::session::{Body, QueuedAs};
use serde_json::{Value, json};
use std::{fs, sync::atomic::Ordering, time::Duration};
use toft_llm::testing::Prepared;
use toft_model::{
    event::{EventBody, ExtensionError},
    message::{Message, ToolResultMessage, text_of},
};
use toft_tools::testing::LocalShell;

/// With an extension whose hooks are these commands.
fn bench(answers: impl IntoIterator<Item = Prepared>, hooks: &[(&str, &str)]) -> Bench {
    let bench = Bench::new(answers);
    assert!(bench.shell.real.set(LocalShell::new(bench.dir.path())).is_ok());
    let hooks = hooks.iter().map(|(event, command)| {
        ((*event).to_owned(), json!({ "command": command, "timeoutMs": 20_000 }))
    });
    write(&bench, "guard", &json!({ "hooks": hooks.collect::<serde_json::Map<_, _>>() }));
    bench
}

fn write(bench: &Bench, name: &str, declared: &Value) {
    let folder = bench.dir.path().join(".toft/extensions").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("extension.json"), declared.to_string()).unwrap();
}

/// A file that hooks write beside their declaration.
fn wrote(bench: &Bench, name: &str) -> String {
    let path = bench.dir.path().join(".toft/extensions/guard").join(name);
    fs::read_to_string(path).unwrap_or_default()
}

fn failures(bench: &Bench) -> Vec<ExtensionError> {
    let events = bench.heard.events.lock().unwrap();
    let failed = events.iter().filter_map(|event| match &event.body {
        EventBody::ExtensionError(error) => Some(error.clone()),
        _ => None,
    });
    failed.collect()
}

fn result(bench: &Bench) -> ToolResultMessage {
    let conversation = bench.handle.conversation();
    let session = conversation.session();
    let found = session.ancestors().find_map(|entry| match &entry.body {
        Body::Message(Message::ToolResult(result)) => Some(result.clone()),
        _ => None,
    });
    found.expect("there is a result")
}

fn step() -> [Prepared; 2] {
    [Prepared::call("c1", "step", r#"{"n":1}"#), Prepared::text("Done.")]
}

const SAVE: &str = "cat > \"$TOFT_EXTENSION/asked\"";

#[tokio::test]
async fn a_hook_blocks_a_call_and_the_model_is_told_why() {
    let block = format!("{SAVE}; echo '{{\"block\": \"not on Fridays\"}}'");
    let bench = bench(step(), &[("tool_call", &block)]);
    bench.run("go").await;
    let result = result(&bench);
    assert!(result.is_error && text_of(&result.content).contains("`guard`"));
    assert!(text_of(&result.content).ends_with("it was not done: not on Fridays"));
    assert_eq!(result.details, Some(json!({ "denied": true, "extension": "guard" })));
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 0);
    assert_eq!(failures(&bench), []);
    let asked: Value = serde_json::from_str(&wrote(&bench, "asked")).unwrap();
    let session = bench.handle.conversation().id().as_str().to_owned();
    assert_eq!(
        asked,
        json!({"event": "tool_call", "sessionId": session, "cwd": "/home/project", "mode": "build",
               "toolCallId": "c1", "toolName": "step", "input": {"n": 1}})
    );
}

#[tokio::test]
async fn a_hook_changes_arguments_and_everybody_can_see_it() {
    let bench = bench(step(), &[("tool_call", r#"echo '{"input": {"n": 2}}'"#)]);
    bench.run("go").await;
    let said = text_of(&result(&bench).content);
    assert!(said.contains(r#"guard changed the arguments of this call to {"n":2}"#), "{said}");
    assert!(said.ends_with(r#"did 1 {"n":2}"#), "{said}");
    let events = bench.heard.events.lock().unwrap();
    let input = events.iter().find_map(|event| match &event.body {
        EventBody::ToolStart(start) => Some(start.input.clone()),
        _ => None,
    });
    assert_eq!(input, Some(json!({"n": 2})));
}

#[tokio::test]
async fn each_hook_sees_what_the_one_before_it_made() {
    let bench = bench(step(), &[("tool_call", r#"echo '{"input": {"n": 2}}'"#)]);
    let second = json!({ "hooks": { "tool_call": { "command":
        r#"grep -q '"input":{"n":2}' && echo '{"input": {"n": 3}}'"#
    } } });
    write(&bench, "later", &second);
    bench.run("go").await;
    let said = text_of(&result(&bench).content);
    assert!(said.contains("guard, later changed") && said.ends_with(r#"{"n":3}"#), "{said}");
}

#[tokio::test]
async fn a_hook_that_cannot_judge_a_call_stops_it_and_is_an_event() {
    for (command, why) in [
        ("echo oh no >&2; exit 3", "it ended with exit code 3: oh no"),
        ("kill -9 $$", "signal 9"),
        ("echo fine", "no JSON object: fine"),
        (r#"echo '{"blocked": "x"}'"#, "its answer has `blocked`"),
        (r#"echo '{"block": true}'"#, "is not as it must be"),
        (r#"echo '{"systemPrompt": "x"}'"#, "its answer has `systemPrompt`"),
        ("head -c 300000 /dev/zero", "more than 262144 bytes"),
    ] {
        let bench = bench(step(), &[("tool_call", command)]);
        bench.run("go").await;
        let result = result(&bench);
        let said = text_of(&result.content);
        assert!(result.is_error && said.contains(why), "{command}: {said}");
        assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 0, "{command}");
        let failed = failures(&bench);
        assert_eq!(failed.len(), 1, "{command}");
        assert!(failed[0].message.contains(why), "{command}: {}", failed[0].message);
        assert_eq!(failed[0].extension, "guard");
        assert_eq!(failed[0].hook.as_deref(), Some("tool_call"));
        assert_eq!(failed[0].tool_call_id.as_deref(), Some("c1"));
        assert_eq!(bench.transcript().last().unwrap(), "assistant Stop: Done.");
    }
}

#[tokio::test]
async fn a_hook_that_takes_too_long_is_ended() {
    let bench = bench(step(), &[]);
    let slow = "echo $$ > \"$TOFT_EXTENSION/pid\"; sleep 600";
    write(
        &bench,
        "guard",
        &json!({ "hooks": { "tool_call": { "command": slow, "timeoutMs": 1_500 } } }),
    );
    bench.run("go").await;
    assert!(failures(&bench)[0].message.contains("within 1500 ms"));
    let pid = wrote(&bench, "pid");
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(!pid.is_empty() && (stat.is_empty() || stat.contains(") Z")), "{stat}");
}

#[tokio::test]
async fn a_hook_changes_a_result_and_its_failure_changes_nothing() {
    let change = r#"grep -q 'did 1' && echo '{"text": "other words", "isError": true}'"#;
    let changed = bench(step(), &[("tool_result", change)]);
    changed.run("go").await;
    let one = result(&changed);
    assert_eq!((text_of(&one.content).as_str(), one.is_error), ("other words", true));
    assert_eq!(one.details.unwrap()["changedBy"], json!(["guard"]));
    let failed = bench(step(), &[("tool_result", "exit 1")]);
    failed.run("go").await;
    assert_eq!(text_of(&result(&failed).content), r#"did 1 {"n":1}"#);
    assert_eq!(failures(&failed).len(), 1);
}

#[tokio::test]
async fn hooks_add_to_the_prompt_and_say_something_to_the_model() {
    let start = format!(
        "{SAVE}; echo x >> \"$TOFT_EXTENSION/times\"; echo '{{\"systemPrompt\": \"Be kind.\", \"message\": \"It rains.\"}}'"
    );
    let [call, done] = step();
    let bench = bench([call, done, Prepared::text("Again.")], &[("before_agent_start", &start)]);
    bench.run("go").await;
    bench.run_ends("more", 2).await;
    let asked = bench.model.asked();
    assert!(asked.iter().all(|one| one.system == asked[0].system), "caches hit");
    assert!(asked[0].system.ends_with("# Instructions of the extension guard\n\nBe kind."));
    assert_eq!(wrote(&bench, "times"), "x\nx\n", "once for each prompt");
    assert!(wrote(&bench, "asked").contains(r#""text":"more""#));
    let transcript = bench.transcript();
    assert_eq!(&transcript[..2], ["user: go", "note toft.extension"]);
    assert_eq!(transcript.iter().filter(|line| line.starts_with("note")).count(), 2);
}

#[tokio::test]
async fn the_model_gets_what_a_hook_made_of_a_message_and_people_see_theirs() {
    let input = r#"grep -o '"text":"[^"]*"' | tr a-z A-Z | sed 's/"TEXT":\(.*\)/{"text":\1}/'"#;
    let bench =
        bench([Prepared::call("c1", "gate", "{}"), Prepared::text("Done.")], &[("input", input)]);
    bench.prompt("go").await;
    bench.hear("tool_start", 1).await;
    bench.send("faster", QueuedAs::Steer).await.unwrap();
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    let said: Vec<String> = bench.model.asked()[1]
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::User(user) => Some(user.content.text()),
            _ => None,
        })
        .collect();
    assert_eq!(said, ["GO", "FASTER"]);
    let transcript = bench.transcript();
    assert!(transcript.contains(&"user: go".to_owned()));
    assert!(transcript.contains(&"user: faster".to_owned()));
}

#[tokio::test]
async fn a_message_of_a_tools_hook_comes_after_the_results() {
    let message = r#"echo '{"message": "Mind the gap."}'"#;
    let bench = bench(step(), &[("tool_call", message), ("tool_result", message)]);
    bench.run("go").await;
    assert_eq!(
        bench.transcript()[2..],
        [
            r#"result c1: did 1 {"n":1}"#,
            "note toft.extension",
            "note toft.extension",
            "assistant Stop: Done."
        ]
    );
    let last = bench.model.asked().pop().unwrap().messages;
    assert!(format!("{last:?}").contains("[From the extension guard] Mind the gap."));
}

#[tokio::test]
async fn an_extension_has_the_agent_go_on_but_not_for_ever() {
    let answers = ["one", "two", "three", "four", "five"].map(Prepared::text);
    let bench = bench(answers, &[("agent_end", r#"echo '{"message": "And the tests?"}'"#)]);
    bench.run("go").await;
    let transcript = bench.transcript();
    assert_eq!(transcript.iter().filter(|line| line.starts_with("assistant")).count(), 4);
    assert_eq!(transcript.last().unwrap(), "assistant Stop: four");
    assert_eq!(bench.end().reason, "done");
    let failed = failures(&bench);
    assert!(failed.len() == 1 && failed[0].message.contains("3 times"), "{failed:?}");
}

#[tokio::test]
async fn what_a_hook_said_of_a_call_holds_after_the_bridge_died() {
    let count = "echo x >> \"$TOFT_EXTENSION/times\"; echo '{\"input\": {\"n\": 2}, \"message\": \"Once.\"}'";
    let mut bench = bench(
        [Prepared::call("c1", "attached", r#"{"n":1}"#), Prepared::text("Done.")],
        &[("tool_call", count), ("before_agent_start", "echo x >> \"$TOFT_EXTENSION/starts\"")],
    );
    bench.tools.hang.store(true, Ordering::SeqCst);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    bench.tools.hang.store(false, Ordering::SeqCst);
    bench.restart().await;
    bench.hear("agent_end", 1).await;
    assert_eq!((wrote(&bench, "times").as_str(), wrote(&bench, "starts").as_str()), ("x\n", "x\n"));
    assert!(text_of(&result(&bench).content).ends_with(r#"{"n":2}"#));
    let notes = bench.transcript().iter().filter(|line| line.starts_with("note")).count();
    assert_eq!(notes, 1);
}

#[tokio::test]
async fn a_stop_ends_a_hook_and_begins_nothing() {
    let mut bench = bench(step(), &[("tool_call", "echo $$ > \"$TOFT_EXTENSION/pid\"; sleep 600")]);
    bench.prompt("go").await;
    while wrote(&bench, "pid").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.abort().await;
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.end().reason, "aborted");
    assert_eq!((bench.tools.runs.load(Ordering::SeqCst), failures(&bench)), (0, Vec::new()));
    assert!(result(&bench).is_error);
    bench.restart().await;
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_a_hook_says_has_no_values_of_secrets() {
    let bench = bench(
        step(),
        &[
            ("tool_result", r#"echo '{"text": "it is hunter2-long"}'"#),
            ("agent_end", "echo hunter2-long; exit 1"),
        ],
    );
    bench.secrets.set("PASSWORD", "hunter2-long");
    bench.run("go").await;
    assert!(!text_of(&result(&bench).content).contains("hunter2"));
    assert!(!failures(&bench)[0].message.contains("hunter2"));
    assert!(failures(&bench)[0].message.contains("exit code 1"));
}

#[tokio::test]
async fn no_part_of_a_secret_is_left_where_what_a_hook_printed_is_cut() {
    let secret = "canary-".repeat(10);
    for command in ["exit 1", "exit 0"] {
        // What is told begins in the middle of it.
        let command = format!("echo {secret}$(printf '%0970d' 7); {command}");
        let bench = bench(step(), &[("tool_call", &command)]);
        bench.secrets.set("KEY", &secret);
        bench.run("go").await;
        let told = format!("{} {}", failures(&bench)[0].message, text_of(&result(&bench).content));
        assert!(told.contains("0007") && !told.contains("canary"), "{command}: {told}");
    }
}

#[tokio::test]
async fn an_extension_brings_tools_and_a_broken_one_is_told_once() {
    let bench = bench(
        [
            Prepared::call("c1", "weather", r#"{"town":"Ulm"}"#),
            Prepared::text("a"),
            Prepared::text("b"),
        ],
        &[],
    );
    let tool = json!({ "name": "weather", "description": "Of a town.", "command": "read a; echo rain $a" });
    write(&bench, "tools", &json!({ "tools": [tool] }));
    write(&bench, "wrong", &json!({ "tool": [] }));
    bench.run("go").await;
    bench.run_ends("again", 2).await;
    assert_eq!(text_of(&result(&bench).content), r#"rain {"town":"Ulm"}"#);
    let tools = &bench.model.asked()[0].tools;
    assert!(tools.iter().any(|spec| spec.name == "weather"));
    let failed = failures(&bench);
    assert!(failed.len() == 1 && failed[0].extension == "wrong" && failed[0].hook.is_none());
}

#[tokio::test]
async fn what_a_stop_kept_from_a_hook_is_not_given_to_the_model() {
    let answers = [Prepared::call("c1", "slow", "{}"), Prepared::text("ok")];
    let bench = bench(answers, &[("tool_result", "cat >/dev/null")]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    bench.abort().await;
    let text = text_of(&result(&bench).content);
    assert!(text.contains("stopped before the extension guard"), "{text}");
}

#[tokio::test]
async fn input_that_a_stop_kept_from_a_hook_is_asked_about_before_the_next_question() {
    let hide = r#"if [ -e "$TOFT_EXTENSION/go" ]; then grep -q hunter2 && echo '{"text": "hidden"}'; else touch "$TOFT_EXTENSION/asked"; sleep 600; fi"#;
    let bench = bench([Prepared::text("ok")], &[("input", hide)]);
    bench.prompt("hunter2").await;
    let folder = bench.dir.path().join(".toft/extensions/guard");
    while !folder.join("asked").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.abort().await;
    bench.hear("agent_end", 1).await;
    std::fs::write(folder.join("go"), "").unwrap();
    bench.run("go on").await;
    let asked = serde_json::to_string(&bench.model.asked()[0].messages).unwrap();
    assert!(asked.contains("hidden") && !asked.contains("hunter2"), "{asked}");
}
