//! The stories on PostgreSQL, and what only many servers on one database can do wrong.

use super::{
    databases::{Place, Server},
    event, new_project, older, project,
    runs::{accept, claim, new},
    servers::{several, take_over},
    signals::topic,
};
use futures_util::{FutureExt as _, StreamExt as _, future::LocalBoxFuture, join, stream};
use sqlx::{Connection as _, PgConnection, SqliteConnection, migrate::Migrator};
use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};
use toft_model::run::RunStatus;
use toft_store::{PostgresStore, ProjectKey, SecretRow, Store, StoreError};
use tokio::time::sleep;

/// Stories that are told side by side: most of the time they wait for the disk.
const TOGETHER: usize = 4;

/// Stories that wait to be told.
pub(crate) type Stories<'a> = Vec<LocalBoxFuture<'a, Option<&'static str>>>;

/// A story on a database of its own; its name when it fails.
#[expect(clippy::print_stdout, reason = "each story is reported")]
pub(crate) async fn tell(
    name: &'static str,
    server: &Server,
    story: impl AsyncFnOnce(&Place),
) -> Option<&'static str> {
    let begun = Instant::now();
    let place = server.place(name).await;
    let ended = AssertUnwindSafe(story(&place)).catch_unwind().await;
    let word = if ended.is_ok() { "ok" } else { "FAILED" };
    println!("postgres: {name} ... {word} ({} ms)", begun.elapsed().as_millis());
    ended.is_err().then_some(name)
}

async fn told(stories: Stories<'_>) {
    let ended = stream::iter(stories).buffer_unordered(TOGETHER);
    let failed: Vec<_> = ended.filter_map(async |failed| failed).collect().await;
    assert!(failed.is_empty(), "failed: {failed:?}");
}

pub(crate) fn server() -> Option<Server> {
    let server = Server::start();
    if server.is_none() {
        toft_lane::skip("the store on PostgreSQL", "there is no PostgreSQL here");
    }
    server
}

#[tokio::test]
async fn postgres_tells_every_story() {
    let Some(server) = server() else { return };
    told(super::all_on(&server)).await;
}

#[tokio::test]
async fn many_servers_share_one_postgres() {
    let Some(server) = server() else { return };
    let server = &server;
    // Alone, and first: a crashed database reads all of its files when it begins again, and one that stands still holds
    // all others up.
    let silent =
        tell("a_database_that_is_silent_is_told_as_such_and_found_again", server, async |place| {
            a_database_that_is_silent_is_told_as_such_and_found_again(server, place).await;
        });
    told(vec![Box::pin(silent)]).await;
    let away = tell("a_database_that_went_away_is_found_again", server, async |place| {
        a_database_that_went_away_is_found_again(server, place).await;
    });
    told(vec![Box::pin(away)]).await;
    macro_rules! all {
        ($($story:ident,)*) => {
            vec![$(Box::pin(tell(stringify!($story), server, $story)),)*]
        };
    }
    told(all! {
        every_earlier_version_is_brought_forward,
        every_row_of_every_earlier_version_is_kept,
        both_databases_have_the_same_tables_and_columns,
        servers_that_start_at_once_make_one_database,
        two_servers_append_to_one_project_without_a_gap,
        a_project_deleted_by_one_server_is_missing_on_another,
        of_two_servers_that_change_secrets_one_is_told_to_look_again,
        servers_hear_each_other,
        several,
        take_over,
        a_newer_database_is_refused,
        what_is_wrong_with_an_address_is_told,
        a_row_that_is_held_for_long_is_told_as_busy,
        a_run_given_back_while_it_is_cancelled_is_cancelled,
    })
    .await;
}

pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("src/postgres/migrations");
/// The step of SQLite's whose shape PostgreSQL begins with.
const FIRST_STEP: i64 = 20;

#[test]
fn every_later_step_exists_for_both_databases() {
    let of = |all: &Migrator| {
        all.iter().map(|step| step.version).filter(|step| *step >= FIRST_STEP).collect::<Vec<_>>()
    };
    assert_eq!(of(&MIGRATIONS), of(&super::sqlite::MIGRATIONS));
    assert_eq!(MIGRATIONS.iter().count(), of(&MIGRATIONS).len());
}

