//! Clocks that are set, and days on which they are set by law: nothing is started twice, and nothing
//! waits for longer than it must.

use super::{Stage, reason};
use crate::{client::Call, world::START_MS};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use toft_model::time::rfc3339;

const HOUR: u64 = 3_600_000;

impl Stage {
    fn set_clock(&self, ms: u64) {
        self.world.now.store(ms, Ordering::SeqCst);
    }

    async fn next_at(&self, id: &str) -> u64 {
        let shown = self.ask(Call::get(&format!("{}/schedules/{id}", self.of))).await.data();
        shown["nextAt"].as_u64().unwrap()
    }
}

/// Every minute of the day, by the wall clock.
fn minutes() -> Value {
    json!({"cron": "* * * * *"})
}

#[tokio::test]
async fn a_clock_set_back_fires_no_time_of_the_day_again() {
    let s = Stage::new().await;
    // A whole minute.
    let start = START_MS + 40_000;
    s.set_clock(start);
    let id = s.add(json!({"do": s.run_and("true"), "when": minutes()})).await;
    for n in 1..=2 {
        s.world.advance(60_000);
        s.firings(&id, |all| all.len() == n && all[0]["endedAt"].is_u64()).await;
    }
    s.set_clock(start - 2 * HOUR);
    s.settled().await;
    // Through the same two hours again, and the same two slots.
    s.set_clock(start + 121_000);
    s.settled().await;
    s.outcomes(&id, &["fired", "fired"]).await;
    s.set_clock(start + 180_000);
    s.outcomes(&id, &["fired", "fired", "fired"]).await;
    assert_eq!(s.ran(), 3);
    // A clock that was wrong by years, and was put right: what comes from now on is due.
    s.world.advance(400 * 24 * HOUR);
    s.firings(&id, |all| all.len() == 5 && all[0]["endedAt"].is_u64()).await;
    s.set_clock(start + 250_000);
    s.settled().await;
    s.set_clock(start + 300_000);
    let all = s.firings(&id, |all| all.iter().any(|f| f["slot"] == start + 300_000)).await;
    assert_eq!(all.len(), 6, "{all:?}");
    s.world.end(true).await;
}

#[tokio::test]
async fn an_interval_goes_on_as_real_time_does_when_the_clock_is_set_back() {
    let mut s = Stage::new().await;
    let id = s.add(json!({"do": s.run_and("true")})).await;
    for n in 1..=2 {
        s.world.advance(60_000);
        s.firings(&id, |all| all.len() == n && all[0]["endedAt"].is_u64()).await;
    }
    // Twenty seconds are left to the next one, whatever the clock says.
    s.world.advance(40_000);
    s.settled().await;
    let left = s.next_at(&id).await - s.world.now.load(Ordering::SeqCst);
    let back = START_MS - 2 * HOUR;
    s.set_clock(back);
    s.settled().await;
    let next = s.next_at(&id).await;
    assert!(next > back && next <= back + left, "{next} {back} {left}");
    s.set_clock(next - 1_500);
    s.settled().await;
    assert_eq!(s.ran(), 2);
    s.set_clock(next + 2_000);
    s.firings(&id, |all| all.iter().any(|f| f["slot"] == next && f["endedAt"].is_u64())).await;
    assert_eq!(s.ran(), 3);
    // Forward again: what lies between is passed over, and one stands for it.
    s.world.advance(2 * HOUR);
    let passed = |all: &[Value]| {
        all.iter().any(|f| f["slots"] == 119) && all.iter().all(|f| f["endedAt"].is_u64())
    };
    s.firings(&id, passed).await;
    assert_eq!(s.ran(), 4);
    // And back while no server runs: nobody knows by how much, and it begins again.
    s.set_clock(back);
    s.world = s.world.restart().await;
    s.settled().await;
    let next = s.next_at(&id).await;
    let now = s.world.now.load(Ordering::SeqCst);
    assert!(next > back && next <= now + 60_000, "{next} {now}");
    s.set_clock(next);
    s.firings(&id, |all| all.iter().any(|f| f["slot"] == next && f["endedAt"].is_u64())).await;
    assert_eq!(s.ran(), 5);
    s.world.end(true).await;
}

