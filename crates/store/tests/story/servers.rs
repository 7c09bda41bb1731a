//! Servers on one database: who may work on what, and what runs are told of hosts that are gone.

use crate::{
    databases::Place,
    project,
    runs::{accept, claim, new},
};
use toft_model::{
    machine::MachineState,
    run::{Phase, RunStatus, WaitsFor},
};
use toft_store::{
    Durable, Joined, Left, NewEvent, NewRunEvent, NewServer, Run, Server, Store, StoreError,
    Wanted, Wrote,
};

/// Later than any time of a database's own.
const NOW: u64 = 50_000;

fn server(id: &str) -> NewServer {
    NewServer {
        id: id.into(),
        place: format!("boot host /{id}"),
        url: format!("http://{id}:4000"),
        version: "1".into(),
        shares: "same".into(),
    }
}

fn ids(runs: &[Run]) -> Vec<&str> {
    runs.iter().map(|run| run.id.as_str()).collect()
}

async fn told(store: &dyn Store, run: &Run) -> Vec<(u64, String)> {
    let events = store.run_events(&run.id, 0, 100, 1 << 20).await.unwrap();
    events.into_iter().map(|told| (told.seq, told.event.data)).collect()
}

/// Lets a server have said nothing for long.
async fn silent(place: &Place, id: &str) {
    place.sql(&format!("UPDATE server SET seen_at = 0 WHERE id = '{id}'")).await;
}

