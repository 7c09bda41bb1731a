//! The store told as one story per family. Every database behind the trait runs these; what only
//! one database can do wrong is tested beside it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use std::path::Path;
use toft_model::id::ProjectId;
use toft_store::{
    Appended, Events as _, NewEvent, NewProject, NewSession, PreviewPort, Project, Projects as _,
    ProviderKey, Role, SYSTEM_USER, SnapshotKind, SqliteStore, Store, StoreError, UserPatch, Wake,
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
        let wake = Wake { at: n, cause: format!("cause {n}") };
        store.add_wake(&second.id, &wake).await.unwrap();
    }
    let wakes = store.wakes(&second.id, 1_000).await.unwrap();
    assert_eq!((wakes.len(), wakes[0].at, wakes[99].at), (100, 104, 5));

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

async fn story(store: &dyn Store) {
    people(store).await;
    projects(store).await;
    settings(store).await;
    preview_ports(store).await;
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
