//! What only SQLite can do wrong, and databases of every earlier version.

use super::{databases::Place, event, project};
use sqlx::{
    AssertSqlSafe, Connection as _, SqliteConnection, migrate::Migrator, raw_sql,
    sqlite::SqliteConnectOptions,
};
use std::{fmt::Write as _, fs};
use toft_store::{Events as _, Projects as _, SqliteStore, Store as _, StoreError};

pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("src/sqlite/migrations");

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_its_path() {
    let place = Place::sqlite();
    fs::write(place.file(), vec![b'x'; 8192]).unwrap();
    let error = SqliteStore::open(&place.file()).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(error.to_string().contains("toft.db"));
}

#[tokio::test]
async fn a_copy_is_whole_while_others_write_and_takes_the_place_of_an_older_one() {
    let place = Place::sqlite();
    let store = SqliteStore::open(&place.file()).await.unwrap();
    let id = project(&store, Some("kept"), 5).await.id;
    let copy = place.file().with_file_name("copy.db");
    fs::write(&copy, "an older one").unwrap();
    // What a copy that was cut has left.
    fs::write(copy.with_file_name("copy.db.part"), "half").unwrap();
    let writes = async {
        for seq in 1..=200 {
            store.append_events(&id, &[event(seq, "notify", "{}")]).await.unwrap();
        }
    };
    let (copied, ()) = futures_util::join!(store.backup(&copy), writes);
    copied.unwrap();
    let opened = SqliteStore::open(&copy).await.unwrap();
    assert_eq!(opened.project("kept").await.unwrap().unwrap().id, id);
    assert_eq!(opened.verify_events(&id).await.unwrap(), None);
    assert!(opened.head(&id).await.unwrap().seq <= 200);
    opened.close().await;

    let nowhere = place.file().with_file_name("none").join("copy.db");
    let refused = store.backup(&nowhere).await.unwrap_err();
    assert!(matches!(refused, StoreError::Backup { .. }), "{refused:?}");
    assert!(refused.to_string().contains("copy.db"), "{refused}");
    store.close().await;
    let left: Vec<_> = fs::read_dir(copy.parent().unwrap()).unwrap().flatten().collect();
    assert!(!left.iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".part")));
}

/// Rows as the first version wrote them, with a chain of events that holds.
async fn first_rows() -> String {
    let place = Place::sqlite();
    let store = SqliteStore::open(&place.file()).await.unwrap();
    let id = project(&store, None, 5).await.id;
    let events = [event(1, "agent_start", "{}"), event(2, "message_end", r#"{"entryId":"e"}"#)];
    store.append_events(&id, &events).await.unwrap();
    store.close().await;
    let mut db = SqliteConnection::connect(&place.file().display().to_string()).await.unwrap();
    let hashes: Vec<String> = sqlx::query_scalar("SELECT hex(hash) FROM bridge_event ORDER BY seq")
        .fetch_all(&mut db)
        .await
        .unwrap();
    let mut sql =
        "INSERT INTO project (id, public_id, team_id, alias, name, owner_id, wanted, created_at, \
        updated_at) VALUES (1, 'pppppppppppp', 1, 'old', 'Shop', 'system', 'running', 1, 1); \
        INSERT INTO machine_wake (project_id, at, cause) VALUES (1, 7, 'a request'); \
        INSERT INTO setting (user_id, key, value) VALUES ('system', 'theme', 'dark');"
            .to_owned();
    for (event, hash) in events.iter().zip(hashes) {
        let _ = write!(
            sql,
            "INSERT INTO bridge_event (project_id, seq, ts, session, kind, data, hash) \
             VALUES (1, {}, {}, 's1', '{}', '{}', X'{hash}');",
            event.seq, event.ts, event.kind, event.data
        );
    }
    sql
}

#[tokio::test]
async fn a_database_of_every_earlier_version_is_brought_forward_with_its_rows() {
    let rows = first_rows().await;
    for steps in 1..=MIGRATIONS.migrations.len() {
        let place = Place::sqlite();
        let options = SqliteConnectOptions::new().filename(place.file()).create_if_missing(true);
        let mut db = SqliteConnection::connect_with(&options).await.unwrap();
        let earlier = MIGRATIONS.migrations[..steps].to_vec();
        Migrator::with_migrations(earlier).run(&mut db).await.unwrap();
        raw_sql(AssertSqlSafe(rows.clone())).execute(&mut db).await.unwrap();
        db.close().await.unwrap();

        let store = SqliteStore::open(&place.file()).await.unwrap();
        let shop = store.project("old").await.unwrap().unwrap();
        assert_eq!((shop.name.as_str(), shop.created_at), ("Shop", 1), "{steps} steps");
        assert_eq!(store.verify_events(&shop.id).await.unwrap(), None, "{steps} steps");
        assert_eq!(store.wakes(&shop.id, 9).await.unwrap()[0].cause, "a request");
        let added = store.append_events(&shop.id, &[event(3, "agent_end", "{}")]).await.unwrap();
        assert_eq!((added.before, added.head), (2, 3), "{steps} steps");
        assert!(store.message(&shop.id, "s1", "e").await.unwrap().is_some(), "{steps} steps");
        store.close().await;
    }
}
