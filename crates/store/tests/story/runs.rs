//! Runs and their queue.

use crate::{databases::Place, project};
use toft_model::{
    id::ProjectId,
    run::{JobId, Phase, RunStatus, WaitsFor, WebhookId},
};
use toft_store::{
    Accepted, Artifact, Claim, Claiming, Durable, Left, ModelPrice, NewRun, NewRunEvent, Reached,
    Run, RunCost, RunUsage, Store, Webhook, Wrote,
};

const LEASE_MS: u64 = 30_000;

const ANY: Claiming<'static> = Claiming { limit: 9, per_webhook: 9, busy: &[] };

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

fn ids(runs: &[Run]) -> Vec<&JobId> {
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

    let all = store.runs(&shop, 50, 0).await.unwrap();
    assert_eq!(ids(&all), [&third.id, &second.id, &first.id]);
    assert_eq!(all.iter().map(|run| run.is_writable).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(ids(&store.runs(&shop, 1, 1).await.unwrap()), [&second.id]);
    assert_eq!(store.count_runs().await.unwrap(), [(RunStatus::Queued, 4)]);

    let latest = store.project(shop.as_str()).await.unwrap().unwrap().latest_run;
    assert_eq!(latest.as_deref(), Some(third.id.as_str()));

    // A project's runs go with it, and nobody gets them any more.
    store.delete_project(&shop, 300).await.unwrap();
    assert_eq!(store.run(&shop, &first.id).await.unwrap(), None);
    assert_eq!(store.run_reached(&shop, &first.id).await.unwrap(), None);
    assert_eq!(store.run_events(&first.id, 0, 10, 1 << 20).await.unwrap(), []);
    assert_eq!(store.count_runs().await.unwrap(), [(RunStatus::Queued, 1)]);
    let left = store.claim_runs(&claim("one", 9), 301).await.unwrap();
    assert_eq!(ids(&left), [&elsewhere.id]);
    assert_eq!(store.accept_runs(&[new(&shop, "z")], 302).await.unwrap(), [Accepted::NoProject]);
    store.close().await;
}

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
    mine.state.not_before = u64::MAX / 4;
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
    assert_eq!(reached, Some(Reached { last_seq: 4, is_over: true }));
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

    // The end, with all that it leaves.
    mine = taken[0].clone();
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
    assert_eq!(store.run_messages(&first.id).await.unwrap()[1].content, "all\0done");
    assert_eq!(store.artifact(&first.id, "workspace").await.unwrap(), Some(file));
    assert_eq!(store.artifact(&first.id, "other").await.unwrap(), None);
    assert_eq!(store.take_over_runs(&claim("five", 9), u64::MAX / 4).await.unwrap(), []);
    assert!(!store.cancel_run(&shop, &first.id, 600).await.unwrap().unwrap().is_cancelled);
    store.close().await;
}

pub(crate) async fn priced(place: &Place) {
    let store = place.open().await;
    let seeded = store.active_price("openai", "gpt-5").await.unwrap().unwrap();
    assert_eq!(
        (seeded.input, seeded.output, seeded.cached_input),
        (10_000_000, 30_000_000, Some(1_000_000))
    );
    assert_eq!((seeded.version.as_str(), seeded.currency.as_str()), ("seed:v1", "USD"));
    assert_eq!(store.prices().await.unwrap().len(), 6);
    assert_eq!(store.active_price("openai", "gpt-6").await.unwrap(), None);
    let own = ModelPrice {
        provider: "openai".into(),
        model: "gpt-6".into(),
        reasoning_output: Some(7),
        cached_input: None,
        version: "mine".into(),
        updated_at: 9,
        ..seeded.clone()
    };
    store.put_price(&own).await.unwrap();
    assert_eq!(store.active_price("openai", "gpt-6").await.unwrap().as_ref(), Some(&own));
    store.put_price(&ModelPrice { is_active: false, ..own }).await.unwrap();
    assert_eq!(store.active_price("openai", "gpt-6").await.unwrap(), None);
    assert_eq!(store.prices().await.unwrap().len(), 7);
    assert!(store.delete_price("openai", "gpt-5").await.unwrap());
    assert!(!store.delete_price("openai", "gpt-5").await.unwrap());
    store.close().await;
}

