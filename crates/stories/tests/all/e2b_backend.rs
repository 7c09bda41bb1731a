//! Machines in sandboxes of E2B's: the same agent there, its keys here. E2B is a double that is held to
//! E2B's own client (`e2b_sdk`); the sandboxes have no network but the tunnel.

use super::spine::builder;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use toft_stories::{
    e2b::{E2b, Fates, KEY},
    lane, processes,
    provider::{Provider, Say, Script},
    scan,
    session::{self, Follow},
    toft::{STEP_TIMEOUT, Start, Toft, binary},
};

const PROVIDER_KEY: &str = "sk-provider-key-for-e2b-4711";

fn skipped() -> bool {
    if !lane::root() {
        lane::skip(
            "machines at E2B",
            "the double's sandboxes are namespaces, which take root here",
        );
    }
    !lane::root()
}

async fn started(e2b: &E2b, provider: &Provider) -> Result<Toft> {
    let env = e2b.env().into_iter().chain(provider.env(PROVIDER_KEY)).collect();
    let args = vec!["--backend".to_owned(), "e2b".to_owned()];
    Toft::start(Start { env, args, ..Start::default() }).await
}

/// The one sandbox that there is.
fn sandbox(e2b: &E2b) -> Result<String> {
    let all = e2b.sandboxes();
    let [(id, _)] = all.as_slice() else { anyhow::bail!("not one sandbox: {all:?}") };
    Ok(id.clone())
}

/// A project's folder, as it is on this host.
fn folder(e2b: &E2b, project: &str) -> Result<PathBuf> {
    let of = e2b.folder(&sandbox(e2b)?).context("a sandbox has a folder")?;
    Ok(of.join("root/projects").join(project))
}

