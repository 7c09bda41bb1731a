//! Rows about many projects: what five hundred cold ones cost, and how things grow with their number.

use super::{
    Row, copies,
    lab::{Lab, id_of, ms},
    memory,
};
use anyhow::{Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// What a company has that does not delete.
const COLD: usize = 500;
/// How many projects there are when growth is looked at.
const STEPS: &[usize] = &[10, 100, 1_000];
/// Requests at once while they are made.
const AT_ONCE: usize = 4;
/// Projects on the page that is timed: what the dashboard asks for.
const PAGE: usize = 50;
/// Time for allocators and caches to settle.
const SETTLE: Duration = Duration::from_secs(2);

/// A server that keeps many projects cold: its memory, and the time of a page of the list.
pub(super) async fn cold(rounds: usize, rows: &[&str]) -> Result<Vec<Row>> {
    let lab = Lab::open(&[]).await?;
    add(&lab, COLD).await?;
    tokio::time::sleep(SETTLE).await;
    let mut done = Vec::new();
    if rows.contains(&"cold500_rss") {
        let mib = memory::resident_mib(lab.pid()?)?;
        done.push(Row::new("cold500_rss", "MiB", vec![mib]));
    }
    if rows.contains(&"cold500_list") {
        let mut samples = Vec::new();
        for _ in 0..rounds {
            samples.push(list(&lab).await?);
        }
        done.push(Row::new("cold500_list", "ms", samples));
    }
    lab.close().await?;
    Ok(done)
}

/// Create, fork, checkpoint and list with 10, 100 and 1,000 cold projects beside.
pub(super) async fn growth(rounds: usize) -> Result<Vec<Row>> {
    let lab = Lab::open(&[]).await?;
    let project = lab.project().await?;
    let mut there = 1;
    let mut rows = Vec::new();
    for &step in STEPS {
        add(&lab, step - there).await?;
        there = step;
        let (mut create, mut fork) = (Vec::new(), Vec::new());
        let (mut checkpoint, mut lists) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let began = Instant::now();
            let made = lab.project().await?;
            create.push(ms(began));
            lab.client.call(Method::DELETE, &format!("/v1/projects/{made}"), None).await?;
            let (kept, forked) = copies::beside(&lab, &project).await?;
            checkpoint.push(kept);
            fork.push(forked);
            lists.push(list(&lab).await?);
        }
        for (name, samples) in
            [("create", create), ("fork", fork), ("checkpoint", checkpoint), ("list", lists)]
        {
            rows.push(Row::new(&format!("growth: {name} ({step} projects)"), "ms", samples));
        }
    }
    lab.close().await?;
    Ok(rows)
}

async fn list(lab: &Lab) -> Result<f64> {
    let began = Instant::now();
    let page = lab.client.get(&format!("/v1/projects?limit={PAGE}")).await?;
    let took = ms(began);
    if page.to_string().len() < PAGE {
        bail!("the list is empty");
    }
    Ok(took)
}

/// Makes so many cold projects.
async fn add(lab: &Lab, count: usize) -> Result<()> {
    stream::iter(0..count)
        .map(|_| async {
            let made = lab.client.post("/v1/projects", &json!({"name": "bench"})).await?;
            let id = id_of(&made)?;
            lab.client.post(&format!("/v1/projects/{id}/sleep"), &json!({})).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}
