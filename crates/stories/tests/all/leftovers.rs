//! After a long day nothing of ours is left on the host. Every story ends with this look; here it
//! is shown that it sees, and that it sees nothing after the wildest one.

use anyhow::{Result, ensure};
use serde_json::json;
use toft_stories::{
    lane, processes,
    session::{self, Follow},
    toft::{Start, Toft},
};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_ours_outlives_toft_down() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let one = toft.new_project("One").await?;
    let two = toft.new_project("Two").await?;
    let three = toft.new_project("Three").await?;
    let mut follow = Follow::from(&toft, &one, 0).await?;
    session::prompt(&toft, &one, "Build a to-do app").await?;
    follow.until_agent_end().await?;
    toft.exec(&one, "setsid sleep 4001 >/dev/null 2>&1 & echo").await?;
    let terminals = format!("/v1/projects/{two}/toft/terminals");
    toft.call("POST", &terminals, Some(json!({"cols": 80, "rows": 24}))).await?;
    session::prompt(&toft, &two, "Count to 500").await?;
    toft.kill_server();
    toft.up().await?;
    toft.call("POST", &format!("/v1/projects/{three}/sleep"), Some(json!({}))).await?;
    toft.call("POST", &format!("/v1/projects/{three}/wake"), Some(json!({}))).await?;
    toft.call("DELETE", &format!("/v1/projects/{three}"), None).await?;

    // The look sees what there is.
    let there = processes::remains(&toft.data);
    for part in ["\"gateway\"", "\"up\"", "\"init\"", "\"bridge\"", "\"4001\""] {
        let seen = there.iter().any(|line| line.starts_with("process ") && line.contains(part));
        ensure!(seen, "{part} is not seen: {there:#?}");
    }
    let doctor = toft.call("GET", "/v1/doctor", None).await?;
    if doctor["storage"] == "btrfs loop image" {
        for kind in ["mount ", "loop device "] {
            ensure!(there.iter().any(|line| line.starts_with(kind)), "{kind}: {there:#?}");
        }
    } else {
        lane::skip("mount and loop device", "this host keeps disks another way");
    }
    // `down` ends with the same look.
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_project_leaves_no_file() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Gone").await?;
    let marker = "a-marker-that-nobody-else-writes";
    session::prompt(&toft, &project, &format!("run `echo {marker} > f; sync f`")).await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    follow.until_agent_end().await?;
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    let named: Vec<String> = ["run/m", "logs", "store/pool/p"]
        .map(|place| toft.data.join(place).join(&project))
        .into_iter()
        .filter(|path| std::fs::symlink_metadata(path).is_ok())
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(named, Vec::<String>::new());
    toft.down()
}
