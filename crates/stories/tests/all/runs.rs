//! Somebody has work done by the API that nobody watches: it is planned, built, committed and told, once, whoever dies
//! meanwhile.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    processes::kill9,
    provider::{Provider, Say, Script},
    runs::{self, is_over, place},
    toft::{STEP_TIMEOUT, Start, Toft},
};

pub(crate) const PLAN: &str = "```json\n{\"summary\": \"A file.\", \"todos\": [{\"id\": \"a\", \"title\": \"Make it\"}]}\n```";

const SLOW: &str = "```json\n{\"summary\": \"Slowly.\", \"todos\": [{\"id\": \"a\", \"title\": \"Work slowly\"}]}\n```";

const WORDS: &str = "I would write one line into a file, and nothing else.";

pub(crate) fn say(text: &str) -> Say {
    Say { text: text.into(), tools: vec![] }
}

pub(crate) fn call(tool: &str, arguments: Value) -> Say {
    Say { text: "Now.".into(), tools: vec![(tool.into(), arguments)] }
}

/// Plans so, and builds what it was asked for: a line in a file, then its last words.
fn script(plan: &'static str) -> Script {
    Arc::new(move |user, turn| {
        let building = user.contains("[Plan mode is over");
        match turn {
            0 if building && user.contains("slowly") => {
                call("bash", json!({"command": "sleep 3600"}))
            }
            0 if building => call("bash", json!({"command": "echo a line >> made"})),
            _ if user.contains("[Plan mode.") => say(plan),
            _ => say("It is done."),
        }
    })
}

/// A request with headers of its own: status, and the whole answer.
pub(crate) async fn send(
    toft: &Toft,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: Option<Value>,
) -> Result<(u16, Value)> {
    let url = format!("{}{path}", toft.base);
    let mut request = toft.http().request(method.parse()?, url).timeout(STEP_TIMEOUT);
    request = request.header("x-agent-api-key", &toft.token);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.json().await?))
}

/// All that a run tells, until its stream ends.
pub(crate) async fn stream(
    toft: &Toft,
    path: &str,
    after: Option<u64>,
) -> Result<Vec<(u64, String, Value)>> {
    let url = format!("{}{path}/stream", toft.base);
    let mut request = toft.http().get(url).bearer_auth(&toft.token).timeout(STEP_TIMEOUT);
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    let answer = request.send().await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    ensure!(answer.headers().contains_key("x-run-id"), "x-run-id");
    read(&answer.text().await?)
}

fn read(text: &str) -> Result<Vec<(u64, String, Value)>> {
    let told = runs::read(&mut text.to_owned())?;
    Ok(told.into_iter().map(|one| (one.id, one.kind, one.data)).collect())
}

