//! What models were asked, in tokens and money: each call that was granted is counted, once, with
//! what the provider reported, whoever is killed meanwhile.

use super::kills::script;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    browser::Driver,
    processes,
    provider::{Fate, Provider},
    session::{self, Follow},
    toft::{STEP_TIMEOUT, Start, Toft},
};

const KEY: &str = "program-key-0815-for-usage";

/// What the fake provider reports of each call that it answers whole.
const REPORTED: [(&str, u64); 4] =
    [("input", 100), ("output", 42), ("cacheRead", 10), ("cacheWrite", 5)];

async fn start(provider: &Provider) -> Result<Toft> {
    let mut env = provider.env("sk-usage");
    env.push(("AGENT_API_KEY".into(), KEY.into()));
    Toft::start(Start { env, ..Start::default() }).await
}

/// Dollars of one whole call of the default model, by what the server says of it.
async fn price_of_one(toft: &Toft) -> Result<f64> {
    let models = toft.call("GET", "/v1/models", None).await?;
    let listed = models["models"].as_array().context("models are listed")?;
    let default = listed.iter().find(|m| m["id"] == models["default"]["id"]);
    let price = &default.context("the default model is listed")?["price"];
    REPORTED
        .iter()
        .map(|(kind, tokens)| {
            let tokens = u32::try_from(*tokens)?;
            Ok(price[kind].as_f64().context("it has a price")? * f64::from(tokens) / 1e6)
        })
        .sum()
}

/// That so many whole calls are counted, with what they report and cost.
fn check(total: &Value, whole: usize, one: f64) -> Result<()> {
    let whole = u64::try_from(whole)?;
    for (kind, tokens) in REPORTED {
        ensure!(total[kind] == tokens * whole, "{kind} of {whole}: {total}");
    }
    let dollars = total["costUsd"].as_f64().context("the cost is known")?;
    let wanted = one * f64::from(u32::try_from(whole)?);
    ensure!((dollars - wanted).abs() < 1e-9, "{wanted}: {total}");
    Ok(())
}

async fn work(toft: &Toft, project: &str, text: &str) -> Result<()> {
    let mut follow = Follow::from(toft, project, 0).await?;
    session::prompt(toft, project, text).await?;
    while follow.next().await?.kind != "agent_end" {}
    Ok(())
}

