//! A request that is sent again, also many times at once, is the run that it was, on both databases.

use super::{As, Client, KEY, script};
use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use toft_stories::{
    lane,
    provider::Provider,
    servers::Server,
    toft::{Start, Toft},
};

/// As many at once as a client's library may have under way.
const AT_ONCE: usize = 50;

/// A server with some variables, on one database or the other. `None`: there is no PostgreSQL here.
async fn on(postgres: bool) -> Result<Option<(Toft, Provider, Option<Server>)>> {
    let server = if postgres {
        let server = if lane::root() { Server::postgres()? } else { None };
        let Some(server) = server else {
            lane::skip(
                "runs_contract",
                "no PostgreSQL, or no right to start one; `.ci/prepare tests` installs it",
            );
            return Ok(None);
        };
        Some(server)
    } else {
        None
    };
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let mut env = provider.env("sk-s");
    env.push(("AGENT_API_KEY".into(), KEY.into()));
    // What is asked for waits: nothing here is about how it is done.
    env.push(("TOFT_RUNS_AT_ONCE".into(), "0".into()));
    if let Some(server) = &server {
        env.push(("TOFT_DATABASE".into(), server.database("postgres")));
    }
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    Ok(Some((toft, provider, server)))
}

async fn is_one(postgres: bool) -> Result<()> {
    let Some((toft, _provider, _server)) = on(postgres).await? else { return Ok(()) };
    let client = Client(&toft);
    let body = json!({"id": "same", "name": "Same", "start": false});
    client.data(("POST", "/v1/projects"), None, Some(&body)).await?;
    let (runs, messages) = ("/v1/projects/same/runs", "/v1/projects/same/messages");
    let run = json!({"prompt": "once", "input": {"a": 1, "b": 2}});
    let message = json!({"content": "and once more"});
    let mut parents = Vec::new();
    for (path, key, body) in [(runs, "a", &run), (messages, "b", &message)] {
        let asked = (0..AT_ONCE).map(|_| client.data(("POST", path), Some(key), Some(body)));
        let answers = try_join_all(asked).await?;
        let of = |answer: &Value| if path == runs { answer.clone() } else { answer["run"].clone() };
        let ids: BTreeSet<String> =
            answers.iter().map(|answer| of(answer)["id"].to_string()).collect();
        assert_eq!(ids.len(), 1, "one run: {ids:?}");
        let made = answers.iter().filter(|answer| of(answer)["created"] == true).count();
        assert_eq!(made, 1, "of all answers one says that it was made");
        parents.push(of(&answers[0]));
    }
    assert_eq!(parents[1]["parentRunId"], parents[0]["id"]);

    // Different ones under one key: one is taken, all others are refused.
    let bodies: Vec<Value> =
        (0..AT_ONCE).map(|n| json!({"prompt": format!("other {n}")})).collect();
    let asked =
        bodies.iter().map(|body| client.ask(As::Bearer, ("POST", runs), Some("c"), Some(body)));
    let answers = try_join_all(asked).await?;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1);
    for (_, refused) in answers.iter().filter(|(status, _)| *status != 200) {
        assert_eq!(refused["error"]["code"], "conflict", "{refused}");
    }

    // Many keys at once: each is a run, their numbers have no gap, and one of them is the latest.
    let keys: Vec<String> = (0..AT_ONCE).map(|n| format!("key {n}")).collect();
    let asked = keys.iter().map(|key| client.data(("POST", runs), Some(key), Some(&run)));
    try_join_all(asked).await?;
    let all = client.data(("GET", &format!("{runs}?limit=1000")), None, None).await?;
    let all = all.as_array().context("a list")?;
    let numbers: Vec<u64> = all.iter().filter_map(|run| run["runIndex"].as_u64()).collect();
    assert_eq!(numbers, (1..=3 + AT_ONCE as u64).rev().collect::<Vec<_>>());
    let writable: Vec<bool> = all.iter().map(|run| run["writable"] == true).collect();
    assert!(writable[0] && !writable[1..].contains(&true), "{writable:?}");

    // The shortest key and the longest; the same JSON in another order; what is no key.
    let longest = "k".repeat(200);
    for key in ["k", longest.as_str(), "~ !\"#$%&'()*+,-./:;<=>?@[]^_`{|}"] {
        let made = client.data(("POST", runs), Some(key), Some(&run)).await?;
        assert_eq!(made["created"], true, "{key}");
        let text = r#"{"stream": null, "input": {"b": 2, "a": 1}, "prompt": "once"}"#;
        let again = client.send(As::Header, ("POST", runs), Some(key), Some(text)).await?;
        let again: Value = again.json().await?;
        assert_eq!(
            (&again["data"]["id"], &again["data"]["created"]),
            (&made["id"], &json!(false)),
            "{again}"
        );
    }
    for key in [None, Some(""), Some("   "), Some(&*"k".repeat(201))] {
        for (path, body) in [(runs, &run), (messages, &message)] {
            let got = client.code(("POST", path), key, Some(body)).await?;
            assert_eq!(got, (400, "invalid_argument".into()), "{key:?}");
        }
    }
    let two = toft
        .http()
        .post(format!("{}{runs}", toft.base))
        .bearer_auth(KEY)
        .header("idempotency-key", "one")
        .header("idempotency-key", "two")
        .json(&run)
        .send()
        .await?;
    assert_eq!(two.status().as_u16(), 400, "which of two counts nobody knows");
    // Another project's keys are its own.
    let body = json!({"id": "other", "start": false});
    client.data(("POST", "/v1/projects"), None, Some(&body)).await?;
    let made = client.data(("POST", "/v1/projects/other/runs"), Some("a"), Some(&run)).await?;
    assert_eq!((&made["created"], &made["runIndex"]), (&json!(true), &json!(1)));
    let answers = client.data(("GET", "/v1/metrics"), None, None).await?;
    ensure!(answers["runs"].is_array(), "{answers}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_many_times_at_once_is_one_run() -> Result<()> {
    is_one(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_on_postgresql() -> Result<()> {
    is_one(true).await
}