pub(crate) async fn hosts(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    assert_eq!(store.join(&server("a"), NOW).await.unwrap(), Joined::Yes);
    let (shop, free) = (project(store, None, 1).await.id, project(store, None, 2).await.id);
    assert_eq!(store.project(shop.as_str()).await.unwrap().unwrap().host, None);
    assert_eq!(store.bind_project(&shop, "native").await.unwrap().as_deref(), Some("a"));
    assert_eq!(store.bind_project(&shop, "native").await.unwrap().as_deref(), Some("a"));
    store.keep_machine_states(&[(shop.clone(), MachineState::Running)]).await.unwrap();
    let shown = store.project(shop.as_str()).await.unwrap().unwrap();
    assert_eq!(
        (shown.host.as_deref(), shown.machine_state),
        (Some("a"), Some(MachineState::Running))
    );

    // Another server gets what has no machine, and nothing else.
    let bound = accept(store, new(&shop, "bound")).await;
    let loose = accept(store, new(&free, "loose")).await;
    let got = store.claim_runs(&claim("b", 9), NOW).await.unwrap();
    assert_eq!(ids(&got), [loose.id.as_str()]);
    let got = store.claim_runs(&claim("a", 9), NOW).await.unwrap();
    assert_eq!(ids(&got), [bound.id.as_str()]);
    store.let_go_runs("a", true).await.unwrap();
    store.let_go_runs("b", true).await.unwrap();
    let got = store.take_over_runs(&claim("c", 9), NOW).await.unwrap();
    assert_eq!(ids(&got), [loose.id.as_str()], "the other one is its host's");
    // While it began there, its machine was made here.
    assert_eq!(store.bind_project(&free, "native").await.unwrap().as_deref(), Some("a"));
    store.give_back_run(&got[0].id, got[0].fence - 1).await.unwrap();
    assert!(store.take_over_runs(&claim("b", 9), NOW).await.unwrap().is_empty());
    store.give_back_run(&got[0].id, got[0].fence).await.unwrap();
    assert!(store.take_over_runs(&claim("b", 9), NOW).await.unwrap().is_empty());
    let got = store.take_over_runs(&claim("a", 9), NOW).await.unwrap();
    assert_eq!(ids(&got), [bound.id.as_str(), loose.id.as_str()]);
    assert_eq!(got[1].crashes, 0, "nobody crashed over it");

    // Its host is gone, and back: told once each, numbers without gaps.
    assert!(store.tell_of_hosts(true, NOW).await.unwrap().is_empty());
    silent(place, "a").await;
    assert!(store.tell_of_hosts(false, NOW).await.unwrap().is_empty(), "nobody is sure");
    let servers = store.servers(NOW).await.unwrap();
    assert!(servers.len() == 1 && !servers[0].is_alive() && servers[0].url == "http://a:4000");
    assert_eq!(store.tell_of_hosts(true, NOW).await.unwrap().len(), 2);
    assert!(store.tell_of_hosts(true, NOW).await.unwrap().is_empty());
    let waits = store.run(&shop, &bound.id).await.unwrap().unwrap();
    assert!(waits.host_away && waits.state.status == RunStatus::Running);
    assert!(store.beat(&server("a"), NOW).await.unwrap());
    assert!(store.servers(NOW).await.unwrap().iter().all(Server::is_alive));
    assert_eq!(store.tell_of_hosts(true, NOW).await.unwrap().len(), 2);
    let events = told(store, &bound).await;
    assert_eq!(events.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(events[1].1.contains(r#""status":"waiting_host""#), "{events:?}");
    assert!(events[1].1.contains("http://a:4000"), "{events:?}");
    assert!(events[2].1.contains(r#""status":"host_back""#), "{events:?}");
    assert!(!store.run(&shop, &bound.id).await.unwrap().unwrap().host_away);

    // Its owner only stood still: what it tells then is not lost, and stands behind what others told meanwhile.
    let mut owned = got[0].clone();
    let said = [NewRunEvent { ts: NOW, kind: "token".into(), data: "{}".into() }];
    let write = async |owned: &Run| {
        store.write_run(owned, &said, &Left::default(), Durable::Soon, NOW).await.unwrap()
    };
    assert_eq!(write(&owned).await, Wrote::Behind(3));
    owned.last_seq = 3;
    assert_eq!(write(&owned).await, Wrote::Done(4));
    silent(place, "a").await;
    assert_eq!(store.tell_of_hosts(true, NOW).await.unwrap().len(), 2);
    assert_eq!(write(&owned).await, Wrote::Done(5), "it is there once");
    let events = told(store, &bound).await;
    assert_eq!((events.len(), events[3].1.as_str()), (5, "{}"));

    // A server that ends over a run again and again is seen, whatever others told of it in between.
    assert!(store.beat(&server("a"), NOW).await.unwrap());
    for crashes in 1..4 {
        store.tell_of_hosts(true, NOW).await.unwrap();
        store.let_go_runs("a", false).await.unwrap();
        let got = store.take_over_runs(&claim("a", 9), NOW).await.unwrap();
        assert_eq!(got[1].crashes, crashes, "{:?}", got[1]);
        silent(place, "a").await;
        store.tell_of_hosts(true, NOW).await.unwrap();
        assert!(store.beat(&server("a"), NOW).await.unwrap());
    }
    store.tell_of_hosts(true, NOW).await.unwrap();

    // Who was told that a run is ended, before it was clear that its host is gone, sees it end.
    let asked = store.cancel_run(&free, &loose.id, NOW).await.unwrap().unwrap();
    assert!(asked.is_cancelled && asked.run.state.status == RunStatus::Running);
    silent(place, "a").await;
    assert!(store.tell_of_hosts(true, NOW).await.unwrap().contains(&loose.id));
    let over = store.run(&free, &loose.id).await.unwrap().unwrap();
    assert!(over.state.status == RunStatus::Cancelled && over.fence > asked.run.fence);
    let last = told(store, &loose).await.pop().unwrap();
    assert_eq!(last, (over.last_seq, r#"{"status":"cancelled"}"#.to_owned()));
    assert!(store.beat(&server("a"), NOW).await.unwrap());
    store.tell_of_hosts(true, NOW).await.unwrap();

    // Nobody can end it in its machine: it is over all the same, and nobody is waited for any more.
    let mut works = store.run(&shop, &bound.id).await.unwrap().unwrap();
    works.state.waits_for = Some(WaitsFor::Approval);
    works.state.started_at = Some(NOW - 40);
    let wrote = store.write_run(&works, &[], &Left::default(), Durable::Now, NOW).await.unwrap();
    assert_eq!(wrote, Wrote::Done(works.last_seq));
    silent(place, "a").await;
    store.tell_of_hosts(true, NOW).await.unwrap();
    let ended = store.cancel_run(&shop, &bound.id, NOW).await.unwrap().unwrap();
    assert!(ended.is_cancelled && ended.run.state.status == RunStatus::Cancelled);
    assert!(!ended.run.host_away);
    let state = &ended.run.state;
    assert_eq!((state.phase, state.waits_for, state.duration_ms), (Phase::Over, None, Some(40)));
    assert!(ended.run.fence > got[0].fence);

    // What is deleted is its host's to remove.
    store.delete_project(&shop, NOW).await.unwrap();
    assert_eq!(store.to_destroy().await.unwrap(), std::slice::from_ref(&shop));
    store.close().await;
}

/// A project whose machine is at somebody else's goes to another server, when its own is gone and not before.
pub(crate) async fn take_over(place: &Place) {
    let (one, two) = (place.open().await, place.open().await);
    assert_eq!(one.join(&server("a"), NOW).await.unwrap(), Joined::Yes);
    assert_eq!(two.join(&server("b"), NOW).await.unwrap(), Joined::Yes);
    assert_eq!(one.installation("first").await.unwrap(), "first");
    assert_eq!(two.installation("second").await.unwrap(), "first");
    let (far, near) = (project(&*one, None, 1).await.id, project(&*one, None, 2).await.id);
    for (project, backend) in [(&far, "e2b"), (&near, "native")] {
        assert_eq!(one.bind_project(project, backend).await.unwrap().as_deref(), Some("a"));
    }
    let run = accept(&*two, new(&far, "far")).await;
    accept(&*two, new(&near, "near")).await;
    assert_eq!(one.held_projects(&["e2b"]).await.unwrap(), [(far.clone(), 1)]);
    let waiting = async || two.abandoned_projects(&["e2b"], 9, NOW).await.unwrap();
    assert!(waiting().await.is_empty());
    assert_eq!(two.take_project(&far, "a", NOW).await.unwrap(), None, "its server answers");
    let held = one.claim_runs(&claim("a", 9), NOW).await.unwrap();
    assert_eq!(held[0].id, run.id);

    silent(place, "a").await;
    assert_eq!(waiting().await, std::slice::from_ref(&far));
    assert!(two.abandoned_projects(&["oci"], 9, NOW).await.unwrap().is_empty());
    assert_eq!(two.take_project(&far, "c", NOW).await.unwrap(), None, "it is not that one's");
    assert_eq!(one.take_project(&far, "a", NOW).await.unwrap(), None, "it is its own already");
    assert_eq!(two.take_project(&far, "a", NOW).await.unwrap(), Some(2));
    assert_eq!(two.take_project(&far, "a", NOW).await.unwrap(), None, "once");
    assert!(waiting().await.is_empty());
    assert!(one.held_projects(&["e2b"]).await.unwrap().is_empty());
    assert_eq!(two.held_projects(&["e2b"]).await.unwrap(), [(far.clone(), 2)]);
    // The one that is back does not keep a run that goes on elsewhere.
    let kept = [(run.id.clone(), held[0].fence)];
    assert_eq!(
        one.renew_runs(&claim("a", 9), &kept, NOW).await.unwrap(),
        std::slice::from_ref(&run.id)
    );

    // The one that is back writes nothing of it.
    assert!(one.beat(&server("a"), NOW).await.unwrap());
    let event = |seq, data: &str| NewEvent {
        seq,
        ts: 1,
        session: None,
        kind: "notify".into(),
        data: data.into(),
    };
    for events in [vec![event(1, "{}")], vec![event(1, "{}"), event(2, "{}")]] {
        let refused = one.append_events(&far, &events).await;
        assert!(matches!(refused, Err(StoreError::Missing { .. })), "{refused:?}");
    }
    two.append_events(&far, &[event(1, "{}")]).await.unwrap();
    let refused = one.append_events(&far, &[event(2, "{}")]).await;
    assert!(matches!(refused, Err(StoreError::Missing { .. })), "{refused:?}");
    one.set_wanted(&far, Wanted::Stopped, Some("it is gone"), NOW).await.unwrap();
    one.keep_machine_states(&[(far.clone(), MachineState::Error)]).await.unwrap();
    let shown = two.project(far.as_str()).await.unwrap().unwrap();
    assert_eq!(
        (shown.host.as_deref(), shown.wanted, shown.state_reason, shown.machine_state),
        (Some("b"), Wanted::Running, None, None)
    );
    assert_eq!(one.project(near.as_str()).await.unwrap().unwrap().host.as_deref(), Some("a"));
    // The run goes with it when its lease is over.
    place.sql("UPDATE run SET lease_until = 0").await;
    let got = two.take_over_runs(&claim("b", 9), NOW).await.unwrap();
    assert_eq!(ids(&got), [run.id.as_str()]);
    assert!(got[0].fence > held[0].fence);
    let lost = one.write_run(&held[0], &[], &Left::default(), Durable::Now, NOW).await.unwrap();
    assert_eq!(lost, Wrote::Lost);

    // Deleted while it is the other's, it is the other's to remove.
    silent(place, "b").await;
    one.delete_project(&far, NOW).await.unwrap();
    assert_eq!(one.take_project(&far, "b", NOW).await.unwrap(), None);
    assert_eq!(two.to_destroy().await.unwrap(), std::slice::from_ref(&far));
    one.close().await;
    two.close().await;
}

/// Only where there may be several.
pub(crate) async fn several(place: &Place) {
    let (one, two) = (place.open().await, place.open().await);
    assert_eq!(one.join(&server("a"), NOW).await.unwrap(), Joined::Yes);
    let copied = NewServer { place: "boot host /copy".into(), ..server("a") };
    assert_eq!(two.join(&copied, NOW).await.unwrap(), Joined::Taken("http://a:4000".into()));
    let other = NewServer { shares: "other".into(), ..server("b") };
    assert_eq!(two.join(&other, NOW).await.unwrap(), Joined::Differs("http://a:4000".into()));
    assert_eq!(two.join(&server("b"), NOW).await.unwrap(), Joined::Yes);
    assert_eq!(one.servers(NOW).await.unwrap().len(), 2);

    // Many who want it: one has it.
    let shop = project(&*one, None, 1).await.id;
    let (a, b) =
        futures_util::join!(one.bind_project(&shop, "native"), two.bind_project(&shop, "native"));
    let (a, b) = (a.unwrap().unwrap(), b.unwrap().unwrap());
    assert_eq!(a, b);
    let (owner, stranger) = if a == "a" { (&one, &two) } else { (&two, &one) };
    one.delete_project(&shop, NOW).await.unwrap();
    assert_eq!(owner.to_destroy().await.unwrap(), std::slice::from_ref(&shop));
    assert!(stranger.to_destroy().await.unwrap().is_empty());

    // A moved folder is the same server when the other place is silent.
    silent(place, "a").await;
    assert_eq!(two.join(&copied, NOW).await.unwrap(), Joined::Yes);
    assert!(!one.beat(&server("a"), NOW).await.unwrap());
    one.close().await;
    two.close().await;
}
