//! What machines can do on this host, for stories that ask before they leave something out.

use crate::{lane, toft::Toft};
use anyhow::Result;
use serde_json::json;

/// Whether a running machine can be copied: disks whose copy takes no time, or a group that pauses it.
pub async fn is_kept_running(toft: &Toft, project: &str) -> Result<bool> {
    let machine = toft.call("GET", &format!("/v1/projects/{project}/machine"), None).await?;
    let can = |what: &str| machine["can"][what] == true;
    Ok(can("checkpoint") && (can("liveCheckpoint") || can("freeze")))
}

/// Whether connections of programs that know no proxy come to the gateway.
pub async fn connects_without_proxy(toft: &Toft, project: &str) -> Result<bool> {
    let machine = toft.call("GET", &format!("/v1/projects/{project}/machine"), None).await?;
    let is_it = |ability: &serde_json::Value| {
        ability["name"] == "connections without proxy" && ability["enforced"] == true
    };
    Ok(machine["enforced"].as_array().is_some_and(|all| all.iter().any(is_it)))
}

/// Puts a machine to sleep where it can be copied at rest only. The next command wakes it.
pub async fn rest_if_needed(toft: &Toft, project: &str) -> Result<()> {
    if !is_kept_running(toft, project).await? {
        toft.call("POST", &format!("/v1/projects/{project}/sleep"), Some(json!({}))).await?;
    }
    Ok(())
}

/// Whether checkpoints are taken before prompts; says so where they are not.
pub async fn is_kept_before_prompts(toft: &Toft) -> Result<bool> {
    let project = toft.new_project("Asked").await?;
    let is_kept = is_kept_running(toft, &project).await?;
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    if !is_kept {
        lane::skip(
            "checkpoints before prompts",
            "files are copied one by one here, and nothing can pause a machine meanwhile",
        );
    }
    Ok(is_kept)
}
