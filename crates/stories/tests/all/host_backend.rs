//! The backend without walls: a folder, and the same agent. Only where an admin allowed it, and it
//! says what it is.

use super::spine::builder;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{fs, process::Command, time::Duration};
use toft_stories::{
    processes,
    provider::Provider,
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
