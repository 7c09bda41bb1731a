//! A request names what its project is worked on with: three backends at once on one server, and a project on its way
//! from one to another, with its files and its conversation, whoever dies meanwhile.

use crate::runs::{PLAN, call, say, send, statuses, stream};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{fs, path::Path, sync::Arc, time::Duration};
use toft_machine::steps;
use toft_stories::{
    lane,
    podman::Podman,
    provider::{Provider, Script},
    toft::{Start, Toft},
};

/// Plans, and builds what it was asked for: a line in a file that says where.
pub(crate) fn script() -> Script {
    Arc::new(|user, turn| {
        let building = user.contains("[Plan mode is over");
        match turn {
            0 if building => call("bash", json!({"command": "pwd >> where"})),
            _ if user.contains("[Plan mode.") => say(PLAN),
            _ => say("It is done."),
        }
    })
}

pub(crate) async fn ask(
    toft: &Toft,
    project: &str,
    route: &str,
    key: &str,
    body: Value,
) -> Result<(u16, Value)> {
    send(toft, "POST", &format!("/v1/projects/{project}/{route}"), Some(key), Some(body)).await
}

/// Has a run done on that backend; what it told, and how it is then.
pub(crate) async fn run(
    toft: &Toft,
    project: &str,
    key: &str,
    backend: Option<&str>,
    goes_on: bool,
) -> Result<(Vec<(u64, String, Value)>, Value)> {
    let (route, text) = if goes_on { ("messages", "content") } else { ("runs", "prompt") };
    let mut body = json!({ text: "say where you are" });
    if let Some(backend) = backend {
        body["workspaceBackend"] = backend.into();
    }
    let (status, answer) = ask(toft, project, route, key, body).await?;
    ensure!(status == 200, "{status}: {answer}");
    let made = if goes_on { &answer["data"]["run"] } else { &answer["data"] };
    let at = format!("/v1/projects/{project}/runs/{}", made["id"].as_str().context("an id")?);
    let told = stream(toft, &at, None).await?;
    let run = toft.call("GET", &at, None).await?;
    ensure!(run["status"] == "completed", "{run}\n{told:#?}\n{}", toft.log());
    Ok((told, run))
}

