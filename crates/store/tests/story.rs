//! The store told as one story per family. Every database behind the trait runs these; what only
//! one database can do wrong is tested beside it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

#[path = "story/copies.rs"]
mod copies;

use std::path::Path;
use toft_model::{
    event::{LimitHit, LimitKind, Observed, Outcome, Told},
    id::ProjectId,
    machine::{IdleRule, Limits, MachineState},
    schedule::{CatchUp, Overlap, ScheduleId, When, Work},
};
use toft_store::{
    Appended, Decided, Events as _, Firing, ImageState, MachineSettings, NewEvent, NewImage,
    NewProject, NewSession, PreviewPort, Project, ProjectImage, Projects as _, ProviderKey, Role,
    SYSTEM_USER, Schedule, SnapshotKind, SqliteStore, Step, Store, StoreError, UserPatch, Wake,
    Wanted,
};

const HOUR: u64 = 3_600_000;

async fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(&dir.join("toft.db")).await.unwrap()
}

async fn project(store: &dyn Store, alias: Option<&str>, now: u64) -> Project {
    let new = NewProject {
        id: ProjectId::random(),
        alias: alias.map(str::to_owned),
        name: "Shop".into(),
        owner: SYSTEM_USER.into(),
    };
    store.create_project(&new, now).await.unwrap().project
}

fn event(seq: u64, kind: &str, data: &str) -> NewEvent {
    NewEvent {
        seq,
        ts: 1_000 + seq,
        session: Some("s1".into()),
        kind: kind.into(),
        data: data.into(),
    }
}