#[tokio::test]
async fn a_clock_that_jumps_to_and_fro_starts_every_slot_once() {
    let s = Stage::new().await;
    let start = START_MS + 40_000;
    s.set_clock(start);
    let day = s.add(json!({"do": s.run_and("true"), "when": minutes(), "name": "day"})).await;
    let mut last = 0;
    for (n, jump) in
        [7_200, -7_200, 90, -30, 86_400, -86_300, 61, 59, 86_300].into_iter().enumerate()
    {
        let now = s.world.now.load(Ordering::SeqCst);
        s.set_clock(now.checked_add_signed(jump * 1_000).unwrap());
        s.settled().await;
        let all = s.firings(&day, |all| all.iter().all(|f| f["endedAt"].is_u64())).await;
        let mut slots: Vec<u64> = all.iter().map(|f| f["slot"].as_u64().unwrap()).collect();
        let records = slots.len();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), records, "step {n}: {all:?}");
        let started = all.iter().filter(|f| f["startedAt"].is_u64()).count();
        assert_eq!(started, s.ran(), "step {n}: {all:?}");
        // Ranges that were passed over and slots that were started never meet.
        for range in all.iter().filter(|f| f["outcome"] == "skipped") {
            let (from, to) = (range["slot"].as_u64(), range["lastSlot"].as_u64());
            let within = |f: &&Value| f["slot"].as_u64() >= from && f["slot"].as_u64() <= to;
            assert_eq!(all.iter().filter(within).count(), 1, "step {n}: {all:?}");
        }
        assert!(s.ran() >= last);
        last = s.ran();
    }
    assert!(last >= 3, "it goes on");
    s.world.end(true).await;
}

/// Runs the clock over a moment at which a zone's clock is set, and gives the slots that were
/// started, as UTC writes them.
async fn over(line: &str, zone: &str, from: &str, minutes: u64) -> Vec<String> {
    let s = Stage::new().await;
    let from: jiff::Timestamp = from.parse().unwrap();
    s.set_clock(u64::try_from(from.as_millisecond()).unwrap());
    let id =
        s.add(json!({"do": s.run_and("true"), "when": {"cron": line, "timezone": zone}})).await;
    for _ in 0..minutes {
        s.world.advance(60_000);
        if s.next_at(&id).await > s.world.now.load(Ordering::SeqCst) {
            continue;
        }
        let next = s.next_at(&id).await;
        let over = |all: &[Value]| all.iter().any(|f| f["slot"] == next && f["endedAt"].is_u64());
        s.firings(&id, over).await;
    }
    let mut all = s.firings(&id, |all| all.iter().all(|f| f["endedAt"].is_u64())).await;
    all.reverse();
    assert_eq!(all.len(), s.ran(), "{all:?}");
    for firing in &all {
        assert_eq!((&firing["outcome"], reason(firing)), (&json!("fired"), ""), "{firing}");
    }
    let slots = all.iter().map(|f| rfc3339(f["slot"].as_u64().unwrap())[5..16].to_owned());
    let slots = slots.collect();
    s.world.end(true).await;
    slots
}

#[tokio::test]
async fn a_time_that_the_law_leaves_out_is_started_right_after_it_and_once() {
    // New York leaves out 02:00 to 03:00, Lord Howe half an hour, Sao Paulo midnight itself.
    let new_york = over("30 2 * * *", "America/New_York", "2026-03-08T06:55:00Z", 70).await;
    assert_eq!(new_york, ["03-08T07:00"]);
    let lord_howe = over("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T15:25:00Z", 50).await;
    assert_eq!(lord_howe, ["10-03T15:30"]);
    let sao_paulo = over("0 0 * * *", "America/Sao_Paulo", "2018-11-04T02:55:00Z", 70).await;
    assert_eq!(sao_paulo, ["11-04T03:00"]);
}

#[tokio::test]
async fn a_time_that_the_law_brings_twice_is_started_once_and_every_half_hour_in_both() {
    let once = over("30 1 * * *", "America/New_York", "2026-11-01T05:25:00Z", 70).await;
    assert_eq!(once, ["11-01T05:30"]);
    let both = over("*/30 * * * *", "America/New_York", "2026-11-01T05:25:00Z", 100).await;
    assert_eq!(both, ["11-01T05:30", "11-01T06:00", "11-01T06:30", "11-01T07:00"]);
    let lord_howe = over("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:40:00Z", 50).await;
    assert_eq!(lord_howe, ["04-04T14:45"]);
    let sao_paulo = over("30 23 * * *", "America/Sao_Paulo", "2018-02-18T01:25:00Z", 75).await;
    assert_eq!(sao_paulo, ["02-18T01:30"]);
}