pub(crate) async fn backend_of(toft: &Toft, project: &str) -> Result<String> {
    let machine = toft.call("GET", &format!("/v1/projects/{project}/machine"), None).await?;
    let shown = toft.call("GET", &format!("/v1/projects/{project}"), None).await?;
    ensure!(machine["backend"] == shown["backend"], "{machine} {shown}");
    Ok(machine["backend"].as_str().context("a backend")?.to_owned())
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// Nothing of any project lies with any backend.
pub(crate) fn is_bare(toft: &Toft, allowed: &Path) -> Result<()> {
    let others = names(&toft.data.join("backends"));
    let places = others.iter().map(|name| toft.data.join("backends").join(name));
    for place in std::iter::once(toft.data.clone()).chain(places) {
        for folder in ["store/pool/p", "store/pool/ck", "store/slots", "logs", "run/m"] {
            let mut left = names(&place.join(folder));
            left.retain(|name| !crate::kills_steps::FILES.contains(&name.as_str()));
            ensure!(left.is_empty(), "{}/{folder}: {left:?}", place.display());
        }
    }
    ensure!(names(allowed).is_empty(), "{:?}", names(allowed));
    Ok(())
}

fn with_host(allowed: &Path, provider: &Provider) -> Start {
    let allowed = allowed.display().to_string();
    Start {
        env: provider.env("sk-b"),
        args: ["--backends", "native,host", "--allow-host", &allowed].map(str::to_owned).into(),
        ..Start::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_of_three_backends_are_worked_on_at_the_same_time() -> Result<()> {
    let Some(podman) = Podman::start("three backends")? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let allowed = folder.path().join("allowed");
    fs::create_dir(&allowed)?;
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let mut start = with_host(&allowed, &provider);
    start.args[1] = "native,host,oci".into();
    let engine = podman.args();
    start.args.extend(engine.iter().skip_while(|arg| *arg != "--oci-socket").cloned());
    let mut toft = Toft::start(start).await?;
    let mut made = Vec::new();
    for backend in ["native", "host", "oci"] {
        let body = json!({"name": backend, "workspaceBackend": backend});
        let project = toft.call("POST", "/v1/projects", Some(body)).await?;
        ensure!(project["state"] == "running" && project["backend"] == backend, "{project}");
        made.push((backend, project["id"].as_str().context("an id")?.to_owned()));
    }
    let runs =
        made.iter().map(|(backend, project)| run(&toft, project, "one", Some(*backend), false));
    for ((backend, project), done) in made.iter().zip(futures_util::future::join_all(runs).await) {
        let (told, run) = done.with_context(|| format!("on {backend}"))?;
        ensure!(run["meta"]["workspaceBackend"] == *backend, "{run}");
        ensure!(!statuses(&told).contains(&"workspace_moved"), "{told:#?}");
        let place = if *backend == "host" {
            fs::canonicalize(&allowed)?.join(project).display().to_string()
        } else {
            "/home/project".to_owned()
        };
        assert_eq!(toft.exec(project, "cat where").await?["stdout"], format!("{place}\n"));
    }
    let doctor = String::from_utf8(toft.cli(&["doctor"])?.stdout)?;
    for words in ["Backend native", "Backend host", "Backend oci", "container engine: Podman"] {
        ensure!(doctor.contains(words), "{words}: {doctor}");
    }

    // The next server has them all again, as they are.
    let inits: Vec<_> = made.iter().map(|(_, project)| toft.init_pid(project)).collect();
    ensure!(inits.iter().all(Option::is_some), "{inits:?}");
    toft.kill_server();
    toft.up().await?;
    for ((backend, project), init) in made.iter().zip(inits) {
        toft.until(&format!("/v1/projects/{project}/machine"), |m| m["state"] == "running").await?;
        assert_eq!(
            (toft.init_pid(project), backend_of(&toft, project).await?.as_str()),
            (init, *backend)
        );
        ensure!(toft.exec(project, "cat where").await?["exitCode"] == 0, "{backend}");
    }
    for (_, project) in &made {
        toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    }
    is_bare(&toft, &allowed)?;
    toft.down()?;
    ensure!(podman.containers()?.is_empty(), "{:?}", podman.containers()?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_moves_its_project_with_its_files_and_its_conversation() -> Result<()> {
    if !lane::root() || lane::as_user() {
        lane::skip("moving", "only a server of root's gives files of machines to others");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let allowed = folder.path().join("allowed");
    fs::create_dir(&allowed)?;
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let mut toft = Toft::start(with_host(&allowed, &provider)).await?;
    let project = toft.new_project("Mover").await?;
    let of = format!("/v1/projects/{project}");
    let (told, first) = run(&toft, &project, "1", None, false).await?;
    ensure!(!statuses(&told).contains(&"workspace_moved"), "{told:#?}");
    ensure!(first["meta"]["workspaceBackend"] == "native", "{first}");
    toft.exec(&project, "echo mine > /root/own; echo deep > x && mkdir -p a/b && mv x a/b").await?;

    let (told, second) = run(&toft, &project, "2", Some("host"), true).await?;
    let moved = told.iter().find(|(_, _, data)| data["status"] == "workspace_moved");
    let (_, _, moved) = moved.context("it tells that it moved")?;
    assert_eq!((&moved["from"], &moved["to"]), (&json!("native"), &json!("host")));
    assert_eq!(second["sessionId"], first["sessionId"], "the conversation goes on");
    assert_eq!(backend_of(&toft, &project).await?, "host");
    let own = fs::canonicalize(allowed.join(&project))?;
    assert_eq!(
        fs::read_to_string(own.join("where"))?,
        format!("/home/project\n{}\n", own.display()),
        "both runs worked on the same file"
    );
    assert_eq!(fs::read_to_string(own.join("a/b/x"))?, "deep\n");
    // All that was said is known to the model, and to people.
    let last = provider.requests().last().cloned().unwrap_or_default().to_string();
    ensure!(last.matches("It is done.").count() >= 1, "{last}");
    ensure!(!toft.data.join("store/pool/p").join(&project).exists(), "the old disk is gone");

    // The same request again is the same run, and moves nothing.
    let body = json!({"content": "say where you are", "workspaceBackend": "host"});
    let (_, again) = ask(&toft, &project, "messages", "2", body).await?;
    assert_eq!(again["data"]["run"]["id"], second["id"]);

    // Checkpoints stay where they were taken, and are there again with the project.
    let list = toft.call("GET", &format!("{of}/checkpoints"), None).await?;
    let taken = list["checkpoints"].as_array().context("checkpoints")?;
    let before = taken.iter().find(|c| c["label"] == "Before the move to host").context("one")?;
    assert_eq!(before["backend"], "native", "{before}");
    let restore = format!("{of}/checkpoints/{}/restore", before["id"].as_str().context("an id")?);
    let (status, refused) = toft.request("POST", &restore, Some(json!({}))).await?;
    ensure!(status == 409 && refused.to_string().contains("workspaceBackend native"), "{refused}");

    // And back.
    let (told, third) = run(&toft, &project, "3", Some("native"), true).await?;
    ensure!(statuses(&told).contains(&"workspace_moved"), "{told:#?}");
    assert_eq!(third["sessionId"], first["sessionId"]);
    assert_eq!(backend_of(&toft, &project).await?, "native");
    ensure!(!own.exists(), "the folder is gone");
    let ran = toft.exec(&project, "tail -n 1 where; cat a/b/x; stat -c %u where").await?;
    assert_eq!(ran["stdout"], "/home/project\ndeep\n0\n");
    toft.call("POST", &restore, Some(json!({"force": true}))).await?;
    assert_eq!(toft.exec(&project, "wc -l < where; cat /root/own").await?["stdout"], "1\nmine\n");
    toft.kill_server();
    toft.up().await?;
    assert_eq!(backend_of(&toft, &project).await?, "native");
    toft.call("DELETE", &of, None).await?;
    is_bare(&toft, &allowed)?;
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_step_of_a_move_leaves_the_project_whole_on_one_side() -> Result<()>
{
    if !lane::root() || lane::as_user() {
        lane::skip("moving", "only a server of root's gives files of machines to others");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let allowed = folder.path().join("allowed");
    fs::create_dir(&allowed)?;
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let mut toft = Toft::start(with_host(&allowed, &provider)).await?;
    for (n, step) in steps::OF_MOVES.iter().enumerate() {
        let project = toft.new_project("Mover").await?;
        let of = format!("/v1/projects/{project}");
        toft.exec(&project, "echo kept > file; sync").await?;
        toft.kill_server();
        toft.up_with("TOFT_KILL_AT", &format!("{step}:1")).await?;
        let key = format!("k{n}");
        let body = json!({"prompt": "say where you are", "workspaceBackend": "host"});
        let (status, asked) = ask(&toft, &project, "runs", &key, body).await?;
        ensure!(status == 200, "{asked}");
        toft.await_end().with_context(|| format!("the run does not come by {step}"))?;
        toft.up().await?;
        // Wherever it stands now, its files are all there, and nowhere else.
        let run = format!("{of}/runs/{}", asked["data"]["id"].as_str().context("an id")?);
        let told = stream(&toft, &run, None).await?;
        let done = toft.call("GET", &run, None).await?;
        ensure!(done["status"] == "completed", "{step}: {done}\n{told:#?}\n{}", toft.log());
        assert_eq!(backend_of(&toft, &project).await?, "host", "{step}");
        let own = fs::canonicalize(allowed.join(&project))?;
        assert_eq!(fs::read_to_string(own.join("file"))?, "kept\n", "{step}");
        assert_eq!(
            fs::read_to_string(own.join("where"))?,
            format!("{}\n", own.display()),
            "{step}"
        );
        crate::kills_life::soon("the disk that it moved away from goes", || {
            let old = [toft.data.join("store/pool/p"), toft.data.join("logs")];
            let left = old.iter().map(|place| place.join(&project)).filter(|path| path.exists());
            left.map(|path| path.display().to_string()).collect()
        })
        .await?;
        toft.call("DELETE", &of, None).await?;
        is_bare(&toft, &allowed).with_context(|| (*step).to_owned())?;
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_walls_is_there_only_when_the_admin_names_it() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let me = toft.call("GET", "/v1/me", None).await?;
    assert_eq!(me["server"]["backends"], json!(["native"]));
    let project = toft.new_project("Usual").await?;
    let tries = [("host", 409), ("oci", 409), ("e2b", 409), ("moon", 400)];
    for (n, (backend, status)) in tries.into_iter().enumerate() {
        let body = json!({"name": "x", "workspaceBackend": backend});
        let (made, answer) = toft.request("POST", "/v1/projects", Some(body)).await?;
        assert_eq!(made, status, "{answer}");
        let body = json!({"prompt": "go", "workspaceBackend": backend});
        let (asked, answer) = ask(&toft, &project, "runs", &format!("k{n}"), body).await?;
        assert_eq!(asked, status, "{answer}");
        let said = answer["error"]["message"].as_str().unwrap_or_default();
        let words = if status == 409 { "--backends native," } else { "native, oci, host or e2b" };
        ensure!(said.contains(words), "{said}");
    }
    let refused = toft.cli(&["new", "Bare", "--backend", "host"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && said.contains("--backends native,host"), "{said}");
    ensure!(!toft.data.join("backends").exists(), "nothing was made for it");
    toft.down()
}
