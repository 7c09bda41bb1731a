//! A person has work done from the dashboard and decides on it there, in a real Chromium: the list of runs, one of
//! them with all that it left, and two side by side of which one is kept. The browser's side is
//! `peers/runs-story.mjs`.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use toft_stories::{
    browser::Driver,
    provider::{Provider, Say, Script},
    toft::{Start, Toft},
};

const PLAN: &str = "```json\n{\"summary\": \"A page for beds.\", \"todos\": [{\"id\": \"a\", \"title\": \"Write beds.txt\"}, \
     {\"id\": \"b\", \"title\": \"Check it\"}]}\n```";

/// Each machine writes another file, so that what was kept is known by its text, and has it checked.
fn script() -> Script {
    Arc::new(|user, turn| {
        let building = user.contains("[Plan mode is over");
        if turn == 0 && building {
            let command = "cat /proc/sys/kernel/random/uuid >> beds.txt; printf 'test:\\n\\ttest -s beds.txt\\n' > \
                           Makefile; make test";
            let tools = vec![("bash".to_owned(), json!({ "command": command }))];
            return Say { text: "I write the beds.".into(), tools };
        }
        let text = if user.contains("[Plan mode.") {
            PLAN
        } else {
            "The beds are written, and a check says so."
        };
        Say { text: text.into(), tools: vec![] }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_asks_for_runs_looks_at_them_side_by_side_and_keeps_one() -> Result<()> {
    let provider = Provider::start(Duration::from_millis(1), script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
    let project = toft.new_project("Garden").await?;
    let of = format!("/v1/projects/{project}");
    let set_up = "git init -q -b main . && git config user.email a@b.c && git config user.name a && \
                  echo soil > known.txt && git add -A && git commit -qm first";
    ensure!(toft.exec(&project, set_up).await?["exitCode"] == 0, "a repository");
    let price = json!({"inputCostPer1k": 1.0, "outputCostPer1k": 2.0, "active": true});
    for model in
        toft.call("GET", "/v1/models", None).await?["models"].as_array().context("models")?
    {
        let (provider, id) = (&model["provider"], &model["id"]);
        if let (Some(provider), Some(id)) = (provider.as_str(), id.as_str()) {
            toft.call("PUT", &format!("/v1/model-pricing/{provider}/{id}"), Some(price.clone()))
                .await?;
        }
    }

    let mut driver = Driver::start(&toft, "runs-story.mjs", json!({ "project": project }))?;
    // When both candidates are there, and nothing is decided.
    let mut compared = false;
    while !compared && let Some(line) = driver.line().await? {
        compared = line == "compared";
    }
    if !compared {
        driver.done(&toft).await?;
        bail!("the browser never came to compare");
    }
    let all = toft.call("GET", &format!("{of}/comparisons"), None).await?;
    let open = &all[0];
    let candidates = open["candidates"].as_array().context("candidates")?.clone();
    assert_eq!((&open["status"], candidates.len()), (&json!("open"), 2), "{open}");
    let mut texts = Vec::new();
    for one in &candidates {
        let fork = one["projectId"].as_str().context("a fork")?;
        let text = toft.exec(fork, "cat beds.txt").await?;
        texts.push(text["stdout"].as_str().context("a text")?.to_owned());
    }
    ensure!(texts[0] != texts[1], "each wrote its own");
    let was = toft.exec(&project, "cat beds.txt").await?;
    ensure!(!texts.contains(&was["stdout"].as_str().unwrap_or_default().to_owned()), "{was}");
    driver.answer("keep").await?;

    driver.done(&toft).await?;
    let now = toft.exec(&project, "cat beds.txt").await?;
    assert_eq!(now["stdout"], texts[1], "the second one was kept");
    let left = toft.call("GET", "/v1/projects?candidates=true", None).await?;
    assert_eq!(left.as_array().map(Vec::len), Some(1), "the other one is gone: {left}");
    let runs = toft.call("GET", &format!("{of}/runs"), None).await?;
    assert_eq!((&runs[0]["id"], &runs[0]["runIndex"]), (&candidates[1]["runId"], &json!(2)));
    toft.down()
}
