//! The backend without walls: a folder, and the same agent. Only where an admin allowed it, and it
//! says what it is.

use super::{
    runs::{PLAN, say, send, statuses, stream},
    spine::builder,
};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{fs, io::Cursor, path::Path, process::Command, sync::Arc, time::Duration};
use toft_stories::{
    processes,
    provider::{Provider, Say, Script},
    session::{self, Follow},
    toft::{Start, Toft, binary},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_project_lives_in_an_allowed_folder_without_walls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let allowed = folder.path().join("allowed");
    fs::create_dir(&allowed)?;
    let provider = Provider::start(Duration::from_millis(2), builder()).await?;
    let mut toft = Toft::start(Start {
        env: provider.env("sk-host"),
        args: vec![
            "--backend".into(),
            "host".into(),
            "--allow-host".into(),
            allowed.display().to_string(),
        ],
        ..Start::default()
    })
    .await?;
    let project = toft.new_project("Bare").await?;
    let own = fs::canonicalize(allowed.join(&project))?;
    let of = format!("/v1/projects/{project}");
    let ran = toft.exec(&project, "pwd; id -u").await?;
    assert_eq!(ran["stdout"], format!("{}\n{}\n", own.display(), toft.uid()));

    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "write hello").await?;
    follow.until(|e| e.kind == "tool_start").await?;
    toft.kill_server();
    toft.up().await?;
    let mut follow = Follow::from(&toft, &project, follow.last).await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("done")));
    assert_eq!(provider.faults(), Vec::<String>::new());
    assert_eq!(
        fs::read_to_string(own.join("hello.sh"))?,
        "echo good morning from the machine\n",
        "the files are plain files"
    );
    let transcript = session::transcript(&toft, &project).await?;
    assert!(transcript.iter().any(|m| m.to_string().contains("good morning from the machine")));

    toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
    assert!(toft.init_pid(&project).is_none());
    toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
    assert_eq!(session::transcript(&toft, &project).await?, transcript);

    let doctor = toft.call("GET", "/v1/doctor", None).await?;
    let unwalled = ["user namespaces", "network isolation", "system folders", "system call filter"];
    for name in unwalled {
        let found =
            doctor["abilities"].as_array().into_iter().flatten().find(|a| a["name"] == name);
        assert_eq!(found.context(name)?["enforced"], false, "{name}");
    }
    let said = String::from_utf8(toft.cli(&["doctor"])?.stdout)?;
    assert!(said.to_lowercase().contains("no sandbox"), "{said}");
    let machine: Value = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["backend"], "host");

    // What a project started ends with its machine.
    toft.exec(&project, "setsid sleep 3001 >/dev/null 2>&1 & sleep 0.1").await?;
    let sleeper = |p: &processes::Process| p.argv == ["sleep", "3001"];
    assert!(toft.machine_processes(&project).iter().any(sleeper));
    toft.call("DELETE", &of, None).await?;
    assert!(!own.exists(), "its folder goes with it");
    assert!(!processes::all().iter().any(sleeper));
    assert!(allowed.exists());
    toft.down()
}

/// What an agent tries beyond its project; each call's id is its place in this list.
fn beyond(outside: &Path) -> Vec<(&'static str, Value)> {
    let outside = outside.display();
    vec![
        ("write", json!({"path": "ok.txt", "content": "fine"})),
        ("write", json!({"path": "../../out.txt", "content": "x"})),
        ("write", json!({"path": format!("{outside}/abs.txt"), "content": "x"})),
        ("read", json!({"path": format!("{outside}/secret")})),
        ("write", json!({"path": ".env", "content": "x"})),
        ("write", json!({"path": ".git/hooks/post-commit", "content": "x"})),
        ("write", json!({"path": ".toft/home/agent.json", "content": "x"})),
        ("edit", json!({"path": "away/secret", "edits": [{"oldText": "s3", "newText": "x"}]})),
        ("ls", json!({"path": "/"})),
    ]
}

