//! Rows about memory, read from `/proc`.

use super::{
    Row,
    agent::{self, Beside},
    lab::{Lab, children},
    peers::Peers,
    provider::{Play, Provider, Tool},
};
use crate::output;
use anyhow::{Context, Result};
use serde_json::json;
use std::{fs, path::Path, time::Duration};

/// Cold projects that a small installation has.
const COLD_PROJECTS: usize = 20;
/// Time for allocators and caches to settle after start-up work.
const SETTLE: Duration = Duration::from_secs(2);

/// A conversation of two hundred turns: so many prompts of so many calls, and one answer in words each.
const PROMPTS: usize = 10;
const PROMPT_TURNS: usize = 20;

/// Resident memory of a server with twenty cold projects.
pub(super) async fn server() -> Result<Row> {
    let lab = Lab::open(&[]).await?;
    for _ in 0..COLD_PROJECTS {
        let project = lab.project().await?;
        lab.client.post(&format!("/v1/projects/{project}/sleep"), &json!({})).await?;
    }
    tokio::time::sleep(SETTLE).await;
    let mib = resident_mib(lab.pid()?)?;
    lab.close().await?;
    Ok(Row::new("server_rss", "MiB", vec![mib]))
}

/// Resident memory of a process.
pub(super) fn resident_mib(pid: u32) -> Result<f64> {
    Ok(kib(pid, "VmRSS:", "status")? / 1024.0)
}

/// Init and bridge of a running idle machine: the sum of what each holds, and the same with pages
/// that they share counted once (proportional set size).
pub(super) async fn bridge() -> Result<Vec<Row>> {
    let lab = Lab::open(&[]).await?;
    let project = lab.project().await?;
    lab.client.get(&format!("/v1/projects/{project}/toft/terminals")).await?;
    tokio::time::sleep(SETTLE).await;
    let init = lab.init_pid(&project)?;
    let mut pids = vec![init];
    pids.extend(children(init)?);
    let sum = |field: &str, file: &str| -> Result<f64> {
        pids.iter().map(|pid| kib(*pid, field, file)).sum::<Result<f64>>().map(|k| k / 1024.0)
    };
    let rss = sum("VmRSS:", "status")?;
    let pss = sum("Pss:", "smaps_rollup")?;
    lab.close().await?;
    Ok(vec![
        Row::new("bridge_rss", "MiB", vec![rss]),
        Row::new("bridge_rss (shared pages once)", "MiB", vec![pss]),
    ])
}

/// Resident memory of the process that is the agent, and of a peer's: idle, and after a long conversation of
/// turns that each used a tool.
pub(super) async fn agent(peers: &Peers) -> Result<Vec<Row>> {
    let provider = Provider::start(Play::Tools(PROMPT_TURNS, Tool::Read)).await?;
    let lab = Lab::open(&provider.env()).await?;
    let project = agent::project(&lab).await?;
    agent::new_session(&lab, &project).await?;
    let (mut idle, mut used) = (Vec::new(), Vec::new());
    let mut idle_peer = Beside::open("pi", agent::pi(peers, &provider).await);
    tokio::time::sleep(SETTLE).await;
    idle.push(resident_mib(lab.bridge_pid(&project)?)?);
    let bridge = lab.bridge_pid(&project)?;
    for _ in 0..PROMPTS {
        agent::prompt(&lab, &project, |_, _| {}).await?;
    }
    tokio::time::sleep(SETTLE).await;
    used.push(resident_mib(bridge)?);
    let mut after = Vec::new();
    idle_peer
        .round(true, async |(pi, _)| {
            let idle = resident_mib(pi.pid()?)?;
            for _ in 0..PROMPTS {
                pi.prompt(false).await?;
            }
            tokio::time::sleep(SETTLE).await;
            after.push(resident_mib(pi.pid()?)?);
            Ok(vec![idle])
        })
        .await;
    lab.close().await?;
    let mut rows = vec![Row::new("bridge_rss_idle", "MiB", idle)];
    rows.extend(idle_peer.row("bridge_rss_idle", "MiB"));
    rows.push(Row::new("bridge_rss_200", "MiB", used));
    if !after.is_empty() {
        rows.push(Row::new("bridge_rss_200 (peer: pi)", "MiB", after));
    }
    Ok(rows)
}

/// What the kernel charges a running idle machine for, its own share of caches and tables included.
pub(super) async fn idle_machine() -> Result<Vec<Row>> {
    let lab = Lab::open(&[]).await?;
    let project = lab.project().await?;
    lab.client.get(&format!("/v1/projects/{project}/toft/terminals")).await?;
    tokio::time::sleep(SETTLE).await;
    let machine = lab.machine(&project)?;
    let charged = machine["groups"]["memory"].as_str().map(|group| charged_bytes(group.as_ref()));
    lab.close().await?;
    let Some(bytes) = charged.transpose()? else {
        output::remark("idle_machine_mem is left out: machines have no memory control group here");
        return Ok(Vec::new());
    };
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let mib = bytes as f64 / f64::from(1 << 20);
    Ok(vec![Row::new("idle_machine_mem", "MiB", vec![mib])])
}

/// Of cgroup v2, or else v1.
fn charged_bytes(group: &Path) -> Result<u64> {
    let text = fs::read_to_string(group.join("memory.current"))
        .or_else(|_| fs::read_to_string(group.join("memory.usage_in_bytes")))
        .with_context(|| format!("reading what {} is charged", group.display()))?;
    Ok(text.trim().parse()?)
}

fn kib(pid: u32, field: &str, file: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))
        .with_context(|| format!("reading {file} of process {pid}"))?;
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB")?.trim().parse().ok())
        .with_context(|| format!("{file} of process {pid} has no {field}"))
}
