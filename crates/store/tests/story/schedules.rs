//! Schedules of the story: which are due, who decides a slot, and what is kept of its firing.

use super::project;
use toft_model::{
    event::Outcome,
    id::ProjectId,
    schedule::{CatchUp, Overlap, ScheduleId, When, Work},
};
use toft_store::{Decided, Firing, Schedule, Step, Store, StoreError};

/// A schedule as a route would make it.
fn schedule_of(project: &ProjectId, name: &str, next_at: Option<u64>) -> Schedule {
    Schedule {
        id: ScheduleId::random(),
        project: project.clone(),
        name: name.into(),
        when: When::Every { every_s: 60 },
        work: Work::Command { command: "true".into() },
        catch_up: CatchUp::All,
        catch_up_max: 7,
        overlap: Overlap::Cancel,
        timeout_ms: 1_000,
        enabled: true,
        anchor_at: 1,
        decided_at: 1,
        next_at,
        revision: 1,
        created_at: 1,
        updated_at: 1,
    }
}

fn firing_of(schedule: &Schedule, slot: u64, outcome: Outcome, step: Step) -> Firing {
    Firing {
        id: format!("{}-{slot}-{}", schedule.id, outcome.as_str()),
        schedule: schedule.id.clone(),
        slot,
        last_slot: slot,
        slots: 1,
        by_hand: false,
        outcome,
        reason: None,
        is_late: false,
        work: (step != Step::Over).then(|| schedule.work.clone()),
        step,
        boot: None,
        session: None,
        after_seq: None,
        entry: None,
        started_at: None,
        ended_at: None,
        exit_code: None,
        output: None,
        told: false,
    }
}

fn decided<'a>(schedule: &'a ScheduleId, revision: u64, firings: &'a [Firing]) -> Decided<'a> {
    Decided { schedule, revision, decided_at: 100, next_at: Some(160), firings }
}

