//! Commands of the agent that do not behave: children that hide, output without end.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    processes::{self, Process},
    provider::{Provider, Say, Script},
    session::{self, Follow},
    toft::{Start, Toft},
};

fn sleepers(toft: &Toft, project: &str) -> Vec<Process> {
    toft.machine_processes(project)
        .into_iter()
        .filter(|p| p.argv.first().is_some_and(|a| a == "sleep"))
        .collect()
}

fn runs(command: &'static str) -> Script {
    Arc::new(move |_user, turn| match turn {
        0 => Say { text: "Now.".into(), tools: vec![("bash".into(), json!({"command": command}))] },
        _ => Say { text: "Over.".into(), tools: vec![] },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn abort_ends_every_child_also_those_that_left_their_session() -> Result<()> {
    // A child, one in a session of its own, one that was forked twice and adopted by init, one that
    // ignores the polite signals.
    let command = "sleep 1001 & setsid sleep 1002 & ( ( setsid sleep 1003 & ) & ); \
                   ( trap '' TERM INT HUP; setsid sleep 1004 ) & sleep 1005";
    let provider = Provider::start(Duration::ZERO, runs(command)).await?;
    let toft = Toft::start(Start { env: provider.env("sk-c"), ..Start::default() }).await?;
    let project = toft.new_project("Hide").await?;
    // Somebody else's program must live on.
    let bystander = toft.exec(&project, "setsid sleep 2000 >/dev/null 2>&1 & echo").await?;
    assert_eq!(bystander["exitCode"], 0);
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "go").await?;
    follow.until(|e| e.kind == "tool_start").await?;
    while sleepers(&toft, &project).iter().filter(|p| p.argv[1] != "2000").count() < 5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    toft.call("POST", &format!("/v1/projects/{project}/toft/abort"), Some(json!({}))).await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("aborted")));
    let alive: Vec<String> =
        sleepers(&toft, &project).into_iter().map(|p| p.argv[1].clone()).collect();
    assert!(alive.iter().all(|seconds| seconds == "2000"), "outlived the abort: {alive:?}");

    session::prompt(&toft, &project, "again").await?;
    follow.until(|e| e.kind == "tool_start").await?;
    assert_eq!(provider.faults(), Vec::<String>::new(), "the session is valid");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_prints_a_gigabyte_gives_the_model_its_end_and_a_file() -> Result<()> {
    let command = "head -c 1000000000 /dev/zero | tr '\\0' x; echo; echo the end";
    let provider = Provider::start(Duration::ZERO, runs(command)).await?;
    let toft = Toft::start(Start { env: provider.env("sk-c"), ..Start::default() }).await?;
    let project = toft.new_project("Flood").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "go").await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("done")));
    let told: usize = events.iter().map(|e| e.data.to_string().len()).sum();
    assert!(told < 20 << 20, "the events hold {told} bytes");

    let path = format!("/v1/projects/{project}/toft/messages");
    let messages = toft.call("GET", &path, None).await?;
    let result = messages["messages"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| &entry["message"])
        .find(|m| m["role"] == "toolResult")
        .context("a result")?
        .clone();
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("the end") && text.len() < 100 << 10, "{} bytes", text.len());
    let spill = result["details"]["fullOutputPath"].as_str().context("a file has the rest")?;
    let size = toft.exec(&project, &format!("stat -c %s {spill}")).await?;
    let size: u64 = size["stdout"].as_str().unwrap_or_default().trim().parse()?;
    assert!((1 << 20..=1_000_000_100).contains(&size), "the file has {size} bytes");

    let init = toft.init_pid(&project).context("an init")?;
    let bridge = toft.bridge(&project).await?;
    for pid in [init, bridge, toft.server_pid().context("a server")?] {
        let peak = processes::peak_kib(pid);
        assert!((1..150_000).contains(&peak), "{:?} peaked at {peak} KiB", processes::one(pid));
    }
    let state: Value =
        toft.call("GET", &format!("/v1/projects/{project}/toft/state"), None).await?;
    assert_eq!(state["status"], "idle");
    toft.down()
}
