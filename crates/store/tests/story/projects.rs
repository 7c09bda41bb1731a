//! Projects of the story, and what stands beside one: preview ports, limits and idle rules, what the
//! host saw of its machine.

use super::{databases::Place, new_project, project};
use toft_model::{
    checkpoint::{Cause, Checkpoint, CheckpointId},
    event::{LimitHit, LimitKind, Observed, Told},
    id::ProjectId,
    machine::{EgressCeiling, EgressName, EgressSetting, IdleRule, Limits, MachineState},
};
use toft_store::{
    Durable, MachineSettings, NewProject, PreviewPort, Project, ProjectImage, Store, StoreError,
    TakenCheckpoint, Wake, Wanted,
};

pub(crate) async fn projects(store: &dyn Store) {
    let first = project(store, Some("default"), 10).await;
    let same = store.create_project(&new_project(Some("default"), "Other"), 20).await.unwrap();
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
    let again = NewProject { id: first.id.clone(), ..new_project(None, "Back") };
    assert!(matches!(store.create_project(&again, 70).await, Err(StoreError::Taken { .. })));
    assert!(project(store, Some("default"), 70).await.id != first.id, "the alias is free again");
}

/// Ends joined as a server of its own: whoever comes after it joins again.
pub(crate) async fn backends(store: &dyn Store) {
    let me = toft_store::NewServer {
        id: "here".into(),
        place: "here".into(),
        url: "http://here".into(),
        version: "1".into(),
        shares: String::new(),
    };
    store.join(&me, 1).await.unwrap();
    let named = NewProject { backend: Some("oci".into()), ..new_project(None, "Named") };
    let named = store.create_project(&named, 1).await.unwrap().project;
    let free = project(store, None, 1).await;
    assert_eq!((named.backend.as_deref(), free.backend.as_deref()), (Some("oci"), None));
    let of = async |project: &Project| {
        let found = store.project(project.id.as_str()).await.unwrap().unwrap().backend;
        assert_eq!(store.backend_of(&project.id).await.unwrap(), found);
        found
    };
    // What has no machine yet is of none, unless it says so.
    store.name_backends("native").await.unwrap();
    assert_eq!(of(&free).await, None);
    for (project, want) in [(&named, "oci"), (&free, "native")] {
        store.bind_project(&project.id, "native").await.unwrap();
        assert_eq!(of(project).await.as_deref(), Some(want));
        store.bind_project(&project.id, "host").await.unwrap();
        assert_eq!(of(project).await.as_deref(), Some(want), "it has a machine");
    }

    let kept = CheckpointId::random();
    let taken = TakenCheckpoint {
        checkpoint: Checkpoint {
            id: kept.clone(),
            project_id: free.id.clone(),
            label: None,
            cause: Cause::Manual,
            created_at: 5,
            seq: 0,
            base: "host-1".into(),
            sessions: Vec::new(),
            message: None,
        },
        place: None,
        away: None,
    };
    store.add_checkpoint(&taken, Durable::Now).await.unwrap();
    let image = ProjectImage { key: "k".into(), name: "tools".into() };
    store.set_project_image(&free.id, Some(&image)).await.unwrap();
    let away = async || store.checkpoint(&free.id, &kept).await.unwrap().unwrap().away;
    // There, on, and back: a checkpoint stays where it was taken.
    for (from, to, lies) in [
        ("native", "oci", Some("native")),
        ("oci", "host", Some("native")),
        ("host", "native", None),
    ] {
        store.move_project(&free.id, from, to, 9).await.unwrap();
        assert_eq!((of(&free).await.as_deref(), away().await.as_deref()), (Some(to), lies));
    }
    assert_eq!(store.project_image(&free.id).await.unwrap(), None);
    store.delete_project(&free.id, 10).await.unwrap();
    assert_eq!(store.backend_of(&free.id).await.unwrap().as_deref(), Some("native"));
    assert_eq!(store.backend_of(&ProjectId::random()).await.unwrap(), None);
    store.set_destroyed(&free.id, 11).await.unwrap();
    store.delete_project(&named.id, 12).await.unwrap();
    store.set_destroyed(&named.id, 13).await.unwrap();
}

pub(crate) async fn preview_ports(store: &dyn Store) {
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

pub(crate) async fn machine_records(store: &dyn Store) {
    let shop = project(store, None, 1).await.id;
    let blog = project(store, None, 1).await.id;
    assert_eq!(store.machine_settings(&shop).await.unwrap(), MachineSettings::default());
    let limits = Limits {
        memory_bytes: Some(1 << 30),
        cpus: Some(1.5),
        pids: None,
        disk_bytes: None,
        log_bytes: Some(1 << 27),
    };
    let idle = IdleRule { freeze_after_s: None, cold_after_s: Some(60) };
    store.put_limits(&shop, Some(&limits), 2).await.unwrap();
    store.put_idle(&shop, Some(&idle), 3).await.unwrap();
    let both =
        MachineSettings { limits: Some(limits), idle: Some(idle), ..MachineSettings::default() };
    assert_eq!(store.machine_settings(&shop).await.unwrap(), both);
    let egress = EgressSetting { level: EgressName::Open, rules: vec!["a.test".into()] };
    store.put_egress(&shop, Some(&egress), 3).await.unwrap();
    let all = MachineSettings { egress: Some(egress), ..both.clone() };
    assert_eq!(store.machine_settings(&shop).await.unwrap(), all);
    store.put_egress(&shop, None, 3).await.unwrap();
    let ceiling = EgressCeiling { level: EgressName::None, inherited: false };
    store.put_egress_ceiling(&shop, Some(&ceiling), 3).await.unwrap();
    let bound = MachineSettings { ceiling: Some(ceiling), ..both.clone() };
    assert_eq!(store.machine_settings(&shop).await.unwrap(), bound);
    // What a project is made with is there when it is.
    let made = NewProject { settings: all.clone(), ..new_project(None, "Made") };
    let made = store.create_project(&made, 3).await.unwrap().project.id;
    assert_eq!(store.machine_settings(&made).await.unwrap(), all);
    store.delete_project(&made, 3).await.unwrap();
    store.put_egress_ceiling(&shop, None, 3).await.unwrap();
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

pub(crate) async fn unreadable(place: &Place) {
    let store = place.open().await;
    let id = project(&*store, None, 1).await.id;
    let open = EgressSetting { level: EgressName::Open, rules: Vec::new() };
    store.put_egress(&id, Some(&open), 2).await.unwrap();
    assert_eq!(store.machine_settings(&id).await.unwrap().egress, Some(open));
    for text in ["", "{}", "{\"level\":\"all\"}", "\"open\"", "{\"level\":\"open\",\"rules\":[1]}"]
    {
        place.sql(&format!("UPDATE machine_settings SET egress = '{text}'")).await;
        let read = store.machine_settings(&id).await.unwrap().egress;
        assert_eq!(read, Some(EgressSetting::nothing()), "{text:?}");
    }
    let wide = EgressCeiling { level: EgressName::Open, inherited: false };
    store.put_egress_ceiling(&id, Some(&wide), 3).await.unwrap();
    assert_eq!(store.machine_settings(&id).await.unwrap().ceiling, Some(wide));
    for text in ["", "{}", "{\"level\":\"all\"}", "\"open\""] {
        place.sql(&format!("UPDATE machine_settings SET egress_ceiling = '{text}'")).await;
        let read = store.machine_settings(&id).await.unwrap().ceiling;
        assert_eq!(read.map(|one| one.level), Some(EgressName::None), "{text:?}");
    }
    store.close().await;
}