/// The words of all `status` events.
pub(crate) fn statuses(events: &[(u64, String, Value)]) -> Vec<&str> {
    let status = events.iter().filter(|(_, kind, _)| kind == "status");
    status.filter_map(|(_, _, data)| data["status"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_planned_built_committed_and_told_once() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script(PLAN)).await?;
    let toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
    let project = place(&toft).await?;
    let runs = format!("/v1/projects/{project}/runs");

    // What is asked for must be clear.
    for (key, body, want) in [
        (None, json!({"prompt": "go"}), "Idempotency-Key"),
        (Some(" "), json!({"prompt": "go"}), "Idempotency-Key"),
        (Some("k"), json!({"prompt": "  "}), "prompt"),
        (Some("k"), json!({}), "prompt"),
        (Some("k"), json!({"prompt": "go", "provider": "nobody"}), "nobody"),
        (Some("k"), json!({"prompt": "go", "workspaceBackend": "moon"}), "workspaceBackend"),
    ] {
        let (status, answer) = send(&toft, "POST", &runs, key, Some(body)).await?;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (400, &json!("invalid_argument")),
            "{answer}"
        );
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        ensure!(message.contains(want), "{message}");
    }

    let body = json!({"prompt": "make a file", "input": {"n": 1}});
    let (status, first) = send(&toft, "POST", &runs, Some("one"), Some(body.clone())).await?;
    assert_eq!((status, &first["ok"]), (200, &json!(true)), "{first}");
    let first = first["data"].clone();
    assert_eq!(
        (&first["runIndex"], &first["writable"], &first["created"], &first["parentRunId"]),
        (&json!(1), &json!(true), &json!(true), &Value::Null)
    );
    let at = format!("{runs}/{}", first["id"].as_str().context("an id")?);
    let events = stream(&toft, &at, None).await?;
    let run = toft.call("GET", &at, None).await?;
    assert_eq!((&run["status"], &run["error"]), (&json!("completed"), &Value::Null), "{run}");
    let numbers: Vec<u64> = events.iter().map(|(id, ..)| *id).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let told = statuses(&events);
    let order = [
        "queued",
        "running",
        "phase_started",
        "model_resolved",
        "plan_ready",
        "phase_completed",
        "phase_transition",
        "phase_started",
        "rollback_snapshot",
        "phase_completed",
        "git_commit",
        "workspace_snapshot_stored",
    ];
    assert_eq!(told, order, "{events:#?}");
    let (_, last, done) = events.last().context("it ends")?;
    assert_eq!((last.as_str(), &done["output"]), ("done", &json!("It is done.")));
    assert_eq!(run["output"], "It is done.");
    let tokens: String = events
        .iter()
        .filter(|(_, kind, _)| kind == "token")
        .filter_map(|(_, _, data)| data["token"].as_str())
        .collect();
    ensure!(tokens.contains("A file.") && tokens.ends_with("It is done."), "{tokens}");
    let tools: Vec<&Value> =
        events.iter().filter(|(_, kind, _)| kind == "tool").map(|(_, _, data)| data).collect();
    ensure!(tools.iter().any(|t| t["phase"] == "start" && t["runPhase"] == "build"), "{tools:?}");
    ensure!(tools.iter().any(|t| t["phase"] == "end" && t["tool"] == "bash"), "{tools:?}");
    let commit = run["commitSha"].as_str().context("a commit")?;
    let log = toft.exec(&project, "git log --format='%H %s' && cat made").await?;
    let log = log["stdout"].as_str().unwrap_or_default();
    ensure!(
        log.contains(commit) && log.contains("apply run") && log.ends_with("a line\n"),
        "{log}"
    );
    ensure!(run["usage"]["totalTokens"].as_u64().is_some_and(|n| n > 0), "{run}");
    assert_eq!((&run["cost"], &run["meta"]["attempt"]), (&Value::Null, &json!(1)), "{run}");
    assert_eq!(run["input"], json!({"n": 1}));

    // The same again is the same run, also as a stream; another one under its key is refused.
    let (_, again) = send(&toft, "POST", &runs, Some("one"), Some(body.clone())).await?;
    assert_eq!((&again["data"]["id"], &again["data"]["created"]), (&first["id"], &json!(false)));
    let changed = json!({"prompt": "make another"});
    let (status, refused) = send(&toft, "POST", &runs, Some("one"), Some(changed)).await?;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("conflict")), "{refused}");
    let streamed = toft
        .http()
        .post(format!("{}{runs}", toft.base))
        .header("x-agent-api-key", &toft.token)
        .header("idempotency-key", "one")
        .json(&json!({"prompt": "make a file", "input": {"n": 1}, "stream": true}))
        .timeout(STEP_TIMEOUT)
        .send()
        .await?;
    assert_eq!(read(&streamed.text().await?)?, events);
    for after in [0, 1, numbers.len() as u64 - 1, numbers.len() as u64] {
        let rest = stream(&toft, &at, Some(after)).await?;
        assert_eq!(rest, events[usize::try_from(after)?..]);
    }
    for wrong in ["9999999", "-1", "x"] {
        let url = format!("{}{at}/stream", toft.base);
        let asked = toft.http().get(url).bearer_auth(&toft.token).header("last-event-id", wrong);
        assert_eq!(asked.send().await?.status().as_u16(), 400, "{wrong}");
    }

    assert_eq!(
        toft.call("GET", &format!("/v1/projects/{project}"), None).await?["latestRunId"],
        first["id"]
    );

    // What it left is kept outside of the machine.
    let url = format!("{}{at}/download.zip", toft.base);
    let zip = toft.http().get(url).bearer_auth(&toft.token).send().await?;
    assert_eq!(zip.headers()["content-type"], "application/zip");
    let zip = zip.bytes().await?;
    ensure!(zip.starts_with(b"PK"), "it is an archive");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("w.zip");
    std::fs::write(&file, &zip)?;
    let listed =
        std::process::Command::new("python3").args(["-m", "zipfile", "-l"]).arg(&file).output()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(listed.contains("made") && !listed.contains(".git"), "{listed}");

    // A message goes on in its conversation, and is the one that may be ended now.
    let messages = format!("/v1/projects/{project}/messages");
    let body = json!({"content": "and one more"});
    let (status, second) = send(&toft, "POST", &messages, Some("two"), Some(body)).await?;
    assert_eq!(status, 200, "{second}");
    let second = &second["data"];
    assert_eq!(
        (&second["run"]["runIndex"], &second["run"]["parentRunId"], &second["message"]["role"]),
        (&json!(2), &first["id"], &json!("user"))
    );
    let at2 = format!("{runs}/{}", second["run"]["id"].as_str().context("an id")?);
    let done = toft.until(&at2, is_over).await?;
    assert_eq!((&done["status"], &done["sessionId"]), (&json!("completed"), &run["sessionId"]));
    let made = toft.exec(&project, "cat made").await?;
    assert_eq!(made["stdout"], "a line\na line\n");
    let list = toft.call("GET", &runs, None).await?;
    let list: Vec<_> = list
        .as_array()
        .context("a list")?
        .iter()
        .map(|r| (&r["runIndex"], &r["writable"]))
        .collect();
    assert_eq!(list, [(&json!(2), &json!(true)), (&json!(1), &json!(false))]);
    let said = toft.call("GET", &format!("{at2}/messages"), None).await?;
    let said: Vec<_> =
        said.as_array().context("a list")?.iter().map(|m| m["role"].as_str()).collect();
    assert_eq!(said, [Some("user"), Some("assistant")]);
    for run in [&at, &at2] {
        let (status, over) = send(&toft, "POST", &format!("{run}/cancel"), None, None).await?;
        assert_eq!((status, &over["data"]["cancelled"]), (200, &json!(false)), "{over}");
    }
    let (status, missing) = send(&toft, "GET", &format!("{runs}/nobody"), None, None).await?;
    assert_eq!((status, &missing["error"]["code"]), (404, &json!("not_found")));
    // Orders are the worker's alone.
    let order = format!("/v1/projects/{project}/toft/runs/aaaaaaaaaaaa");
    assert_eq!(send(&toft, "PUT", &order, None, Some(json!({}))).await?.0, 403);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_stops_within_a_second_and_leaves_nothing_running() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script(SLOW)).await?;
    let toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
    let project = place(&toft).await?;
    let runs = format!("/v1/projects/{project}/runs");
    let body = Some(json!({"prompt": "work slowly"}));
    let (_, slow) = send(&toft, "POST", &runs, Some("slow"), body.clone()).await?;
    let (_, waits) = send(&toft, "POST", &runs, Some("waits"), body).await?;
    let at = |run: &Value| format!("{runs}/{}", run["data"]["id"].as_str().unwrap_or_default());
    let (slow, waits) = (at(&slow), at(&waits));
    // Of a project one at a time; the one that waits is the latest, and ends at once.
    toft.until(&slow, |run| run["phase"] == "build").await?;
    assert_eq!(toft.call("GET", &waits, None).await?["status"], "queued");
    let (_, not) = send(&toft, "POST", &format!("{slow}/cancel"), None, None).await?;
    assert_eq!(
        (&not["data"]["cancelled"], &not["data"]["writable"]),
        (&json!(false), &json!(false))
    );
    let (_, ended) = send(&toft, "POST", &format!("{waits}/cancel"), None, None).await?;
    assert_eq!(
        (&ended["data"]["cancelled"], &ended["data"]["status"]),
        (&json!(true), &json!("cancelled"))
    );
    assert_eq!(statuses(&stream(&toft, &waits, None).await?), ["queued", "cancelled"]);
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;

    // One that is worked on ends with what it began.
    let project = place(&toft).await?;
    let runs = format!("/v1/projects/{project}/runs");
    let (_, one) =
        send(&toft, "POST", &runs, Some("one"), Some(json!({"prompt": "work slowly"}))).await?;
    let one = format!("{runs}/{}", one["data"]["id"].as_str().unwrap_or_default());
    toft.until(&one, |run| run["phase"] == "build").await?;
    let (_, ended) = send(&toft, "POST", &format!("{one}/cancel"), None, None).await?;
    assert_eq!(ended["data"]["cancelled"], true, "{ended}");
    let run = toft.until(&one, is_over).await?;
    assert_eq!(run["status"], "cancelled", "{run}");
    let left = toft.exec(&project, "pgrep -x sleep || echo none").await?;
    assert_eq!(left["stdout"], "none\n");
    assert_eq!(statuses(&stream(&toft, &one, None).await?).last(), Some(&"cancelled"));
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn workspaces_of_the_newest_runs_are_kept() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script(PLAN)).await?;
    let mut env = provider.env("sk-s");
    env.push(("TOFT_WORKSPACES_KEPT".into(), "2".into()));
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    let project = place(&toft).await?;
    let runs = format!("/v1/projects/{project}/runs");
    let mut all = Vec::new();
    for key in ["one", "two", "three"] {
        let (_, run) = send(&toft, "POST", &runs, Some(key), Some(json!({"prompt": "go"}))).await?;
        let at = format!("{runs}/{}", run["data"]["id"].as_str().context("an id")?);
        assert_eq!(toft.until(&at, is_over).await?["status"], "completed");
        all.push(at);
    }
    let download = async |at: &str| {
        let url = format!("{}{at}/download.zip", toft.base);
        Ok::<_, anyhow::Error>(
            toft.http().get(url).bearer_auth(&toft.token).send().await?.status().as_u16(),
        )
    };
    // It goes right after the end of the run that it makes room for.
    let until = std::time::Instant::now() + STEP_TIMEOUT;
    while download(&all[0]).await? != 409 {
        ensure!(std::time::Instant::now() < until, "the oldest workspace stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((download(&all[1]).await?, download(&all[2]).await?), (200, 200));
    let kept = toft.data.join("artifacts/runs").join(&project);
    assert_eq!(std::fs::read_dir(&kept)?.count(), 2);
    // Those of a deleted project go with it.
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    ensure!(!kept.exists() || std::fs::read_dir(&kept)?.next().is_none(), "they are gone");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_outlives_its_server_and_its_bridge() -> Result<()> {
    let provider = Provider::start(Duration::from_millis(30), script(PLAN)).await?;
    let mut toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
    for n in 0..6_u64 {
        let project = place(&toft).await?;
        let runs = format!("/v1/projects/{project}/runs");
        let (_, run) = send(&toft, "POST", &runs, Some("k"), Some(json!({"prompt": "go"}))).await?;
        let at = format!("{runs}/{}", run["data"]["id"].as_str().context("an id")?);
        tokio::time::sleep(Duration::from_millis(n * 150)).await;
        if n % 2 == 0 {
            toft.kill_server();
            toft.up().await?;
        } else {
            kill9(toft.bridge(&project).await?);
        }
        let run = toft.until(&at, is_over).await?;
        assert_eq!(run["status"], "completed", "killed after {n}: {run}");
        let events = stream(&toft, &at, None).await?;
        let numbers: Vec<u64> = events.iter().map(|(id, ..)| *id).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        let told = statuses(&events);
        for once in ["queued", "running", "plan_ready", "phase_transition", "git_commit"] {
            assert_eq!(told.iter().filter(|s| **s == once).count(), 1, "{once} of {told:?}");
        }
        assert_eq!(
            toft.exec(&project, "cat made").await?["stdout"],
            "a line\n",
            "killed after {n}"
        );
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_they_approve_also_where_the_plan_is_only_words() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script(WORDS)).await?;
    let toft = Toft::start(Start { env: provider.env("sk-w"), ..Start::default() }).await?;
    let project = place(&toft).await?;
    let runs = format!("/v1/projects/{project}/runs");
    let body = json!({"prompt": "a line, planned in words", "approval": true});
    let (_, run) = send(&toft, "POST", &runs, Some("words"), Some(body)).await?;
    let id = run["data"]["id"].as_str().context("an id")?.to_owned();
    let at = format!("{runs}/{id}");
    let waiting = toft.until(&at, |run| run["waitsFor"] == "approval").await?;
    assert_eq!((&waiting["status"], &waiting["phase"]), (&json!("running"), &json!("plan")));
    toft.call("POST", &format!("/v1/projects/{project}/toft/runs/{id}/approve"), Some(json!({})))
        .await?;
    let run = toft.until(&at, is_over).await?;
    assert_eq!((&run["status"], &run["waitsFor"]), (&json!("completed"), &Value::Null), "{run}");
    let told = stream(&toft, &at, None).await?;
    let seen: Vec<&str> = statuses(&told)
        .into_iter()
        .filter(|status| ["plan_ready", "waiting", "phase_transition"].contains(status))
        .collect();
    assert_eq!(seen, ["plan_ready", "waiting", "waiting", "phase_transition"]);
    let plan = told.iter().find(|(_, _, data)| data["status"] == "plan_ready").context("a plan")?;
    assert!(plan.2.to_string().contains("one line into a file"), "{plan:?}");
    let waits: Vec<_> = told.iter().filter(|(_, _, data)| data["status"] == "waiting").collect();
    assert_eq!(waits[0].2["waitsFor"], "approval");
    assert_eq!(waits[1].2["waitsFor"], Value::Null);
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}
