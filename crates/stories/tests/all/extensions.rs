//! A person puts programs of their own between the agent and what it does: the guard and the tool of
//! `docs/extensions.md`, and a third extension that changes, adds, says and fails. The agent's process is killed
//! after a hook answered and before the call began.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    processes::kill9,
    provider::{Provider, Say, Script},
    session::{self, Follow},
    toft::{Start, Toft},
};

const DOCS: &str = include_str!("../../../../docs/extensions.md");

/// Files that the documentation shows whole.
const SHOWN: [&str; 4] =
    ["guard/extension.json", "guard/guard.py", "dice/extension.json", "dice/dice.py"];

const WATCH: &str = r#"
import json, os, sys
asked = json.load(sys.stdin)
event = asked["event"]
with open(os.environ["TOFT_EXTENSION"] + "/asked.log", "a") as log:
    log.write(event + " " + asked.get("toolCallId", "") + "\n")
answer = {}
if event == "before_agent_start":
    answer = {"systemPrompt": "The word of the day is heron."}
elif event == "tool_call" and "risky" in json.dumps(asked["input"]):
    answer = {"input": {"command": asked["input"]["command"] + " but changed"}}
elif event == "tool_result" and "the plan" in asked["text"]:
    answer = {"text": "(hidden)"}
elif event == "agent_end" and asked["goneOn"] == 0:
    answer = {"message": "Write the summary."}
print("a warning that nobody asked for", file=sys.stderr)
print(json.dumps(answer))
"#;

fn declared() -> Value {
    let hook = json!({ "command": "python3 \"$TOFT_EXTENSION/watch.py\"" });
    let events = ["before_agent_start", "tool_call", "tool_result", "agent_end"];
    let hooks: serde_json::Map<String, Value> =
        events.into_iter().map(|event| (event.to_owned(), hook.clone())).collect();
    json!({
        "systemPrompt": "Say please.",
        "hooks": hooks,
        "tools": [{
            "name": "weather",
            "description": "The weather of a town.",
            "parameters": { "properties": { "town": { "type": "string" } } },
            "command": "python3 -c 'import json,sys; print(\"rain in\", json.load(sys.stdin)[\"town\"])'"
        }]
    })
}

/// The code block that follows a file's name.
fn shown(file: &str) -> Result<&'static str> {
    let (_, rest) =
        DOCS.split_once(&format!("`.toft/extensions/{file}`")).context("it is named")?;
    let (_, rest) = rest.split_once("\n```").context("a block follows")?;
    let (_, rest) = rest.split_once('\n').context("its language")?;
    Ok(rest.split_once("```").context("it ends")?.0)
}

async fn put(toft: &Toft, project: &str, file: &str, text: &str) -> Result<()> {
    let path = format!(".toft/extensions/{file}");
    let command = format!(
        "mkdir -p \"$(dirname {path})\" && cat > {path} <<'END_OF_FILE'\n{text}\nEND_OF_FILE"
    );
    let done = toft.exec(project, &command).await?;
    anyhow::ensure!(done["exitCode"] == 0, "{done}");
    Ok(())
}

fn call(tool: &str, arguments: Value) -> Say {
    Say { text: "Now.".into(), tools: vec![(tool.into(), arguments)] }
}

fn say(text: &str) -> Say {
    Say { text: text.into(), tools: vec![] }
}

