//! Who gets a run that waits: one owner each, the most urgent first, and no team more than it may have.

use crate::{
    databases::Place,
    project,
    runs::{accept, claim, ids, new},
};
use toft_model::{
    id::ProjectId,
    run::{RunStatus, WaitsFor},
};
use toft_store::{Accepted, Claim, Durable, Left, NewRun, Run, Wrote};

/// A team has as many at once as it may, whoever claims, and the most urgent; another team has its own.
pub(crate) async fn claimed_by_team(place: &Place) {
    let (here, there) = (place.open().await, place.open().await);
    let mut waiting = Vec::new();
    for n in 0..8_u32 {
        let project = project(&*here, None, u64::from(n) + 1).await.id;
        // Behind the first of a project the others wait, however many.
        for key in ["a", "b", "c"] {
            let urgency = if key == "a" { i64::from(n) } else { 99 };
            waiting
                .push(accept(&*here, NewRun { priority: urgency, ..new(&project, key) }).await.id);
        }
    }
    let of_team = |owner| Claim { per_team: 3, ..claim(owner, 9) };
    let (one, two) = (of_team("one"), of_team("two"));
    let (mine, others) = tokio::join!(here.claim_runs(&one, 100), there.claim_runs(&two, 100));
    let (mine, others) = (mine.unwrap(), others.unwrap());
    let mut claimed = ids(&mine);
    claimed.extend(ids(&others));
    claimed.sort();
    let mut urgent = [&waiting[21], &waiting[18], &waiting[15]];
    urgent.sort();
    assert_eq!(claimed, urgent);
    assert_eq!(here.claim_runs(&one, 100).await.unwrap(), []);
    let more = here.claim_runs(&Claim { per_team: 4, ..one }, 100).await.unwrap();
    assert_eq!(ids(&more), [&waiting[12]]);
    here.close().await;
    there.close().await;
}

/// Of several projects the most urgent goes first, and of those that came under one priority the oldest; and however
/// many there is room for, a team has no more at work than it may.
pub(crate) async fn urgent(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    let mut runs = Vec::new();
    for (n, priority) in (0..).zip([0, 5, -3, 5, i64::from(i32::MAX), 0]) {
        let project = project(store, None, n).await.id;
        runs.push(accept(store, NewRun { priority, ..new(&project, "a") }).await);
    }
    let wanted: Vec<_> = [4, 1, 3, 0, 5, 2].into_iter().map(|n: usize| &runs[n].id).collect();
    let of_team = |limit, per_team| Claim { per_team, ..claim("one", limit) };
    let first = store.claim_runs(&of_team(1, 9), 100).await.unwrap();
    assert_eq!(ids(&first), wanted[..1]);
    let two = store.claim_runs(&of_team(9, 3), 100).await.unwrap();
    let mut got = ids(&two);
    got.sort_by_key(|id| wanted.iter().position(|one| one == id));
    assert_eq!(got, wanted[1..3], "the most urgent, and no more than the team may");
    assert_eq!(store.claim_runs(&of_team(9, 3), 100).await.unwrap(), []);
    for mut run in first.into_iter().chain(two) {
        run.state.status = RunStatus::Completed;
        store.write_run(&run, &[], &Left::default(), Durable::Soon, 101).await.unwrap();
    }
    // Who waits for a person has no place.
    let mut one = store.claim_runs(&of_team(9, 1), 102).await.unwrap().remove(0);
    assert_eq!(&one.id, wanted[3]);
    assert_eq!(store.claim_runs(&of_team(9, 1), 102).await.unwrap(), []);
    one.state.waits_for = Some(WaitsFor::Approval);
    store.write_run(&one, &[], &Left::default(), Durable::Soon, 103).await.unwrap();
    assert_eq!(ids(&store.claim_runs(&of_team(9, 1), 104).await.unwrap()), wanted[4..5]);
    store.close().await;
}

/// Many claim at once: each run has one owner, and of a project one is worked on.
pub(crate) async fn raced(place: &Place) {
    let store = place.open().await;
    let mut requests = Vec::new();
    for n in 0..6 {
        let id = project(&*store, None, n).await.id;
        requests.extend((0..5).map(|k| new(&id, &format!("{k}"))));
    }
    let accepted = store.accept_runs(&requests, 1).await.unwrap();
    assert!(accepted.iter().all(|one| matches!(one, Accepted::New(_))));
    let mut done = Vec::new();
    while done.len() < requests.len() {
        let claims = (0..8).map(|n| {
            let store = &store;
            async move { store.claim_runs(&claim(&format!("o{n}"), 2), 10).await.unwrap() }
        });
        let held: Vec<Run> =
            futures_util::future::join_all(claims).await.into_iter().flatten().collect();
        assert!(!held.is_empty());
        let mut projects: Vec<&ProjectId> = held.iter().map(|run| &run.project).collect();
        projects.sort();
        projects.dedup();
        assert_eq!(projects.len(), held.len());
        for mut run in held {
            assert_eq!(run.fence, 1);
            run.state.status = RunStatus::Completed;
            let wrote = store.write_run(&run, &[], &Left::default(), Durable::Soon, 11).await;
            assert_eq!(wrote.unwrap(), Wrote::Done(1));
            done.push((run.project.clone(), run.index));
        }
    }
    for project in requests.iter().map(|new| &new.project) {
        let order: Vec<u64> =
            done.iter().filter(|(of, _)| of == project).map(|(_, index)| *index).collect();
        assert_eq!(order, [1, 2, 3, 4, 5]);
    }
    store.close().await;
}
