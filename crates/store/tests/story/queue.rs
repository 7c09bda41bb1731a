//! How many runs work at once.

use crate::{
    databases::Place,
    project,
    runs::{accept, claim, new},
};
use toft_model::{id::ProjectId, run::RunStatus};
use toft_store::{Claim, Durable, Left, NewRun, NewRunEvent, Run, Wrote};

fn projects(runs: &[Run]) -> Vec<&ProjectId> {
    runs.iter().map(|run| &run.project).collect()
}

/// One claim of many is held to it as many claims of one are.
pub(crate) async fn of_a_team(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    let mut all = Vec::new();
    for n in 1..=6 {
        let id = project(store, None, n).await.id;
        // The last is the most urgent.
        accept(store, NewRun { priority: i64::from(n == 6), ..new(&id, "a") }).await;
        accept(store, new(&id, "b")).await;
        all.push(id);
    }
    let three = Claim { per_team: 3, ..claim("one", 9) };
    let mut held = store.claim_runs(&three, 100).await.unwrap();
    assert_eq!(projects(&held), [&all[0], &all[1], &all[5]], "as many as may be, the urgent too");
    assert_eq!(store.claim_runs(&three, 100).await.unwrap(), []);
    let four = Claim { per_team: 4, ..claim("two", 9) };
    assert_eq!(projects(&store.claim_runs(&four, 100).await.unwrap()), [&all[2]]);

    // One that is over makes room for one, and that is not a second one of a project that works.
    let mut over = held.remove(0);
    over.state.status = RunStatus::Completed;
    let events = [NewRunEvent { ts: 7, kind: "done".into(), data: "{}".into() }];
    let wrote = store.write_run(&over, &events, &Left::default(), Durable::Now, 110).await.unwrap();
    assert_eq!(wrote, Wrote::Done(2));
    assert_eq!(projects(&store.claim_runs(&four, 120).await.unwrap()), [&all[0]]);
    // Several of a project at once are its oldest.
    let two = Claim { per_project: 2, ..claim("three", 2) };
    let more = store.claim_runs(&two, 130).await.unwrap();
    assert_eq!(projects(&more), [&all[1], &all[2]]);
    assert_eq!(more.iter().map(|run| run.index).collect::<Vec<_>>(), [2, 2]);
    store.close().await;
}
