//! The main story in a real Chromium against the built binary, screenshots kept. The driver is
//! `peers/main-story.mjs`; this side owns the server and kills it when asked. One story on every
//! backend: they differ in how the server is started, and the driver asks what the machine can.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use toft_stories::{
    browser::Driver,
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
    let mut driver = Driver::start(&toft, "main-story.mjs", json!({"shots": shots}))?;
    while let Some(line) = driver.line().await? {
        if line == "kill" {
            toft.kill_server();
            toft.up().await?;
            driver.answer("up").await?;
        } else if let Some(what) = line.strip_prefix("left out ") {
            let (what, why) = what.split_once(": ").context("what and why")?;
            lane::skip(what, why);
        }
    }
    driver.done(&toft).await?;
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