async fn state(toft: &Toft, project: &str, wanted: &str) -> Result<Value> {
    toft.until(&format!("/v1/projects/{project}/machine"), |m| m["state"] == wanted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_works_in_a_sandbox_whoever_dies_and_no_key_is_in_it() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let e2b = E2b::start().await?;
    let provider = Provider::start(Duration::from_millis(2), builder()).await?;
    let mut toft = started(&e2b, &provider).await?;
    let project = toft.new_project("Far").await?;
    let of = format!("/v1/projects/{project}");
    let ran = toft.exec(&project, "pwd; id -un").await?;
    assert_eq!(ran["stdout"], format!("/root/projects/{project}\nroot\n"), "{ran}");
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["backend"], "e2b");

    // The server is killed in the middle of a turn: what runs goes on, and the next one is there for it.
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "write hello").await?;
    follow.until(|e| e.kind == "tool_start").await?;
    toft.kill_server();
    toft.up().await?;
    let mut follow = Follow::from(&toft, &project, follow.last).await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("done")));
    assert_eq!(provider.faults(), Vec::<String>::new());
    let made = folder(&e2b, &project)?.join("hello.sh");
    assert_eq!(fs::read_to_string(&made)?, "echo good morning from the machine\n");
    let transcript = session::transcript(&toft, &project).await?;
    assert!(transcript.iter().any(|m| m.to_string().contains("good morning from the machine")));

    // Neither key is there, nor is E2B's anywhere on this host's disk.
    let id = sandbox(&e2b)?;
    let pids = e2b.pids(&id);
    ensure!(pids.len() >= 3, "init, bridge and tunnel at least: {pids:?}");
    for key in [KEY, PROVIDER_KEY] {
        let holds = |pid: &&u32| processes::memory_holds(**pid, key.as_bytes());
        let found: Vec<_> = pids.iter().filter(holds).collect();
        ensure!(found.is_empty(), "{key} is in the memory of {found:?}");
        let folder = e2b.folder(&id).context("it has a folder")?;
        let files = processes::files_holding(&folder, key.as_bytes());
        ensure!(files.is_empty(), "{key} is in {files:?}");
        let written = scan::written(&toft, key.as_bytes());
        ensure!(written.is_empty(), "{key} is in {written:?}");
    }

    // It has no way out but the gateway's.
    let way = "(exec 3<>/dev/tcp/127.0.0.1/PORT) 2>/dev/null && echo reached || echo not";
    let way = way.replace("PORT", &e2b.addr.port().to_string());
    assert_eq!(toft.exec(&project, &way).await?["stdout"], "not\n");

    // Asleep is paused, with its files; what ran has ended.
    toft.exec(&project, "echo kept > kept; setsid sleep 3002 >/dev/null 2>&1 & sleep 0.1").await?;
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    assert_eq!(e2b.sandboxes(), [(id.clone(), false)], "it is paused");
    assert_eq!(session::transcript(&toft, &project).await?, transcript, "reads wake nothing");
    assert_eq!(e2b.sandboxes(), [(id.clone(), false)], "reads wake nothing");
    let ran = toft.exec(&project, "cat kept; pgrep -fc '^sleep 300[23]$'").await?;
    assert_eq!(ran["stdout"], "kept\n0\n", "{ran}");
    assert_eq!(e2b.sandboxes(), [(id.clone(), true)], "the same one");

    // Frozen is paused, with what runs.
    toft.exec(&project, "setsid sleep 3003 >/dev/null 2>&1 & sleep 0.1").await?;
    toft.call("POST", &format!("{of}/freeze"), Some(json!({}))).await?;
    state(&toft, &project, "frozen").await?;
    assert_eq!(e2b.sandboxes(), [(id.clone(), false)]);
    toft.kill_server();
    toft.up().await?;
    state(&toft, &project, "frozen").await?;
    assert_eq!(e2b.sandboxes(), [(id.clone(), false)], "a new server wakes nothing");
    let ran = toft.exec(&project, "cat kept; pgrep -fc '^sleep 300[23]$'").await?;
    assert_eq!(ran["stdout"], "kept\n1\n", "{ran}");
    // The gateway is reached again, too.
    let mut follow = Follow::from(&toft, &project, follow.last).await?;
    session::prompt(&toft, &project, "again").await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("done")));

    toft.call("DELETE", &of, None).await?;
    ensure!(e2b.sandboxes().is_empty(), "something of it is left there");
    assert_eq!(e2b.faults(), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_and_a_sandbox_that_was_paused_cost_nothing() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let e2b = E2b::start().await?;
    let provider = Provider::start(Duration::from_millis(5), builder()).await?;
    let mut toft = started(&e2b, &provider).await?;
    let project = toft.new_project("Broken").await?;
    toft.exec(&project, "true").await?;
    let id = sandbox(&e2b)?;

    // Every connection breaks, again and again, while the agent works.
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "write hello").await?;
    for _ in 0..3 {
        follow.until(|e| e.kind == "message_update" || e.kind == "tool_start").await?;
        e2b.break_connections();
    }
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("done")));
    let made = folder(&e2b, &project)?.join("hello.sh");
    assert_eq!(fs::read_to_string(&made)?, "echo good morning from the machine\n");

    // Much comes through whole, in both directions.
    let sum = "head -c 20000000 /dev/zero | tr '\\0' x | tee big | md5sum; cat big | wc -c";
    let ran = toft.exec(&project, sum).await?;
    assert_eq!(ran["exitCode"], 0, "{ran}");
    let printed = toft.exec(&project, "head -c 3000000 big").await?;
    ensure!(printed["stdout"].as_str().is_some_and(|out| !out.is_empty()), "no output");

    // No server says a word for a while: E2B pauses it in the middle of a turn, which goes on with the next.
    session::prompt(&toft, &project, "again").await?;
    follow.until(|e| e.kind == "tool_start").await?;
    toft.kill_server();
    e2b.time_is_up(&id).await?;
    // Somebody's else, one of this server's that no project has, and what else there is.
    let own = e2b.metadata(&id).context("it has metadata")?;
    let server = own["toft_server"].as_str().context("it says whose it is")?.to_owned();
    let others =
        e2b.somebody_elses(&[("toft_server", "another"), ("toft_project", "a23456789bcd")]);
    let others = others.await?;
    let plain = e2b.somebody_elses(&[]).await?;
    let orphan = [("toft_server", server.as_str()), ("toft_project", "b23456789bcd")];
    let orphan = e2b.somebody_elses(&orphan).await?;
    toft.up().await?;
    let mut follow = Follow::from(&toft, &project, follow.last).await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("done")));
    let until = std::time::Instant::now() + STEP_TIMEOUT;
    while e2b.sandboxes().iter().any(|(id, _)| *id == orphan) {
        ensure!(std::time::Instant::now() < until, "a sandbox of nobody's stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut left: Vec<String> = e2b.sandboxes().into_iter().map(|(id, _)| id).collect();
    let mut wanted = vec![id, others, plain];
    left.sort();
    wanted.sort();
    assert_eq!(left, wanted, "those of others are not touched");
    assert_eq!(e2b.faults(), Vec::<String>::new());
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}

const PLAN: &str = "```json\n{\"summary\": \"A file.\", \"todos\": [{\"id\": \"a\", \"title\": \"Make it\"}]}\n```";

fn runner() -> Script {
    Arc::new(|user, turn| {
        let say = |text: &str| Say { text: text.into(), tools: vec![] };
        let command = json!({"command": "echo a line >> made"});
        match turn {
            0 if user.contains("[Plan mode is over") => {
                Say { text: "Now.".into(), tools: vec![("bash".into(), command)] }
            }
            _ if user.contains("[Plan mode.") => say(PLAN),
            _ => say("It is done."),
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_done_in_a_sandbox_and_what_it_left_is_kept_here() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    // E2B is overloaded now and then.
    let refusals = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refusals);
    let fates: Fates = Arc::new(move |number, place| {
        let refuse =
            number % 3 == 1 && !place.contains("/process.Process/S") && !place.ends_with("/files");
        refuse.then(|| {
            if counted.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { 503 } else { 429 }
        })
    });
    let e2b = E2b::start_with(fates).await?;
    let provider = Provider::start(Duration::ZERO, runner()).await?;
    let toft = started(&e2b, &provider).await?;
    let project = toft.new_project("Run").await?;
    let runs = format!("/v1/projects/{project}/runs");
    let asked = toft
        .http()
        .post(format!("{}{runs}", toft.base))
        .bearer_auth(&toft.token)
        .header("idempotency-key", "one")
        .json(&json!({"prompt": "make a file"}))
        .send()
        .await?;
    let asked: Value = asked.json().await?;
    let at = format!("{runs}/{}", asked["data"]["id"].as_str().with_context(|| asked.to_string())?);
    let over = |run: &Value| ["completed", "error"].iter().any(|status| run["status"] == *status);
    let run = toft.until(&at, over).await?;
    assert_eq!(
        (&run["status"], &run["output"]),
        (&json!("completed"), &json!("It is done.")),
        "{run}"
    );
    assert_eq!(fs::read_to_string(folder(&e2b, &project)?.join("made"))?, "a line\n");
    assert_eq!(run["meta"]["sandboxId"], json!(sandbox(&e2b)?));
    let told = toft.http().get(format!("{}{at}/stream", toft.base)).bearer_auth(&toft.token);
    let told = told.send().await?.text().await?;
    let created =
        told.lines().find(|line| line.contains("sandbox_created")).context("it is told")?;
    let created: Value = serde_json::from_str(created.trim_start_matches("data: "))?;
    assert_eq!(created["data"]["sandboxId"], run["meta"]["sandboxId"]);
    assert_eq!(created["data"]["appDir"], json!(format!("/root/projects/{project}")));
    assert_eq!(created["data"]["downloadPath"], json!(format!("{at}/download.zip")));

    // What it left is here, also when the sandbox is gone.
    toft.until(&at, |run| !run["artifacts"].as_array().is_some_and(Vec::is_empty)).await?;
    let zip = loop {
        let zip = toft.http().get(format!("{}{at}/download.zip", toft.base));
        let zip = zip.bearer_auth(&toft.token).send().await?;
        if zip.status() == 200 {
            break zip.bytes().await?;
        }
        ensure!(zip.status() == 409, "{}", zip.status());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    ensure!(zip.starts_with(b"PK"), "it is an archive");
    ensure!(refusals.load(Ordering::Relaxed) > 2, "E2B was overloaded");
    assert_eq!(e2b.faults(), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_and_an_unknown_template_say_what_to_do() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let e2b = E2b::start().await?;
    let data = tempfile::tempdir()?;
    let secret = "e2b_wrong-s3cret-canary";
    let at = format!("http://{}", e2b.addr);
    let up = |env: &[(&str, &str)]| {
        Command::new(binary())
            .args(["up", "--listen", "127.0.0.1:0", "--backend", "e2b", "--data"])
            .arg(data.path().join("data"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(env.iter().copied())
            .output()
    };
    for (env, words) in [
        (vec![], "E2B_API_KEY is not set"),
        (vec![("E2B_API_KEY", secret)], "E2B_TEMPLATE is not set"),
        (
            vec![("E2B_API_KEY", secret), ("E2B_TEMPLATE", "x"), ("E2B_API_URL", at.as_str())],
            "Set E2B_API_KEY",
        ),
        (
            vec![
                ("E2B_API_KEY", secret),
                ("E2B_TEMPLATE", "x"),
                ("E2B_API_URL", "http://127.0.0.1:1"),
                ("E2B_RETRY_ATTEMPTS", "2"),
                ("E2B_RETRY_BASE_DELAY_MS", "10"),
            ],
            "E2B_API_URL",
        ),
    ] {
        let out = up(&env)?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(!out.status.success() && said.contains(words), "{words}: {said}");
        ensure!(!said.contains("canary"), "the key is shown: {said}");
    }

    let mut env = e2b.env();
    env.retain(|(name, _)| name != "E2B_TEMPLATE");
    env.push(("E2B_TEMPLATE".into(), "no-such-template".into()));
    let args = vec!["--backend".to_owned(), "e2b".to_owned()];
    let toft = Toft::start(Start { env, args, ..Start::default() }).await?;
    let (_, made) = toft.request("POST", "/v1/projects", Some(json!({"name": "None"}))).await?;
    let project = made["data"]["id"].as_str().map(str::to_owned);
    let said = match project {
        // Its machine is made beside.
        Some(project) => {
            let machine = state(&toft, &project, "error").await?;
            machine["stateReason"].to_string()
        }
        None => made.to_string(),
    };
    ensure!(said.contains("no-such-template") && said.contains("E2B_TEMPLATE"), "{said}");
    ensure!(!said.contains(KEY) && !toft.log().contains(KEY), "the key is shown: {said}");
    ensure!(e2b.sandboxes().is_empty(), "{:?}", e2b.sandboxes());
    toft.down()
}
