//! Rows about machines: start, create, exec, wake.

use super::{
    Row,
    lab::{Lab, id_of, ms},
    peers::Peers,
};
use crate::client::Events;
use anyhow::{Result, bail};
use http::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// Rounds that are not counted: the first snapshot, page cache, connection.
pub(super) const WARM_UP: usize = 3;
/// A start makes the storage and the image template anew; a few rounds are enough and cost seconds.
const START_ROUNDS_MAX: usize = 10;
/// How often to look whether a process is gone: well below what is measured.
const LOOK_AGAIN: Duration = Duration::from_micros(200);
/// A process that is still there then hangs.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// Asks a project's bridge for something that reads cannot be: to make a folder, one that is there. That
/// wakes the machine, waits for its bridge, and has that look at a folder inside and do no more.
pub(super) async fn wake(lab: &Lab, project: &str) -> Result<()> {
    let folder = json!({"path": "/home/project"});
    lab.client.post(&format!("/v1/projects/{project}/toft/files/mkdir"), &folder).await?;
    Ok(())
}

/// `toft up` on an empty data folder, to the line that it prints once it serves.
pub(super) async fn server_start(rounds: usize) -> Result<Row> {
    let mut samples = Vec::new();
    for _ in 0..rounds.min(START_ROUNDS_MAX) {
        let lab = Lab::open(&[]).await?;
        samples.push(lab.start_ms);
        lab.close().await?;
    }
    Ok(Row::new("server_start", "ms", samples))
}

/// `POST /v1/projects`, then a command's first byte of output.
pub(super) async fn create_first_output(rounds: usize, peers: &Peers) -> Result<Vec<Row>> {
    let lab = Lab::open(&[]).await?;
    let mut beside = peers.beside("create_first_output", &lab, "").await;
    let mut samples = Vec::new();
    for round in 0..rounds + WARM_UP {
        let began = Instant::now();
        let project = id_of(&lab.client.post("/v1/projects", &json!({"name": "bench"})).await?)?;
        let mut events = first_output(&lab, &project).await?;
        let took = ms(began);
        while events.next().await?.is_some() {}
        if round >= WARM_UP {
            samples.push(took);
        }
        beside.round(round >= WARM_UP).await;
        lab.client.call(Method::DELETE, &format!("/v1/projects/{project}"), None).await?;
    }
    lab.close().await?;
    let mut rows = vec![Row::new("create_first_output", "ms", samples)];
    rows.extend(beside.rows());
    Ok(rows)
}

/// Runs a command up to its first byte of output. What it still has to say is the caller's to take.
pub(super) async fn first_output(lab: &Lab, project: &str) -> Result<Events> {
    let body = json!({"argv": ["echo", "hello"]});
    let path = format!("/v1/projects/{project}/exec");
    let mut events = lab.client.stream(Method::POST, &path, Some(&body)).await?;
    loop {
        match events.next().await? {
            Some(event) if event.name == "stdout" => return Ok(events),
            Some(_) => {}
            None => bail!("the command printed nothing"),
        }
    }
}

/// `true` in a running machine.
pub(super) async fn exec_roundtrip(rounds: usize, peers: &Peers) -> Result<Vec<Row>> {
    let lab = Lab::open(&[]).await?;
    let project = lab.project().await?;
    let path = format!("/v1/projects/{project}/exec");
    let body = json!({"argv": ["true"]});
    let mut beside = peers.beside("exec_roundtrip", &lab, &project).await;
    let mut samples = Vec::new();
    for round in 0..rounds + WARM_UP {
        let began = Instant::now();
        let done = lab.client.post(&path, &body).await?;
        let took = ms(began);
        if done["exitCode"] != 0 {
            bail!("`true` ended with {done}");
        }
        if round >= WARM_UP {
            samples.push(took);
        }
        beside.round(round >= WARM_UP).await;
    }
    lab.close().await?;
    let mut rows = vec![Row::new("exec_roundtrip", "ms", samples)];
    rows.extend(beside.rows());
    Ok(rows)
}

/// A cold machine, to the first request that its bridge has answered ([`wake`]).
pub(super) async fn cold_wake(rounds: usize, peers: &Peers) -> Result<Vec<Row>> {
    let lab = Lab::open(&[]).await?;
    let project = lab.project().await?;
    let mut beside = peers.beside("cold_wake", &lab, &project).await;
    let mut samples = Vec::new();
    for round in 0..rounds + WARM_UP {
        lab.client.post(&format!("/v1/projects/{project}/sleep"), &json!({})).await?;
        let began = Instant::now();
        wake(&lab, &project).await?;
        if round >= WARM_UP {
            samples.push(ms(began));
        }
        beside.round(round >= WARM_UP).await;
    }
    lab.close().await?;
    let mut rows = vec![Row::new("cold_wake", "ms", samples)];
    rows.extend(beside.rows());
    Ok(rows)
}

/// A running idle machine, to the moment when its server has answered and no process is left.
pub(super) async fn stop(rounds: usize, peers: &Peers) -> Result<Vec<Row>> {
    let lab = Lab::open(&[]).await?;
    let project = lab.project().await?;
    let of = format!("/v1/projects/{project}");
    let mut beside = peers.beside("stop", &lab, &project).await;
    let mut samples = Vec::new();
    for round in 0..rounds + WARM_UP {
        lab.client.post(&format!("{of}/start"), &json!({})).await?;
        lab.client.get(&format!("{of}/toft/terminals")).await?;
        // All else in the machine ends before its init does.
        let init = lab.init_pid(&project)?;
        let began = Instant::now();
        lab.client.post(&format!("{of}/stop"), &json!({})).await?;
        while lives(init) {
            if began.elapsed() > STOP_TIMEOUT {
                bail!("the machine's init outlives a stop");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        if round >= WARM_UP {
            samples.push(ms(began));
        }
        beside.round(round >= WARM_UP).await;
    }
    lab.close().await?;
    let mut rows = vec![Row::new("stop", "ms", samples)];
    rows.extend(beside.rows());
    Ok(rows)
}

/// Whether a process is there and not just waiting for whoever adopted it to take notice.
fn lives(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name before the state may hold anything, brackets too (proc(5)).
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
