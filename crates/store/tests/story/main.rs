//! The store told as one story per family. Every database behind the trait runs these; what only
//! one database can do wrong is tested here beside it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod api_keys;
mod copies;
mod events;
mod images;
mod people;
mod projects;
mod schedules;
mod secrets;
mod traces;
mod usage;

use std::path::Path;
use toft_model::id::ProjectId;
use toft_store::{
    Events as _, MachineSettings, NewEvent, NewProject, Project, Projects as _, SYSTEM_USER,
    SqliteStore, Store, StoreError,
};

const HOUR: u64 = 3_600_000;

async fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(&dir.join("toft.db")).await.unwrap()
}

async fn project(store: &dyn Store, alias: Option<&str>, now: u64) -> Project {
    store.create_project(&new_project(alias, "Shop"), now).await.unwrap().project
}

fn new_project(alias: Option<&str>, name: &str) -> NewProject {
    NewProject {
        id: ProjectId::random(),
        alias: alias.map(str::to_owned),
        name: name.into(),
        owner: SYSTEM_USER.into(),
        settings: MachineSettings::default(),
    }
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

async fn story(store: &dyn Store) {
    people::people(store).await;
    projects::projects(store).await;
    people::settings(store).await;
    projects::preview_ports(store).await;
    projects::machine_records(store).await;
    copies::checkpoints(store).await;
    copies::forks(store).await;
    copies::navigations(store).await;
    images::images(store).await;
    schedules::schedules(store).await;
    secrets::secrets(store).await;
    api_keys::api_keys(store).await;
    usage::usage(store).await;
    traces::traces(store).await;
    events::events(store).await;
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
        async move { store.create_project(&new_project(Some("one"), "One"), n).await.unwrap() }
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
