//! The main story as an ordinary user that the test makes: weaker limits, all of the work.

use super::spine::builder;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::{fs, time::Duration};
use toft_stories::{
    lane,
    provider::Provider,
    session::{self, Follow},
    toft::{Start, Toft},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_user_gets_machines_too() -> Result<()> {
    if !lane::root() {
        lane::skip("ordinary user", "making a user needs root; all other stories run as one here");
        return Ok(());
    }
    let provider = Provider::start(Duration::ZERO, builder()).await?;
    let start = Start { env: provider.env("sk-user"), as_user: true, ..Start::default() };
    let toft = Toft::start(start).await?;
    let project = toft.new_project("Rootless").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "write hello").await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("done")));
    let ran = toft.exec(&project, "id -u; cat hello.sh").await?;
    assert_eq!(ran["stdout"], "0\necho good morning from the machine\n");
    let (status, _) = toft.request("GET", "/v1/doctor", None).await?;
    assert_eq!(status, 200);
    let doctor = toft.call("GET", "/v1/doctor", None).await?;
    let weaker: Vec<&Value> = doctor["abilities"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|a| a["enforced"] == false)
        .collect();
    assert!(!weaker.is_empty(), "what is weaker is said: {doctor}");

    let base = format!("/v1/projects/{project}");
    toft.call("POST", &format!("{base}/stop"), Some(json!({}))).await?;
    toft.call("POST", &format!("{base}/start"), Some(json!({}))).await?;
    assert_eq!(
        toft.exec(&project, "cat hello.sh").await?["stdout"],
        "echo good morning from the machine\n"
    );
    // What programs closed to their owner, a package cache above all, is no hindrance to removal.
    toft.exec(&project, "mkdir -p c/a/b && touch c/a/f && chmod 000 c/a/b && chmod -R a-w c/a c")
        .await?;
    toft.call("DELETE", &base, None).await?;
    let pool = toft.data.join("store/pool");
    ensure!(!pool.join("p").join(&project).exists(), "its disk stays");
    let scratch: Vec<_> = fs::read_dir(pool.join("tmp"))?.flatten().map(|e| e.path()).collect();
    ensure!(scratch.is_empty(), "half-made disks stay: {scratch:?}");
    toft.down()
}