async fn asked(provider: &Provider, more_than: usize) -> Result<()> {
    let look = async {
        while provider.requests().len() <= more_than {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(STEP_TIMEOUT, look).await.context("the provider is not asked")
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_money_are_those_that_the_provider_reported() -> Result<()> {
    let provider = Provider::start(Duration::from_millis(2), script()).await?;
    let mut toft = start(&provider).await?;
    let one = price_of_one(&toft).await?;
    let project = toft.new_project("Shop").await?;
    let own = format!("/v1/projects/{project}/usage");
    work(&toft, &project, "work on it\nand well").await?;
    let calls = provider.requests().len();
    // The last record is written when the answer's end has passed.
    let usage = toft.until(&format!("{own}?by=run"), |u| u["total"]["calls"] == calls).await?;
    check(&usage["total"], calls, one)?;
    assert_eq!((&usage["total"]["failed"], &usage["total"]["unpriced"]), (&json!(0), &json!(0)));

    // All of it is one run, named by its prompt.
    let rows = usage["rows"].as_array().context("rows")?;
    let transcript = session::transcript(&toft, &project).await?;
    assert_eq!((rows.len(), &rows[0]["name"]), (1, &json!("work on it")), "{transcript:?}");
    let sessions = toft.call("GET", &format!("{own}?by=session"), None).await?;
    assert_eq!(sessions["rows"][0]["key"], rows[0]["session"]);

    // The server is killed while the agent works on: nothing is lost, and nothing counted twice.
    session::prompt(&toft, &project, "go on").await?;
    asked(&provider, calls).await?;
    toft.kill_server();
    asked(&provider, calls + 2).await?;
    toft.up().await?;
    toft.until(&format!("/v1/projects/{project}"), |p| p["agentStatus"] == "idle").await?;
    let calls = provider.requests().len();
    let usage = toft.until(&format!("{own}?by=run"), |u| u["total"]["calls"] == calls).await?;
    check(&usage["total"], calls, one)?;
    assert_eq!(usage["rows"].as_array().map(Vec::len), Some(2), "{usage}");

    // A program outside belongs to no project; a project that is deleted keeps what it cost.
    let body = json!({"model": "claude-opus-4-6", "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}]});
    let outside = toft.http().post(format!("{}/llm/anthropic/v1/messages", toft.base));
    let sent = outside.header("x-api-key", KEY).header("x-toft-session", "s").json(&body);
    sent.send().await?.error_for_status()?.bytes().await?;
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    let usage = toft.until("/v1/usage", |u| u["total"]["calls"] == calls + 1).await?;
    let row = |key: &Value| usage["rows"].as_array()?.iter().find(|row| row["key"] == *key);
    let gone = row(&json!(project)).context("the project's row")?;
    assert_eq!((&gone["name"], &gone["deleted"]), (&json!("Shop"), &json!(true)));
    check(gone, calls, one)?;
    assert_eq!(row(&Value::Null).context("the outside's row")?["calls"], 1);
    let outside = toft.call("GET", "/v1/usage?by=session", None).await?;
    assert!(!outside["rows"].to_string().contains("\"s\""), "{outside}");

    let shown = toft.cli(&["usage"])?;
    let shown = String::from_utf8(shown.stdout)?;
    assert!(shown.contains("Shop (deleted)") && shown.contains("US$"), "{shown}");
    let printed = toft.cli(&["usage", "--by", "model", "--json"])?;
    let printed: Value = serde_json::from_slice(&printed.stdout)?;
    assert_eq!(printed["total"], usage["total"]);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_leaves_a_record_of_each_call_that_it_granted() -> Result<()> {
    const KILLS: usize = 3;
    // Calls that are long under way, so that some are for certain when the gateway goes.
    let provider =
        Provider::start_with(Duration::from_millis(40), script(), Arc::new(|_| Fate::Answer))
            .await?;
    let toft = start(&provider).await?;
    let one = price_of_one(&toft).await?;
    let project = toft.new_project("Shop").await?;
    session::prompt(&toft, &project, "work").await?;
    for kill in 0..KILLS {
        // Between two kills an answer comes whole: the agent gives one up that fails too often.
        asked(&provider, 2 * kill).await?;
        processes::kill9(toft.gateway_pid().context("there is a gateway")?);
    }
    toft.until(&format!("/v1/projects/{project}"), |p| p["agentStatus"] == "idle").await?;
    let calls = provider.requests().len();
    let path = format!("/v1/projects/{project}/usage");
    let usage = toft.until(&path, |u| u["total"]["calls"].as_u64() >= Some(calls as u64)).await?;
    let total = &usage["total"];
    let number = |field: &str| total[field].as_u64().unwrap_or_default();
    // Whatever reached the provider was granted before; a kill may take one grant that did not.
    let granted = usize::try_from(number("calls"))?;
    ensure!((calls..=calls + KILLS).contains(&granted), "{calls} reached the provider: {total}");
    let lost = usize::try_from(number("failed"))?;
    ensure!((1..=2 * KILLS).contains(&lost), "some were under way: {total}");
    assert_eq!(number("unpriced"), number("failed"), "what a lost call cost is not known: {total}");
    check(total, granted - lost, one)?;
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_asks_as_often_as_it_may_waits_and_goes_on_when_it_may_again() -> Result<()>
{
    let provider = Provider::start(Duration::from_millis(1), script()).await?;
    let mut toft = start(&provider).await?;
    let project = toft.new_project("Shop").await?;
    let set = toft.cli(&["model-limits", &project, "--per-minute", "2"])?;
    ensure!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "work").await?;
    let seen = follow.until(|event| event.kind == "auto_retry_start").await?;
    let told = &seen[seen.len() - 1].data;
    let why = told["errorMessage"].as_str().unwrap_or_default();
    ensure!(why.contains("2 model calls a minute") && why.contains("raise"), "{told}");
    assert_eq!(provider.requests().len(), 2, "no more than it may");

    // It holds for whoever asks with the project's token, and after a new start of everything.
    toft.kill_server();
    processes::kill9(toft.gateway_pid().context("there is a gateway")?);
    toft.up().await?;
    let limits = toft.call("GET", &format!("/v1/projects/{project}/model-limits"), None).await?;
    assert_eq!(limits, json!({"callsAtOnce": null, "callsPerMinute": 2}));

    // Taken off, the work goes on where it stopped.
    toft.cli(&["model-limits", &project, "--per-minute", "none"])?;
    let mut follow = Follow::from(&toft, &project, follow.last).await?;
    let end = follow.until_agent_end().await?;
    assert_eq!(end[end.len() - 1].data["reason"], "done");
    assert_eq!(provider.requests().len(), 5, "each answer was asked for once");
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}

/// Money as the dashboard writes it.
fn shown(dollars: f64) -> String {
    let digits = if dollars < 0.1 { 3 } else { 2 };
    format!("US$ {dollars:.digits$}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_in_the_dashboard_what_was_asked_and_sets_a_limit() -> Result<()> {
    let provider = Provider::start(Duration::from_millis(1), script()).await?;
    let toft = start(&provider).await?;
    let one = price_of_one(&toft).await?;
    let project = toft.new_project("Shop").await?;
    work(&toft, &project, "work on the shop").await?;
    let calls = provider.requests().len();
    let own = format!("/v1/projects/{project}/usage");
    toft.until(&own, |u| u["total"]["calls"] == calls).await?;
    // Each prompt takes as many calls.
    let dollars = |calls: usize| u32::try_from(calls).map(|calls| shown(one * f64::from(calls)));
    let made = json!({"project": project, "calls": calls, "cost": dollars(calls)?,
        "prompt": "work on the shop",
        "more": {"calls": 2 * calls, "cost": dollars(2 * calls)?}});
    let mut driver = Driver::start(&toft, "cost.mjs", made)?;
    while let Some(line) = driver.line().await? {
        if line == "prompt" {
            session::prompt(&toft, &project, "and once more").await?;
        }
    }
    driver.done(&toft).await?;
    let limits = toft.call("GET", &format!("/v1/projects/{project}/model-limits"), None).await?;
    assert_eq!(limits, json!({"callsAtOnce": null, "callsPerMinute": 7}));
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn work_whose_budget_is_spent_pauses_and_goes_on_where_it_stopped_when_it_is_raised()
-> Result<()> {
    let provider = Provider::start(Duration::from_millis(1), script()).await?;
    let mut toft = start(&provider).await?;
    let one = price_of_one(&toft).await?;
    let project = toft.new_project("Shop").await?;
    let budget = format!("/v1/projects/{project}/budget");
    // Enough for two calls: the second one spends it.
    toft.call("PUT", &budget, Some(json!({"runUsd": one * 1.5}))).await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "work").await?;
    let seen = follow.until(|event| event.kind == "auto_retry_start").await?;
    let told = &seen[seen.len() - 1].data;
    let why = told["errorMessage"].as_str().unwrap_or_default();
    ensure!(told["asks"] == true && why.contains("The budget of this run is spent"), "{told}");
    let path = format!("/v1/projects/{project}");
    toft.until(&path, |p| p["agentStatus"] == "waiting").await?;
    assert_eq!(provider.requests().len(), 2);

    // It holds when the server is away and the gateway was killed, and for programs outside, too.
    toft.call("PUT", "/v1/budget", Some(json!({"totalUsd": one * 2.0}))).await?;
    toft.kill_server();
    processes::kill9(toft.gateway_pid().context("there is a gateway")?);
    toft.up().await?;
    let body = json!({"model": "claude-opus-4-6", "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}]});
    let outside = toft.http().post(format!("{}/llm/anthropic/v1/messages", toft.base));
    let refused = outside.header("x-api-key", KEY).json(&body).send().await?;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-toft-error"]),
        (402, &"budget_spent".parse()?)
    );
    let words = refused.text().await?;
    ensure!(
        words.contains("The budget of all projects is spent") && words.contains("toft budget"),
        "{words}"
    );
    assert_eq!(provider.requests().len(), 2, "nothing got through");

    let raised = toft.cli(&["budget", "--total", "none"])?;
    ensure!(raised.status.success(), "{}", String::from_utf8_lossy(&raised.stderr));
    let mut follow = Follow::from(&toft, &project, follow.last).await?;
    toft.cli(&["budget", &project, "--run", "none", "--month", "50"])?;
    let end = follow.until_agent_end().await?;
    assert_eq!(end[end.len() - 1].data["reason"], "done");
    assert_eq!(provider.requests().len(), 5, "each answer was asked for once");
    let spent = toft.until(&budget, |b| b["spent"]["monthUsd"].as_f64() > Some(one * 4.5)).await?;
    let month = spent["spent"]["monthUsd"].as_f64().unwrap_or_default();
    ensure!((month - 5.0 * one).abs() < 1e-9 && spent["monthUsd"] == 50.0, "{spent}");
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}