pub(crate) async fn told_of(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    let (shop, other) = (project(store, None, 1).await.id, project(store, None, 2).await.id);
    let webhook = |project: Option<&ProjectId>| Webhook {
        id: WebhookId::random(),
        project: project.cloned(),
        url: "http://127.0.0.1:1/hook".into(),
        sealed: "s".into(),
        created_at: 5,
    };
    let (own, all) = (webhook(Some(&shop)), webhook(None));
    for one in [&own, &all] {
        store.add_webhook(one).await.unwrap();
    }
    assert_eq!(store.webhooks(Some(&shop)).await.unwrap(), std::slice::from_ref(&own));
    assert_eq!(store.webhooks(Some(&other)).await.unwrap(), []);
    assert_eq!(store.webhooks(None).await.unwrap(), std::slice::from_ref(&all));
    assert_eq!(store.wrapped().await.unwrap().webhooks.len(), 2);

    // What is told goes with the end, in one transaction, once.
    accept(store, new(&shop, "a")).await;
    let mut run = store.claim_runs(&claim("one", 1), 10).await.unwrap().remove(0);
    assert_eq!(store.claim_deliveries(&ANY, 10, 20).await.unwrap(), []);
    run.state.status = RunStatus::Completed;
    let left = Left::default();
    store.write_run(&run, &[], &left, Durable::Now, 10).await.unwrap();
    let ended = accept(store, new(&other, "b")).await;
    store.cancel_run(&other, &ended.id, 11).await.unwrap();
    let mut due = store.claim_deliveries(&ANY, 11, 500).await.unwrap();
    // Those of one moment come in any order.
    due.sort_by_key(|one| (one.run != run.id, one.webhook.id != own.id));
    let to: Vec<_> = due.iter().map(|one| (&one.webhook.id, &one.run, one.attempts)).collect();
    assert_eq!(to, [(&own.id, &run.id, 1), (&all.id, &run.id, 1), (&all.id, &ended.id, 1)]);
    assert_eq!(store.claim_deliveries(&ANY, 499, 900).await.unwrap(), []);
    store.put_delivery(&due[0].id, true, None, "200", 12).await.unwrap();
    store.put_delivery(&due[1].id, false, Some(30), "503\0", 12).await.unwrap();
    let again = store.claim_deliveries(&ANY, 30, 40).await.unwrap();
    assert_eq!((again.len(), &again[0].id, again[0].attempts), (1, &due[1].id, 2));
    store.put_delivery(&due[1].id, false, None, "gone", 31).await.unwrap();
    let sent = store.deliveries(&own.id, 9).await.unwrap();
    let end = (sent[0].is_delivered, sent[0].done_at, sent[0].said.as_deref());
    assert_eq!(end, (true, Some(12), Some("200")));
    let sent = store.deliveries(&all.id, 9).await.unwrap();
    assert_eq!((sent.len(), sent[1].is_delivered, sent[1].done_at), (2, false, Some(31)));

    // Whoever takes long, or is told of much, leaves the others theirs.
    for key in ["c", "d", "e"] {
        let more = accept(store, new(&shop, key)).await;
        store.cancel_run(&shop, &more.id, 40).await.unwrap();
    }
    let claimed = async |per_webhook: u32, busy: &[WebhookId], now: u64| {
        let of = Claiming { limit: 9, per_webhook, busy };
        let due = store.claim_deliveries(&of, now, now + 100).await.unwrap();
        let count = |hook: &Webhook| due.iter().filter(|one| one.webhook.id == hook.id).count();
        (count(&own), count(&all))
    };
    assert_eq!(claimed(2, &[], 600).await, (2, 2));
    assert_eq!(claimed(2, std::slice::from_ref(&own.id), 600).await, (0, 2));
    assert_eq!(claimed(2, &[], 600).await, (1, 0));
    assert_eq!(claimed(2, &[], 600).await, (0, 0));

    assert!(!store.delete_webhook(Some(&shop), &all.id).await.unwrap());
    assert!(!store.delete_webhook(None, &own.id).await.unwrap());
    assert!(store.delete_webhook(None, &all.id).await.unwrap());
    let left = store.claim_deliveries(&ANY, 9_000, 9_001).await.unwrap();
    assert_eq!(left.len(), 3);
    assert!(left.iter().all(|one| one.webhook.id == own.id), "{left:?}");
    store.delete_project(&shop, 50).await.unwrap();
    assert_eq!(store.wrapped().await.unwrap().webhooks, []);
    store.close().await;
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
