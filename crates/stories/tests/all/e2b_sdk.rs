//! The double of E2B, held to E2B's own published client: what the stories of the backend `e2b` rest on.

use anyhow::{Context as _, Result, ensure};
use std::{path::Path, time::Duration};
use toft_stories::{
    e2b::{E2b, TEMPLATE},
    lane, peers,
};
use tokio::process::Command;

const DRIVER_TIMEOUT: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn the_double_of_e2b_serves_its_published_client() -> Result<()> {
    let Some(python) = peers::python("e2b") else {
        lane::skip("E2B's client", "it is not installed: `make prepare` does that with PyPI");
        return Ok(());
    };
    if !lane::root() {
        lane::skip("the double of E2B", "its sandboxes are namespaces, which take root here");
        return Ok(());
    }
    let e2b = E2b::start().await?;
    let driver = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/e2b/drive.py"))
        .arg(TEMPLATE)
        .env_clear()
        .envs(e2b.env())
        .env("NO_PROXY", "*")
        .kill_on_drop(true)
        .output();
    let driver = tokio::time::timeout(DRIVER_TIMEOUT, driver).await.context("it hangs")??;
    let said = String::from_utf8_lossy(&driver.stdout);
    let errors = String::from_utf8_lossy(&driver.stderr);
    ensure!(driver.status.success(), "{said}\n{errors}\nfaults: {:#?}", e2b.faults());
    ensure!(said.trim_end().ends_with("done"), "it did not come to its end: {said}");
    assert_eq!(e2b.faults(), Vec::<String>::new(), "the double knows what its client sends");
    ensure!(e2b.sandboxes().is_empty(), "{:?}", e2b.sandboxes());
    Ok(())
}
