//! A person reads "all tests pass" and sees what was run, how it ended, and whether the files are still those:
//! by the word of the machine's init, not of the agent.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    processes::kill9,
    provider::{Provider, Say, Script},
    session::{self, Follow},
    toft::{Start, Toft},
};

fn say(text: &str) -> Say {
    Say { text: text.into(), tools: vec![] }
}

fn bash(command: &str) -> Say {
    Say { text: "Now.".into(), tools: vec![("bash".into(), json!({ "command": command }))] }
}

/// Claims the same whatever came of it.
fn script() -> Script {
    Arc::new(move |user, turn| match (user, turn) {
        ("break it", 0) => bash("rm -f good; make test"),
        ("mend it", 0) => bash("touch good"),
        ("mend it", 1) => bash("make test"),
        ("mend it", 2) => bash("make lint | tail -n 1"),
        ("take long", 0) => bash("touch begun; sleep 2; make test"),
        _ => say("Done: all tests pass. The lint is clean. The build succeeds."),
    })
}

/// Kind, receipt and proof of the claims of the last end of work.
fn claims(told: &[toft_stories::session::Seen]) -> Vec<(Value, Value, Value)> {
    let end = told.last().map(|end| end.data["claims"].clone()).unwrap_or_default();
    let one =
        |claim: &Value| (claim["kind"].clone(), claim["receipt"].clone(), claim["proof"].clone());
    end.as_array().map(|all| all.iter().map(one).collect()).unwrap_or_default()
}

fn numbered(list: &Value, number: u64) -> Value {
    let all = list["receipts"].as_array().into_iter().flatten();
    all.rev().find(|one| one["number"] == number).cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_leads_to_what_ran_and_an_edit_makes_it_old() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
    let project = toft.new_project("Receipts").await?;
    let makefile = "printf 'test:\\n\\ttest -e good\\nlint:\\n\\techo fine\\n' > Makefile; echo begun > .gitignore";
    toft.exec(&project, makefile).await?;
    let list = format!("/v1/projects/{project}/toft/receipts");
    let mut follow = Follow::from(&toft, &project, 0).await?;

    session::prompt(&toft, &project, "break it").await?;
    let told = follow.until_agent_end().await?;
    let failed = (json!("test"), json!(1), json!("failed"));
    let none = |kind: &str| (json!(kind), Value::Null, json!("none"));
    assert_eq!(claims(&told), [failed, none("lint"), none("build")]);
    toft.until(&list, |list| numbered(list, 1)["stamp"] == "taken").await?;

    session::prompt(&toft, &project, "mend it").await?;
    let told = follow.until_agent_end().await?;
    let passed = (json!("test"), json!(3), json!("passed"));
    let undecided = (json!("lint"), json!(4), json!("undecided"));
    assert_eq!(claims(&told), [passed, undecided, none("build")]);
    let text = &told.last().context("its end")?.data["claims"][0]["text"];
    assert_eq!(text, "all tests pass");
    let now = toft.until(&list, |list| numbered(list, 4)["stamp"] == "taken").await?;
    let run = numbered(&now, 3);
    assert_eq!((&run["exitCode"], &run["argv"]), (&json!(0), &json!(["bash", "-c", "make test"])));
    assert_eq!((&run["stale"], &run["tree"]["changed"]), (&json!(false), &json!(false)), "{now}");
    assert_eq!(numbered(&now, 1)["stale"], true, "a file was made since");
    assert_eq!(numbered(&now, 1)["exitCode"], 2);
    assert_eq!(numbered(&now, 2)["stamp"], "none", "it is no check");
    let said = String::from_utf8(toft.cli(&["receipts", &project])?.stdout)?;
    assert!(said.contains("unchanged") && said.contains("changed since"), "{said}");

    // A person edits beside the agent, and takes it back.
    toft.exec(&project, "echo x > edited").await?;
    let now = toft.call("GET", &list, None).await?;
    assert_eq!(numbered(&now, 3)["stale"], true, "{now}");
    toft.exec(&project, "rm edited").await?;
    let now = toft.call("GET", &list, None).await?;
    assert_eq!(numbered(&now, 3)["stale"], false, "the files are what they were: {now}");

    // The agent's process ends in the middle of a check.
    session::prompt(&toft, &project, "take long").await?;
    let begun = async || toft.exec(&project, "ls begun").await.map(|ran| ran["exitCode"] == 0);
    while !begun().await? {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    kill9(toft.bridge(&project).await?);
    let told = follow.until_agent_end().await?;
    assert_eq!(claims(&told)[0], (json!("test"), json!(5), json!("passed")));
    toft.until(&list, |list| numbered(list, 5)["stamp"] == "taken").await?;

    // Nothing that the agent runs writes one.
    let forged = format!(
        "printf '%s\\n' '{}' >> /var/lib/toft/receipts.jsonl",
        json!({ "number": 99, "exitCode": 0 })
    );
    let tried = toft.exec(&project, &forged).await?;
    ensure!(tried["exitCode"] != 0, "{tried}");
    let before = toft.call("GET", &format!("{list}?after=3&limit=1"), None).await?;
    assert_eq!((&before["receipts"][0]["number"], &before["more"]), (&json!(4), &json!(true)));

    // They are history, also while nothing runs that could be asked.
    toft.call("POST", &format!("/v1/projects/{project}/stop"), None).await?;
    let now = toft.call("GET", &list, None).await?;
    assert_eq!(now["receipts"].as_array().map(Vec::len), Some(5));
    assert_eq!((&numbered(&now, 3)["stale"], &now["tree"]), (&Value::Null, &Value::Null));
    toft.call("POST", &format!("/v1/projects/{project}/start"), None).await?;
    session::prompt(&toft, &project, "break it").await?;
    let told = follow.until_agent_end().await?;
    assert_eq!(claims(&told)[0], (json!("test"), json!(6), json!("failed")), "numbers go on");
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}
