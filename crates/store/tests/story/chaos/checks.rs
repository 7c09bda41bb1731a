//! What holds whatever happened.

use super::{Chance, Seen, now_ms};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::Ordering,
    time::Duration,
};
use toft_model::{
    id::ProjectId,
    run::{JobId, RunStatus, WebhookId},
};
use toft_store::{Run, RunEvent, Store};
use tokio::time::sleep;

/// More than a run has events.
const ALL: u32 = 10_000;

/// Runs that are not over.
pub(super) async fn open(store: &dyn Store) -> usize {
    let Ok(counts) = store.count_runs().await else { return usize::MAX };
    let open = counts.into_iter().filter(|(status, _)| !status.is_over());
    usize::try_from(open.map(|(_, count)| count).sum::<u64>()).unwrap()
}

/// Follows runs as clients do, some rows at a time; what each was told.
pub(super) async fn follow(
    store: &dyn Store,
    seen: &Seen,
    number: u64,
) -> Vec<(JobId, Vec<RunEvent>)> {
    let mut chance = Chance(now_ms() ^ (number + 77).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut all = Vec::new();
    while !seen.ends.load(Ordering::SeqCst) {
        let run = {
            let keys = seen.keys.lock().unwrap();
            let at = chance.below(keys.len().max(1) as u64);
            keys.values().nth(usize::try_from(at).unwrap()).cloned()
        };
        let Some(run) = run else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut told: Vec<RunEvent> = Vec::new();
        for _ in 0..20 {
            let last = told.last().map_or(0, |event| event.seq);
            let rows = u32::try_from(1 + chance.below(5)).unwrap();
            for event in store.run_events(&run, last, rows, 1 << 20).await.unwrap_or_default() {
                let after = told.last().map_or(0, |event| event.seq);
                assert_eq!(event.seq, after + 1, "each event follows the one before");
                told.push(event);
            }
            sleep(Duration::from_millis(chance.below(100))).await;
        }
        all.push((run, told));
    }
    all
}

/// Whether what was followed is how it stayed; how many events.
pub(super) async fn heard(store: &dyn Store, all: Vec<(JobId, Vec<RunEvent>)>) -> usize {
    let mut count = 0;
    for (run, told) in all {
        let kept = store.run_events(&run, 0, ALL, usize::MAX).await.unwrap();
        assert_eq!(kept[..told.len()], told[..], "what was told stays as it was told");
        count += told.len();
    }
    count
}

/// Of a project one run is worked on, and the latest one is the writable one.
pub(super) async fn one_at_a_time(store: &dyn Store, seen: &Seen, projects: &[ProjectId]) {
    while !seen.ends.load(Ordering::SeqCst) {
        for project in projects {
            let Ok(runs) = store.runs(project, ALL, 0, usize::MAX).await else { continue };
            let running = runs.iter().filter(|run| run.state.status == RunStatus::Running).count();
            assert!(running <= 1, "{running} runs of one project are worked on");
            let writable: Vec<u64> =
                runs.iter().filter(|run| run.is_writable).map(|run| run.index).collect();
            let latest: Vec<u64> = runs.iter().map(|run| run.index).max().into_iter().collect();
            assert_eq!(writable, latest, "the latest run is the writable one");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// At the end, of all runs.
pub(super) async fn all(store: &dyn Store, runs: &[Run], hook: &WebhookId) {
    let mut of_project: HashMap<&ProjectId, BTreeSet<u64>> = HashMap::new();
    for run in runs {
        assert!(of_project.entry(&run.project).or_default().insert(run.index), "{run:?}");
        one(store, run).await;
    }
    for (project, indexes) in of_project {
        let wanted: BTreeSet<u64> = (1..=indexes.len() as u64).collect();
        assert_eq!(indexes, wanted, "the numbers of the runs of {project}");
    }
    let told = store.deliveries(hook, u32::MAX).await.unwrap();
    let of: BTreeSet<&JobId> = told.iter().map(|delivery| &delivery.run).collect();
    assert_eq!((told.len(), of.len()), (runs.len(), runs.len()), "each end is told once");
}

async fn one(store: &dyn Store, run: &Run) {
    let events = store.run_events(&run.id, 0, ALL, usize::MAX).await.unwrap();
    let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
    let wanted: Vec<u64> = (1..=run.last_seq).collect();
    assert_eq!(numbers, wanted, "the numbers of {run:?}");
    let (mut fence, mut attempt, mut step, mut ends) = (0, 0, 0, 0);
    for event in &events {
        let data: Value = serde_json::from_str(&event.event.data).unwrap();
        if let Some(of) = data["fence"].as_u64() {
            assert!(of >= fence, "an owner wrote after the next one: {events:?}");
            fence = of;
        }
        match (event.event.kind.as_str(), data["status"].as_str()) {
            ("token", _) => {
                step += 1;
                assert_eq!(
                    (data["step"].as_u64(), data["attempt"].as_u64()),
                    (Some(step), Some(attempt))
                );
            }
            ("status", Some("running")) => {
                attempt += 1;
                step = 0;
                assert_eq!(data["attempt"].as_u64(), Some(attempt), "{events:?}");
            }
            ("done" | "error", _) | ("status", Some("cancelled")) => ends += 1,
            ("status", Some("queued" | "retrying" | "waiting_host" | "host_back")) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ends, 1, "a run ends once: {events:?}");
    let last = events.last().unwrap().event.kind.as_str();
    let wanted = match run.state.status {
        RunStatus::Completed => "done",
        RunStatus::Error => "error",
        RunStatus::Cancelled => "status",
        RunStatus::Queued | RunStatus::Running => panic!("it is not over: {run:?}"),
    };
    assert_eq!(last, wanted, "{events:?}");
    let said = store.run_messages(&run.id).await.unwrap();
    let roles: Vec<&str> = said.iter().map(|message| message.role.as_str()).collect();
    let completed: &[&str] = &["user", "assistant"];
    assert_eq!(roles, if last == "done" { completed } else { &["user"] });
}
