//! The backend whose walls are an engine's: the same machine in a container, and nothing of it left
//! with the engine whatever happens to the server.

use crate::{bombs, images, kills_steps};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::process::Command;
use toft_stories::{
    lane,
    podman::Podman,
    toft::{Start, Toft, binary},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_project_lives_in_a_container_that_a_killed_server_does_not_forget() -> Result<()> {
    let Some(podman) = Podman::start("backend oci")? else { return Ok(()) };
    let mut toft = Toft::start(Start { args: podman.args(), ..Start::default() }).await?;
    let project = toft.new_project("Boxed").await?;
    let of = format!("/v1/projects/{project}");
    let ran = toft.exec(&project, "id -u; cat /etc/hostname; pwd").await?;
    assert_eq!(ran["stdout"], "0\nboxed\n/home/project\n");
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["backend"], "oci");
    assert_eq!(machine["can"]["egress"], true);

    // The gateway is the only way out, and it refuses private addresses here too.
    let tries = "python3 - <<'E'\n\
        import socket, urllib.request, urllib.error\n\
        try: urllib.request.urlopen('http://10.1.2.3/', timeout=20)\n\
        except urllib.error.HTTPError as e: print('gateway', e.code)\n\
        for port in (80, 443):\n\
        \x20try: socket.create_connection(('1.1.1.1', port), 3)\n\
        \x20except OSError: print('no way')\n\
        E";
    let ran = toft.exec(&project, tries).await?;
    assert_eq!(ran["stdout"], "gateway 403\nno way\nno way\n", "{ran}");

    let doctor = String::from_utf8(toft.cli(&["doctor"])?.stdout)?;
    assert!(doctor.contains("container engine: Podman"), "{doctor}");

    // A killed server's machine is the next one's, and lives on meanwhile.
    toft.exec(&project, "echo kept > file; (sleep 3002 &) >/dev/null 2>&1").await?;
    let init = toft.init_pid(&project).context("it runs")?;
    toft.kill_server();
    toft.up().await?;
    toft.until(&format!("{of}/machine"), |m| m["state"] == "running").await?;
    assert_eq!(toft.init_pid(&project), Some(init), "it is the same machine");
    assert_eq!(toft.exec(&project, "cat file").await?["stdout"], "kept\n");
    assert_eq!(podman.containers()?.len(), 1);

    toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
    assert_eq!(podman.containers()?, Vec::<String>::new());
    toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
    assert_eq!(toft.exec(&project, "cat file").await?["stdout"], "kept\n");

    // Nobody says which backend it was: the data folder knows.
    toft.kill_server();
    toft.down()?;
    assert_eq!(podman.containers()?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_reached_in_a_container_is_an_event_and_the_bridge_lives_on() -> Result<()>
{
    let Some(podman) = Podman::start("limits on oci")? else { return Ok(()) };
    bombs::reached(Start { args: podman.args(), ..Start::default() }).await?;
    ensure!(podman.containers()?.is_empty(), "left with podman: {:?}", podman.containers()?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_step_leaves_no_container_that_nobody_knows() -> Result<()> {
    if !lane::deep() {
        lane::skip("kills on oci", "it takes long: only in the deep lane");
        return Ok(());
    }
    let Some(podman) = Podman::start("kills on oci")? else { return Ok(()) };
    kills_steps::killed_at_each(Start { args: podman.args(), ..Start::default() }).await?;
    ensure!(podman.containers()?.is_empty(), "left with podman: {:?}", podman.containers()?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_may_have_an_image_of_its_own_and_none_of_the_hosts_folders() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(tarball) = images::little(folder.path())? else { return Ok(()) };
    let Some(podman) = Podman::start("images on oci")? else { return Ok(()) };
    let toft = Toft::start(Start { args: podman.args(), ..Start::default() }).await?;
    let tarball = tarball.display().to_string();
    let added = toft.cli(&["image", "add", &tarball, "--name", "little"])?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let made = toft.cli(&["new", "Little", "--image", "little", "--json"])?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: serde_json::Value = serde_json::from_slice(&made.stdout)?;
    let project = made["id"].as_str().context("it has an id")?;
    assert_eq!(toft.exec(project, "cat /etc/os-release").await?["stdout"], "ID=little\n");
    // The server's own image is still what others are made of.
    let other = toft.new_project("Usual").await?;
    let usual = toft.exec(&other, "grep -c ^ID=little /etc/os-release").await?;
    assert_eq!(usual["stdout"], "0\n");
    // Nothing of the host shows in a container, and that is said.
    std::fs::create_dir_all(folder.path().join("tools/bin"))?;
    std::fs::copy(binary(), folder.path().join("tools/bin/tool"))?;
    let tools = folder.path().join("tools").display().to_string();
    let refused = toft.cli(&["image", "add", &tools])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && said.contains("containers"), "{said}");
    toft.down()
}

#[test]
fn what_is_missing_is_said_with_what_to_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (args, wanted) in [
        (vec![], "--oci-image"),
        (vec!["--oci-image", "some", "--oci-socket", "/nonexistent/engine.sock"], "podman.socket"),
        (
            vec!["--oci-image", "some", "--oci-socket", "tcp://127.0.0.1:2375"],
            "no socket of this host",
        ),
    ] {
        let out = Command::new(binary())
            .args(["up", "--listen", "127.0.0.1:0", "--backend", "oci", "--data"])
            .arg(folder.path().join("data"))
            .args(&args)
            .env_remove("DOCKER_HOST")
            .output()?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(!out.status.success() && said.contains(wanted), "{args:?}: {said}");
    }
    Ok(())
}