pub(crate) async fn schedules(store: &dyn Store) {
    let shop = project(store, None, 40).await;
    let other = project(store, None, 40).await;
    let mut nightly = schedule_of(&shop.id, "nightly", Some(100));
    store.add_schedule(&nightly).await.unwrap();
    assert_eq!(store.schedule(&shop.id, &nightly.id).await.unwrap().unwrap(), nightly);
    assert_eq!(store.schedule(&other.id, &nightly.id).await.unwrap(), None, "foreign");
    let again = schedule_of(&shop.id, "nightly", None);
    assert!(matches!(store.add_schedule(&again).await, Err(StoreError::Taken { .. })));
    store.add_schedule(&schedule_of(&other.id, "nightly", Some(90))).await.unwrap();
    let nobody = schedule_of(&ProjectId::random(), "x", None);
    assert!(matches!(store.add_schedule(&nobody).await, Err(StoreError::Missing { .. })));

    // Who changes what is no longer so is told.
    let old = nightly.clone();
    nightly.name = "hourly".into();
    nightly.work = Work::Prompt { prompt: "look".into(), session_id: Some("s1".parse().unwrap()) };
    assert!(store.update_schedule(&nightly).await.unwrap());
    assert!(!store.update_schedule(&old).await.unwrap());
    nightly = store.schedule(&shop.id, &nightly.id).await.unwrap().unwrap();
    assert_eq!((nightly.name.as_str(), nightly.revision), ("hourly", 2));
    assert_eq!(store.schedules(&shop.id).await.unwrap(), [nightly.clone()]);

    // Due, longest first; decided once.
    assert_eq!(store.next_slot(0).await.unwrap(), Some(90));
    assert_eq!(store.next_slot(90).await.unwrap(), Some(100));
    let due = store.due_schedules(100, None, 10).await.unwrap();
    assert_eq!(due.iter().map(|s| s.next_at).collect::<Vec<_>>(), [Some(90), Some(100)]);
    assert_eq!(store.due_schedules(99, None, 10).await.unwrap().len(), 1);
    // Page by page, also where several are due at one moment.
    let mut third = schedule_of(&other.id, "third", Some(90));
    store.add_schedule(&third).await.unwrap();
    let mut seen = Vec::new();
    let mut after: Option<(u64, ScheduleId)> = None;
    while let [one] = &store
        .due_schedules(100, after.as_ref().map(|(slot, id)| (*slot, id)), 1)
        .await
        .unwrap()[..]
    {
        seen.push((one.next_at, one.id.clone()));
        after = Some((one.next_at.unwrap(), one.id.clone()));
    }
    assert_eq!(
        seen.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(),
        [Some(90), Some(90), Some(100)]
    );
    seen.dedup();
    assert_eq!(seen.len(), 3);
    third.next_at = None;
    store.update_schedule(&third).await.unwrap();
    assert!(store.delete_schedule(&other.id, &third.id).await.unwrap());
    let first = firing_of(&nightly, 100, Outcome::Running, Step::Due);
    let one = std::slice::from_ref(&first);
    assert_eq!(store.decide_slots(&decided(&nightly.id, 2, one)).await.unwrap().unwrap(), one);
    assert_eq!(
        store.decide_slots(&decided(&nightly.id, 2, one)).await.unwrap(),
        None,
        "decided already"
    );
    let twice = store.decide_slots(&decided(&nightly.id, 3, one)).await.unwrap().unwrap();
    assert_eq!(twice, [], "a slot has one record");
    assert_eq!(store.open_firings(&nightly.id).await.unwrap(), one);
    let open = store.all_open_firings().await.unwrap();
    assert_eq!((open.len(), &open[0].0.name, &open[0].1), (1, &nightly.name, &first));

    // Its way to the end.
    let mut ended = first.clone();
    ended.step = Step::Over;
    ended.work = None;
    ended.outcome = Outcome::Failed;
    ended.reason = Some("exit code 3".into());
    (ended.boot, ended.after_seq) = (Some(5), Some(7));
    (ended.started_at, ended.ended_at, ended.exit_code) = (Some(101), Some(102), Some(3));
    ended.output = Some("no".into());
    ended.session = Some("s1".parse().unwrap());
    ended.entry = Some("e1".into());
    assert!(store.update_firing(&ended).await.unwrap());
    assert_eq!(store.firing(&ended.id).await.unwrap().unwrap(), ended);
    assert_eq!(store.open_firings(&nightly.id).await.unwrap(), []);
    assert_eq!(store.untold_firings(10).await.unwrap()[0].1, ended);
    ended.told = true;
    store.update_firing(&ended).await.unwrap();
    assert_eq!(store.untold_firings(10).await.unwrap(), []);

    // Slots in a row that were passed over for one reason share a record.
    for (revision, slot, reason) in [(4, 160, "a"), (5, 220, "a"), (6, 280, "b"), (7, 340, "a")] {
        let mut skipped = firing_of(&nightly, slot, Outcome::Skipped, Step::Over);
        skipped.reason = Some(reason.into());
        let new =
            store.decide_slots(&decided(&nightly.id, revision, &[skipped])).await.unwrap().unwrap();
        assert_eq!(new.len(), usize::from(slot != 220), "{slot}");
    }
    let seen = store.firings(&nightly.id, None, 10).await.unwrap();
    let seen: Vec<_> = seen.iter().map(|f| (f.slot, f.last_slot, f.slots)).collect();
    assert_eq!(seen, [(340, 340, 1), (280, 280, 1), (160, 220, 2), (100, 100, 1)]);
    let page = store.firings(&nightly.id, Some(280), 1).await.unwrap();
    assert_eq!(page.iter().map(|f| f.slot).collect::<Vec<_>>(), [160]);

    // Old ones go, but none that is open or that nobody was told of.
    let mut revision = 8;
    let stays = firing_of(&nightly, 350, Outcome::Running, Step::Due);
    store
        .decide_slots(&decided(&nightly.id, revision, std::slice::from_ref(&stays)))
        .await
        .unwrap();
    for slot in 1_000..1_300 {
        revision += 1;
        let mut fired = firing_of(&nightly, slot, Outcome::Fired, Step::Over);
        fired.told = true;
        store.decide_slots(&decided(&nightly.id, revision, &[fired])).await.unwrap().unwrap();
    }
    let all = store.firings(&nightly.id, None, 1_000).await.unwrap();
    let old: Vec<_> = all.iter().filter(|f| f.slot < 1_000).map(|f| f.slot).collect();
    assert_eq!((all.len(), old), (204, vec![350, 340, 280, 160]));

    // Gone with the schedule, and with the project.
    assert!(!store.delete_schedule(&other.id, &nightly.id).await.unwrap(), "foreign");
    assert!(store.delete_schedule(&shop.id, &nightly.id).await.unwrap());
    assert!(!store.update_firing(&ended).await.unwrap());
    assert_eq!(store.firings(&nightly.id, None, 10).await.unwrap(), []);
    assert_eq!(store.enabled_schedules().await.unwrap().len(), 1);
    store.delete_project(&other.id, 41).await.unwrap();
    store.delete_project(&shop.id, 41).await.unwrap();
    assert_eq!(store.enabled_schedules().await.unwrap(), []);
    assert_eq!(store.next_slot(0).await.unwrap(), None);
}
