//! An owner of a run that stands still for longer than the run is its own, and then goes on as if nothing had been.

use super::{
    children::{Process, open, say, told},
    databases::Place,
    project,
    runs::{accept, new},
};
use rustix::process::Signal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use toft_model::run::RunStatus;
use toft_store::{Claim, Durable, Left, NewRunEvent, Run, Store, Wrote};
use tokio::time::sleep;

const LEASE_MS: u64 = 800;

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn claim(owner: &str) -> Claim<'_> {
    Claim { owner, lease_ms: LEASE_MS, limit: 1, per_project: 1, per_team: 9 }
}

async fn tell(store: &dyn Store, run: &mut Run, word: &str) -> Wrote {
    let event = NewRunEvent {
        ts: now_ms(),
        kind: "token".into(),
        data: format!("{{\"token\":\"{word}\"}}"),
    };
    let told = store.write_run(run, &[event], &Left::default(), Durable::Now, now_ms()).await;
    let told = told.unwrap();
    if let Wrote::Done(last) | Wrote::Ending(last) = told {
        run.last_seq = last;
    }
    told
}

/// The first owner: the story below starts it, and nobody else.
#[tokio::test]
#[ignore = "the story of this module runs it"]
async fn process() {
    let store = open().await.unwrap();
    let mut run = store.claim_runs(&claim("first"), now_ms()).await.unwrap().remove(0);
    assert!(matches!(tell(&*store, &mut run, "one").await, Wrote::Done(_)));
    say("holds it");
    assert_eq!(told(), "go on");
    // It knows of nothing: it tells more, says that the run is still its own, and ends it.
    let more = tell(&*store, &mut run, "mine").await;
    let held = [(run.id.clone(), run.fence)];
    let lost = store.renew_runs(&claim("first"), &held, now_ms()).await.unwrap();
    run.state.status = RunStatus::Completed;
    let ended = tell(&*store, &mut run, "ended").await;
    say(&format!("came to {more:?} {} {ended:?}", lost.len()));
}

pub(crate) async fn for_long(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    let shop = project(store, None, 1).await.id;
    let run = accept(store, new(&shop, "a")).await;
    let mut first = Process::start("stopped::process", place);
    let mut first = tokio::task::spawn_blocking(move || {
        first.says("holds it").expect("it claims the run");
        first.signal(Signal::STOP);
        first
    })
    .await
    .unwrap();

    // Nobody gets it before its time, and one gets it then.
    let mut second = loop {
        let mut got = store.take_over_runs(&claim("second"), now_ms()).await.unwrap();
        if let Some(run) = got.pop() {
            break run;
        }
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((&second.id, second.fence, second.crashes), (&run.id, 2, 1));
    assert!(matches!(tell(store, &mut second, "two").await, Wrote::Done(_)));

    first.signal(Signal::CONT);
    first.tell("go on");
    let came = tokio::task::spawn_blocking(move || first.says("came to")).await.unwrap();
    assert_eq!(came.as_deref(), Some("Lost 1 Lost"), "its writes change nothing");
    assert!(matches!(tell(store, &mut second, "three").await, Wrote::Done(_)));
    let events = store.run_events(&run.id, 0, 100, 1 << 20).await.unwrap();
    let told: Vec<&str> = events.iter().map(|told| told.event.data.as_str()).collect();
    assert_eq!(
        told,
        [
            r#"{"status":"queued"}"#,
            r#"{"token":"one"}"#,
            r#"{"token":"two"}"#,
            r#"{"token":"three"}"#
        ]
    );
    assert_eq!(store.run(&shop, &run.id).await.unwrap().unwrap().state.status, RunStatus::Running);
    store.close().await;
}
