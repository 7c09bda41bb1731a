//! The main story in a real Chromium against the built binary, screenshots kept. The driver is
//! `peers/main-story.mjs`; this side owns the server and kills it when asked. One story on every
//! backend: they differ in how the server is started, and the driver asks what the machine can.

use anyhow::{Context as _, Result, ensure};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use toft_stories::{
    lane,
    podman::Podman,
    toft::{Start, Toft},
};

/// Where the pictures go: `TOFT_SCREENSHOTS`, relative to the repository, else a temporary folder.
fn shots(fallback: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("TOFT_SCREENSHOTS").map_or_else(|| fallback.join("shots"), |p| root.join(p))
}

async fn story(start: Start) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let shots = shots(folder.path());
    std::fs::create_dir_all(&shots)?;
    let mut toft = Toft::start(start).await?;
    let mut driver = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/main-story.mjs"))
        .arg(&toft.link)
        .arg(&shots)
        .arg(folder.path().join("profile"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the browser driver")?;
    let mut answers = driver.stdin.take().context("stdin is piped")?;
    let lines = BufReader::new(driver.stdout.take().context("stdout is piped")?).lines();
    let mut said = Vec::new();
    for line in lines.map_while(Result::ok) {
        if line == "kill" {
            toft.kill_server();
            toft.up().await?;
            writeln!(answers, "up")?;
        } else if let Some(what) = line.strip_prefix("left out ") {
            let (what, why) = what.split_once(": ").context("what and why")?;
            lane::skip(what, why);
        } else {
            said.push(line);
        }
    }
    let status = driver.wait()?;
    ensure!(status.success(), "the story failed: {}\nserver log: {}", said.join("\n"), toft.log());
    ensure!(said.iter().any(|l| l.starts_with("done ")), "the story did not end: {said:?}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn main_story_in_chromium() -> Result<()> {
    story(Start::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn main_story_in_chromium_as_an_ordinary_user() -> Result<()> {
    if !lane::root() {
        lane::skip("ordinary user", "making a user needs root; the other story runs as one here");
        return Ok(());
    }
    story(Start { as_user: true, ..Start::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn main_story_in_chromium_without_walls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let allowed = folder.path().join("allowed");
    std::fs::create_dir(&allowed)?;
    let args = ["--backend", "host", "--allow-host", &allowed.display().to_string()];
    story(Start { args: args.map(str::to_owned).to_vec(), ..Start::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn main_story_in_chromium_in_containers() -> Result<()> {
    let Some(podman) = Podman::start("main story on oci")? else { return Ok(()) };
    story(Start { args: podman.args(), ..Start::default() }).await?;
    ensure!(podman.containers()?.is_empty(), "left with podman: {:?}", podman.containers()?);
    Ok(())
}
