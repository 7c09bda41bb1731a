//! Rows about copies of a project: checkpoints, restores, forks.

use super::{
    Row,
    lab::{Lab, id_of, ms},
    peers::{Beside, Peers},
    rows::first_output,
    tree::{Tree, rounds, timed},
};
use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use http::Method;
use serde_json::{Value, json};
use std::time::Instant;

/// About 20 MB a second, in files of 1 MB.
const WRITER: &str = "mkdir -p w; i=0; while :; do head -c 1000000 /dev/urandom > w/$((i % 200)); \
                      i=$((i + 1)); sleep 0.04; done";
/// Forks that are made together.
const TOGETHER: usize = 20;
/// Rounds of the row that makes as many.
const TOGETHER_ROUNDS_MAX: usize = 30;
/// Sizes of trees at which a checkpoint is taken, with small files.
const SIZES: &[usize] = &[1_000, 10_000, 100_000];
/// Bytes of a small file.
const SMALL_BYTES: usize = 1_000;

/// A checkpoint of a running machine in which nothing is written.
pub(super) async fn checkpoint_idle(tree: &Tree, n: usize, peers: &Peers) -> Result<Vec<Row>> {
    tree.rounds("checkpoint_idle", n, peers, || checkpoint(tree)).await
}

/// The same while a program writes.
pub(super) async fn checkpoint_writing(tree: &Tree, n: usize, peers: &Peers) -> Result<Vec<Row>> {
    let body = json!({"argv": ["sh", "-c", WRITER]});
    let path = tree.path("exec");
    // Ends with this connection.
    let writer = tree.lab.client.stream(Method::POST, &path, Some(&body)).await?;
    let row = tree.rounds("checkpoint_writing", n, peers, || checkpoint(tree)).await;
    drop(writer);
    row
}

/// Takes one and removes it again; the time of the taking.
async fn checkpoint(tree: &Tree) -> Result<f64> {
    let began = Instant::now();
    let taken = tree.post("checkpoints", &json!({})).await?;
    let took = ms(began);
    let id = id_of(&taken)?;
    tree.lab.client.call(Method::DELETE, &tree.path(&format!("checkpoints/{id}")), None).await?;
    Ok(took)
}

/// From the request to restore a running machine to a command's first output in it.
pub(super) async fn restore_first_output(tree: &Tree, n: usize, peers: &Peers) -> Result<Vec<Row>> {
    let id = id_of(&tree.post("checkpoints", &json!({"label": "bench"})).await?)?;
    let row = tree.rounds("restore_first_output", n, peers, || async {
        let began = Instant::now();
        tree.post(&format!("checkpoints/{id}/restore"), &json!({})).await?;
        let mut events = first_output(&tree.lab, &tree.project).await?;
        let took = ms(began);
        while events.next().await?.is_some() {}
        Ok(took)
    });
    row.await
}

/// From the request to fork a running project to a command's first output in the fork.
pub(super) async fn fork_first_output(tree: &Tree, n: usize, peers: &Peers) -> Result<Vec<Row>> {
    tree.rounds("fork_first_output", n, peers, || fork(tree, 1)).await
}

/// Twenty forks from one request, to the first output of a command in each.
pub(super) async fn fork20_all(tree: &Tree, n: usize, peers: &Peers) -> Result<Vec<Row>> {
    tree.rounds("fork20_all", n.min(TOGETHER_ROUNDS_MAX), peers, || fork(tree, TOGETHER)).await
}

async fn fork(tree: &Tree, count: usize) -> Result<f64> {
    let began = Instant::now();
    let made = tree.post("fork", &json!({"count": count})).await?;
    let forks = ids(&made)?;
    let outputs = try_join_all(forks.iter().map(|fork| first_output(&tree.lab, fork))).await?;
    let took = ms(began);
    for mut events in outputs {
        while events.next().await?.is_some() {}
    }
    for fork in &forks {
        remove(&tree.lab, fork).await?;
    }
    Ok(took)
}

fn ids(made: &Value) -> Result<Vec<String>> {
    made["projects"].as_array().context("a list of projects")?.iter().map(id_of).collect()
}

async fn remove(lab: &Lab, project: &str) -> Result<()> {
    lab.client.call(Method::DELETE, &format!("/v1/projects/{project}"), None).await?;
    Ok(())
}

/// How a checkpoint's time follows the number of files.
pub(super) async fn checkpoint_files(n: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &files in SIZES {
        let tree = Tree::of(files, SMALL_BYTES).await?;
        let name = format!("checkpoint_files ({files} files)");
        rows.extend(rounds(&name, n, Beside::nobody(), || checkpoint(&tree)).await?);
        tree.lab.close().await?;
    }
    Ok(rows)
}

/// One checkpoint and one fork of a project beside others; the times of both.
pub(super) async fn beside(lab: &Lab, project: &str) -> Result<(f64, f64)> {
    let of = format!("/v1/projects/{project}");
    let began = Instant::now();
    let taken = lab.client.post(&format!("{of}/checkpoints"), &json!({})).await?;
    let checkpoint = ms(began);
    let id = id_of(&taken)?;
    lab.client.call(Method::DELETE, &format!("{of}/checkpoints/{id}"), None).await?;
    let mut made = Value::Null;
    let fork = timed(async {
        made = lab.client.post(&format!("{of}/fork"), &json!({})).await?;
        Ok(())
    })
    .await?;
    for fork in ids(&made)? {
        remove(lab, &fork).await?;
    }
    Ok((checkpoint, fork))
}
