//! From an empty data folder to a finished prompt, over HTTP and the CLI.

use anyhow::Result;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    provider::{Provider, Say, Script},
    session::{self, Follow},
    toft::{Start, Toft},
};

/// Makes a file, changes it, runs it.
pub(crate) fn builder() -> Script {
    Arc::new(|_user, turn| match turn {
        0 => Say {
            text: "I will write a small program and run it.".into(),
            tools: vec![(
                "write".into(),
                json!({"path":"hello.sh","content":"echo hello from the machine\n"}),
            )],
        },
        1 => Say {
            text: "Now a change to it.".into(),
            tools: vec![(
                "edit".into(),
                json!({"path":"hello.sh","edits":[{"oldText":"hello","newText":"good morning"}]}),
            )],
        },
        2 => Say {
            text: "It runs.".into(),
            tools: vec![("bash".into(), json!({"command":"bash hello.sh; sleep 0.3; echo end"}))],
        },
        _ => Say { text: "Done: hello.sh says good morning.".into(), tools: vec![] },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_runs_tools_in_the_machine_and_survives_stop_and_start() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, builder()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-test-1"), ..Start::default() }).await?;
    let project = toft.new_project("Morning").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "write hello").await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("done")));
    assert_eq!(provider.faults(), Vec::<String>::new());

    let ran = toft.exec(&project, "cat hello.sh").await?;
    assert_eq!(ran["stdout"], "echo good morning from the machine\n");
    let before = session::transcript(&toft, &project).await?;
    let output = before.iter().find(|m| m["toolName"] == "bash").map(|m| m["content"].to_string());
    assert!(output.is_some_and(|o| o.contains("good morning from the machine")), "{before:?}");

    let base = format!("/v1/projects/{project}");
    assert_eq!(
        toft.call("POST", &format!("{base}/stop"), Some(json!({}))).await?["state"],
        "stopped"
    );
    assert_eq!(session::transcript(&toft, &project).await?, before, "read while stopped");
    let (status, refused) = toft.request("POST", &format!("{base}/wake"), Some(json!({}))).await?;
    assert_eq!((status, refused["error"]["code"].as_str()), (409, Some("unavailable")));
    assert_eq!(
        toft.call("POST", &format!("{base}/start"), Some(json!({}))).await?["state"],
        "running"
    );
    assert_eq!(session::transcript(&toft, &project).await?, before);
    let kept = toft.exec(&project, "cat hello.sh").await?;
    assert_eq!(kept["stdout"], "echo good morning from the machine\n");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_format_works_as_well() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, builder()).await?;
    let toft =
        Toft::start(Start { env: provider.env_openai("sk-test-2"), ..Start::default() }).await?;
    let project = toft.new_project("Chat").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "write hello").await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("done")));
    assert_eq!(provider.faults(), Vec::<String>::new());
    let keys = provider.keys();
    assert!(!keys.is_empty() && keys.iter().all(|k| k == "sk-test-2"), "{keys:?}");
    let usage = &events.last().expect("there is one").data["usage"];
    assert!(usage["output"].as_u64().is_some_and(|n| n > 0), "{usage}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_does_the_same() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let made = toft.cli(&["new", "Shop", "--json"])?;
    let made: Value = serde_json::from_slice(&made.stdout)?;
    assert_eq!(made["name"], "Shop");

    let ran = toft.cli(&["exec", "Shop", "--", "sh", "-c", "echo out; echo err >&2; exit 7"])?;
    assert_eq!(ran.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "out\n");
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "err\n");

    let said = toft.cli(&["chat", "Shop", "hello"])?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("(demo)"), "the scripted model says that it is a demo: {said}");

    let listed = String::from_utf8(toft.cli(&["ps"])?.stdout)?;
    assert!(listed.contains("Shop") && listed.contains("running"), "{listed}");
    let logs = String::from_utf8(toft.cli(&["logs", "Shop"])?.stdout)?;
    assert!(logs.contains("user: hello"), "{logs}");
    let doctor = String::from_utf8(toft.cli(&["doctor"])?.stdout)?;
    assert!(doctor.contains("Storage:"), "{doctor}");

    assert_eq!(String::from_utf8(toft.cli(&["stop", "Shop"])?.stdout)?, "stopped\n");
    let refused = toft.cli(&["exec", "Shop", "--", "true"])?;
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unavailable"));
    assert!(toft.cli(&["rm", "Shop", "--yes"])?.status.success());
    assert!(String::from_utf8(toft.cli(&["ps"])?.stdout)?.contains("No projects yet"));
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_made_once_per_alias() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let body = json!({"id":"default","name":"Default Project"});
    let first = toft.call("POST", "/v1/projects", Some(body.clone())).await?;
    let second = toft.call("POST", "/v1/projects", Some(body)).await?;
    assert_eq!(first["created"], true);
    assert_eq!(second["created"], false);
    assert_eq!(first["id"], second["id"]);
    let by_alias = toft.call("GET", "/v1/projects/default", None).await?;
    assert_eq!(by_alias["id"], first["id"]);
    toft.down()
}
