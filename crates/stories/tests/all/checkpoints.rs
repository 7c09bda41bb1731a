//! Checkpoints and forks as a person uses them: taken by hand and before prompts, compared, gone back
//! to while all kinds of things go on, and grown into other projects.

mod typed;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    abilities::{is_kept_before_prompts, rest_if_needed},
    lane,
    provider::{Provider, Say},
    session::{self, Follow},
    toft::{Start, Toft},
};

async fn post(toft: &Toft, project: &str, rest: &str, body: Value) -> Result<Value> {
    toft.call("POST", &format!("/v1/projects/{project}/{rest}"), Some(body)).await
}

async fn get(toft: &Toft, project: &str, rest: &str) -> Result<Value> {
    toft.call("GET", &format!("/v1/projects/{project}/{rest}"), None).await
}

async fn output(toft: &Toft, project: &str, command: &str) -> Result<String> {
    let done = toft.exec(project, command).await?;
    ensure!(done["exitCode"] == 0, "{command}: {done}");
    Ok(done["stdout"].as_str().unwrap_or_default().to_owned())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn checkpoints(toft: &Toft, project: &str) -> Result<Vec<Value>> {
    let all = get(toft, project, "checkpoints").await?;
    Ok(all["checkpoints"].as_array().context("a list")?.clone())
}

/// What people said in a conversation: texts with their entries.
async fn prompts(toft: &Toft, project: &str) -> Result<Vec<(String, String)>> {
    let all = get(toft, project, "toft/messages").await?;
    let messages = all["messages"].as_array().context("a list")?;
    let said = messages.iter().filter(|m| m["message"]["role"] == "user").map(|m| {
        let content = &m["message"]["content"];
        let said = content.as_str().or(content[0]["text"].as_str()).unwrap_or_default();
        (said.to_owned(), text(&m["entryId"]))
    });
    Ok(said.collect())
}

fn texts(said: &[(String, String)]) -> Vec<&str> {
    said.iter().map(|(said, _)| said.as_str()).collect()
}

/// Waits until the newest checkpoint knows its message.
async fn bound(toft: &Toft, project: &str, count: usize) -> Result<Vec<Value>> {
    let path = format!("/v1/projects/{project}/checkpoints");
    toft.until(&path, |all| {
        let all = all["checkpoints"].as_array();
        all.is_some_and(|all| all.len() == count && !all[0]["message"].is_null())
    })
    .await?;
    checkpoints(toft, project).await
}

/// A project in whose conversation files were written, a prompt each.
async fn with_prompts(toft: &Toft, said: &[&str]) -> Result<(String, String, Follow)> {
    let project = toft.new_project("Shop").await?;
    let mut follow = Follow::from(toft, &project, 0).await?;
    let mut session = String::new();
    for (n, word) in said.iter().enumerate() {
        session = session::prompt(toft, &project, &format!("run `echo {word} > f`")).await?;
        follow.until_agent_end().await?;
        bound(toft, &project, n + 1).await?;
    }
    Ok((project, session, follow))
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_brings_files_and_the_place_in_the_conversation_together() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    if !is_kept_before_prompts(&toft).await? {
        return toft.down();
    }
    let (project, session, mut follow) = with_prompts(&toft, &["one", "two", "three"]).await?;
    let said = prompts(&toft, &project).await?;
    let all = checkpoints(&toft, &project).await?;
    for ((_, entry), taken) in said.iter().rev().zip(&all) {
        assert_eq!(taken["message"], json!({"sessionId": session, "leafEntryId": entry}));
        assert_eq!(taken["cause"], "prompt");
    }
    // What it would mean is told first.
    let second = text(&all[1]["id"]);
    let diff = get(&toft, &project, &format!("checkpoints/{second}/diff")).await?;
    let changed: Vec<_> = diff["changes"].as_array().context("a list")?.iter().collect();
    ensure!(changed.iter().any(|c| c["path"] == "/home/project/f"), "{diff}");
    let affected = &diff["affectedSessions"];
    assert_eq!(
        (&affected[0]["sessionId"], &affected[0]["messagesAfter"]),
        (&json!(session), &json!(8))
    );
    assert_eq!(affected[0]["name"], "run `echo one > f`");

    let body = json!({"sessionId": session, "entryId": said[1].1});
    let done = post(&toft, &project, "restore-message", body).await?;
    assert_eq!((&done["checkpoint"]["id"], &done["affectedSessions"]), (&json!(second), affected));
    assert_eq!(done["machine"]["state"], "running");
    assert_eq!(output(&toft, &project, "cat f").await?, "one\n");
    assert_eq!(texts(&prompts(&toft, &project).await?), ["run `echo one > f`"]);
    let told = follow.until(|e| e.kind == "restored").await?;
    let told = told.last().context("an event")?;
    assert_eq!(told.data["checkpointId"], json!(second));

    // It goes on from there: the agent works in the old place, and the trace keeps both.
    session::prompt(&toft, &project, "run `echo other > f`").await?;
    follow.until_agent_end().await?;
    let after = ["run `echo one > f`", "run `echo other > f`"];
    assert_eq!(texts(&prompts(&toft, &project).await?), after);
    let marks = async || -> Result<Vec<(Value, Value, Value)>> {
        let all = get(&toft, &project, "toft/messages").await?;
        let marks = all["restores"].as_array().context("a list")?.iter();
        let of = |m: &Value| {
            (m["afterEntryId"].clone(), m["checkpointId"].clone(), m["takenAt"].clone())
        };
        Ok(marks.map(of).collect())
    };
    let live = marks().await?;
    assert_eq!((live.len(), &live[0].1), (1, &json!(second)));
    post(&toft, &project, "sleep", json!({})).await?;
    assert_eq!(texts(&prompts(&toft, &project).await?), after, "from the server's copy, too");
    assert_eq!(marks().await?, live, "with the place at which it went back");

    // Undone: what was before the restore is a checkpoint of its own.
    let back = format!("checkpoints/{}/restore", text(&done["before"]["id"]));
    let undone = post(&toft, &project, &back, json!({})).await?;
    assert_eq!(undone["machine"]["state"], "running", "only its bridge can say where it stands");
    assert_eq!(output(&toft, &project, "cat f").await?, "three\n");
    let words = ["run `echo one > f`", "run `echo two > f`", "run `echo three > f`"];
    assert_eq!(texts(&prompts(&toft, &project).await?), words);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_a_message_has_its_files_and_history_and_goes_its_own_way() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    if !is_kept_before_prompts(&toft).await? {
        return toft.down();
    }
    let (project, session, _) = with_prompts(&toft, &["one", "two"]).await?;
    let said = prompts(&toft, &project).await?;
    let body = json!({"sessionId": session, "entryId": said[1].1});
    let made = post(&toft, &project, "fork", body).await?;
    let fork = text(&made["projects"][0]["id"]);
    assert_eq!(
        (&made["projects"][0]["name"], made["projects"][0]["state"].as_str()),
        (&json!("Shop fork"), Some("running"))
    );
    assert_eq!(output(&toft, &fork, "cat f").await?, "one\n");
    assert_eq!(texts(&prompts(&toft, &fork).await?), ["run `echo one > f`"]);
    let mut follow = Follow::from(&toft, &fork, 0).await?;
    let first = follow.next().await?;
    assert_eq!((first.seq, first.kind.as_str()), (1, "forked"));
    assert_eq!(first.data["from"], json!(project));
    session::prompt(&toft, &fork, "run `echo fork > f`").await?;
    follow.until_agent_end().await?;
    assert_eq!(output(&toft, &project, "cat f").await?, "two\n", "the origin knows nothing of it");

    // A message that was said before the fork: its checkpoint is the origin's.
    let body = json!({"sessionId": session, "entryId": said[0].1});
    let again = post(&toft, &fork, "fork", body).await?;
    assert_eq!(again["projects"][0]["name"], "Shop fork fork");
    let empty = text(&again["projects"][0]["id"]);
    assert_eq!(output(&toft, &empty, "ls").await?, "");
    assert_eq!(prompts(&toft, &empty).await?, []);

    // Many of one moment, while a program writes.
    let writer = "for i in $(seq 100000); do echo $i > a; echo $i > b; done >/dev/null 2>&1 &";
    output(&toft, &project, &format!("setsid bash -c '{writer}' >/dev/null 2>&1; true")).await?;
    let many = post(&toft, &project, "fork", json!({"count": 4, "name": "Try"})).await?;
    let many = many["projects"].as_array().context("a list")?.clone();
    let names: Vec<_> = many.iter().map(|p| text(&p["name"])).collect();
    assert_eq!(names, ["Try", "Try 2", "Try 3", "Try 4"]);
    let mut seen = Vec::new();
    for one in &many {
        seen.push(output(&toft, &text(&one["id"]), "cat a b; cat f; pgrep -c seq || true").await?);
    }
    ensure!(seen.iter().all(|s| *s == seen[0]), "forks of one moment differ: {seen:?}");

    // Without its origin, asleep, and after a kill of the server it still knows what was said.
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    post(&toft, &fork, "sleep", json!({})).await?;
    toft.kill_server();
    toft.up().await?;
    assert_eq!(texts(&prompts(&toft, &fork).await?), ["run `echo one > f`", "run `echo fork > f`"]);
    assert_eq!(output(&toft, &fork, "cat f").await?, "fork\n");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_in_the_middle_of_work_ends_it_and_nothing_of_it_is_left() -> Result<()> {
    let script = Arc::new(|user: &str, turn: usize| match (user, turn) {
        ("work", 0) => Say {
            text: "Now.".into(),
            tools: vec![("bash".into(), json!({"command": "touch began; sleep 600; touch late"}))],
        },
        _ => Say { text: "Done.".into(), tools: vec![] },
    });
    let provider = Provider::start(Duration::ZERO, script).await?;
    let toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
    let project = toft.new_project("Busy").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    output(&toft, &project, "echo kept > f").await?;
    rest_if_needed(&toft, &project).await?;
    let taken = post(&toft, &project, "checkpoints", json!({"label": "quiet"})).await?;
    session::prompt(&toft, &project, "work").await?;
    follow.until(|e| e.kind == "tool_start").await?;
    output(&toft, &project, "until test -e began; do sleep 0.02; done; echo lost > f").await?;
    let restore = format!("checkpoints/{}/restore", text(&taken["id"]));
    let (one, two) = tokio::join!(
        post(&toft, &project, &restore, json!({})),
        post(&toft, &project, &restore, json!({})),
    );
    for done in [one?, two?] {
        assert_eq!(done["machine"]["state"], "running");
        assert_eq!(done["checkpoint"]["label"], "quiet");
    }
    assert_eq!(output(&toft, &project, "cat f; ls; pgrep -c sleep || true").await?, "kept\nf\n0\n");
    assert_eq!(prompts(&toft, &project).await?, []);
    let state = get(&toft, &project, "toft/state").await?;
    assert_eq!(state["status"], "idle");
    // The agent can be spoken to again.
    session::prompt(&toft, &project, "hello").await?;
    follow
        .until(|e| e.kind == "message_end" && e.data["message"]["content"][0]["text"] == "Done.")
        .await?;
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_of_machines_that_sleep_stand_still_or_are_stopped_wake_nothing() -> Result<()>
{
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Still").await?;
    output(&toft, &project, "echo 0 > f").await?;
    let can = get(&toft, &project, "machine").await?["can"].clone();
    let mut last = Value::Null;
    for (n, (verb, state)) in
        [("sleep", "cold"), ("freeze", "frozen"), ("stop", "stopped")].into_iter().enumerate()
    {
        if verb == "freeze" && can["freeze"] != true {
            continue;
        }
        output(&toft, &project, &format!("echo {n} > f")).await?;
        post(&toft, &project, verb, json!({})).await?;
        let taken = post(&toft, &project, "checkpoints", json!({"label": verb})).await?;
        let made = post(&toft, &project, "fork", json!({})).await?;
        let fork = text(&made["projects"][0]["id"]);
        assert_eq!(output(&toft, &fork, "cat f").await?, format!("{n}\n"));
        let diff =
            get(&toft, &project, &format!("checkpoints/{}/diff", text(&taken["id"]))).await?;
        assert_eq!(diff["changes"], json!([]));
        assert_eq!(get(&toft, &project, "machine").await?["state"], state);
        if state == "frozen" {
            let restore = format!("checkpoints/{}/restore", text(&taken["id"]));
            let done = post(&toft, &project, &restore, json!({})).await?;
            assert_eq!(done["machine"]["state"], "running");
            assert_eq!(output(&toft, &project, "cat f").await?, format!("{n}\n"));
        }
        last = taken;
        if state != "stopped" {
            post(&toft, &project, "wake", json!({})).await?;
        }
    }
    // Going back does not start what a person has stopped.
    let restore = format!("checkpoints/{}/restore", text(&last["id"]));
    let done = post(&toft, &project, &restore, json!({})).await?;
    assert_eq!(done["machine"]["state"], "stopped");
    let started = post(&toft, &project, "start", json!({})).await?;
    assert_eq!(started["state"], "running");
    toft.down()
}

/// As an ordinary user there may be no storage that copies at once, and no group that pauses.
#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_user_goes_back_and_forks_too() -> Result<()> {
    if !lane::root() {
        lane::skip("ordinary user", "making a user needs root; the other stories run as one here");
        return Ok(());
    }
    let toft = Toft::start(Start { as_user: true, ..Start::default() }).await?;
    let project = toft.new_project("Mine").await?;
    let can = get(&toft, &project, "machine").await?["can"].clone();
    assert_eq!((&can["checkpoint"], &can["fork"]), (&json!(true), &json!(true)), "{can}");
    output(&toft, &project, "echo one > f").await?;
    // A prompt is answered whether or not a checkpoint can be taken before it; the list says which.
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "run `echo two > g`").await?;
    follow.until_agent_end().await?;
    let all = get(&toft, &project, "checkpoints").await?;
    let before = all["checkpoints"].as_array().context("a list")?.len();
    ensure!(before == 1 || all["why"].as_str().is_some_and(|why| !why.is_empty()), "{all}");
    // What its own root has closed to itself is copied, too; names of one file stay that, pipes pipes.
    let closed =
        "mkdir -p c/in; echo 1 > c/in/f; echo 2 > h; ln h c/h; mkfifo p; chmod 0 c/in/f c h";
    output(&toft, &project, closed).await?;
    // At rest one can always be taken, gone back to and forked.
    post(&toft, &project, "sleep", json!({})).await?;
    let taken = post(&toft, &project, "checkpoints", json!({"label": "rest"})).await?;
    output(&toft, &project, "echo three > f").await?;
    let look = "stat -c '%n %a %h' c h p c/in/f; cat c/in/f c/h; test -p p; test h -ef c/h";
    let as_before = output(&toft, &project, look).await?;
    output(&toft, &project, "rm -r c h p").await?;
    let path = format!("checkpoints/{}", text(&taken["id"]));
    let done = post(&toft, &project, &format!("{path}/restore"), json!({})).await?;
    assert_eq!(done["machine"]["state"], "running");
    assert_eq!(output(&toft, &project, "cat f g").await?, "one\ntwo\n");
    assert_eq!(output(&toft, &project, look).await?, as_before);
    ensure!(as_before.starts_with("c 0 ") && as_before.contains("h 0 2\n"), "{as_before}");
    let body = json!({"checkpointId": done["before"]["id"], "count": 2});
    let made = post(&toft, &project, "fork", body).await?;
    for one in made["projects"].as_array().context("a list")? {
        assert_eq!(output(&toft, &text(&one["id"]), "cat f").await?, "three\n");
    }
    toft.call("DELETE", &format!("/v1/projects/{project}/{path}"), None).await?;
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_ran_runs_again_when_the_server_is_killed_while_it_goes_back() -> Result<()>
{
    let mut toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Cut").await?;
    output(&toft, &project, "echo old > f; sync -f f").await?;
    rest_if_needed(&toft, &project).await?;
    let taken = post(&toft, &project, "checkpoints", json!({})).await?;
    output(&toft, &project, "echo new > f; sync -f f").await?;
    let restore = format!("/v1/projects/{project}/checkpoints/{}/restore", text(&taken["id"]));
    // Before the files were exchanged, and after.
    for (step, text) in [("restore.copied", "new\n"), ("restore.exchanged", "old\n")] {
        toft.kill_server();
        toft.up_with("TOFT_KILL_AT", &format!("{step}:1")).await?;
        let cut = toft.call("POST", &restore, Some(json!({}))).await;
        ensure!(cut.is_err(), "{step}: {cut:?}");
        toft.await_end()?;
        toft.up().await?;
        // Nobody asks for anything: looking wakes nothing.
        let machine = get(&toft, &project, "machine").await?;
        assert_eq!(machine["state"], "running", "{step}: {machine}");
        let cause = &machine["wakes"][0]["cause"];
        assert_eq!(*cause, "the server ended while the project went back to a checkpoint");
        assert_eq!(output(&toft, &project, "cat f").await?, text, "{step}");
    }
    // What was done is not done again.
    post(&toft, &project, "sleep", json!({})).await?;
    toft.kill_server();
    toft.up().await?;
    assert_eq!(get(&toft, &project, "machine").await?["state"], "cold");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fork_shares_with_its_origin_is_told_beside_what_it_wrote() -> Result<()> {
    const MIB: u64 = 1 << 20;
    let toft = Toft::start(Start::default()).await?;
    let origin = toft.new_project("Origin").await?;
    if get(&toft, &origin, "disk").await?["exclusiveBytes"].is_null() {
        lane::skip("shared bytes", "the storage of this host counts nothing");
        return toft.down();
    }
    let write = "for i in $FILES; do head -c 4M /dev/urandom > $i; done; sync -f .";
    let write = |files: &str| format!("FILES='{files}'; {write}");
    output(&toft, &origin, &write("1 2 3 4 5")).await?;
    let made = post(&toft, &origin, "fork", json!({})).await?;
    let fork = text(&made["projects"][0]["id"]);
    let disk = async |of: &str| -> Result<(u64, u64, Value)> {
        let disk = get(&toft, of, "disk").await?;
        let field = |name: &str| disk[name].as_u64().with_context(|| format!("{name}: {disk}"));
        Ok((field("exclusiveBytes")? / MIB, field("sharedBytes")? / MIB, disk))
    };
    // Its template and its own few files are less than this.
    let about = |megabytes: u64, wanted: u64| (wanted..wanted + 3).contains(&megabytes);
    for (files, wrote, shares) in [("", 0, 20), ("1", 4, 16), ("2 6", 12, 12)] {
        output(&toft, &fork, &write(files)).await?;
        let (own, shared, all) = disk(&fork).await?;
        ensure!(about(own, wrote) && about(shared, shares), "after {files:?}: {all}");
    }
    // A checkpoint keeps holding what the disk let go.
    post(&toft, &fork, "checkpoints", json!({})).await?;
    output(&toft, &fork, "rm 3; sync -f .").await?;
    ensure!(about(disk(&fork).await?.1, 12), "of what its checkpoint holds");
    let (own, shared, all) = disk(&origin).await?;
    ensure!(about(own, 20) && about(shared, 0), "{all}");
    let of = |name: &str| all[name].as_u64().unwrap_or_default();
    ensure!(of("totalBytes") >= 32 * MIB && of("totalBytes") < of("capBytes"), "{all}");
    ensure!(of("freeBytes") > 0 && of("yieldBelowBytes") > 0, "{all}");
    // Without its origin it has what it had.
    toft.call("DELETE", &format!("/v1/projects/{origin}"), None).await?;
    ensure!(about(disk(&fork).await?.1, 12), "its origin is gone");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_takes_lists_compares_restores_and_forks() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Cli").await?;
    output(&toft, &project, "echo one > f").await?;
    let run = |args: &[&str]| -> Result<String> {
        let out = toft.cli(args)?;
        ensure!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8(out.stdout)?)
    };
    rest_if_needed(&toft, &project).await?;
    let id = run(&["checkpoint", "Cli", "--label", "start"])?.trim().to_owned();
    output(&toft, &project, "echo two > f").await?;
    let list = run(&["checkpoints", "Cli"])?;
    ensure!(list.contains(&id) && list.contains("start") && list.contains("manual"), "{list}");
    let rule = run(&["checkpoints", "Cli", "--keep-last", "7", "--automatic", "no", "--json"])?;
    let rule: Value = serde_json::from_str(&rule)?;
    assert_eq!(
        (&rule["rule"], &rule["automatic"]),
        (&json!({"last": 7, "hourly": 24, "daily": 14}), &json!(false))
    );
    let disk = run(&["disk", "Cli"])?;
    ensure!(disk.contains("shared with others:") && disk.contains("free for all"), "{disk}");
    ensure!(run(&["diff", "Cli", &id])?.contains("~ /home/project/f"), "the file is named");
    let one = run(&["diff", "Cli", &id, "--path", "/home/project/f"])?;
    ensure!(one.contains("-one\n+two\n"), "{one}");
    let done: Value = serde_json::from_str(&run(&["restore", "Cli", &id, "--json"])?)?;
    assert_eq!(done["checkpoint"]["id"], json!(id));
    assert_eq!(output(&toft, &project, "cat f").await?, "one\n");
    let forks = run(&["fork", "Cli", "--from", &id, "--count", "2", "--name", "Two"])?;
    assert_eq!(forks.lines().count(), 2, "{forks}");
    run(&["checkpoints", "Cli", "--rm", &id])?;
    let gone = toft.cli(&["restore", "Cli", &id])?;
    ensure!(!gone.status.success(), "a deleted one cannot be restored");
    ensure!(String::from_utf8_lossy(&gone.stderr).contains("not_found"), "it says why");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_started_is_started_for_a_copy_of_it_and_counts_nothing_before() -> Result<()>
{
    let toft = Toft::start(Start::default()).await?;
    for (name, copy) in [("One", "fork"), ("Two", "checkpoints")] {
        let made = json!({"name": name, "start": false});
        let made = toft.call("POST", "/v1/projects", Some(made)).await?;
        let project = text(&made["id"]);
        let disk = get(&toft, &project, "disk").await?;
        ensure!(disk["exclusiveBytes"].is_null(), "{disk}");
        post(&toft, &project, copy, json!({})).await?;
    }
    toft.down()
}
