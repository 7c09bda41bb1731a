//! A project on its way into a sandbox of E2B's and back: with its files, their owners and its conversation, whoever
//! dies meanwhile, and however the line breaks.

use crate::{
    kills_life::soon,
    runs::{call, say, send, statuses, stream},
    workspace_backends::{ask, backend_of, is_bare, names, run, script},
};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use toft_machine::steps;
use toft_stories::{
    e2b::{E2b, Fates},
    lane,
    provider::{Provider, Script},
    session,
    toft::{STEP_TIMEOUT, Start, Toft},
};

fn skipped() -> bool {
    let able = lane::root() && !lane::as_user();
    if !able {
        lane::skip("moving to E2B", "only a server of root's gives files of machines to others");
    }
    !able
}

/// A server of the backend `native`, on which a run may name `e2b`, and what else is said.
async fn started(e2b: &E2b, provider: &Provider, others: &[&str]) -> Result<Toft> {
    let env = e2b.env().into_iter().chain(provider.env("sk-b")).collect();
    let backends = [&["native", "e2b"][..], &others[..others.len().min(1)]].concat().join(",");
    let own = ["--backend", "native", "--backends", &backends];
    let args = own.iter().chain(others.iter().skip(1)).map(|arg| (*arg).to_owned()).collect();
    Toft::start(Start { env, args, ..Start::default() }).await
}

fn times(told: &[(u64, String, Value)], status: &str) -> usize {
    statuses(told).into_iter().filter(|told| *told == status).count()
}

/// The one sandbox that there is.
fn sandbox(e2b: &E2b) -> Result<String> {
    let all = e2b.sandboxes();
    let [(id, _)] = all.as_slice() else { anyhow::bail!("not one sandbox: {all:?}") };
    Ok(id.clone())
}

