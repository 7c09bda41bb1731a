//! A machine that sleeps: reading wakes nothing, asking for something wakes it, and the request that
//! woke it is answered.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use toft_stories::{
    session::{self, Follow},
    toft::{Start, Toft},
};

async fn asleep(toft: &Toft, name: &str) -> Result<(String, Value)> {
    let project = toft.new_project(name).await?;
    let mut follow = Follow::from(toft, &project, 0).await?;
    session::prompt(toft, &project, "run `echo hello`").await?;
    follow.until_agent_end().await?;
    let of = format!("/v1/projects/{project}");
    let machine = toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    assert_eq!(machine["state"], "cold");
    Ok((project, machine["wakes"].clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_wakes_nothing() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let (project, wakes) = asleep(&toft, "Reader").await?;
    let of = format!("/v1/projects/{project}");
    for again in [false, true] {
        for route in
            ["", "/machine", "/toft/messages", "/toft/state", "/toft/inspect", "/toft/sessions"]
        {
            let (status, body) = toft.request("GET", &format!("{of}{route}"), None).await?;
            assert_eq!(status, 200, "{route}: {body}");
        }
        let mut follow = Follow::from(&toft, &project, 0).await?;
        follow.until_agent_end().await?;
        let said = session::transcript(&toft, &project).await?;
        assert!(said.iter().any(|m| m.to_string().contains("hello")), "{said:?}");
        toft.call("GET", "/v1/projects", None).await?;
        let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
        assert_eq!((&machine["state"], &machine["wakes"]), (&json!("cold"), &wakes));
        assert!(toft.init_pid(&project).is_none(), "no process of it runs");
        if !again {
            toft.kill_server();
            toft.up().await?;
        }
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_the_app_wakes_it_and_is_answered() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let (project, before) = asleep(&toft, "App").await?;
    let of = format!("/v1/projects/{project}");
    // Many at once: it is woken once.
    let ask = || {
        toft.http()
            .get(format!("{}/", toft.base))
            .header("host", format!("{project}.localhost:{}", toft.port))
            .header("accept", "text/html")
            .bearer_auth(&toft.token)
            .send()
    };
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    for answer in [one?, two?, three?] {
        // Nothing listens in this project: the page that says so is the bridge's own answer.
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "2");
    }
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["state"], "running");
    let wakes = machine["wakes"].as_array().context("a list")?;
    assert_eq!(wakes.len(), before.as_array().map_or(0, Vec::len) + 1, "{wakes:?}");
    assert!(wakes[0]["cause"].as_str().is_some_and(|cause| !cause.is_empty()), "{wakes:?}");

    // A prompt does so too.
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    follow.until_agent_end().await?;
    session::prompt(&toft, &project, "run `echo awake`").await?;
    let events = follow.until_agent_end().await?;
    assert!(events.iter().any(|e| e.kind == "tool_end" && e.data.to_string().contains("awake")));

    // A stopped one is woken by nobody but a person.
    toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
    let refused = ask().await?;
    assert_eq!(refused.status(), 409);
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["state"], "stopped");
    toft.down()
}