async fn every_row_of_every_earlier_version_is_kept(place: &Place) {
    older::on_postgres(place).await;
}

async fn every_earlier_version_is_brought_forward(place: &Place) {
    for steps in 1..=MIGRATIONS.migrations.len() {
        place.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
        let mut db = PgConnection::connect(place.url()).await.unwrap();
        let earlier = MIGRATIONS.migrations[..steps].to_vec();
        Migrator::with_migrations(earlier).run(&mut db).await.unwrap();
        db.close().await.unwrap();
        place
            .sql(
                "INSERT INTO project (public_id, team_id, alias, name, owner_id, wanted, created_at, \
                 updated_at) VALUES ('pppppppppppp', 1, 'old', 'Shop', 'system', 'running', 1, 1)",
            )
            .await;
        let store = place.open().await;
        let shop = store.project("old").await.unwrap().unwrap();
        assert_eq!((shop.name.as_str(), shop.created_at), ("Shop", 1), "{steps} steps");
        let added = store.append_events(&shop.id, &[event(1, "agent_end", "{}")]).await.unwrap();
        assert_eq!((added.before, added.head), (0, 1), "{steps} steps");
        store.close().await;
    }
}

/// What a later version has made is not touched by this one.
async fn a_newer_database_is_refused(place: &Place) {
    place.open().await.close().await;
    place
        .sql(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'later', true, '\\x00', 1)",
        )
        .await;
    let refused = PostgresStore::open(place.url()).await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, StoreError::Migrate(_)) && said.contains("newer"), "{said}");
}