/// Waits for the end of a run, which may take several tries of what takes long: how it is, and what it told.
async fn ended(toft: &Toft, run: &str) -> Result<(Value, Vec<(u64, String, Value)>)> {
    let until = Instant::now() + 4 * STEP_TIMEOUT;
    loop {
        let now = toft.call("GET", run, None).await?;
        if now["completedAt"].is_string() {
            return Ok((now, stream(toft, run, None).await?));
        }
        ensure!(Instant::now() < until, "it does not end: {now}\n{}", toft.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What of a project lies with `native`.
fn at_native(toft: &Toft, project: &str) -> Vec<String> {
    let places = ["store/pool/p", "logs", "run/m"].map(|place| toft.data.join(place).join(project));
    places.iter().filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
}

/// What of any project lies at E2B, and what of its there is here.
fn at_e2b(toft: &Toft, e2b: &E2b) -> Vec<String> {
    let here = toft.data.join("backends/e2b");
    let kept = ["logs", "run/m"].into_iter().flat_map(|folder| names(&here.join(folder)));
    e2b.sandboxes().into_iter().map(|(id, _)| id).chain(kept).collect()
}

/// Files of several owners and kinds.
const MAKE: &str = "mkdir -p a/b && echo deep > a/b/x && chmod 0751 a/b/x && touch -d @1000000000 a/b/x && \
    ln -s x a/b/link && ln a/b/x a/hard && echo theirs > theirs && chown 1234:5678 theirs && chmod 4711 theirs && \
    head -c 6000000 /dev/urandom > much && truncate -s 200M sparse && : > 'odd name
in two lines' && mkdir -p /root/projects && echo mine > /root/projects/own && echo rc > /root/.rc";
/// All that can be told of them.
const TELL: &str = "stat -c '%n %u:%g %a %s %h %F %Y' a/b/x a/b/link a/hard theirs much sparse odd* /root/.rc \
    /root/projects/own && sha256sum < much && du -k sparse | cut -f 1 && readlink a/b/link && cat theirs";

#[tokio::test(flavor = "multi_thread")]
async fn a_project_moves_into_a_sandbox_and_back_with_all_that_is_its_own() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let e2b = E2b::start().await?;
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let mut toft = started(&e2b, &provider, &[]).await?;
    let project = toft.new_project("Far").await?;
    let of = format!("/v1/projects/{project}");
    let (_, first) = run(&toft, &project, "1", None, false).await?;
    ensure!(first["meta"]["workspaceBackend"] == "native", "{first}");
    let made = toft.exec(&project, MAKE).await?;
    ensure!(made["exitCode"] == 0, "{made}");
    let was = toft.exec(&project, TELL).await?;
    ensure!(was["exitCode"] == 0, "{was}");
    ensure!(e2b.requests().is_empty(), "nobody needed it yet");

    let (told, second) = run(&toft, &project, "2", Some("e2b"), true).await?;
    assert_eq!((times(&told, "workspace_moving"), times(&told, "workspace_moved")), (1, 1));
    let moved = told.iter().find(|(_, _, data)| data["status"] == "workspace_moved");
    let (_, _, moved) = moved.context("it tells that it moved")?;
    assert_eq!((&moved["from"], &moved["to"]), (&json!("native"), &json!("e2b")));
    assert_eq!(moved["leftBehind"], json!(["system"]));
    assert_eq!(second["sessionId"], first["sessionId"], "the conversation goes on");
    assert_eq!(second["meta"]["sandboxId"], json!(sandbox(&e2b)?));
    assert_eq!(backend_of(&toft, &project).await?, "e2b");
    let last = provider.requests().last().cloned().unwrap_or_default().to_string();
    ensure!(last.matches("It is done.").count() >= 1, "the model knows what was said: {last}");
    let is = toft.exec(&project, TELL).await?;
    assert_eq!(is["stdout"], was["stdout"], "{is}");
    let ran = toft.exec(&project, "cat where").await?;
    assert_eq!(ran["stdout"], format!("/home/project\n/root/projects/{project}\n"));
    soon("the old disk goes", || at_native(&toft, &project)).await?;
    // Nothing that only the way needed is there.
    let ran =
        toft.exec(&project, "ls -A /root/.toft /tmp | grep -iE 'tar|part|arch|\\.new'").await?;
    assert_eq!(ran["stdout"], "", "{ran}");

    // Checkpoints stay listed, and where they were taken.
    let list = toft.call("GET", &format!("{of}/checkpoints"), None).await?;
    let taken = list["checkpoints"].as_array().context("checkpoints")?;
    let before = taken.iter().find(|c| c["label"] == "Before the move to e2b").context("one")?;
    assert_eq!(before["backend"], "native", "{before}");
    let at = format!("{of}/checkpoints/{}", before["id"].as_str().context("an id")?);
    let (status, refused) = toft.request("POST", &format!("{at}/restore"), Some(json!({}))).await?;
    ensure!(status == 409 && refused.to_string().contains("workspaceBackend native"), "{refused}");

    // The next server has it where it is, with all that was said.
    let transcript = session::transcript(&toft, &project).await?;
    toft.kill_server();
    toft.up().await?;
    assert_eq!(backend_of(&toft, &project).await?, "e2b");
    assert_eq!(toft.exec(&project, TELL).await?["stdout"], was["stdout"]);
    assert_eq!(session::transcript(&toft, &project).await?, transcript);
    ensure!(at_native(&toft, &project).is_empty(), "{:?}", at_native(&toft, &project));

    // And back, from where it sleeps.
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    let (told, third) = run(&toft, &project, "3", Some("native"), true).await?;
    assert_eq!(times(&told, "workspace_moved"), 1, "{told:#?}");
    assert_eq!(third["sessionId"], first["sessionId"]);
    assert_eq!(backend_of(&toft, &project).await?, "native");
    let is = toft.exec(&project, TELL).await?;
    assert_eq!(is["stdout"], was["stdout"], "{is}");
    let ran =
        toft.exec(&project, "tail -n 1 where; ls -A /root/projects; ls -d /root/.toft").await?;
    assert_eq!(ran["stdout"], "/home/project\nown\n", "{ran}");
    soon("the sandbox goes", || at_e2b(&toft, &e2b)).await?;
    toft.call("POST", &format!("{at}/restore"), Some(json!({"force": true}))).await?;
    assert_eq!(toft.exec(&project, "wc -l < where").await?["stdout"], "1\n");
    toft.call("DELETE", &of, None).await?;
    is_bare(&toft, Path::new("/nonexistent"))?;
    assert_eq!(e2b.faults(), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_folder_moves_into_a_sandbox_and_back() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let allowed = folder.path().join("allowed");
    fs::create_dir(&allowed)?;
    let e2b = E2b::start().await?;
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let allow = allowed.display().to_string();
    let toft = started(&e2b, &provider, &["host", "--allow-host", &allow]).await?;
    let body = json!({"name": "Plain", "workspaceBackend": "host"});
    let made = toft.call("POST", "/v1/projects", Some(body)).await?;
    let project = made["id"].as_str().context("an id")?.to_owned();
    toft.exec(&project, "echo kept > file; chmod 0750 file").await?;
    let (told, _) = run(&toft, &project, "1", Some("e2b"), false).await?;
    let moved = told.iter().find(|(_, _, data)| data["status"] == "workspace_moved");
    assert_eq!(moved.context("it moved")?.2["leftBehind"], json!(["system", "home"]));
    let ran = toft.exec(&project, "cat file; stat -c '%u %a' file; echo more >> file").await?;
    assert_eq!(ran["stdout"], "kept\n0 750\n", "{ran}");
    ensure!(names(&allowed).is_empty(), "the folder is gone: {:?}", names(&allowed));
    run(&toft, &project, "2", Some("host"), true).await?;
    let own = fs::canonicalize(allowed.join(&project))?;
    assert_eq!(fs::read_to_string(own.join("file"))?, "kept\nmore\n");
    soon("the sandbox goes", || at_e2b(&toft, &e2b)).await?;
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    is_bare(&toft, &allowed)?;
    assert_eq!(e2b.faults(), Vec::<String>::new());
    toft.down()
}

/// A project with a file, on a server that dies at a step of the run's move there, and a next one.
async fn killed_at(toft: &mut Toft, e2b: &E2b, step: &str, to: &str) -> Result<()> {
    let project = toft.new_project("Mover").await?;
    let of = format!("/v1/projects/{project}");
    toft.exec(&project, "echo kept > file; echo own > /root/own; sync").await?;
    if to == "native" {
        run(toft, &project, "there", Some("e2b"), false).await?;
    }
    toft.kill_server();
    toft.up_with("TOFT_KILL_AT", step).await?;
    let body = json!({"prompt": "say where you are", "workspaceBackend": to});
    let (status, asked) = ask(toft, &project, "runs", "moves", body).await?;
    ensure!(status == 200, "{asked}");
    toft.await_end().context("the run does not come by it")?;
    toft.up().await?;
    let run = format!("{of}/runs/{}", asked["data"]["id"].as_str().context("an id")?);
    let (done, told) = ended(toft, &run).await?;
    ensure!(done["status"] == "completed", "{done}\n{told:#?}\n{}", toft.log());
    // Told once, though the server that did it could not.
    assert_eq!(
        (times(&told, "workspace_moving"), times(&told, "workspace_moved")),
        (1, 1),
        "{told:#?}"
    );
    assert_eq!(backend_of(toft, &project).await?, to);
    let ran = toft.exec(&project, "cat file /root/own; tail -n 1 where").await?;
    let place =
        if to == "e2b" { format!("/root/projects/{project}") } else { "/home/project".into() };
    assert_eq!(ran["stdout"], format!("kept\nown\n{place}\n"), "{ran}");
    // And nowhere else.
    if to == "e2b" {
        soon("the old disk goes", || at_native(toft, &project)).await?;
        soon("there is one sandbox", || {
            e2b.sandboxes().into_iter().map(|(id, _)| id).skip(1).collect()
        })
        .await?;
    } else {
        soon("the sandbox goes", || at_e2b(toft, e2b)).await?;
    }
    toft.call("DELETE", &of, None).await?;
    ensure!(e2b.sandboxes().is_empty(), "{:?}", e2b.sandboxes());
    is_bare(toft, Path::new("/nonexistent"))
}

/// Where a server is killed: each step of a move and these; in the short lane every second one, the others on the way
/// back.
fn of_lane(more: &[&str], way: usize) -> Vec<String> {
    let moves = steps::OF_MOVES.iter().map(|step| format!("{step}:1"));
    let all = moves.chain(more.iter().map(ToString::to_string)).enumerate();
    all.filter(|(number, _)| lane::deep() || number % 2 == way).map(|(_, step)| step).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_step_of_a_move_to_e2b_leaves_one_whole_project() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let e2b = E2b::start().await?;
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let mut toft = started(&e2b, &provider, &[]).await?;
    for step in of_lane(&["sandbox.made:1", "move.part:4"], 0) {
        let done = killed_at(&mut toft, &e2b, &step, "e2b").await;
        done.with_context(|| format!("killed at {step}\n{}", toft.log()))?;
    }
    assert_eq!(e2b.faults(), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_step_of_a_move_from_e2b_leaves_one_whole_project() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let e2b = E2b::start().await?;
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let mut toft = started(&e2b, &provider, &[]).await?;
    for step in of_lane(&["sandbox.deleted:1", "move.part:4"], 1) {
        let done = killed_at(&mut toft, &e2b, &step, "native").await;
        done.with_context(|| format!("killed at {step}\n{}", toft.log()))?;
    }
    assert_eq!(e2b.faults(), Vec::<String>::new());
    toft.down()
}

/// Much that cannot be made smaller, and its sum.
async fn much(toft: &Toft, project: &str) -> Result<Value> {
    let ran = toft.exec(project, "head -c 30000000 /dev/urandom | tee much | sha256sum").await?;
    ensure!(ran["exitCode"] == 0, "{ran}");
    Ok(ran["stdout"].clone())
}

/// Asks for a run on a backend; where it is found.
async fn asked(toft: &Toft, project: &str, key: &str, backend: &str) -> Result<String> {
    let body = json!({"prompt": "say where you are", "workspaceBackend": backend});
    let (status, answer) =
        send(toft, "POST", &format!("/v1/projects/{project}/runs"), Some(key), Some(body)).await?;
    ensure!(status == 200, "{answer}");
    let id = answer["data"]["id"].as_str().context("an id")?;
    Ok(format!("/v1/projects/{project}/runs/{id}"))
}

/// Says only that it is done: what it is asked for is the move.
fn mover() -> Script {
    Arc::new(|user, turn| match turn {
        0 if user.contains("[Plan mode is over") => call("bash", json!({"command": "true"})),
        _ if user.contains("[Plan mode.") => say(crate::runs::PLAN),
        _ => say("It is done."),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_in_the_middle_of_a_move_costs_a_try_and_nothing_else() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    // While it counts, every so many inputs into a sandbox are refused: a tunnel comes up by then, and nothing large
    // gets through.
    let breaks = Arc::new(AtomicUsize::new(0));
    let (counted, inputs) = (Arc::clone(&breaks), AtomicUsize::new(0));
    let fates: Fates = Arc::new(move |_, place| {
        if !place.ends_with("/SendInput") || counted.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let refuse = inputs.fetch_add(1, Ordering::SeqCst) % 40 == 39;
        refuse.then(|| {
            counted.fetch_sub(1, Ordering::SeqCst);
            500
        })
    });
    let e2b = E2b::start_with(fates).await?;
    let provider = Provider::start(Duration::ZERO, mover()).await?;
    let toft = started(&e2b, &provider, &[]).await?;
    let project = toft.new_project("Cut").await?;
    let of = format!("/v1/projects/{project}");
    let sum = much(&toft, &project).await?;

    // It never gets through: the run fails, and the project is where it was, whole.
    breaks.store(usize::MAX / 2, Ordering::SeqCst);
    let run = asked(&toft, &project, "never", "e2b").await?;
    let (done, told) = ended(&toft, &run).await?;
    ensure!(done["status"] == "error", "{done}\n{told:#?}");
    let why = done["error"].as_str().unwrap_or_default();
    ensure!(why.contains("taking what the project carries into its sandbox"), "{why}");
    assert_eq!(times(&told, "workspace_moved"), 0, "{told:#?}");
    assert_eq!(backend_of(&toft, &project).await?, "native");
    assert_eq!(toft.exec(&project, "sha256sum < much").await?["stdout"], sum);
    soon("nothing of it is left at E2B", || at_e2b(&toft, &e2b)).await?;
    // Nor does a checkpoint of a move that was none stay.
    let list = toft.call("GET", &format!("{of}/checkpoints"), None).await?;
    ensure!(!list.to_string().contains("Before the move"), "{list}");

    // Once: the next try is whole.
    breaks.store(1, Ordering::SeqCst);
    let run = asked(&toft, &project, "once", "e2b").await?;
    let (done, told) = ended(&toft, &run).await?;
    ensure!(done["status"] == "completed", "{done}\n{told:#?}\n{}", toft.log());
    assert_eq!(
        (times(&told, "attempt_failed"), times(&told, "workspace_moved")),
        (1, 1),
        "{told:#?}"
    );
    assert_eq!(toft.exec(&project, "sha256sum < much").await?["stdout"], sum);
    let id = sandbox(&e2b)?;

    // On its way back the archive is cut short: while one is written, every connection breaks.
    let run = asked(&toft, &project, "back", "native").await?;
    let until = Instant::now() + STEP_TIMEOUT;
    let packs = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "tar")
    };
    while !e2b.pids(&id).iter().any(packs) {
        ensure!(Instant::now() < until, "nothing is packed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    e2b.break_connections();
    let (done, told) = ended(&toft, &run).await?;
    ensure!(done["status"] == "completed", "{done}\n{told:#?}\n{}", toft.log());
    assert_eq!(
        (times(&told, "attempt_failed"), times(&told, "workspace_moved")),
        (1, 1),
        "{told:#?}"
    );
    assert_eq!(backend_of(&toft, &project).await?, "native");
    assert_eq!(toft.exec(&project, "sha256sum < much").await?["stdout"], sum);
    soon("the sandbox goes", || at_e2b(&toft, &e2b)).await?;
    toft.call("DELETE", &of, None).await?;
    is_bare(&toft, Path::new("/nonexistent"))?;
    assert_eq!(e2b.faults(), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_cannot_be_deleted_now_is_deleted_later() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    // E2B is away as soon as it is wanted so.
    let away = Arc::new(AtomicUsize::new(0));
    let is_away = Arc::clone(&away);
    let fates: Fates = Arc::new(move |_, place| {
        let deletes = place.starts_with("DELETE /sandboxes/");
        (deletes && is_away.load(Ordering::SeqCst) == 1).then_some(503)
    });
    let e2b = E2b::start_with(fates).await?;
    let provider = Provider::start(Duration::ZERO, mover()).await?;
    let toft = started(&e2b, &provider, &[]).await?;
    let project = toft.new_project("Left").await?;
    toft.exec(&project, "echo kept > file").await?;
    run(&toft, &project, "1", Some("e2b"), false).await?;
    away.store(1, Ordering::SeqCst);
    let (told, _) = run(&toft, &project, "2", Some("native"), true).await?;
    assert_eq!(times(&told, "workspace_moved"), 1, "{told:#?}");
    assert_eq!(toft.exec(&project, "cat file").await?["stdout"], "kept\n");
    ensure!(e2b.sandboxes().len() == 1, "it is still there: {:?}", e2b.sandboxes());
    away.store(0, Ordering::SeqCst);
    soon("the sandbox goes by itself", || at_e2b(&toft, &e2b)).await?;
    assert_eq!(toft.exec(&project, "cat file").await?["stdout"], "kept\n");
    assert_eq!(e2b.faults(), Vec::<String>::new());
    toft.down()
}
