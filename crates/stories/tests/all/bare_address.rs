//! The dashboard by a bare address, in a real Chromium: every preview has a port of its own, and
//! two hostile apps gain nothing by sharing a host. The browser's side is `peers/bare-address.mjs`.
//! Names below `localhost` do not lead to 127.0.0.2 either, so it stands for an address of the network.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{net::Ipv4Addr, process::Stdio};
use toft_stories::{
    browser::Driver,
    lane,
    toft::{Start, Toft},
};
use tokio::process::Command;

const APP: &str = include_str!("../../peers/bare-app.py");

async fn project_with_app(toft: &Toft, name: &str) -> Result<String> {
    let project = toft.new_project(name).await?;
    let run = format!(
        "cat > /root/app.py <<'E'\n{APP}\nE\nsetsid python3 /root/app.py {name} >/dev/null 2>&1 & \
         for i in $(seq 200); do (exec 3<>/dev/tcp/127.0.0.1/3000) 2>/dev/null && exit 0; \
         sleep 0.05; done; exit 1"
    );
    ensure!(toft.exec(&project, &run).await?["exitCode"] == 0, "the app does not listen");
    let config = format!("/v1/projects/{project}/toft/config");
    toft.call("POST", &config, Some(json!({"appPort": 3000}))).await?;
    Ok(project)
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_by_port_share_a_host_and_nothing_else() -> Result<()> {
    story(Ipv4Addr::new(127, 0, 0, 2)).await
}

/// Set in the copy of this test that has a network of its own.
const WITHIN: &str = "TOFT_STORY_NETWORK";
/// An address of that network. Browsers trust loopback addresses as if they were TLS; this one gets
/// none of the headers and policies that plain HTTP does not get.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);

#[tokio::test(flavor = "multi_thread")]
async fn previews_by_port_hold_over_plain_http_where_browsers_help_less() -> Result<()> {
    if std::env::var_os(WITHIN).is_some() {
        return story(ADDRESS).await;
    }
    if !lane::root() {
        lane::skip("plain HTTP", "a network namespace with an address of its own needs root");
        return Ok(());
    }
    let enter = format!("ip link set lo up && ip addr add {ADDRESS}/32 dev lo && exec \"$@\"");
    let name = "bare_address::previews_by_port_hold_over_plain_http_where_browsers_help_less";
    let inner = Command::new("unshare")
        .args(["--net", "sh", "-c", &enter, "sh"])
        .arg(std::env::current_exe()?)
        .args(["--exact", name, "--nocapture"])
        .env(WITHIN, "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("starting the story in a network of its own")?;
    let said = String::from_utf8_lossy(&inner.stdout) + String::from_utf8_lossy(&inner.stderr);
    ensure!(inner.status.success() && said.contains("1 passed"), "{said}");
    Ok(())
}

async fn story(address: Ipv4Addr) -> Result<()> {
    let start = Start { address: Some(address), ..Start::default() };
    let mut toft = Toft::start(start).await?;
    ensure!(toft.link.starts_with(&toft.base), "the link is for the address: {}", toft.link);
    let shop = project_with_app(&toft, "shop").await?;
    let blog = project_with_app(&toft, "blog").await?;
    let made = json!({"address": toft.base, "shop": shop, "blog": blog});
    Driver::start(&toft, "bare-address.mjs", made)?.done(&toft).await?;
    let projects = toft.call("GET", "/v1/projects", None).await?;
    let ids: Vec<&str> =
        projects.as_array().context("a list")?.iter().filter_map(|p| p["id"].as_str()).collect();
    assert_eq!(ids.len(), 2, "an app made or removed a project: {projects}");

    // `toft open` gives such an address too, and a killed server opens its ports again.
    let open = |toft: &Toft| -> Result<String> {
        let out = toft.cli(&["open", &shop])?;
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let url = open(&toft)?;
    let origin = url.split("/.toft/").next().context("an origin")?.to_owned();
    ensure!(origin.starts_with(&format!("http://{address}:")) && origin != toft.base, "{url}");
    toft.kill_server();
    toft.up().await?;
    let closed = toft.http().get(&origin).send().await?;
    assert_eq!(closed.status(), 401, "it listens again, and wants its cookie");
    assert!(open(&toft)?.starts_with(&origin));
    toft.down()
}
