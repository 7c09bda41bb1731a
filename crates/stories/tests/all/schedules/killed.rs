//! What schedules do about a server that was killed: while a firing began, while its command ran, before
//! its slot came.

use super::{MARK, add, check_once, ended_whole, firings, is_over, now_ms, runs, until};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{collections::HashMap, time::Duration};
use toft_stories::{
    lane,
    toft::{Start, Toft},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_moment_of_a_firing_runs_nothing_twice() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Killed").await?;
    let slow = json!({"command": format!("{MARK}; sleep 0.7; echo whole")});
    let body = json!({"name": "second", "when": {"everyS": 1}, "do": slow, "overlap": "queue"});
    let every = add(&toft, &project, body).await?;
    // Moments spread over a second, so that each step of a firing is met.
    let kills: u64 = if lane::deep() { 60 } else { 12 };
    for kill in 0..kills {
        let after = firings(&toft, &project, &every).await?.len();
        until(&toft, &project, &every, |all| all.len() > after).await?;
        tokio::time::sleep(Duration::from_millis(kill * 997 % 1_000)).await;
        toft.kill_server();
        if kill == kills / 2 {
            // Long enough that what was missed is late.
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        toft.up().await?;
    }
    let all = ended_whole(&toft, &project, &every, 1_000).await?;
    let of_outcome = |word: &str| all.iter().filter(|f| f["outcome"] == word).count();
    ensure!(of_outcome("fired") + of_outcome("late") > 0, "{all:?}");
    ensure!(of_outcome("failed") == 0, "the machine never ended: {all:?}");
    ensure!(of_outcome("skipped") > 0, "slots of the pause have their record: {all:?}");
    let whole = all.iter().filter(|f| f["output"] == "whole\n").count();
    assert_eq!(whole, of_outcome("fired") + of_outcome("late"), "each was seen to its end");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_meets_what_became_of_the_command_before_it_while_no_server_ran() -> Result<()> {
    for (takes, still_runs) in [("sleep 2", false), ("sleep 600", true)] {
        let mut toft = Toft::start(Start::default()).await?;
        let project = toft.new_project("Between").await?;
        let work = json!({"command": format!("{MARK}; {takes}; echo whole")});
        let body = json!({"name": "six", "when": {"everyS": 6}, "do": work});
        let id = add(&toft, &project, body).await?;
        let first = until(&toft, &project, &id, |all| {
            all.iter().any(|f| f["startedAt"].is_u64() && f["endedAt"].is_null())
        })
        .await?;
        let slot = first[0]["slot"].as_u64().context("a slot")?;
        // It has begun when its mark is there.
        while runs(&toft, &project).await?.is_empty() {}
        toft.kill_server();
        // The next slot comes due while no server runs.
        while now_ms() < slot + 6_500 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        toft.up().await?;
        let decided =
            |all: &[Value]| all.iter().any(|f| f["lastSlot"].as_u64() >= Some(slot + 6_000));
        until(&toft, &project, &id, decided).await?;
        if still_runs {
            let path = format!("/v1/projects/{project}/schedules/{id}");
            toft.call("PATCH", &path, Some(json!({"enabled": false}))).await?;
            let all = firings(&toft, &project, &id).await?;
            let next = all.iter().find(|f| f["slot"] == slot + 6_000).context("the next slot")?;
            assert_eq!(next["outcome"], "suppressed", "{all:?}");
            assert!(next["reason"].to_string().contains("still ran"), "{next}");
            assert_eq!(all.last().context("the first")?["outcome"], "running", "{all:?}");
            assert_eq!(runs(&toft, &project).await?.len(), 1);
        } else {
            let all = ended_whole(&toft, &project, &id, 6_000).await?;
            let next = all.iter().find(|f| f["slot"] == slot + 6_000).context("the next slot")?;
            assert!(matches!(next["outcome"].as_str(), Some("fired" | "late")), "{all:?}");
            assert_eq!(all.last().context("the first")?["output"], "whole\n", "{all:?}");
        }
        toft.down()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_server_starts_the_latest_or_nothing_as_the_schedule_says() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Late").await?;
    let at = now_ms() + 1_500;
    let once = |name: &str, catch_up: &str| json!({"name": name, "when": {"at": at}, "do": {"command": MARK}, "catchUp": catch_up});
    let latest = add(&toft, &project, once("latest", "latest")).await?;
    let none = add(&toft, &project, once("none", "none")).await?;
    toft.call("POST", &format!("/v1/projects/{project}/sleep"), Some(json!({}))).await?;
    toft.kill_server();
    while now_ms() < at + 6_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    toft.up().await?;
    let ended = |all: &[Value]| all.iter().any(is_over);
    let late = until(&toft, &project, &latest, ended).await?;
    assert_eq!((late.len(), &late[0]["outcome"]), (1, &json!("late")), "{late:?}");
    let skipped = until(&toft, &project, &none, ended).await?;
    assert_eq!((skipped.len(), &skipped[0]["outcome"]), (1, &json!("skipped")), "{skipped:?}");
    let runs = runs(&toft, &project).await?;
    check_once(&late, &runs)?;
    check_once(&skipped, &HashMap::new())?;
    toft.down()
}