async fn people(store: &dyn Store) {
    let admin = store.first_admin("Admin", "admin@localhost", 1).await.unwrap();
    assert_eq!(admin.role, Role::Owner);
    assert!(!admin.has_password);
    assert_eq!(store.first_admin("Other", "other@localhost", 2).await.unwrap(), admin);
    assert_eq!(store.user(SYSTEM_USER).await.unwrap(), None, "keys' user is nobody's account");

    let patch = UserPatch {
        name: Some("Ada".into()),
        email: Some("Ada@Example.org".into()),
        password_phc: Some("$argon2id$x".into()),
    };
    let ada = store.update_user(&admin.id, &patch, 3).await.unwrap();
    assert!(ada.has_password);
    let (found, phc) = store.user_by_email("ADA@example.ORG").await.unwrap().unwrap();
    assert_eq!((found, phc.as_deref()), (ada.clone(), Some("$argon2id$x")));
    assert!(store.user_by_email("nobody@example.org").await.unwrap().is_none());
    let system = UserPatch { email: Some("system@invalid".into()), ..UserPatch::default() };
    assert!(matches!(
        store.update_user(&admin.id, &system, 3).await,
        Err(StoreError::Taken { .. })
    ));

    let sign_in = |id: &str, token: u8, at: u64| NewSession {
        id: id.into(),
        user_id: ada.id.clone(),
        token_hash: [token; 32],
        created_at: at,
        expires_at: at + HOUR,
        ip_address: Some("127.0.0.1".into()),
        user_agent: None,
    };
    store.put_session(&sign_in("one", 1, 10)).await.unwrap();
    store.put_session(&sign_in("two", 2, 20)).await.unwrap();
    store.touch_session("one", 15).await.unwrap();
    store.touch_session("one", 12).await.unwrap();
    let one = store.session(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((one.id.as_str(), one.used_at, &one.user), ("one", 15, &ada));
    assert!(store.session(&[9; 32]).await.unwrap().is_none());
    store.delete_sessions_of(&ada.id, Some("two")).await.unwrap();
    assert!(store.session(&[1; 32]).await.unwrap().is_none());
    assert!(store.session_by_id("two").await.unwrap().is_some());
    store.put_session(&sign_in("three", 3, 30 + HOUR)).await.unwrap();
    assert!(store.session_by_id("two").await.unwrap().is_none(), "ended ones are dropped");
    store.delete_session("three").await.unwrap();
    assert!(store.session_by_id("three").await.unwrap().is_none());

    store.put_verification("sign-in", &[7; 32], 100, 200, false).await.unwrap();
    store.put_verification("sign-in", &[8; 32], 100, 200, false).await.unwrap();
    assert!(!store.take_verification("other", &[7; 32], 150).await.unwrap());
    assert!(!store.take_verification("sign-in", &[7; 32], 200).await.unwrap(), "it is over");
    assert!(store.take_verification("sign-in", &[7; 32], 150).await.unwrap());
    assert!(!store.take_verification("sign-in", &[7; 32], 150).await.unwrap(), "it is used up");
    store.put_verification("sign-in", &[9; 32], 110, 200, true).await.unwrap();
    assert!(!store.take_verification("sign-in", &[8; 32], 150).await.unwrap(), "it was replaced");
}

async fn projects(store: &dyn Store) {
    let first = project(store, Some("default"), 10).await;
    let same = store
        .create_project(
            &NewProject {
                id: ProjectId::random(),
                alias: Some("default".into()),
                name: "Other".into(),
                owner: SYSTEM_USER.into(),
            },
            20,
        )
        .await
        .unwrap();
    assert!(!same.created);
    assert_eq!(same.project, first);
    assert_eq!(store.project("default").await.unwrap().as_ref(), Some(&first));
    assert_eq!(store.project(first.id.as_str()).await.unwrap().as_ref(), Some(&first));
    assert_eq!(store.project("nothing").await.unwrap(), None);

    let second = project(store, None, 20).await;
    let ids = |list: Vec<Project>| list.into_iter().map(|p| p.id).collect::<Vec<_>>();
    assert_eq!(ids(store.projects(50, 0).await.unwrap()), [second.id.clone(), first.id.clone()]);
    store.touch_project(&first.id, 30).await.unwrap();
    store.touch_project(&first.id, 25).await.unwrap();
    assert_eq!(ids(store.projects(1, 0).await.unwrap()), std::slice::from_ref(&first.id));
    assert_eq!(ids(store.projects(1, 1).await.unwrap()), std::slice::from_ref(&second.id));

    store.rename_project(&second.id, "Till", 40).await.unwrap();
    store.set_wanted(&second.id, Wanted::Stopped, Some("no space"), 50).await.unwrap();
    let read = store.project(second.id.as_str()).await.unwrap().unwrap();
    assert_eq!(
        (read.name.as_str(), read.wanted, read.state_reason.as_deref(), read.updated_at),
        ("Till", Wanted::Stopped, Some("no space"), 50)
    );

    for n in 0..105u64 {
        let wake = Wake { at: n, cause: format!("cause {n}"), was: Some(MachineState::Frozen) };
        store.add_wake(&second.id, &wake).await.unwrap();
    }
    let wakes = store.wakes(&second.id, 1_000).await.unwrap();
    assert_eq!((wakes.len(), wakes[0].at, wakes[99].at), (100, 104, 5));
    assert_eq!(wakes[0].was, Some(MachineState::Frozen));

    store.set_destroyed(&first.id, 59).await.unwrap();
    assert!(store.to_destroy().await.unwrap().is_empty(), "nothing is deleted yet");
    store.delete_project(&first.id, 60).await.unwrap();
    assert_eq!(store.to_destroy().await.unwrap(), std::slice::from_ref(&first.id));
    store.set_destroyed(&first.id, 61).await.unwrap();
    assert!(store.to_destroy().await.unwrap().is_empty());
    assert_eq!(store.project("default").await.unwrap(), None);
    assert!(matches!(
        store.rename_project(&first.id, "x", 61).await,
        Err(StoreError::Missing { .. })
    ));
    let again = NewProject {
        id: first.id.clone(),
        alias: None,
        name: "Back".into(),
        owner: SYSTEM_USER.into(),
    };
    assert!(matches!(store.create_project(&again, 70).await, Err(StoreError::Taken { .. })));
    assert!(project(store, Some("default"), 70).await.id != first.id, "the alias is free again");
}

async fn settings(store: &dyn Store) {
    store.put_setting(SYSTEM_USER, "default_model", Some("a")).await.unwrap();
    store.put_setting(SYSTEM_USER, "default_model", Some("b")).await.unwrap();
    store.put_setting(SYSTEM_USER, "theme", Some("dark")).await.unwrap();
    store.put_setting(SYSTEM_USER, "theme", None).await.unwrap();
    assert_eq!(
        store.settings(SYSTEM_USER).await.unwrap(),
        [("default_model".to_owned(), "b".to_owned())]
    );
    let key = ProviderKey { provider: "openai".into(), sealed: "v1.x".into(), hint: "…1".into() };
    store.put_provider_key(&key, 1).await.unwrap();
    assert_eq!(store.provider_keys().await.unwrap(), [key]);
    store.delete_provider_key("openai").await.unwrap();
    store.delete_provider_key("openai").await.unwrap();
    assert!(store.provider_keys().await.unwrap().is_empty());
}

async fn events(store: &dyn Store) {
    let id = project(store, None, 1).await.id;
    let other = project(store, None, 1).await.id;
    assert_eq!(store.head(&id).await.unwrap().seq, 0);

    let added = store.append_events(&id, &[event(1, "agent_start", "{}")]).await.unwrap();
    assert_eq!(added, Appended { before: 0, head: 1, ..Appended::default() });
    let batch = [
        event(1, "agent_start", "{}"),
        event(2, "message_end", r#"{"a":1,"b":2}"#),
        event(3, "agent_end", "{}"),
    ];
    let added = store.append_events(&id, &batch).await.unwrap();
    assert_eq!(added, Appended { before: 1, head: 3, ..Appended::default() });

    // The same content in another order of keys is the same event.
    let again = [event(2, "message_end", r#"{"b":2,"a":1}"#)];
    assert_eq!(store.append_events(&id, &again).await.unwrap().tampered, [0u64; 0]);
    // Other content is not, and never replaces what is kept.
    let forged = event(2, "message_end", r#"{"a":1,"b":3}"#);
    for _ in 0..2 {
        let out = store.append_events(&id, std::slice::from_ref(&forged)).await.unwrap();
        assert_eq!((out.tampered.as_slice(), out.head), ([2].as_slice(), 3));
    }
    let tampering = store.tampering(&id).await.unwrap();
    assert_eq!(tampering.len(), 1);
    assert_eq!(tampering[0].data, forged.data);
    assert_eq!(store.events_after(&id, 1, 1, 1).await.unwrap()[0].data, r#"{"a":1,"b":2}"#);

    // A gap takes what came before it and nothing after.
    let gappy = [event(4, "notify", "{}"), event(6, "notify", "{}"), event(7, "notify", "{}")];
    let out = store.append_events(&id, &gappy).await.unwrap();
    assert_eq!((out.head, out.gap), (4, Some(6)));
    assert_eq!(store.head(&id).await.unwrap().seq, 4);

    // Numbers are a project's own.
    store.append_events(&other, &[event(1, "notify", "{}")]).await.unwrap();
    assert_eq!(store.head(&other).await.unwrap().seq, 1);

    let seqs = |rows: Vec<NewEvent>| rows.into_iter().map(|e| e.seq).collect::<Vec<_>>();
    assert_eq!(seqs(store.events_after(&id, 0, 100, 1 << 20).await.unwrap()), [1, 2, 3, 4]);
    assert_eq!(seqs(store.events_after(&id, 2, 1, 1 << 20).await.unwrap()), [3]);
    assert_eq!(seqs(store.events_after(&id, 0, 100, 1).await.unwrap()), [1], "at least one");
    assert_eq!(seqs(store.messages(&id, "s1").await.unwrap()), [2]);
    assert!(store.messages(&id, "s2").await.unwrap().is_empty());
    let mark = store.last_mark(&id, &["agent_start", "agent_end"]).await.unwrap().unwrap();
    assert_eq!(mark.kind, "agent_end");
    let mark = store.last_mark(&id, &["agent_start"]).await.unwrap().unwrap();
    assert_eq!(mark.seq, 1);
    assert_eq!(store.verify_events(&id).await.unwrap(), None);

    assert_eq!(store.snapshot(&id, SnapshotKind::State).await.unwrap(), None);
    store.put_snapshot(&id, SnapshotKind::State, "{}", 1).await.unwrap();
    store.put_snapshot(&id, SnapshotKind::State, r#"{"a":1}"#, 2).await.unwrap();
    assert_eq!(
        store.snapshot(&id, SnapshotKind::State).await.unwrap().as_deref(),
        Some(r#"{"a":1}"#)
    );

    store.delete_project(&id, 9).await.unwrap();
    assert!(matches!(
        store.append_events(&id, &[event(5, "x", "{}")]).await,
        Err(StoreError::Missing { .. })
    ));
}

async fn preview_ports(store: &dyn Store) {
    let (shop, blog) = (project(store, None, 1).await, project(store, None, 2).await);
    store.put_preview_port(4101, &shop.id, Some(3000), 10).await.unwrap();
    store.put_preview_port(4100, &shop.id, None, 11).await.unwrap();
    store.put_preview_port(4101, &shop.id, Some(3000), 20).await.unwrap();
    let taken = store.put_preview_port(4101, &blog.id, None, 21).await;
    assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
    let row = |port, owner: &Project, app_port, used_at, lives| PreviewPort {
        port,
        project: owner.id.clone(),
        app_port,
        used_at,
        lives,
    };
    let first = row(4100, &shop, None, 11, true);
    assert_eq!(
        store.preview_ports().await.unwrap(),
        [first, row(4101, &shop, Some(3000), 20, true)]
    );
    store.delete_project(&shop.id, 30).await.unwrap();
    let gone = store.put_preview_port(4102, &shop.id, None, 31).await;
    assert!(matches!(gone, Err(StoreError::Missing { .. })), "{gone:?}");
    store.put_preview_port(4101, &blog.id, None, 32).await.unwrap();
    assert_eq!(
        store.preview_ports().await.unwrap(),
        [row(4100, &shop, None, 11, false), row(4101, &blog, None, 32, true)]
    );
    store.delete_project(&blog.id, 33).await.unwrap();
}

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

async fn schedules(store: &dyn Store) {
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

async fn images(store: &dyn Store) {
    let new = |key: &str, name: &str| NewImage {
        key: key.into(),
        name: name.into(),
        kind: "tarball".into(),
        source: "/x.tar".into(),
    };
    let (one, begun) = store.begin_image(&new("k1", "alpine"), 10).await.unwrap();
    assert_eq!((one.state.clone(), one.bytes, begun), (ImageState::Making, 0, true));
    assert_eq!(store.begin_image(&new("k1", "other"), 20).await.unwrap(), (one, false));
    let taken = store.begin_image(&new("k2", "alpine"), 20).await;
    assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
    let builder = ProjectId::random();
    store.set_image_builder("k1", Some(&builder)).await.unwrap();
    assert_eq!(store.image("k1").await.unwrap().unwrap().builder, Some(builder));
    store.set_image_builder("k1", None).await.unwrap();
    store.finish_image("k1", Err("no room")).await.unwrap();
    let failed = store.image("alpine").await.unwrap().unwrap();
    assert_eq!(failed.state, ImageState::Failed("no room".into()));
    // What failed gives its name to another try.
    store.begin_image(&new("k0", "alpine"), 25).await.unwrap();
    assert_eq!(store.image("k1").await.unwrap(), None);
    assert!(store.delete_image("k0").await.unwrap());
    let (again, begun) = store.begin_image(&new("k1", "alp"), 30).await.unwrap();
    assert_eq!((again.state, again.builder, begun), (ImageState::Making, None, true));
    store.finish_image("k1", Ok(7)).await.unwrap();
    store.begin_image(&new("k2", "debian"), 40).await.unwrap();
    let names: Vec<_> =
        store.images().await.unwrap().into_iter().map(|i| (i.what.name, i.bytes)).collect();
    assert_eq!(names, [("debian".into(), 0), ("alp".into(), 7)]);
    store.rename_image("k1", "alpine").await.unwrap();
    let taken = store.rename_image("k1", "debian").await;
    assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
    for key in ["k1", "k2"] {
        store.set_default_image(Some(key)).await.unwrap();
    }
    assert!(store.set_default_image(Some("none")).await.is_err());
    let default: Vec<_> = store.images().await.unwrap().iter().map(|i| i.is_default).collect();
    assert_eq!(default, [true, false], "a refused one changes nothing");
    assert!(store.delete_image("k2").await.unwrap());
    assert!(!store.delete_image("k2").await.unwrap());

    // Written before the project is one; gone with it.
    let made_of = ProjectImage { key: "k1".into(), name: "alpine".into() };
    let shop = project(store, None, 1).await.id;
    assert_eq!(store.project_image(&shop).await.unwrap(), None);
    store.set_project_image(&shop, Some(&made_of)).await.unwrap();
    assert_eq!(store.project_image(&shop).await.unwrap(), Some(made_of.clone()));
    let fork = NewProject {
        id: ProjectId::random(),
        alias: None,
        name: "Fork".into(),
        owner: SYSTEM_USER.into(),
    };
    store.begin_forks(std::slice::from_ref(&fork), 2).await.unwrap();
    store.finish_forks(&shop, 0, std::slice::from_ref(&fork.id), &[]).await.unwrap();
    assert_eq!(store.project_image(&fork.id).await.unwrap(), Some(made_of));
    let all = [shop.clone(), fork.id.clone()];
    assert_eq!(store.projects_of_image("k1").await.unwrap(), all);
    store.delete_project(&shop, 3).await.unwrap();
    assert_eq!(store.projects_of_image("k1").await.unwrap(), all[1..]);
    assert_eq!(store.projects_of_image("k2").await.unwrap(), []);
    assert_eq!(store.project_image(&shop).await.unwrap(), None);
}

fn seen(id: &str, peak: u64) -> Told {
    let hit = LimitHit {
        kind: LimitKind::Memory,
        command: Some("hog".into()),
        pid: Some(7),
        peak: Some(peak),
        limit: None,
        message: "out of memory".into(),
    };
    Told { id: id.into(), what: Observed::Limit(hit) }
}

async fn machine_records(store: &dyn Store) {
    let shop = project(store, None, 1).await.id;
    let blog = project(store, None, 1).await.id;
    assert_eq!(store.machine_settings(&shop).await.unwrap(), MachineSettings::default());
    let limits =
        Limits { memory_bytes: Some(1 << 30), cpus: Some(1.5), pids: None, disk_bytes: None };
    let idle = IdleRule { freeze_after_s: None, cold_after_s: Some(60) };
    store.put_limits(&shop, Some(&limits), 2).await.unwrap();
    store.put_idle(&shop, Some(&idle), 3).await.unwrap();
    let both = MachineSettings { limits: Some(limits), idle: Some(idle) };
    assert_eq!(store.machine_settings(&shop).await.unwrap(), both);
    assert_eq!(store.machine_settings(&blog).await.unwrap(), MachineSettings::default());
    assert_eq!(store.idle_rules().await.unwrap(), [(shop.clone(), idle)]);
    store.put_idle(&shop, None, 4).await.unwrap();
    assert_eq!(store.idle_rules().await.unwrap(), []);
    assert_eq!(
        store.machine_settings(&shop).await.unwrap(),
        MachineSettings { idle: None, ..both }
    );

    for n in 0..105 {
        store.add_observed(&shop, &seen(&format!("id{n}"), n), n).await.unwrap();
    }
    store.add_observed(&shop, &seen("id104", 9), 200).await.unwrap();
    let kept = store.observed(&shop).await.unwrap();
    assert_eq!((kept.len(), &kept[0], &kept[99]), (100, &seen("id5", 5), &seen("id104", 104)));
    assert_eq!(store.observed(&blog).await.unwrap(), []);
    store.drop_observed(&shop, "id5").await.unwrap();
    store.drop_observed(&shop, "id5").await.unwrap();
    assert_eq!(store.observed(&shop).await.unwrap()[0].id, "id6");

    store.put_idle(&shop, Some(&idle), 5).await.unwrap();
    store.delete_project(&shop, 6).await.unwrap();
    assert_eq!(store.idle_rules().await.unwrap(), []);
    let late = store.add_observed(&shop, &seen("late", 1), 7).await;
    assert!(matches!(late, Err(StoreError::Missing { .. })), "{late:?}");
}

async fn story(store: &dyn Store) {
    people(store).await;
    projects(store).await;
    settings(store).await;
    preview_ports(store).await;
    machine_records(store).await;
    copies::checkpoints(store).await;
    copies::forks(store).await;
    images(store).await;
    schedules(store).await;
    events(store).await;
}

#[tokio::test]
async fn sqlite_tells_the_story() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    story(&store).await;
    store.close().await;
}

#[tokio::test]
async fn what_was_stored_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let id = project(&store, Some("kept"), 5).await.id;
    store.append_events(&id, &[event(1, "notify", "{}")]).await.unwrap();
    store.close().await;

    let store = open(dir.path()).await;
    assert_eq!(store.project("kept").await.unwrap().unwrap().id, id);
    let out = store
        .append_events(&id, &[event(1, "notify", "{}"), event(2, "notify", "{}")])
        .await
        .unwrap();
    assert_eq!((out.before, out.head), (1, 2));
    assert_eq!(store.verify_events(&id).await.unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn a_row_changed_in_the_file_breaks_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let id = project(&store, None, 5).await.id;
    let batch: Vec<NewEvent> = (1..=5).map(|n| event(n, "notify", "{}")).collect();
    store.append_events(&id, &batch).await.unwrap();
    let raw = sqlx::SqlitePool::connect_with(
        sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("toft.db")),
    )
    .await
    .unwrap();
    sqlx::query("UPDATE bridge_event SET data = '[]' WHERE seq = 3").execute(&raw).await.unwrap();
    assert_eq!(store.verify_events(&id).await.unwrap(), Some(3));
    sqlx::query("UPDATE bridge_event SET data = '{}' WHERE seq = 3").execute(&raw).await.unwrap();
    assert_eq!(store.verify_events(&id).await.unwrap(), None);
    sqlx::query("DELETE FROM bridge_event WHERE seq = 2").execute(&raw).await.unwrap();
    assert_eq!(store.verify_events(&id).await.unwrap(), Some(2));
    raw.close().await;
    store.close().await;
}

#[tokio::test]
async fn concurrent_creates_of_one_alias_make_one_project() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let tries = (0..20u64).map(|n| {
        let store = &store;
        async move {
            let new = NewProject {
                id: ProjectId::random(),
                alias: Some("one".into()),
                name: "One".into(),
                owner: SYSTEM_USER.into(),
            };
            store.create_project(&new, n).await.unwrap()
        }
    });
    let all = futures_util::future::join_all(tries).await;
    assert_eq!(all.iter().filter(|c| c.created).count(), 1);
    assert!(all.iter().all(|c| c.project.id == all[0].project.id));
    store.close().await;
}

#[tokio::test]
async fn writers_on_both_paths_never_fail_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let a = project(&store, None, 1).await.id;
    let b = project(&store, None, 1).await.id;
    let append = |id: ProjectId| {
        let store = &store;
        async move {
            for n in 1..=100 {
                store.append_events(&id, &[event(n, "notify", "{}")]).await.unwrap();
            }
        }
    };
    let renames = async {
        for n in 0..50 {
            store.rename_project(&a, &format!("name {n}"), n).await.unwrap();
            assert!(store.project(a.as_str()).await.unwrap().is_some());
        }
    };
    futures_util::join!(append(a.clone()), append(b.clone()), renames);
    for id in [&a, &b] {
        assert_eq!(store.head(id).await.unwrap().seq, 100);
        assert_eq!(store.verify_events(id).await.unwrap(), None);
    }
    store.close().await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("toft.db");
    std::fs::write(&path, vec![b'x'; 8192]).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(error.to_string().contains("toft.db"));
}

#[tokio::test]
async fn the_conversations_of_a_project_are_those_with_messages_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let id = project(&store, None, 1).await.id;
    let other = project(&store, None, 1).await.id;
    let said = |seq, session: &str, kind: &str| NewEvent {
        session: Some(session.into()),
        ..event(seq, kind, "{}")
    };
    let all = [
        said(1, "a", "message_end"),
        said(2, "b", "agent_start"),
        said(3, "b", "message_end"),
        said(4, "a", "message_end"),
        said(5, "c", "agent_start"),
    ];
    store.append_events(&id, &all).await.unwrap();
    store.append_events(&other, &[said(1, "d", "message_end")]).await.unwrap();
    let found = store.conversations(&id).await.unwrap();
    let of: Vec<_> =
        found.iter().map(|c| (c.session.as_str(), c.messages, c.first_seq, c.last_seq)).collect();
    assert_eq!(of, [("a", 2, 1, 4), ("b", 1, 3, 3)]);
    store.close().await;
}