fn script() -> Script {
    let bash = |command: &str| call("bash", json!({ "command": command }));
    Arc::new(move |user, turn| match turn {
        _ if user.contains("Write the summary.") => say("A summary."),
        0 if user.contains("work") => bash("git push origin main"),
        1 if user.contains("work") => bash("echo risky"),
        2 if user.contains("work") => bash("echo the plan"),
        3 if user.contains("work") => call("weather", json!({ "town": "Ulm" })),
        4 if user.contains("work") => call("dice__roll", json!({ "sides": 1 })),
        0 if user.contains("broken") => bash("touch done"),
        _ => say("It is done."),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_a_project_guard_change_and_add_to_what_its_agent_does() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
    let project = toft.new_project("Extended").await?;
    let at = |route: &str| format!("/v1/projects/{project}/toft/{route}");
    for file in SHOWN {
        put(&toft, &project, file, shown(file)?).await?;
    }
    put(&toft, &project, "watch/extension.json", &declared().to_string()).await?;
    put(&toft, &project, "watch/watch.py", WATCH).await?;
    put(&toft, &project, "wrong/extension.json", r#"{"hook": {}}"#).await?;
    let all = toft.call("GET", &at("extensions"), None).await?;
    let names: Vec<&str> = all["extensions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|e| e["name"].as_str())
        .collect();
    assert_eq!(names, ["dice", "guard", "watch", "wrong"], "{all}");
    assert!(
        all["extensions"][3]["fault"].as_str().is_some_and(|why| why.contains("`hook`")),
        "{all}"
    );
    assert_eq!(all["extensions"][0]["servers"], json!(["dice"]));
    assert_eq!(all["extensions"][1]["hooks"][0]["tools"], json!(["bash"]));

    let rules = json!([{ "tool": "bash", "argument": "echo risky*", "action": "ask" }]);
    toft.call("POST", &at("config"), Some(json!({ "rules": rules }))).await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "work").await?;
    // A hook has answered, and the call waits for a person: the agent's process ends right there.
    let told = follow.until(|event| event.kind == "question").await?;
    let question = told.last().context("there is a question")?.data.clone();
    let asked = question["question"].as_str().unwrap_or_default();
    assert!(asked.contains("echo risky but changed"), "rules judge what is to be done: {asked}");
    kill9(toft.bridge(&project).await?);
    follow.until(|event| event.kind == "bridge_started").await?;
    let state = toft.until(&at("state"), |state| state["question"].is_object()).await?;
    assert_eq!(state["question"]["question"], question["question"]);
    let key =
        question["id"].as_str().or(question["toolCallId"].as_str()).context("it has a name")?;
    let answer = json!({ "toolCallId": key, "answer": "Allow once" });
    toft.call("POST", &at("answer"), Some(answer)).await?;
    follow.until_agent_end().await?;

    let transcript = session::transcript(&toft, &project).await?;
    let text = |message: &Value| match &message["content"] {
        Value::String(text) => text.clone(),
        blocks => blocks[0]["text"].as_str().unwrap_or_default().to_owned(),
    };
    let results: Vec<&Value> = transcript.iter().filter(|m| m["role"] == "toolResult").collect();
    let said: Vec<String> = results.iter().map(|m| m["content"].to_string()).collect();
    assert!(
        said[0].contains("`guard`") && said[0].contains("pushing is for people"),
        "{}",
        said[0]
    );
    assert_eq!(results[0]["isError"], true);
    assert!(
        said[1].contains("risky but changed\\n") || said[1].contains("\"risky but changed\""),
        "{}",
        said[1]
    );
    assert!(said[1].contains("watch changed the arguments"), "{}", said[1]);
    assert_eq!(text(results[2]), "(hidden)");
    assert_eq!(text(results[3]), "rain in Ulm");
    assert_eq!(text(results[4]), "1");
    let summary = transcript.last().map(text);
    assert_eq!(summary.as_deref(), Some("A summary."));
    let message = transcript.iter().find(|m| m["role"] == "custom").context("it spoke")?;
    assert_eq!(text(message), "[From the extension watch] Write the summary.");

    let log = toft.exec(&project, "cat .toft/extensions/watch/asked.log").await?;
    let log = log["stdout"].as_str().unwrap_or_default().to_owned();
    let times = |event: &str| log.lines().filter(|line| line.starts_with(event)).count();
    // The guard stands before it: it never heard of the push.
    assert_eq!(
        (times("before_agent_start"), times("tool_call"), times("tool_result")),
        (1, 4, 4),
        "{log}"
    );
    assert_eq!(times("agent_end"), 2, "{log}");
    let requests = provider.requests();
    for part in ["Say please.", "The word of the day is heron."] {
        assert!(requests.iter().all(|one| one["system"].to_string().contains(part)), "{part}");
    }
    assert!(requests.iter().all(|one| one["system"] == requests[0]["system"]), "caches hit");

    // A guard that breaks is no door, and no crash.
    put(&toft, &project, "guard/guard.py", "raise ValueError('out of order')").await?;
    session::prompt(&toft, &project, "broken").await?;
    let told = follow.until_agent_end().await?;
    let failed: Vec<&Value> =
        told.iter().filter(|e| e.kind == "extension_error").map(|e| &e.data).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        (&failed[0]["extension"], &failed[0]["hook"]),
        (&json!("guard"), &json!("tool_call"))
    );
    assert!(
        failed[0]["message"].as_str().is_some_and(|why| why.contains("out of order")),
        "{failed:?}"
    );
    assert_eq!(toft.exec(&project, "ls done 2>/dev/null").await?["stdout"], "");
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}
