//! Events can be read again from any number: nothing missing, nothing twice, also while more come.

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use serde_json::json;
use std::time::Duration;
use toft_stories::{
    lane,
    provider::Provider,
    session::{self, Follow, Seen},
    toft::{Start, Toft},
};

/// Chance that is the same in every run (Knuth's MMIX generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_reconnects_gives_the_exact_list() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, super::kills::script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-r"), ..Start::default() }).await?;
    let project = toft.new_project("Replay").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "work").await?;
    let all = follow.until_agent_end().await?;
    let last = follow.last;
    let mut dice = Dice(42);
    let rounds = if lane::deep() { 1_000 } else { 150 };
    for round in 0..rounds {
        let after = dice.below(last);
        let mut again = if round % 2 == 0 {
            Follow::from(&toft, &project, after).await?
        } else {
            Follow::since(&toft, &project, after).await?
        };
        let mut got: Vec<Seen> = Vec::new();
        while again.last < last {
            got.push(again.next().await?);
        }
        let wanted = &all[usize::try_from(after)?..];
        ensure!(got == wanted, "round {round}, after {after}");
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_cut_all_the_time_misses_nothing_while_it_happens() -> Result<()> {
    let provider = Provider::start(Duration::from_millis(3), super::kills::script()).await?;
    let mut toft = Toft::start(Start { env: provider.env("sk-r"), ..Start::default() }).await?;
    let project = toft.new_project("Cut").await?;
    let mut steady = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "work").await?;
    let mut dice = Dice(7);
    let mut got: Vec<Seen> = Vec::new();
    let (mut cuts, mut last) = (0, 0);
    while got.last().is_none_or(|e| e.kind != "agent_end") {
        let mut client = Follow::since(&toft, &project, last).await?;
        for _ in 0..=dice.below(4) {
            let event = client.next().await?;
            last = event.seq;
            let end = event.kind == "agent_end";
            got.push(event);
            if end {
                break;
            }
        }
        cuts += 1;
    }
    ensure!(cuts > 10, "only {cuts} cuts");
    let all = steady.until_agent_end().await?;
    assert_eq!(got, all);

    // The same from a new server, and from its copy while the machine sleeps.
    toft.kill_server();
    toft.up().await?;
    let of = format!("/v1/projects/{project}");
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    let mut cold = Follow::from(&toft, &project, 0).await?;
    let mut copy = Vec::new();
    while copy.len() < all.len() {
        copy.push(cold.next().await?);
    }
    assert_eq!(copy, all);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_number_a_stream_begins_with_what_comes() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Live").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "run `echo one`").await?;
    follow.until_agent_end().await?;
    let answer = toft
        .http()
        .get(format!("{}/v1/projects/{project}/toft/events", toft.base))
        .bearer_auth(&toft.token)
        .send()
        .await?;
    let mut live = answer.bytes_stream();
    let mut text = String::new();
    while !text.contains("}\n\n") {
        text.push_str(std::str::from_utf8(&live.next().await.context("hello comes")??)?);
    }
    assert!(text.contains("event: hello\n"), "{text}");
    assert!(!text.contains("id: "), "hello has no number: {text}");
    assert!(text.contains(&format!("\"seq\":{}", follow.last)), "{text}");
    session::prompt(&toft, &project, "run `echo two`").await?;
    while !text.contains("event: agent_end\n") {
        text.push_str(std::str::from_utf8(&live.next().await.context("more comes")??)?);
    }
    let first = text.lines().find_map(|l| l.strip_prefix("id: ")).context("a number")?;
    assert_eq!(first.parse::<u64>()?, follow.last + 1);
    toft.down()
}
