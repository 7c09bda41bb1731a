//! Rows about machines: start, create, exec, wake.

use super::{
    Row,
    lab::{Lab, id_of, ms},
    peers,
};
use anyhow::{Result, bail};
use http::Method;
use serde_json::json;
use std::time::Instant;

/// Rounds that are not counted: the first snapshot, page cache, connection.
const WARM_UP: usize = 3;
/// A start makes the storage and the image template anew; a few rounds are enough and cost seconds.
const START_ROUNDS_MAX: usize = 10;

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
pub(super) async fn create_first_output(rounds: usize, with_peers: bool) -> Result<Vec<Row>> {
    let lab = Lab::open(&[]).await?;
    let mut samples = Vec::new();
    let mut peers = peers::sandboxes(with_peers);
    for round in 0..rounds + WARM_UP {
        let began = Instant::now();
        let project = id_of(&lab.client.post("/v1/projects", &json!({"name": "bench"})).await?)?;
        let body = json!({"argv": ["echo", "hello"]});
        let path = format!("/v1/projects/{project}/exec");
        let mut events = lab.client.stream(Method::POST, &path, Some(&body)).await?;
        loop {
            match events.next().await? {
                Some(event) if event.name == "stdout" => break,
                Some(_) => {}
                None => bail!("the command printed nothing"),
            }
        }
        let took = ms(began);
        while events.next().await?.is_some() {}
        if round >= WARM_UP {
            samples.push(took);
        }
        for peer in &mut peers {
            peer.round(round >= WARM_UP).await?;
        }
        lab.client.call(Method::DELETE, &format!("/v1/projects/{project}"), None).await?;
    }
    lab.close().await?;
    let mut rows = vec![Row::new("create_first_output", "ms", samples)];
    rows.extend(peers.into_iter().map(|p| p.into_row("create_first_output")));
    Ok(rows)
}

/// `true` in a running machine.
pub(super) async fn exec_roundtrip(rounds: usize, with_peers: bool) -> Result<Vec<Row>> {
    let lab = Lab::open(&[]).await?;
    let project = lab.project().await?;
    let path = format!("/v1/projects/{project}/exec");
    let body = json!({"argv": ["true"]});
    let mut samples = Vec::new();
    let mut peers = peers::sandboxes(with_peers);
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
        for peer in &mut peers {
            peer.round(round >= WARM_UP).await?;
        }
    }
    lab.close().await?;
    let mut rows = vec![Row::new("exec_roundtrip", "ms", samples)];
    rows.extend(peers.into_iter().map(|p| p.into_row("exec_roundtrip")));
    Ok(rows)
}

/// A cold machine, to the first request that its bridge has answered.
pub(super) async fn cold_wake(rounds: usize) -> Result<Row> {
    let lab = Lab::open(&[]).await?;
    let project = lab.project().await?;
    let mut samples = Vec::new();
    for round in 0..rounds + WARM_UP {
        lab.client.post(&format!("/v1/projects/{project}/sleep"), &json!({})).await?;
        let began = Instant::now();
        lab.client.get(&format!("/v1/projects/{project}/toft/terminals")).await?;
        if round >= WARM_UP {
            samples.push(ms(began));
        }
    }
    lab.close().await?;
    Ok(Row::new("cold_wake", "ms", samples))
}
