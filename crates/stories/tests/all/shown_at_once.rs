//! What a project shows that has never run, or not since it went back: its conversations, their list, its
//! services, at once and without being woken, and the same as after its next start.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toft_stories::{
    session::{self, Follow},
    toft::{Start, Toft},
};

async fn post(toft: &Toft, project: &str, rest: &str, body: Value) -> Result<Value> {
    toft.call("POST", &format!("/v1/projects/{project}/{rest}"), Some(body)).await
}

async fn get(toft: &Toft, project: &str, rest: &str) -> Result<Value> {
    toft.call("GET", &format!("/v1/projects/{project}/{rest}"), None).await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Says something in a conversation and waits for the agent's end.
async fn say(toft: &Toft, project: &str, session: Option<&str>, word: &str) -> Result<String> {
    let head = get(toft, project, "toft/state").await?["seq"].as_u64().context("a number")?;
    let mut follow = Follow::from(toft, project, head).await?;
    let body = json!({"message": format!("run `echo {word} > f`"), "sessionId": session});
    let sent = post(toft, project, "toft/prompt", body).await?;
    follow.until_agent_end().await?;
    Ok(text(&sent["sessionId"]))
}

/// Adds a row to the inspect database, and waits until that is told.
async fn insert(toft: &Toft, project: &str, name: &str) -> Result<()> {
    let head = get(toft, project, "toft/state").await?["seq"].as_u64().context("a number")?;
    let mut follow = Follow::from(toft, project, head).await?;
    let row = format!(
        "python3 -c \"import sqlite3; d = sqlite3.connect('/home/starter/inspect.db'); \
         d.execute(\\\"INSERT INTO assets(id,name,type,path) VALUES('{name}','{name}','file','/f')\\\"); \
         d.commit()\""
    );
    let done = toft.exec(project, &row).await?;
    ensure!(done["exitCode"] == 0, "{done}");
    follow.until(|e| e.kind == "inspect" && e.data["assets"].to_string().contains(name)).await?;
    Ok(())
}

/// What is shown, without what only a bridge knows.
async fn shown(toft: &Toft, project: &str, sessions: &[&str]) -> Result<Value> {
    let list = get(toft, project, "toft/sessions").await?;
    let state = get(toft, project, "toft/state").await?;
    let inspect = get(toft, project, "toft/inspect").await?;
    let mut said = Vec::new();
    for session in std::iter::once(String::new())
        .chain(sessions.iter().map(|session| format!("?sessionId={session}")))
    {
        let messages = get(toft, project, &format!("toft/messages{session}")).await?;
        let ids = |list: &str, id: &str| -> Vec<Value> {
            messages[list].as_array().into_iter().flatten().map(|m| m[id].clone()).collect()
        };
        said.push(json!({
            "sessionId": messages["sessionId"],
            "messages": ids("messages", "entryId"),
            "restores": ids("restores", "afterEntryId"),
        }));
    }
    let rows = inspect["assets"].as_array().into_iter().flatten();
    let mut assets: Vec<String> = rows.map(|row| text(&row["name"])).collect();
    assets.sort();
    let mut listed: Vec<Value> = list["sessions"]
        .as_array()
        .context("a list")?
        .iter()
        .map(|one| {
            json!([one["id"], one["name"], one["firstMessage"], one["messageCount"], one["status"]])
        })
        .collect();
    listed.sort_by_key(Value::to_string);
    Ok(json!({
        "current": list["current"],
        "listed": listed,
        "state": [state["sessionId"], state["messageCount"], state["status"], state["pendingMessageCount"]],
        "assets": assets,
        "said": said,
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_project_that_went_back_shows_that_before_its_next_start() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Back").await?;
    let first = say(&toft, &project, None, "one").await?;
    insert(&toft, &project, "early").await?;
    let kept = post(&toft, &project, "checkpoints", json!({"label": "then"})).await?;
    say(&toft, &project, None, "two").await?;
    let new = post(&toft, &project, "toft/sessions/new", json!({"name": "Later"})).await?;
    let second = text(&new["sessionId"]);
    say(&toft, &project, None, "three").await?;
    insert(&toft, &project, "late").await?;
    post(&toft, &project, "stop", json!({})).await?;
    let sessions = [first.as_str(), second.as_str()];
    let before = shown(&toft, &project, &sessions).await?;
    assert_eq!(
        (&before["current"], &before["assets"]),
        (&json!(second), &json!(["early", "late"]))
    );

    let restore = format!("checkpoints/{}/restore", text(&kept["id"]));
    post(&toft, &project, &restore, json!({})).await?;
    let at_rest = shown(&toft, &project, &sessions).await?;
    assert_eq!((&at_rest["current"], &at_rest["assets"]), (&json!(first), &json!(["early"])));
    let count = |shown: &Value, n: usize| shown["said"][n]["messages"].as_array().map(Vec::len);
    let was = count(&before, 1).context("messages")?;
    assert_eq!(count(&at_rest, 0), Some(was / 2), "half of it was said after: {at_rest}");
    assert_eq!(count(&at_rest, 2), Some(0), "began after the checkpoint: {at_rest}");
    assert_eq!(get(&toft, &project, "machine").await?["state"], "stopped");
    // Its bridge does the same.
    post(&toft, &project, "start", json!({})).await?;
    let path = format!("/v1/projects/{project}/toft/inspect");
    toft.until(&path, |all| all["assets"].is_array()).await?;
    assert_eq!(shown(&toft, &project, &sessions).await?, at_rest);
    post(&toft, &project, "stop", json!({})).await?;
    assert_eq!(shown(&toft, &project, &sessions).await?, at_rest);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_never_ran_shows_what_was_said_before() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Origin").await?;
    let first = say(&toft, &project, None, "one").await?;
    insert(&toft, &project, "early").await?;
    let kept = post(&toft, &project, "checkpoints", json!({"label": "then"})).await?;
    say(&toft, &project, None, "two").await?;
    insert(&toft, &project, "late").await?;
    let new = post(&toft, &project, "toft/sessions/new", json!({"name": "Later"})).await?;
    let second = text(&new["sessionId"]);
    say(&toft, &project, None, "three").await?;
    for (from, want) in [
        (json!({}), json!([second, ["early", "late"], 2])),
        (json!({"checkpointId": kept["id"]}), json!([first, ["early"], 1])),
    ] {
        let known = toft.call("GET", "/v1/projects", None).await?;
        toft.kill_server();
        toft.up_with("TOFT_KILL_AT", "fork.recorded:1").await?;
        let cut = post(&toft, &project, "fork", from.clone()).await;
        ensure!(cut.is_err(), "the server was to be killed: {cut:?}");
        toft.await_end()?;
        toft.up().await?;
        let all = toft.call("GET", "/v1/projects", None).await?;
        let is_new = |one: &&Value| {
            !known.as_array().is_some_and(|known| known.iter().any(|k| k["id"] == one["id"]))
        };
        let fork = all.as_array().context("a list")?.iter().find(is_new).context("a fork")?;
        let fork = text(&fork["id"]);
        let path = format!("/v1/projects/{fork}");
        toft.until(&path, |one| one["state"] == "cold").await?;
        let sessions: Vec<&str> = [first.as_str(), second.as_str()]
            .into_iter()
            .take(usize::try_from(want[2].as_u64().context("a number")?)?)
            .collect();
        let at_rest = shown(&toft, &fork, &sessions).await?;
        assert_eq!(
            json!([
                at_rest["current"],
                at_rest["assets"],
                at_rest["listed"].as_array().map(Vec::len)
            ]),
            want,
            "{from}: {at_rest}"
        );
        ensure!(
            at_rest["said"][0]["messages"].as_array().is_some_and(|m| !m.is_empty()),
            "{at_rest}"
        );
        let machine = get(&toft, &fork, "machine").await?;
        assert_eq!((&machine["state"], &machine["wakes"]), (&json!("cold"), &json!([])), "{from}");
        // And as it shows it when it has run.
        post(&toft, &fork, "wake", json!({})).await?;
        assert_eq!(shown(&toft, &fork, &sessions).await?, at_rest, "{from}");
    }
    let texts = session::transcript(&toft, &project).await?;
    ensure!(!texts.is_empty(), "the origin is as it was");
    toft.down()
}
