//! What only SQLite can do wrong, and databases of every earlier version.

use super::{databases::Place, event, project};
use sqlx::{
    AssertSqlSafe, Connection as _, SqliteConnection, migrate::Migrator, raw_sql,
    sqlite::SqliteConnectOptions,
};
use std::{fmt::Write as _, fs};
use toft_model::id::ProjectId;
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

/// A database that a server has used, with something in it, and its log as a crash leaves it.
async fn crashed(place: &Place) -> ProjectId {
    let store = SqliteStore::open(&place.file()).await.unwrap();
    let id = project(&store, Some("kept"), 5).await.id;
    for seq in 1..=300 {
        let long = format!("\"{}\"", "x".repeat(500));
        store.append_events(&id, &[event(seq, "notify", &long)]).await.unwrap();
    }
    // Never closed: whatever is there when its process ends.
    std::mem::forget(store);
    id
}

/// The files of a crashed database in a folder of their own, for one who opens them anew.
fn copied(place: &Place) -> Place {
    let copy = Place::sqlite();
    for ending in ["", "-wal", "-open"] {
        let name = |place: &Place| format!("{}{ending}", place.file().display());
        fs::copy(name(place), name(&copy)).unwrap();
    }
    copy
}

#[tokio::test]
async fn a_log_that_is_gone_is_missed_and_one_that_was_emptied_is_not() {
    let place = Place::sqlite();
    let id = crashed(&place).await;
    let whole = copied(&place);
    let store = SqliteStore::open(&whole.file()).await.unwrap();
    assert_eq!(store.head(&id).await.unwrap().seq, 300);
    store.close().await;
    // Closed in order: all of it is in the one file.
    let left: Vec<_> = fs::read_dir(whole.file().parent().unwrap()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    SqliteStore::open(&whole.file()).await.unwrap().close().await;

    for gone in ["toft.db-wal", "toft.db"] {
        let copy = copied(&place);
        fs::remove_file(copy.file().with_file_name(gone)).unwrap();
        let before: Vec<_> =
            fs::read_dir(copy.file().parent().unwrap()).unwrap().flatten().collect();
        let refused = SqliteStore::open(&copy.file()).await.unwrap_err();
        let said = refused.to_string();
        assert!(matches!(refused, StoreError::Gone { .. }), "{said}");
        assert!(
            said.contains(&format!("{gone} is gone")) && said.contains("toft.db-open"),
            "{said}"
        );
        let after: Vec<_> =
            fs::read_dir(copy.file().parent().unwrap()).unwrap().flatten().collect();
        assert_eq!(before.len(), after.len(), "nothing was made in its place");
    }
    // What another program has emptied is as good: a person says so.
    let copy = copied(&place);
    let mut db = SqliteConnection::connect(&copy.file().display().to_string()).await.unwrap();
    raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    assert!(SqliteStore::open(&copy.file()).await.is_err());
    fs::remove_file(copy.file().with_file_name("toft.db-open")).unwrap();
    let store = SqliteStore::open(&copy.file()).await.unwrap();
    assert_eq!(store.head(&id).await.unwrap().seq, 300);
    store.close().await;
}

#[tokio::test]
async fn pages_that_are_none_any_more_are_refused_before_anything_is_written() {
    let place = Place::sqlite();
    let store = SqliteStore::open(&place.file()).await.unwrap();
    let id = project(&store, None, 5).await.id;
    for seq in 1..=300 {
        let long = format!("\"{}\"", "x".repeat(500));
        store.append_events(&id, &[event(seq, "notify", &long)]).await.unwrap();
    }
    store.close().await;
    let whole = fs::read(place.file()).unwrap();
    let pages = whole.len() / 4096;
    let mut noticed = 0;
    // The head of a page says what is on it; the first page is the file's own.
    for page in (0..pages).step_by(pages / 12) {
        let mut damaged = whole.clone();
        let at = page * 4096 + if page == 0 { 100 } else { 0 };
        damaged[at..at + 8].fill(0xa5);
        fs::write(place.file(), &damaged).unwrap();
        match SqliteStore::open(&place.file()).await {
            Err(refused) => {
                let said = refused.to_string();
                assert!(
                    matches!(refused, StoreError::Damaged { .. } | StoreError::Open { .. }),
                    "{said}"
                );
                assert!(said.contains("toft.db"), "{said}");
                assert_eq!(fs::read(place.file()).unwrap(), damaged, "nothing was written to it");
                noticed += 1;
            }
            // A page that holds nothing.
            Ok(store) => store.close().await,
        }
    }
    assert!(noticed >= 10, "{noticed} of 12 were noticed");
    fs::write(place.file(), &whole[..whole.len() / 2]).unwrap();
    assert!(SqliteStore::open(&place.file()).await.is_err(), "half of it");
    fs::write(place.file(), &whole).unwrap();
    SqliteStore::open(&place.file()).await.unwrap().close().await;
}

#[tokio::test]
async fn while_another_program_has_it_locked_reads_go_on_and_writes_are_told_as_busy() {
    let place = Place::sqlite();
    let store = SqliteStore::open(&place.file()).await.unwrap();
    let id = project(&store, None, 5).await.id;
    let mut other = SqliteConnection::connect(&place.file().display().to_string()).await.unwrap();
    raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let busy = std::cell::Cell::new(0);
    // Each of those that come together waits for as long as one does: twice that at most, and not forty times.
    let writes = async {
        let all = (0..40).map(async |n| {
            let told = match n % 2 {
                0 => store.rename_project(&id, "x", n).await,
                _ => store.append_events(&id, &[event(1, "notify", "{}")]).await.map(drop),
            };
            assert!(matches!(told, Err(StoreError::Busy)), "{told:?}");
            busy.set(busy.get() + 1);
        });
        futures_util::future::join_all(all).await;
    };
    let reads = async {
        let mut reads = 0;
        while busy.get() < 40 {
            assert!(store.project(id.as_str()).await.unwrap().is_some());
            reads += 1;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        reads
    };
    let ((), reads) = futures_util::join!(writes, reads);
    assert!(reads > 10, "{reads} reads");
    raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    store.rename_project(&id, "after", 50).await.unwrap();
    store.append_events(&id, &[event(1, "notify", "{}")]).await.unwrap();
    store.close().await;
}
