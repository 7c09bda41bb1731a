//! A process of workers. Each run is some numbered steps, which may fail and be tried again; what it has come to lies in
//! the run's state, as a server's does.

use super::{Chance, now_ms};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use toft_model::run::{JobId, RunStatus};
use toft_store::{
    Claim, Durable, Left, NewRunEvent, PostgresStore, Run, SqliteStore, Store, Wrote,
};
use tokio::{task::AbortHandle, time::sleep};

/// Runs of a process at once.
const WORKERS: usize = 16;
/// Shorter than some stand still.
const LEASE_MS: u64 = 1_500;
/// Between two looks at the queue.
const LOOK: Duration = Duration::from_millis(25);
/// Before a database is asked again that did not answer.
const PAUSE: Duration = Duration::from_millis(20);

type Held = Arc<Mutex<HashMap<JobId, (u64, AbortHandle)>>>;

/// Until it is killed.
pub(super) async fn work(place: &str, owner: &str) {
    let store: Arc<dyn Store> = loop {
        let opened: Result<Arc<dyn Store>, _> = if place.starts_with("postgres:") {
            PostgresStore::open(place).await.map(|store| Arc::new(store) as _)
        } else {
            SqliteStore::open(place.as_ref()).await.map(|store| Arc::new(store) as _)
        };
        match opened {
            Ok(store) => break store,
            Err(_) => sleep(PAUSE).await,
        }
    };
    let held = Held::default();
    tokio::join!(claim(&store, &held, owner), keep(&store, &held, owner));
}

fn claiming(owner: &str, limit: usize) -> Claim<'_> {
    let limit = u32::try_from(limit).unwrap();
    Claim { owner, lease_ms: LEASE_MS, limit, per_project: 1, per_team: u32::MAX }
}

async fn claim(store: &Arc<dyn Store>, held: &Held, owner: &str) {
    loop {
        sleep(LOOK).await;
        let free = WORKERS - held.lock().unwrap().len();
        if free == 0 {
            continue;
        }
        let claim = claiming(owner, free);
        let mut got = store.take_over_runs(&claim, now_ms()).await.unwrap_or_default();
        if got.len() < free {
            let claim = claiming(owner, free - got.len());
            got.extend(store.claim_runs(&claim, now_ms()).await.unwrap_or_default());
        }
        for run in got {
            let (id, fence) = (run.id.clone(), run.fence);
            let (store, all, name) = (Arc::clone(store), Arc::clone(held), id.clone());
            // Nothing is awaited before it is in the list.
            let mut list = held.lock().unwrap();
            let task = tokio::spawn(async move {
                one(&*store, run).await;
                let mut all = all.lock().unwrap();
                if all.get(&name).is_some_and(|(of, _)| *of == fence) {
                    all.remove(&name);
                }
            });
            list.insert(id, (fence, task.abort_handle()));
        }
    }
}

async fn keep(store: &Arc<dyn Store>, held: &Held, owner: &str) {
    loop {
        sleep(Duration::from_millis(LEASE_MS / 3)).await;
        let mine: Vec<(JobId, u64)> = {
            let held = held.lock().unwrap();
            held.iter().map(|(id, (fence, _))| (id.clone(), *fence)).collect()
        };
        let renewed = store.renew_runs(&claiming(owner, 0), &mine, now_ms()).await;
        for lost in renewed.unwrap_or_default() {
            if let Some((_, task)) = held.lock().unwrap().remove(&lost) {
                task.abort();
            }
        }
    }
}

fn event(kind: &str, data: &serde_json::Value) -> NewRunEvent {
    NewRunEvent { ts: now_ms(), kind: kind.into(), data: data.to_string() }
}

/// Whether the run is still its owner's.
async fn write(
    store: &dyn Store,
    run: &mut Run,
    mut event: NewRunEvent,
    said: Option<&str>,
) -> bool {
    let mut left = Left { said: said.map(str::to_owned), artifact: None };
    let durable = if run.last_seq.is_multiple_of(2) { Durable::Now } else { Durable::Soon };
    loop {
        match store.write_run(run, std::slice::from_ref(&event), &left, durable, now_ms()).await {
            Ok(Wrote::Done(last) | Wrote::Ending(last)) => {
                assert!(last > run.last_seq, "an event has a number");
                run.last_seq = last;
                return true;
            }
            // Its host seemed gone meanwhile.
            Ok(Wrote::Behind(last)) => run.last_seq = last,
            Ok(Wrote::Lost) => return false,
            Ok(Wrote::Cancelled) => {
                run.state.status = RunStatus::Cancelled;
                event = self::event("status", &json!({"status": "cancelled"}));
                left = Left::default();
            }
            // It may be there all the same.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn one(store: &dyn Store, mut run: Run) {
    // The same for whoever works on it.
    let own: u64 = run.id.as_str().bytes().map(u64::from).sum();
    let mut chance = Chance(own ^ run.fence ^ now_ms());
    let fence = run.fence;
    if run.state.attempt == 0 || run.state.taken_seq == u64::MAX / 4 {
        run.state.attempt += 1;
        run.state.taken_seq = 0;
        let data = json!({"status": "running", "fence": fence, "attempt": run.state.attempt});
        if !write(store, &mut run, event("status", &data), None).await {
            return;
        }
    }
    let steps = 2 + own % 5;
    while run.state.taken_seq < steps {
        sleep(Duration::from_millis(chance.below(60))).await;
        let now = store.run(&run.project, &run.id).await;
        if now.is_ok_and(|now| now.is_some_and(|now| now.cancel_requested && now.fence == fence)) {
            run.state.status = RunStatus::Cancelled;
            write(store, &mut run, event("status", &json!({"status": "cancelled"})), None).await;
            return;
        }
        run.state.taken_seq += 1;
        let step = run.state.taken_seq;
        let data = json!({"step": step, "fence": fence, "attempt": run.state.attempt});
        if !write(store, &mut run, event("token", &data), None).await {
            return;
        }
    }
    if own.is_multiple_of(4) && run.state.attempt < run.attempts_max {
        run.state.status = RunStatus::Queued;
        run.state.not_before = now_ms() + chance.below(300);
        // Marks that the next owner begins anew.
        run.state.taken_seq = u64::MAX / 4;
        write(store, &mut run, event("status", &json!({"status": "retrying"})), None).await;
        return;
    }
    if own.is_multiple_of(16) {
        run.state.status = RunStatus::Error;
        write(store, &mut run, event("error", &json!({"error": "it fails"})), None).await;
        return;
    }
    run.state.status = RunStatus::Completed;
    write(store, &mut run, event("done", &json!({"output": "ok"})), Some("ok")).await;
}
