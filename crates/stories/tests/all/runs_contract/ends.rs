//! How runs end that do not go well: tried again as often as was said, and cancelled wherever they are.

use super::{As, Client, KEY, say, started};
use crate::runs::send;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use toft_stories::{
    provider::{Fate, Provider},
    toft::{Start, Toft},
};

/// What is refused is no use to ask again at once: the run fails.
async fn refusing(variables: &[(&str, &str)]) -> Result<(Toft, Provider)> {
    let fates = Arc::new(|_| Fate::Refuse {
        status: 400,
        retry_after: None,
        message: "this is not answered",
    });
    let script = Arc::new(|_: &str, _: usize| say("never said"));
    let provider = Provider::start_with(Duration::ZERO, script, fates).await?;
    let mut env = provider.env("sk-s");
    env.push(("AGENT_API_KEY".into(), KEY.into()));
    env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Ok((Toft::start(Start { env, ..Start::default() }).await?, provider))
}

/// Data of the run's events, each with its kind.
async fn told(client: &Client<'_>, at: &str) -> Result<Vec<(String, Value)>> {
    let told = client.send(As::Header, ("GET", &format!("{at}/stream")), None, None).await?;
    let told = told.text().await?;
    let events = told.lines().filter_map(|line| line.strip_prefix("data: "));
    let one = |line: &str| -> Result<(String, Value)> {
        let mut event: Value = serde_json::from_str(line)?;
        Ok((event["event"].as_str().unwrap_or_default().to_owned(), event["data"].take()))
    };
    events.map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_tried_as_often_as_was_said_with_growing_pauses() -> Result<()> {
    let (toft, _provider) = refusing(&[("WORKER_MAX_BACKOFF", "3")]).await?;
    let client = Client(&toft);
    let project = toft.new_project("Fails").await?;
    let runs = format!("/v1/projects/{project}/runs");
    let began = Instant::now();
    let run = client.data(("POST", &runs), Some("k"), Some(&json!({"prompt": "go"}))).await?;
    let at = format!("{runs}/{}", run["id"].as_str().context("an id")?);
    let over = toft.until(&at, |run| run["status"] == "error").await?;
    ensure!(began.elapsed() >= Duration::from_secs(2 + 3), "2 s, and then the most: 3 s");
    assert_eq!(
        (&over["meta"]["attempt"], &over["meta"]["maxAttempts"]),
        (&json!(3), &json!(3)),
        "{over}"
    );
    ensure!(over["error"].as_str().is_some_and(|why| !why.is_empty()), "{over}");
    ensure!(over["completedAt"].is_string() && over["cost"].is_null(), "{over}");
    let events = told(&client, &at).await?;
    let statuses = |name: &str| {
        let all = events.iter().filter(|(kind, data)| kind == "status" && data["status"] == name);
        all.map(|(_, data)| data.clone()).collect::<Vec<_>>()
    };
    let failed = statuses("attempt_failed");
    let tries: Vec<_> =
        failed.iter().map(|one| (one["attempts"].clone(), one["maxAttempts"].clone())).collect();
    assert_eq!(tries, [(json!(1), json!(3)), (json!(2), json!(3))]);
    ensure!(failed.iter().all(|one| one["error"].is_string()), "{failed:?}");
    let pauses: Vec<_> = statuses("retrying")
        .iter()
        .map(|one| (one["nextAttempt"].clone(), one["backoffSeconds"].clone()))
        .collect();
    assert_eq!(pauses, [(json!(2), json!(2)), (json!(3), json!(3))]);
    let (kind, last) = events.last().context("it ends")?;
    assert_eq!(
        (kind.as_str(), &last["attempts"], &last["maxAttempts"]),
        ("error", &json!(3), &json!(3))
    );
    let none = client.code(("GET", &format!("{at}/download.zip")), None, None).await?;
    assert_eq!(none, (409, "unavailable".into()));
    // It is over: nothing is left to be ended.
    let ended = client.data(("POST", &format!("{at}/cancel")), None, None).await?;
    assert_eq!(
        (&ended["status"], &ended["cancelled"], &ended["writable"]),
        (&json!("error"), &json!(false), &json!(true))
    );
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_tried_and_waits_for_a_stopped_machine_can_be_cancelled() -> Result<()> {
    let (toft, _provider) = refusing(&[]).await?;
    let client = Client(&toft);
    let project = toft.new_project("Stopped").await?;
    let runs = format!("/v1/projects/{project}/runs");
    let run = client.data(("POST", &runs), Some("k"), Some(&json!({"prompt": "go"}))).await?;
    let at = format!("{runs}/{}", run["id"].as_str().context("an id")?);
    toft.until(&at, |run| run["status"] == "queued" && run["meta"]["attempt"] == 1).await?;
    toft.call("POST", &format!("/v1/projects/{project}/stop"), Some(json!({}))).await?;
    let again = |run: &Value| run["meta"]["attempt"].as_u64() >= Some(2);
    toft.until(&at, |run| run["status"] == "running" && again(run)).await?;
    let ended = client.data(("POST", &format!("{at}/cancel")), None, None).await?;
    assert_eq!(ended["cancelled"], true, "{ended}");
    toft.until(&at, |run| run["status"] == "cancelled").await?;
    let events = told(&client, &at).await?;
    let (kind, last) = events.last().context("it ends")?;
    assert_eq!((kind.as_str(), &last["status"]), ("status", &json!("cancelled")));
    // When its machine is back nothing of it goes on.
    toft.call("POST", &format!("/v1/projects/{project}/start"), Some(json!({}))).await?;
    let state = format!("/v1/projects/{project}/toft/state");
    toft.until(&state, |state| state["status"] != "working").await?;
    assert_eq!(client.data(("GET", &at), None, None).await?["status"], "cancelled");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_on_in_the_conversation_also_behind_one_that_never_began() -> Result<()> {
    let (toft, provider) = started(&[]).await?;
    let client = Client(&toft);
    let project = toft.new_project("Goes on").await?;
    let runs = format!("/v1/projects/{project}/runs");
    let at = |run: &Value| format!("{runs}/{}", run["id"].as_str().unwrap_or_default());
    let first = client.data(("POST", &runs), Some("1"), Some(&json!({"prompt": "hello"}))).await?;
    let first = toft.until(&at(&first), |run| run["status"] == "completed").await?;

    // Two that wait for the machine, and are not wanted any more.
    let messages = format!("/v1/projects/{project}/messages");
    toft.call("POST", &format!("/v1/projects/{project}/stop"), Some(json!({}))).await?;
    for key in ["2", "3"] {
        let body = json!({"content": format!("never mind {key}")});
        let said = client.data(("POST", &messages), Some(key), Some(&body)).await?;
        client.data(("POST", &format!("{}/cancel", at(&said["run"]))), None, None).await?;
        let over = toft.until(&at(&said["run"]), |run| run["status"] == "cancelled").await?;
        assert_eq!((&over["sessionId"], &over["phase"]), (&Value::Null, &json!("over")), "{over}");
    }
    toft.call("POST", &format!("/v1/projects/{project}/start"), Some(json!({}))).await?;

    let body = json!({"content": "and now?"});
    let said = client.data(("POST", &messages), Some("4"), Some(&body)).await?;
    let over = toft.until(&at(&said["run"]), |run| run["status"] == "completed").await?;
    assert_eq!(over["sessionId"], first["sessionId"], "it is the same conversation");
    let last = provider.requests().pop().context("a request")?.to_string();
    for words in ["hello", "never mind 3", "and now?"] {
        ensure!(last.contains(words), "the model does not know of {words}: {last}");
    }
    toft.down()
}

/// Bytes that take long to be packed, and are more than is kept in memory before they are written.
const MUCH_MIB: u32 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_while_the_workspace_is_kept_has_it_cancelled() -> Result<()> {
    let (toft, _provider) = started(&[]).await?;
    let client = Client(&toft);
    let project = toft.new_project("Large").await?;
    let fill = format!("head -c {MUCH_MIB}M /dev/urandom > much");
    ensure!(toft.exec(&project, &fill).await?["exitCode"] == 0, "{fill}");
    let runs = format!("/v1/projects/{project}/runs");
    let run = client.data(("POST", &runs), Some("k"), Some(&json!({"prompt": "hello"}))).await?;
    let at = format!("{runs}/{}", run["id"].as_str().context("an id")?);
    let kept = toft.data.join("artifacts/runs").join(&project);
    let files = || std::fs::read_dir(&kept).map_or(0, Iterator::count);
    let until = Instant::now() + toft_stories::toft::STEP_TIMEOUT;
    while files() == 0 {
        ensure!(Instant::now() < until, "nothing is kept in {}", kept.display());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let ended = client.data(("POST", &format!("{at}/cancel")), None, None).await?;
    let over = toft.until(&at, |run| !run["completedAt"].is_null()).await?;
    assert_eq!(
        (&ended["cancelled"], &over["status"]),
        (&json!(true), &json!("cancelled")),
        "{over}"
    );
    while files() > 0 {
        ensure!(Instant::now() < until, "half an archive stays in {}", kept.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let events = told(&client, &at).await?;
    ensure!(events.iter().all(|(kind, _)| kind != "done"), "{events:?}");
    assert_eq!(events.last().map(|(_, data)| &data["status"]), Some(&json!("cancelled")));
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_that_nobody_looks_at_keep_nobody_elses_runs_waiting() -> Result<()> {
    let one = [("TOFT_RUNS_AT_ONCE", "1"), ("TOFT_RUNS_PER_TEAM", "1")];
    let (toft, _provider) = started(&one).await?;
    let client = Client(&toft);
    let mut waiting = Vec::new();
    for name in ["One", "Two"] {
        let runs = format!("/v1/projects/{}/runs", toft.new_project(name).await?);
        let body = json!({"prompt": "hello", "approval": true});
        let run = client.data(("POST", &runs), Some("k"), Some(&body)).await?;
        let at = format!("{runs}/{}", run["id"].as_str().context("an id")?);
        toft.until(&at, |run| run["waitsFor"] == "approval").await?;
        waiting.push(at);
    }
    // Nor does one whose machine a person has stopped.
    let stopped = toft.new_project("Stopped").await?;
    toft.call("POST", &format!("/v1/projects/{stopped}/stop"), Some(json!({}))).await?;
    let runs = format!("/v1/projects/{stopped}/runs");
    let body = json!({"prompt": "hello"});
    let run = client.data(("POST", &runs), Some("k"), Some(&body)).await?;
    let at = format!("{runs}/{}", run["id"].as_str().context("an id")?);
    toft.until(&at, |run| run["waitsFor"] == "machine").await?;

    let runs = format!("/v1/projects/{}/runs", toft.new_project("Free").await?);
    let run = client.data(("POST", &runs), Some("k"), Some(&body)).await?;
    let free = format!("{runs}/{}", run["id"].as_str().context("an id")?);
    toft.until(&free, |run| run["status"] == "completed").await?;

    // They go on as soon as they may.
    toft.call("POST", &format!("/v1/projects/{stopped}/start"), Some(json!({}))).await?;
    toft.until(&at, |run| run["status"] == "completed").await?;
    for at in waiting {
        let (before, id) = at.rsplit_once("/runs/").context("a path")?;
        let approve = format!("{before}/toft/runs/{id}/approve");
        toft.call("POST", &approve, Some(json!({}))).await?;
        toft.until(&at, |run| run["status"] == "completed").await?;
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_a_run_that_has_just_begun_is_heard_while_it_talks_on() -> Result<()> {
    // It would go on for minutes, without a moment in which nothing is told.
    let script = Arc::new(|_: &str, _: usize| say(&"and on ".repeat(20_000)));
    let provider = Provider::start(Duration::from_millis(2), script).await?;
    let toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
    let project = toft.new_project("Talks").await?;
    let runs = format!("/v1/projects/{project}/runs");
    for n in 0..30 {
        let asked = json!({"prompt": "go"});
        let run = send(&toft, "POST", &runs, Some(&n.to_string()), Some(asked)).await?.1;
        let at = format!("{runs}/{}", run["data"]["id"].as_str().context("an id")?);
        // Also between its claim and its first word.
        tokio::time::sleep(Duration::from_micros(n * 500)).await;
        let cancelled = toft.call("POST", &format!("{at}/cancel"), None).await?;
        assert_eq!(cancelled["cancelled"], true, "{cancelled}");
        let over = toft.until(&at, |run| run["completedAt"].is_string()).await?;
        assert_eq!(over["status"], "cancelled", "{over}");
    }
    toft.down()
}
