//! What becomes of slots that were missed, and of those that meet the one before, as each rule says.

use super::{Stage, reason};
use crate::{client::Call, world::START_MS};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

impl Stage {
    /// A command that is held until there is such a file, and writes down its slot.
    fn held(&self) -> (PathBuf, Value) {
        let gate = self.runs.with_file_name("gate");
        let line = format!("while [ ! -e '{}' ]; do sleep 0.02; done; echo done", gate.display());
        (gate, self.run_and(&line))
    }

    async fn until_ran(&self, times: usize) {
        while self.ran() < times {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn of(all: &[Value], field: &str) -> Vec<Value> {
    all.iter().map(|firing| firing[field].clone()).collect()
}

#[tokio::test]
async fn all_that_was_missed_is_made_up_for_in_turn_up_to_the_number_that_is_said() {
    let s = Stage::new().await;
    let fields = json!({"do": s.run_and("true"), "catchUp": "all", "catchUpMax": 3});
    let id = s.add(fields).await;
    s.world.advance(10 * 60_000 + 30_000);
    let all = s.outcomes(&id, &["late", "late", "late", "skipped"]).await;
    let slot = |n: u64| json!(START_MS + n * 60_000);
    assert_eq!(of(&all, "slot"), [slot(10), slot(9), slot(8), slot(1)]);
    assert_eq!((&all[3]["slots"], &all[3]["lastSlot"]), (&json!(7), &slot(7)));
    assert!(reason(&all[3]).contains("makes up for the latest 3"), "{all:?}");
    // One after the other, each with its own reason.
    let started: Vec<u64> = all[..3].iter().map(|f| f["startedAt"].as_u64().unwrap()).collect();
    assert!(started.is_sorted_by(|later, earlier| later >= earlier), "{all:?}");
    assert!(reason(&all[2]).contains("2 min 30 s after its time"), "{all:?}");
    assert_eq!(s.ran(), 3);
    let shown = s.ask(Call::get(&format!("{}/schedules/{id}", s.of))).await.data();
    assert_eq!((&shown["catchUp"], &shown["catchUpMax"]), (&json!("all"), &json!(3)));
    s.world.end(true).await;
}

#[tokio::test]
async fn a_slot_that_comes_while_others_are_made_up_for_is_the_last_of_them() {
    let s = Stage::new().await;
    let (gate, work) = s.held();
    let id = s.add(json!({"do": work, "catchUp": "all"})).await;
    // The third is due just now.
    s.world.advance(3 * 60_000);
    let all = s.outcomes(&id, &["running", "running", "running"]).await;
    assert_eq!(of(&all, "waiting"), [true, true, false]);
    s.until_ran(1).await;
    // What comes due afterwards meets one that really runs.
    s.world.advance(60_000);
    let all = s.outcomes(&id, &["suppressed", "running", "running", "running"]).await;
    let runs = toft_model::time::rfc3339(START_MS + 60_000);
    assert_eq!(reason(&all[0]), format!("the one of {runs} still ran"));
    std::fs::write(&gate, "").unwrap();
    s.outcomes(&id, &["suppressed", "late", "late", "late"]).await;
    assert_eq!(s.ran(), 3);
    s.world.end(true).await;
}

#[tokio::test]
async fn what_waits_to_be_made_up_for_outlives_the_server() {
    let mut s = Stage::new().await;
    let (gate, work) = s.held();
    let id = s.add(json!({"do": work, "catchUp": "all", "catchUpMax": 3})).await;
    s.world.advance(3 * 60_000 + 30_000);
    s.outcomes(&id, &["running", "running", "running"]).await;
    s.until_ran(1).await;
    s.world = s.world.restart().await;
    std::fs::write(&gate, "").unwrap();
    s.outcomes(&id, &["late", "late", "late"]).await;
    assert_eq!(s.ran(), 3);
    s.world.end(true).await;
}

#[tokio::test]
async fn the_next_one_ends_the_one_before_where_it_shall() {
    let mut s = Stage::new().await;
    let (gate, work) = s.held();
    let id = s.add(json!({"do": work, "overlap": "cancel"})).await;
    for n in 1..=2 {
        s.world.advance(60_000);
        s.until_ran(n).await;
    }
    let all = s.outcomes(&id, &["running", "fired"]).await;
    assert!(reason(&all[1]).contains("ended early, because the next one was due"), "{all:?}");
    assert_eq!((&all[1]["output"], &all[1]["exitCode"]), (&json!(""), &Value::Null));
    // Also when an earlier server began the one that is ended.
    s.world = s.world.restart().await;
    s.world.advance(60_000);
    s.until_ran(3).await;
    let ended = |all: &[Value]| all.iter().filter(|f| reason(f).contains("ended early")).count();
    s.firings(&id, |all| all.len() == 3 && ended(all) == 2).await;
    // By hand: the same.
    let run = format!("{}/schedules/{id}/run", s.of);
    s.ask(Call::post(&run, &json!({}))).await.data();
    s.until_ran(4).await;
    std::fs::write(&gate, "").unwrap();
    let all =
        s.firings(&id, |all| ended(all) == 3 && all.iter().all(|f| f["endedAt"].is_u64())).await;
    assert_eq!((all.len(), &all[0]["outcome"]), (4, &json!("fired")));
    assert_eq!((&all[0]["output"], &all[0]["byHand"]), (&json!("done\n"), &json!(true)));
    s.world.end(true).await;
}

#[tokio::test]
async fn they_run_beside_each_other_where_they_may_but_not_without_end() {
    let s = Stage::new().await;
    let (gate, work) = s.held();
    let id = s.add(json!({"do": work, "overlap": "allow"})).await;
    for n in 1..=11 {
        s.world.advance(60_000);
        s.firings(&id, |all| all.len() == n).await;
    }
    s.until_ran(10).await;
    let all = s.firings(&id, |all| all[0]["outcome"] == "suppressed").await;
    assert!(reason(&all[0]).contains("10 still ran"), "{all:?}");
    std::fs::write(&gate, "").unwrap();
    let all = s.firings(&id, |all| all.iter().all(|f| f["endedAt"].is_u64())).await;
    assert_eq!(all.iter().filter(|f| f["outcome"] == "fired").count(), 10, "{all:?}");
    assert_eq!(s.ran(), 10);
    s.world.end(true).await;
}

#[tokio::test]
async fn a_slot_is_decided_when_it_is_known_whether_the_one_before_still_runs() {
    for ended in [true, false] {
        let mut s = Stage::new().await;
        let (gate, work) = s.held();
        let id = s.add(json!({"do": work})).await;
        s.world.advance(60_000);
        s.until_ran(1).await;
        s.outcomes(&id, &["running"]).await;
        // No server runs, the command ends or not, and the next slot comes due.
        let now = std::sync::Arc::clone(&s.world.now);
        let ends = gate.clone();
        s.world = s
            .world
            .restart_with(move |_| {
                now.fetch_add(60_000, std::sync::atomic::Ordering::SeqCst);
                if ended {
                    std::fs::write(&ends, "").unwrap();
                    // It sees that within moments; init keeps its end.
                    std::thread::sleep(Duration::from_millis(500));
                }
            })
            .await;
        if ended {
            s.outcomes(&id, &["fired", "fired"]).await;
            assert_eq!(s.ran(), 2);
        } else {
            let all = s.outcomes(&id, &["suppressed", "running"]).await;
            assert!(reason(&all[0]).contains("still ran"), "{all:?}");
            std::fs::write(&gate, "").unwrap();
            s.outcomes(&id, &["suppressed", "fired"]).await;
            assert_eq!(s.ran(), 1);
        }
        s.world.end(true).await;
    }
}

#[tokio::test]
async fn what_is_not_known_of_one_project_holds_up_no_other() {
    let mut s = Stage::new().await;
    let (gate, work) = s.held();
    let id = s.add(json!({"do": work})).await;
    s.world.advance(60_000);
    s.until_ran(1).await;
    let other = s.world.project().await;
    let path = format!("/v1/projects/{other}/schedules");
    let body = json!({"name": "other", "when": {"everyS": 60}, "do": s.run_and("true")});
    let made = s.ask(Call::post(&path, &body)).await.data();
    // Init of the first says nothing more: nobody can know whether its command runs.
    let (machines, project) = (std::sync::Arc::clone(&s.world.machines), s.project.clone());
    machines.mute_init(&project, true);
    s.world = s.world.restart().await;
    s.world.advance(60_000);
    let path = format!("{path}/{}/firings", made["id"].as_str().unwrap());
    s.world.eventually(&path, |data| data["firings"][0]["outcome"] == "fired").await;
    s.outcomes(&id, &["running"]).await;
    machines.mute_init(&project, false);
    let all = s.outcomes(&id, &["suppressed", "running"]).await;
    assert!(reason(&all[0]).contains("still ran"), "{all:?}");
    std::fs::write(&gate, "").unwrap();
    s.outcomes(&id, &["suppressed", "fired"]).await;
    s.world.end(true).await;
}