async fn both_databases_have_the_same_tables_and_columns(place: &Place) {
    place.open().await.close().await;
    let mut db = PgConnection::connect(place.url()).await.unwrap();
    let mut theirs: Vec<String> = sqlx::query_scalar(
        "SELECT table_name || '.' || column_name FROM information_schema.columns \
         WHERE table_schema = 'public'",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    let other = Place::sqlite();
    other.open().await.close().await;
    let mut db = SqliteConnection::connect(&other.file().display().to_string()).await.unwrap();
    let ours: Vec<String> = sqlx::query_scalar(
        "SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_xinfo(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY 1",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    theirs.sort();
    assert!(ours.len() > 150, "{ours:?}");
    assert_eq!(ours, theirs);
}

async fn servers_that_start_at_once_make_one_database(place: &Place) {
    let starts = (0..6).map(|_| place.open());
    let stores = futures_util::future::join_all(starts).await;
    let owners = stores.iter().map(|store| store.first_admin("Ada", "ada@example.org", 1));
    let owners = futures_util::future::join_all(owners).await;
    assert!(owners.iter().all(|one| one.as_ref().unwrap() == owners[0].as_ref().unwrap()));
    let tries = stores.iter().zip(0..).map(async |(store, n)| {
        store.create_project(&new_project(Some("one"), "One"), n).await.unwrap()
    });
    let all = futures_util::future::join_all(tries).await;
    assert_eq!(all.iter().filter(|made| made.created).count(), 1);
    let again = place.open().await;
    assert_eq!(again.describe().split('.').next(), Some("PostgreSQL 15"));
    for store in stores.into_iter().chain([again]) {
        store.close().await;
    }
}

async fn two_servers_append_to_one_project_without_a_gap(place: &Place) {
    const EVENTS: u64 = 150;
    let (one, two) = (place.open().await, place.open().await);
    let id = project(&*one, None, 1).await.id;
    // Both bring all events, one at a time or some; each finds what the other has written.
    let bring = async |store: &dyn Store, size: u64| {
        let mut next = 1;
        while next <= EVENTS {
            let batch: Vec<_> = (next..=EVENTS.min(next + size - 1))
                .map(|seq| event(seq, "notify", "{}"))
                .collect();
            let out = store.append_events(&id, &batch).await.unwrap();
            assert_eq!((out.tampered, out.gap), (Vec::new(), None));
            next = out.head + 1;
        }
    };
    futures_util::join!(bring(&*one, 1), bring(&*two, 1));
    for store in [&one, &two] {
        assert_eq!(store.head(&id).await.unwrap().seq, EVENTS);
        assert_eq!(store.verify_events(&id).await.unwrap(), None);
    }
    let other = project(&*one, None, 1).await.id;
    let id = other;
    let bring = async |store: &dyn Store, size: u64| {
        let mut next = 1;
        while next <= EVENTS {
            let batch: Vec<_> = (next..next + size).map(|seq| event(seq, "notify", "{}")).collect();
            next = store.append_events(&id, &batch).await.unwrap().head + 1;
        }
    };
    futures_util::join!(bring(&*one, 1), bring(&*two, 7), bring(&*one, 3));
    assert_eq!(two.verify_events(&id).await.unwrap(), None);
    // What one server knows of the end is never taken for the truth.
    let head = two.head(&id).await.unwrap().seq;
    two.append_events(&id, &[event(head + 1, "notify", "{}")]).await.unwrap();
    let late = one.append_events(&id, &[event(head + 1, "notify", "[]")]).await.unwrap();
    assert_eq!((late.tampered, late.head), (vec![head + 1], head + 1));
    one.close().await;
    two.close().await;
}

async fn a_project_deleted_by_one_server_is_missing_on_another(place: &Place) {
    let (one, two) = (place.open().await, place.open().await);
    let id = project(&*one, None, 1).await.id;
    for seq in 1..=3 {
        two.append_events(&id, &[event(seq, "notify", "{}")]).await.unwrap();
    }
    one.delete_project(&id, 9).await.unwrap();
    let missing = |error: StoreError| matches!(error, StoreError::Missing { .. });
    let late = two.append_events(&id, &[event(4, "notify", "{}")]).await;
    assert!(missing(late.unwrap_err()));
    assert!(missing(two.head(&id).await.unwrap_err()));
    assert!(missing(two.rename_project(&id, "x", 10).await.unwrap_err()));
    assert!(missing(two.delete_project(&id, 10).await.unwrap_err()));

    // Deleted by two at once, while a third writes: gone once, and nothing of it is left.
    let (origin, fork) = (project(&*one, None, 1).await.id, new_project(None, "Fork"));
    one.append_events(&origin, &[event(1, "message_end", r#"{"entryId":"e"}"#)]).await.unwrap();
    one.begin_forks(std::slice::from_ref(&fork), 20).await.unwrap();
    one.finish_forks(&origin, 1, std::slice::from_ref(&fork.id), &[], None).await.unwrap();
    let writes = async { while two.add_wake(&origin, &wake()).await.is_ok() {} };
    let (first, second, ()) = futures_util::join!(
        one.delete_project(&origin, 30),
        two.delete_project(&origin, 31),
        writes
    );
    assert_eq!(usize::from(first.is_ok()) + usize::from(second.is_ok()), 1);
    assert_eq!(one.messages(&fork.id, "s1").await.unwrap().len(), 1, "it was handed down once");
    let mut db = PgConnection::connect(place.url()).await.unwrap();
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM machine_wake").fetch_one(&mut db).await.unwrap();
    assert_eq!(left, 0);
    one.close().await;
    two.close().await;
}

fn wake() -> toft_store::Wake {
    toft_store::Wake { at: 1, cause: "a request".into(), was: None }
}

async fn of_two_servers_that_change_secrets_one_is_told_to_look_again(place: &Place) {
    let (one, two) = (place.open().await, place.open().await);
    let id = project(&*one, None, 1).await.id;
    let row = |name: &str, revision| SecretRow {
        name: name.into(),
        kind: "environment".into(),
        sealed: Some("v1".into()),
        revision,
        set_at: 1,
        set_by: "u".into(),
        brokered: None,
    };
    let key = ProjectKey { sealed: "k".into(), authority: None };
    for before in 0..20 {
        let rows = [row("A", before + 1)];
        let (first, second) = futures_util::join!(
            one.put_secrets(&id, before, &key, &rows, 1),
            two.put_secrets(&id, before, &key, &rows, 1)
        );
        assert!(first.unwrap() != second.unwrap(), "at {before}");
    }
    assert_eq!(one.secrets(&id).await.unwrap().revision, 20);
    one.close().await;
    two.close().await;
}

async fn servers_hear_each_other(place: &Place) {
    let (one, two) = (place.open().await, place.open().await);
    let (mut near, mut far) = (one.listen(), two.listen());
    // The other listens as soon as it can.
    loop {
        one.notify("begin").await.unwrap();
        if let Ok(heard) = tokio::time::timeout(Duration::from_millis(200), topic(&mut far)).await {
            assert_eq!(heard, "begin");
            break;
        }
    }
    while topic(&mut near).await != "begin" {}
    for n in 0..300 {
        one.notify(&format!("run:{n}")).await.unwrap();
    }
    let mut heard = 0;
    while heard < 300 {
        heard += usize::from(topic(&mut far).await.starts_with("run:"));
    }
    two.notify("back").await.unwrap();
    while topic(&mut near).await != "back" {}
    one.close().await;
    two.close().await;
}

async fn what_is_wrong_with_an_address_is_told(place: &Place) {
    place
        .sql("CREATE ROLE guest LOGIN PASSWORD 'right'; GRANT ALL ON SCHEMA public TO guest")
        .await;
    let refused = async |url: String| PostgresStore::open(&url).await.unwrap_err();
    let as_guest = |password: &str| place.url().replace("story@", &format!("guest:{password}@"));
    let error = refused(as_guest("hunter2")).await;
    assert!(matches!(&error, StoreError::Refused { .. }), "{error:?}");
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(text.contains("guest") && !text.contains("hunter2"), "{text}");
    }
    PostgresStore::open(&as_guest("right")).await.unwrap().close().await;
    let error = refused(place.url().replace("/what_is", "/no_such")).await;
    assert!(matches!(&error, StoreError::Refused { .. }), "{error:?}");
    let error = refused("postgres://ada:hunter2@127.0.0.1:1/toft".into()).await;
    assert!(matches!(&error, StoreError::Unreachable { .. }), "{error:?}");
    let said = format!("{error} {error:?}");
    assert!(said.contains("127.0.0.1:1/toft") && !said.contains("hunter2"), "{said}");
    // One that takes the connection and says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://ada:hunter2@{}/toft", mute.local_addr().unwrap());
    let error = refused(url).await;
    assert!(matches!(&error, StoreError::Unreachable { .. }), "{error:?}");
    let other = format!("{}_latin", "x");
    place
        .sql(&format!("CREATE DATABASE {other} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"))
        .await;
    let (head, tail) = place.url().split_once("/what_is").unwrap();
    let (_, tail) = tail.split_once('?').unwrap();
    let error = refused(format!("{head}/{other}?{tail}")).await;
    assert!(error.to_string().contains("ENCODING 'UTF8'"), "{error}");
}

async fn a_row_that_is_held_for_long_is_told_as_busy(place: &Place) {
    let store = place.open().await;
    let id = project(&*store, None, 1).await.id;
    // Another server that stands still in a transaction.
    let mut still = PgConnection::connect(place.url()).await.unwrap();
    let mut tx = still.begin().await.unwrap();
    sqlx::query("UPDATE project SET name = 'held'").execute(&mut *tx).await.unwrap();
    let busy = store.rename_project(&id, "x", 2).await;
    assert!(matches!(busy, Err(StoreError::Busy)), "{busy:?}");
    // Others are not held up, nor are events of the same project.
    let other = project(&*store, None, 1).await.id;
    store.rename_project(&other, "y", 3).await.unwrap();
    tx.rollback().await.unwrap();
    store.rename_project(&id, "x", 4).await.unwrap();
    store.close().await;
}

/// What its owner writes in the moment of a cancel is seen by it, whichever of its statements meets that.
async fn a_run_given_back_while_it_is_cancelled_is_cancelled(place: &Place) {
    let store = place.open().await;
    let id = project(&*store, None, 1).await.id;
    let run = accept(&*store, new(&id, "a")).await;
    store.claim_runs(&claim("a", 9), 2).await.unwrap();
    let mut owner = PgConnection::connect(place.url()).await.unwrap();
    let mut tx = owner.begin().await.unwrap();
    sqlx::query("UPDATE run SET status = 'queued', owner = NULL").execute(&mut *tx).await.unwrap();
    let given_back = async {
        // Until the cancel waits for the row.
        while !waits_for_a_row(place).await {
            sleep(Duration::from_millis(5)).await;
        }
        tx.commit().await.unwrap();
    };
    let (cancelled, ()) = join!(store.cancel_run(&id, &run.id, 3), given_back);
    let cancelled = cancelled.unwrap().unwrap();
    assert_eq!((cancelled.is_cancelled, cancelled.run.state.status), (true, RunStatus::Cancelled));
    store.close().await;
}

/// Whether somebody waits in this database for what another one has changed.
async fn waits_for_a_row(place: &Place) -> bool {
    let mut db = PgConnection::connect(place.url()).await.unwrap();
    let waits = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock')";
    let waits: bool = sqlx::query_scalar(waits).fetch_one(&mut db).await.unwrap();
    db.close().await.unwrap();
    waits
}

async fn a_database_that_went_away_is_found_again(server: &Server, place: &Place) {
    let store = place.open().await;
    let id = project(&*store, None, 1).await.id;
    let append = async |seq: u64| store.append_events(&id, &[event(seq, "notify", "{}")]).await;
    for seq in 1..=50 {
        append(seq).await.unwrap();
    }
    let mut listener = store.listen();
    store.rename_project(&id, "kept", 2).await.unwrap();
    server.tell("end");
    let gone = store.rename_project(&id, "lost", 3).await;
    assert!(matches!(gone, Err(StoreError::Unreachable { .. })), "{gone:?}");
    server.tell("begin");
    drop(server.ready().await);
    // At once, on connections that do not know it yet.
    store.rename_project(&id, "found", 4).await.unwrap();
    assert_eq!(store.project(id.as_str()).await.unwrap().unwrap().name, "found");
    // The newest events may be gone with the crash: the chain has no gap, whatever was known of its end.
    let head = store.head(&id).await.unwrap().seq;
    assert!(head <= 50);
    let out = append(51).await.unwrap();
    assert_eq!((out.gap.is_some(), out.head), (head < 50, if head < 50 { head } else { 51 }));
    for seq in head + 1..=60 {
        append(seq).await.unwrap();
    }
    assert_eq!(store.head(&id).await.unwrap().seq, 60);
    assert_eq!(store.verify_events(&id).await.unwrap(), None);
    let rule = toft_store::CheckpointRule::default();
    store.put_checkpoint_rule(&id, &rule, 5).await.unwrap();
    // Listening goes on, too, and says that something was missed.
    while listener.next().await != Some(toft_store::Signal::Missed) {}
    let other = place.open().await;
    loop {
        other.notify("again").await.unwrap();
        if tokio::time::timeout(Duration::from_millis(200), topic(&mut listener)).await.is_ok() {
            break;
        }
    }
    other.close().await;
    store.close().await;
}

/// Its host stands still, or packets are lost: nobody says so to a client.
async fn a_database_that_is_silent_is_told_as_such_and_found_again(server: &Server, place: &Place) {
    let store = place.open().await;
    let store = &*store;
    let id = project(store, None, 1).await.id;
    let mut listener = store.listen();
    let rename = async |n: u64| store.rename_project(&id, &format!("name {n}"), n).await;
    for n in 0..3 {
        rename(n).await.unwrap();
    }
    server.stand_still();
    // Whatever is asked meanwhile ends with a word, also what was under way, and many at once.
    for _ in 0..2 {
        let asked = (0..40).map(async |n| match n % 4 {
            0 => rename(n).await,
            1 => store.project(id.as_str()).await.map(drop),
            2 => store.head(&id).await.map(drop),
            _ => store.append_events(&id, &[event(1, "notify", "{}")]).await.map(drop),
        });
        for told in futures_util::future::join_all(asked).await {
            assert!(matches!(told, Err(StoreError::Unreachable { .. })), "{told:?}");
        }
    }
    server.go_on();
    // It is found by itself, with no new start.
    let until = Instant::now() + Duration::from_mins(1);
    while let Err(told) = rename(9).await {
        assert!(
            matches!(told, StoreError::Unreachable { .. }) && Instant::now() < until,
            "{told:?}"
        );
    }
    assert_eq!(store.project(id.as_str()).await.unwrap().unwrap().name, "name 9");
    while listener.next().await != Some(toft_store::Signal::Missed) {}
    let other = place.open().await;
    loop {
        other.notify("again").await.unwrap();
        if tokio::time::timeout(Duration::from_millis(200), topic(&mut listener)).await.is_ok() {
            break;
        }
    }
    other.close().await;
    store.close().await;
}
