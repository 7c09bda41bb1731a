//! What people set for an agent, in a browser: rules and limits. What it then asks, proves and proposes.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    browser::Driver,
    provider::{Provider, Say, Script},
    toft::{Start, Toft},
};

fn say(text: &str) -> Say {
    Say { text: text.into(), tools: vec![] }
}

fn call(tool: &str, arguments: Value) -> Say {
    Say { text: "Now.".into(), tools: vec![(tool.into(), arguments)] }
}

fn script() -> Script {
    let plan = json!({
        "summary": "Sell bread.",
        "todos": [{"id": "1", "title": "Bake"}, {"id": "2", "title": "Sell"}],
    });
    let plan = format!("Like this.\n\n```json\n{plan}\n```");
    Arc::new(move |user, turn| match (user, turn) {
        ("twice", 0) => {
            call("bash", json!({"command": "echo one >> runs.txt && echo too >> runs.txt"}))
        }
        ("twice", 1) => call("bash", json!({"command": "echo two >> runs.txt"})),
        ("twice", _) => say("Both ran."),
        ("prove it", 0) => call("bash", json!({"command": "bash test.sh"})),
        ("prove it", _) => say("All tests pass."),
        ("change it", 0) => call("write", json!({"path": "shop.txt", "content": "rolls\n"})),
        ("change it", _) => say("It is changed."),
        // In plan mode the last thing that it is told is that.
        (told, _) if told.contains("[Plan mode.") => say(&plan),
        _ => say("Well."),
    })
}

const FILES: &str = "mkdir -p .toft/skills/release; echo bread > shop.txt; echo 'test -s shop.txt' > test.sh; \
    printf -- '---\\nname: release\\ndescription: How this shop is released.\\n---\\nBake.\\n' \
    > .toft/skills/release/SKILL.md";

#[tokio::test(flavor = "multi_thread")]
async fn in_chromium_a_rule_asks_once_claims_have_receipts_and_a_plan_needs_a_person() -> Result<()>
{
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-any"), ..Start::default() }).await?;
    let project = toft.new_project("Bakery").await?;
    toft.exec(&project, FILES).await?;
    let made = json!({"project": "Bakery"});
    let mut driver = Driver::start(&toft, "agent-story.mjs", made)?;
    let said = driver.line().await?.context("it says when the plan waits")?;
    ensure!(said == "proposed", "{said}\n{:?}", driver.done(&toft).await);
    let of = format!("/v1/projects/{project}");
    toft.until(&of, |found| found["agentStatus"] == "waiting").await?;
    let listed = toft.call("GET", &format!("{of}/toft/sessions"), None).await?;
    assert_eq!(listed["sessions"][0]["planProposed"], true, "{listed}");
    driver.answer("seen").await?;
    driver.done(&toft).await?;
    toft.until(&of, |found| found["agentStatus"] == "idle").await?;
    let state = toft.call("GET", &format!("{of}/toft/state"), None).await?;
    assert_eq!(state["rules"], json!([{"tool": "bash", "action": "ask"}]));
    assert_eq!(state["limits"], json!({"steps": 40, "seconds": 1200}));
    let ran = toft.exec(&project, "cat runs.txt").await?;
    assert_eq!(ran["stdout"], "one\ntoo\ntwo\n", "each ran once");
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}
