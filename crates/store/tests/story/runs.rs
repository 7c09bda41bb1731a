//! Runs: how requests become them, who writes them, and what they leave. Who gets which is `queue`'s.

use crate::{databases::Place, project};
use toft_model::{
    id::ProjectId,
    run::{JobId, Phase, RunStatus, WaitsFor},
};
use toft_store::{
    Accepted, Artifact, Claim, Durable, Left, NewRun, NewRunEvent, Reached, Run, RunCost, RunUsage,
    Store, Wrote,
};

const LEASE_MS: u64 = 30_000;

pub(crate) fn new(project: &ProjectId, key: &str) -> NewRun {
    NewRun {
        id: JobId::random(),
        project: project.clone(),
        key: key.into(),
        digest: "d".into(),
        prompt: format!("do {key} — \"ü\""),
        continues: false,
        input: None,
        provider: None,
        model: None,
        backend: None,
        approval: false,
        priority: 0,
        attempts_max: 3,
    }
}

pub(crate) async fn accept(store: &dyn Store, request: NewRun) -> Run {
    let mut accepted = store.accept_runs(&[request], 100).await.unwrap();
    match accepted.remove(0) {
        Accepted::New(run) => run,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn claim(owner: &str, limit: u32) -> Claim<'_> {
    Claim { owner, lease_ms: LEASE_MS, limit, per_project: 1, per_team: 1_000 }
}

fn told(kind: &str, data: &str) -> NewRunEvent {
    NewRunEvent { ts: 7, kind: kind.into(), data: data.into() }
}

async fn statuses(store: &dyn Store, run: &Run) -> Vec<(u64, String)> {
    let events = store.run_events(&run.id, 0, 1_000, 1 << 20).await.unwrap();
    events.into_iter().map(|told| (told.seq, told.event.data)).collect()
}

pub(crate) fn ids(runs: &[Run]) -> Vec<&JobId> {
    runs.iter().map(|run| &run.id).collect()
}

pub(crate) async fn accepted(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    let (shop, other) = (project(store, None, 1).await.id, project(store, None, 2).await.id);
    let first = accept(store, new(&shop, "a")).await;
    assert_eq!((first.index, first.is_writable, &first.parent), (1, true, &None));
    assert_eq!((first.state.status, first.last_seq, first.fence), (RunStatus::Queued, 1, 0));
    assert_eq!(store.run(&shop, &first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(store.run(&other, &first.id).await.unwrap(), None);
    let reached = Reached { last_seq: 1, is_over: false };
    assert_eq!(store.run_reached(&shop, &first.id).await.unwrap(), Some(reached));
    assert_eq!(store.run_reached(&other, &first.id).await.unwrap(), None);
    assert_eq!(statuses(store, &first).await, [(1, r#"{"status":"queued"}"#.to_owned())]);
    let messages = store.run_messages(&first.id).await.unwrap();
    let said: Vec<_> = messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
    assert_eq!(said, [("user", "do a — \"ü\"")]);

    // Many at once: of known keys, of one project twice, of one that is not there, and of another.
    let same = new(&shop, "a");
    let changed = NewRun { digest: "e".into(), ..new(&shop, "a") };
    let message = NewRun {
        continues: true,
        input: Some(r#"{"x":[1,"'"]}"#.into()),
        provider: Some("openai".into()),
        model: Some("gpt-5".into()),
        backend: Some("host".into()),
        approval: true,
        priority: 7,
        ..new(&shop, "b")
    };
    let again = NewRun { id: JobId::random(), ..message.clone() };
    let gone = new(&ProjectId::random(), "a");
    let list = [same, changed, message, new(&other, "a"), again, new(&shop, "c"), gone];
    let done = store.accept_runs(&list, 200).await.unwrap();
    let Accepted::Known(known) = &done[0] else { panic!("{:?}", done[0]) };
    assert_eq!((&known.id, known.is_writable), (&first.id, false));
    assert_eq!(done[1], Accepted::Other);
    let Accepted::New(second) = &done[2] else { panic!("{:?}", done[2]) };
    assert_eq!((second.index, second.is_writable), (2, false));
    assert_eq!(second.parent.as_ref(), Some(&first.id));
    assert_eq!(store.run(&shop, &second.id).await.unwrap().as_ref(), Some(second));
    let Accepted::New(elsewhere) = &done[3] else { panic!("{:?}", done[3]) };
    assert_eq!((elsewhere.index, elsewhere.is_writable), (1, true));
    assert_eq!(done[4], Accepted::Known(second.clone()));
    let Accepted::New(third) = &done[5] else { panic!("{:?}", done[5]) };
    assert_eq!((third.index, third.is_writable, &third.parent), (3, true, &None));
    assert_eq!(done[6], Accepted::NoProject);

    let all = store.runs(&shop, 50, 0, usize::MAX).await.unwrap();
    assert_eq!(ids(&all), [&third.id, &second.id, &first.id]);
    assert_eq!(all.iter().map(|run| run.is_writable).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(ids(&store.runs(&shop, 1, 1, usize::MAX).await.unwrap()), [&second.id]);
    // Long ones are fewer, but one at least.
    let longest = all.iter().map(Run::text_bytes).max().unwrap();
    assert_eq!(ids(&store.runs(&shop, 50, 0, longest).await.unwrap()), ids(&all[..1]));
    assert_eq!(ids(&store.runs(&shop, 50, 0, 0).await.unwrap()), ids(&all[..1]));
    assert_eq!(store.count_runs().await.unwrap(), [(RunStatus::Queued, 4)]);

    let latest = store.project(shop.as_str()).await.unwrap().unwrap().latest_run;
    assert_eq!(latest.as_deref(), Some(third.id.as_str()));

    // A project's runs go with it, and nobody gets them any more.
    store.delete_project(&shop, 300).await.unwrap();
    assert_eq!(store.run(&shop, &first.id).await.unwrap(), None);
    assert_eq!(store.run_reached(&shop, &first.id).await.unwrap(), None);
    assert_eq!(store.to_destroy().await.unwrap(), std::slice::from_ref(&shop));
    store.remove_left(&shop).await.unwrap();
    assert_eq!(store.run_events(&first.id, 0, 10, 1 << 20).await.unwrap(), []);
    assert_eq!(store.count_runs().await.unwrap(), [(RunStatus::Queued, 1)]);
    let left = store.claim_runs(&claim("one", 9), 301).await.unwrap();
    assert_eq!(ids(&left), [&elsewhere.id]);
    assert_eq!(store.accept_runs(&[new(&shop, "z")], 302).await.unwrap(), [Accepted::NoProject]);
    store.close().await;
}

pub(crate) async fn queued(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    let (shop, other) = (project(store, None, 1).await.id, project(store, None, 2).await.id);
    let first = accept(store, new(&shop, "a")).await;
    let urgent = accept(store, NewRun { priority: 5, ..new(&shop, "b") }).await;
    let elsewhere = accept(store, new(&other, "a")).await;
    assert_eq!(store.take_over_runs(&claim("one", 9), 100).await.unwrap(), []);
    assert_eq!(store.working_run(&shop).await.unwrap(), None, "those that wait do not work");

    // Of a project one at a time and in order, whatever is more urgent.
    let held = store.claim_runs(&claim("one", 9), 100).await.unwrap();
    assert_eq!(ids(&held), [&first.id, &elsewhere.id]);
    assert_eq!((held[0].state.status, held[0].fence), (RunStatus::Running, 1));
    let working = store.working_run(&shop).await.unwrap();
    assert_eq!(working.map(|run| run.id).as_ref(), Some(&first.id));
    assert_eq!(store.claim_runs(&claim("two", 9), 100).await.unwrap(), []);
    assert_eq!(store.take_over_runs(&claim("two", 9), 100).await.unwrap(), []);

    // What an owner writes is numbered without gaps, with the state in one transaction.
    let mut mine = held[0].clone();
    mine.state.session = Some("s1".parse().unwrap());
    mine.state.phase = Phase::Build;
    mine.state.waits_for = Some(WaitsFor::Answer);
    mine.state.taken_seq = 9;
    mine.state.attempt = 1;
    mine.state.started_at = Some(110);
    let odd = told("token", "{\"token\":\"\0\u{1}\"}");
    let events = [told("status", r#"{"status":"running"}"#), odd.clone()];
    let soon = Durable::Soon;
    let wrote = store.write_run(&mine, &events, &Left::default(), soon, 120).await.unwrap();
    assert_eq!(wrote, Wrote::Done(3));
    // Not heard of, it is written again, and is there once; what comes after it names its number.
    let wrote = store.write_run(&mine, &events, &Left::default(), soon, 125).await.unwrap();
    assert_eq!(wrote, Wrote::Done(3));
    let other_events = &events[..1];
    let wrote = store.write_run(&mine, other_events, &Left::default(), soon, 125).await.unwrap();
    assert_eq!(wrote, Wrote::Lost);
    mine.last_seq = 3;
    let kept = store.run(&shop, &first.id).await.unwrap().unwrap();
    assert_eq!((&kept.state, kept.last_seq, kept.updated_at), (&mine.state, 3, 120));
    let after = store.run_events(&first.id, 2, 10, 1).await.unwrap();
    assert_eq!((after.len(), after[0].seq, &after[0].event), (1, 3, &odd));
    assert_eq!(store.run_events(&first.id, 0, 10, 1).await.unwrap().len(), 1);
    assert_eq!(store.run_events(&first.id, 1, 1, 1 << 20).await.unwrap()[0].seq, 2);

    // It keeps what it renews, and is told what it has not.
    let names = [(first.id.clone(), 1), (elsewhere.id.clone(), 7)];
    let lost = store.renew_runs(&claim("one", 0), &names, 100).await.unwrap();
    assert_eq!(lost, std::slice::from_ref(&elsewhere.id));

    // It is cancelled by who owns it.
    assert!(
        store.cancel_run(&shop, &first.id, 130).await.unwrap().is_some_and(|c| !c.is_cancelled)
    );
    let asked = store.cancel_run(&other, &elsewhere.id, 130).await.unwrap().unwrap();
    assert!(asked.is_cancelled && asked.run.cancel_requested);
    assert_eq!(asked.run.state.status, RunStatus::Running);
    assert_eq!(store.cancel_run(&shop, &elsewhere.id, 130).await.unwrap(), None);
    // It was told that it is ended: it ends so, and in no other way.
    let mut ending = asked.run;
    let on = [told("token", "{}")];
    let wrote = store.write_run(&ending, &on, &Left::default(), Durable::Soon, 131).await;
    assert_eq!(wrote.unwrap(), Wrote::Ending(2), "who did not hear of it is told now");
    ending.last_seq = 2;
    let others = [RunStatus::Completed, RunStatus::Error, RunStatus::Queued];
    for status in others.into_iter().chain([RunStatus::Cancelled]) {
        ending.state.status = status;
        let end = [told("done", "{}")];
        let wrote = store.write_run(&ending, &end, &Left::default(), Durable::Now, 131).await;
        let wanted = match status {
            RunStatus::Cancelled => Wrote::Done(3),
            _ => Wrote::Cancelled,
        };
        assert_eq!(wrote.unwrap(), wanted, "{status:?}");
    }
    // One that waits ends at once, and its number goes on.
    let ended = store.cancel_run(&shop, &urgent.id, 130).await.unwrap().unwrap();
    assert!(ended.is_cancelled);
    assert_eq!((ended.run.state.status, ended.run.last_seq), (RunStatus::Cancelled, 2));
    assert_eq!((ended.run.state.phase, ended.run.state.duration_ms), (Phase::Over, None));
    assert_eq!(statuses(store, &urgent).await[1], (2, r#"{"status":"cancelled"}"#.to_owned()));
    assert!(!store.cancel_run(&shop, &urgent.id, 140).await.unwrap().unwrap().is_cancelled);

    // To be tried again it goes back, and is not taken before its time; what it left stays.
    mine.state.status = RunStatus::Queued;
    // In a minute, by whatever clock those who claim go by.
    mine.state.not_before = 60_150;
    mine.state.error = Some("cut\0".into());
    let again = [told("status", r#"{"status":"retrying"}"#)];
    let wrote = store.write_run(&mine, &again, &Left::default(), Durable::Now, 150).await.unwrap();
    assert_eq!(wrote, Wrote::Done(4));
    assert_eq!(store.claim_runs(&claim("one", 9), 151).await.unwrap(), []);
    let wrote = store.write_run(&mine, &again, &Left::default(), Durable::Now, 150).await.unwrap();
    assert_eq!(wrote, Wrote::Done(4));
    mine.last_seq = 4;
    let lost = store.write_run(&mine, &again, &Left::default(), Durable::Now, 150).await.unwrap();
    assert_eq!(lost, Wrote::Lost);
    assert_eq!(store.run(&shop, &first.id).await.unwrap().unwrap().last_seq, 4);
    let reached = store.run_reached(&shop, &first.id).await.unwrap();
    assert_eq!(reached, Some(Reached { last_seq: 4, is_over: false }), "it is tried again");
    // What came after it is over: it can be ended.
    let ended = store.cancel_run(&shop, &first.id, 160).await.unwrap().unwrap();
    assert!(ended.is_cancelled && ended.run.state.status == RunStatus::Cancelled);
    store.close().await;
}

pub(crate) async fn owned(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    let shop = project(store, None, 1).await.id;
    let first = accept(store, new(&shop, "a")).await;
    let held = store.claim_runs(&claim("one", 1), 100).await.unwrap();
    let mut old = held[0].clone();
    // Its owner stands still past its lease: another one has it then, and what the first one writes is lost.
    let short = Claim { lease_ms: 0, ..claim("one", 1) };
    assert_eq!(store.renew_runs(&short, &[(first.id.clone(), 1)], 100).await.unwrap(), []);
    let taken = store.take_over_runs(&claim("two", 9), 100).await.unwrap();
    assert_eq!((taken[0].fence, taken[0].crashes, &taken[0].id), (2, 1, &first.id));
    old.state.status = RunStatus::Completed;
    let event = [told("done", "{}")];
    let left = Left { said: Some("no".into()), artifact: None };
    assert_eq!(store.write_run(&old, &event, &left, Durable::Now, 1).await.unwrap(), Wrote::Lost);
    assert_eq!(store.run_messages(&first.id).await.unwrap().len(), 1);
    let lost = store.renew_runs(&claim("one", 1), &[(first.id.clone(), 1)], 100).await.unwrap();
    assert_eq!(lost, std::slice::from_ref(&first.id));

    // A server that ends, or begins anew, lets go of its own. Only what died without a word counts as a crash.
    store.let_go_runs("two", false).await.unwrap();
    let taken = store.take_over_runs(&claim("two", 9), 100).await.unwrap();
    assert_eq!((taken[0].fence, taken[0].crashes), (3, 2));
    store.let_go_runs("two", true).await.unwrap();
    let taken = store.take_over_runs(&claim("three", 9), 100).await.unwrap();
    assert_eq!((taken[0].fence, taken[0].crashes), (4, 2));
    let mut mine = taken[0].clone();
    let wrote = store.write_run(&mine, &event, &Left::default(), Durable::Soon, 2).await.unwrap();
    assert_eq!(wrote, Wrote::Done(2));
    store.let_go_runs("three", false).await.unwrap();
    let taken = store.take_over_runs(&claim("four", 9), 100).await.unwrap();
    assert_eq!((taken[0].fence, taken[0].crashes), (5, 1));

    // What waits, for a person or a provider, has nothing to tell, however many servers end meanwhile.
    mine = taken[0].clone();
    mine.state.waits_for = Some(WaitsFor::Approval);
    store.write_run(&mine, &[], &Left::default(), Durable::Soon, 2).await.unwrap();
    let mut server = "four".to_owned();
    for n in 0..5 {
        store.let_go_runs(&server, false).await.unwrap();
        server = format!("later {n}");
        let taken = store.take_over_runs(&claim(&server, 9), 100).await.unwrap();
        assert_eq!(taken[0].crashes, 1, "{n}");
        mine = taken[0].clone();
    }

    // The end, with all that it leaves.
    mine.state.waits_for = None;
    mine.state.status = RunStatus::Completed;
    mine.state.phase = Phase::Over;
    mine.state.output = Some("all\0done".into());
    mine.state.usage =
        Some(RunUsage { input: 10, output: 4, cached_input: 3, reasoning_output: 2 });
    mine.state.cost =
        Some(RunCost { nanos: 12, currency: "USD".into(), version: "seed:v1".into() });
    mine.state.commit = Some("abc".into());
    mine.state.completed_at = Some(500);
    let file = Artifact {
        name: "workspace".into(),
        path: "runs/x.zip".into(),
        mime: "application/zip".into(),
        size: 5,
        files: 2,
        created_at: 500,
    };
    let left = Left { said: Some("all\0done".into()), artifact: Some(file.clone()) };
    assert_eq!(
        store.write_run(&mine, &event, &left, Durable::Now, 500).await.unwrap(),
        Wrote::Done(3)
    );
    let kept = store.run(&shop, &first.id).await.unwrap().unwrap();
    assert_eq!(kept.state, mine.state);
    let reached = store.run_reached(&shop, &first.id).await.unwrap();
    assert_eq!(reached, Some(Reached { last_seq: 3, is_over: true }));
    assert_eq!(store.run_messages(&first.id).await.unwrap()[1].content, "all\0done");
    assert_eq!(store.artifact(&first.id, "workspace").await.unwrap(), Some(file));
    assert_eq!(store.artifact(&first.id, "other").await.unwrap(), None);
    assert_eq!(store.take_over_runs(&claim("five", 9), u64::MAX / 4).await.unwrap(), []);
    assert!(!store.cancel_run(&shop, &first.id, 600).await.unwrap().unwrap().is_cancelled);
    store.close().await;
}
