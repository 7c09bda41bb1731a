//! A provider key is in the gateway's memory and nowhere else.

use super::spine::builder;
use anyhow::{Context as _, Result};
use serde_json::json;
use std::time::Duration;
use toft_stories::{
    lane, processes,
    provider::Provider,
    session::{self, Follow},
    toft::{Start, Toft},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_key_is_in_the_gateway_and_nowhere_else() -> Result<()> {
    // Made at run time, so that the test binary's own text does not hold it.
    let canary = format!("sk-ant-{}-canary", std::process::id() * 7919);
    let provider = Provider::start(Duration::ZERO, builder()).await?;
    let mut toft = Toft::start(Start {
        env: vec![("ANTHROPIC_BASE_URL".into(), format!("http://{}", provider.addr))],
        ..Start::default()
    })
    .await?;
    toft.call("PUT", "/v1/providers/anthropic/key", Some(json!({"key": canary}))).await?;
    let project = toft.new_project("Canary").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "go").await?;
    follow.until_agent_end().await?;
    let keys = provider.keys();
    assert!(!keys.is_empty() && keys.iter().all(|k| *k == canary), "the provider got the key");
    // A refused request must not write it anywhere either.
    let _ = toft.request("PUT", "/v1/providers/nonsense/key", Some(json!({"key": canary}))).await?;

    let inside = toft.machine_processes(&project);
    assert!(inside.len() >= 2, "init and bridge at least: {inside:?}");
    if lane::root() {
        for process in &inside {
            assert!(!processes::memory_holds(process.pid, canary.as_bytes()), "{process:?}");
        }
        let gateway = toft.gateway_pid().context("there is a gateway")?;
        assert!(processes::memory_holds(gateway, canary.as_bytes()), "the search finds it there");
    } else {
        lane::skip("memory search", "reading other processes' memory needs root");
    }
    assert_eq!(
        processes::files_holding(&toft.data, canary.as_bytes()),
        Vec::<std::path::PathBuf>::new()
    );
    assert!(!toft.log().contains(&canary));
    let found = toft
        .exec(
            &project,
            &format!(
                "grep -rls '{}' /home /root /etc /var /tmp /run 2>/dev/null | head",
                &canary[..canary.len() - 3]
            ),
        )
        .await?;
    assert_eq!(found["stdout"], "");

    // A new server has it again from its own vault.
    toft.kill_server();
    toft.up().await?;
    let test = toft.call("POST", "/v1/providers/anthropic/test", Some(json!({}))).await?;
    assert_eq!(test["ok"], true, "{test}");
    toft.down()
}