/// Plans what it was asked for. `wander off`: tries all of that. `back to SHA`: rolls back to that commit. Else changes
/// nothing.
fn wanderer(outside: &Path) -> Script {
    let outside = outside.to_owned();
    Arc::new(move |user, turn| {
        let building = user.contains("[Plan mode is over");
        if !building {
            let asked = user.lines().find(|line| line.starts_with("Please")).unwrap_or_default();
            return say(&PLAN.replace("Make it", asked));
        }
        if turn > 0 {
            return say("It is done.");
        }
        let tools = if user.contains("wander off") {
            beyond(&outside)
        } else if let Some((_, rest)) = user.split_once("back to ") {
            let sha: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
            let back = json!({"action": "rollback_run", "confirm": "rollback", "commitSha": sha});
            vec![("project_actions", back)]
        } else {
            vec![("bash", json!({"command": "true"}))]
        };
        let tools = tools.into_iter().map(|(name, with)| (name.to_owned(), with)).collect();
        Say { text: "Now.".into(), tools }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_in_a_folder_keep_to_the_project_and_commit_nothing_of_tofts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (allowed, outside) = (folder.path().join("allowed"), folder.path().join("outside"));
    for made in [&allowed, &outside] {
        fs::create_dir(made)?;
    }
    fs::write(outside.join("secret"), "s3cret")?;
    let provider = Provider::start(Duration::ZERO, wanderer(&outside)).await?;
    let mut env = provider.env("sk-host");
    env.push(("TOFT_RUN_TOOLS".into(), "true".into()));
    let allow = allowed.display().to_string();
    let args = ["--backend", "host", "--allow-host", &allow].map(str::to_owned).into();
    let toft = Toft::start(Start { env, args, ..Start::default() }).await?;
    let project = toft.new_project("Kept").await?;
    let own = fs::canonicalize(allowed.join(&project))?;
    let git = "git init -q -b main . && echo a > a.md && git add -A && git -c user.name=p -c user.email=p@q commit -qm first";
    ensure!(toft.exec(&project, git).await?["exitCode"] == 0);
    std::os::unix::fs::symlink(&outside, own.join("away"))?;
    let runs = format!("/v1/projects/{project}/runs");
    let ask = async |key: &str, prompt: String| -> Result<_> {
        let body = json!({"prompt": prompt});
        let (status, answer) = send(&toft, "POST", &runs, Some(key), Some(body)).await?;
        ensure!(status == 200, "{status}: {answer}");
        let at = format!("{runs}/{}", answer["data"]["id"].as_str().context("an id")?);
        Ok((stream(&toft, &at, None).await?, at))
    };

    let (told, at) = ask("beyond", "Please wander off".into()).await?;
    let ended = |phase: &str| {
        let tools = told.iter().filter(|(_, kind, data)| kind == "tool" && data["phase"] == phase);
        tools.map(|(_, _, data)| data.clone()).collect::<Vec<_>>()
    };
    let (fine, refused) = (ended("end"), ended("error"));
    assert_eq!((fine.len(), refused.len()), (1, beyond(&outside).len() - 1), "{told:#?}");
    for one in &refused {
        ensure!(one["error"].as_str().is_some_and(|why| why.contains("without walls")), "{one}");
    }
    ensure!(!told.iter().any(|(_, _, data)| data.to_string().contains("s3cret")), "{told:#?}");
    let mut left: Vec<_> = fs::read_dir(&outside)?.flatten().map(|e| e.file_name()).collect();
    left.sort();
    assert_eq!((left, allowed.join("out.txt").exists()), (vec!["secret".into()], false));
    // What was committed is the project's, and nothing of Toft's is waiting to be.
    let git = async |arguments: &str| -> Result<String> {
        let ran = toft.exec(&project, &format!("git {arguments}")).await?;
        ensure!(ran["exitCode"] == 0, "{ran}");
        Ok(ran["stdout"].as_str().unwrap_or_default().trim().to_owned())
    };
    assert_eq!(git("show --name-only --format= HEAD").await?, "away\nok.txt");
    assert_eq!(git("status --porcelain --untracked-files=all").await?, "");
    let sha = git("rev-parse HEAD").await?;
    let zip = toft.http().get(format!("{}{at}/download.zip", toft.base)).bearer_auth(&toft.token);
    let zip = zip.send().await?.error_for_status()?.bytes().await?;
    let archive = zip::ZipArchive::new(Cursor::new(zip))?;
    let mut names: Vec<_> =
        archive.file_names().map(|name| Ok(name?.into_owned())).collect::<Result<_>>()?;
    names.sort_unstable();
    assert_eq!(names, ["a.md", "ok.txt"]);

    // Nothing changed: nothing is committed.
    let (told, _) = ask("nothing", "Please look around".into()).await?;
    let skipped = told.iter().find(|(_, _, data)| data["status"] == "git_commit_skipped");
    assert_eq!(skipped.context("it is told")?.2["reason"], "no_changes", "{told:#?}");

    // And back to an earlier commit, while Toft goes on writing its own.
    fs::write(own.join("ok.txt"), "worse")?;
    let (told, _) = ask("back", format!("Please go back to {sha}")).await?;
    ensure!(statuses(&told).contains(&"workspace_snapshot_stored"), "{told:#?}");
    let answers = told.iter().filter(|(_, kind, data)| kind == "tool" && data["phase"] == "end");
    let answer = answers.map(|(_, _, data)| data["output"].to_string()).collect::<String>();
    ensure!(answer.contains(r#"\"ok\":true"#), "{answer}");
    assert_eq!(fs::read_to_string(own.join("ok.txt"))?, "fine");
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}

#[test]
fn without_an_allowed_folder_it_does_not_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for extra in [vec![], vec!["--allow-host", "/nonexistent/folder"]] {
        let out = Command::new(binary())
            .args(["up", "--listen", "127.0.0.1:0", "--backend", "host", "--data"])
            .arg(folder.path().join("data"))
            .args(&extra)
            .output()?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains("--allow-host"), "{extra:?}: {said}");
    }
    Ok(())
}
