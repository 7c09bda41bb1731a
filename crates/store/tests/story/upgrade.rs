//! From one version to the next on a database that is in use: servers that end in the middle of the steps, one that goes
//! on while a newer one has made its own, and one that is too old to begin.

use super::{
    children::{Process, open, say},
    databases::Place,
    new_project, postgres, project,
    runs::{accept, claim, new},
    sqlite,
};
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, SqliteConnection, migrate::Migrator, raw_sql,
    sqlite::SqliteConnectOptions,
};
use std::{thread::sleep, time::Duration};
use toft_store::{
    Durable, Left, NewRunEvent, PostgresStore, RunState, SqliteStore, StoreError, Wrote,
};

/// Calls of models in an old database: adding them up takes a step some time.
const CALLS: usize = 30_000;

/// Opens the database: the story below starts it, and nobody else.
#[tokio::test]
#[ignore = "the story of this module runs it"]
async fn process() {
    say("begins");
    open().await.unwrap().close().await;
    say("is done");
}

fn calls(is_postgres: bool) -> String {
    let series = if is_postgres {
        "generate_series(1, $N) AS s(n)"
    } else {
        "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < $N) SELECT n FROM s)"
    };
    let insert = "INSERT INTO usage (id, ts, day, project, session, run, provider, cost, reserved, ended) \
        SELECT 'call ' || n, CAST(n AS BIGINT) * 100000000, 0, 'aaaaaaaaaaaa', 's', 'r' || (n % 50), 'p', 10, 3, 1 FROM ";
    format!("{insert}{series}").replace("$N", &CALLS.to_string())
}

/// The first version that has calls, with many of them.
async fn older(place: &Place) {
    match place {
        Place::Sqlite(_) => {
            let options =
                SqliteConnectOptions::new().filename(place.file()).create_if_missing(true);
            let mut db = SqliteConnection::connect_with(&options).await.unwrap();
            let steps = sqlite::MIGRATIONS.iter().filter(|step| step.version <= 10).cloned();
            Migrator::with_migrations(steps.collect()).run(&mut db).await.unwrap();
            raw_sql(AssertSqlSafe(calls(false))).execute(&mut db).await.unwrap();
            db.close().await.unwrap();
        }
        Place::Postgres { url } => {
            let mut db = PgConnection::connect(url).await.unwrap();
            let steps = postgres::MIGRATIONS.iter().take(1).cloned().collect();
            Migrator::with_migrations(steps).run(&mut db).await.unwrap();
            raw_sql(AssertSqlSafe(calls(true))).execute(&mut db).await.unwrap();
            db.close().await.unwrap();
        }
    }
}

/// The steps that are done, and whether each is.
async fn steps(place: &Place) -> Vec<(i64, bool)> {
    let asked = "SELECT version, success FROM _sqlx_migrations ORDER BY version";
    match place {
        Place::Sqlite(_) => {
            // Of a copy: who reads what a killed process left must finish it first, and what it left is to stay.
            let copy = tempfile::tempdir().unwrap();
            for entry in std::fs::read_dir(place.file().parent().unwrap()).unwrap() {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
            }
            let file = copy.path().join(place.file().file_name().unwrap());
            let options = SqliteConnectOptions::new().filename(file);
            let mut db = SqliteConnection::connect_with(&options).await.unwrap();
            let steps = sqlx::query_as(asked).fetch_all(&mut db).await.unwrap();
            db.close().await.unwrap();
            steps
        }
        Place::Postgres { url } => {
            let mut db = PgConnection::connect(url).await.unwrap();
            let steps = sqlx::query_as(asked).fetch_all(&mut db).await.unwrap();
            db.close().await.unwrap();
            steps
        }
    }
}

pub(crate) async fn killed(place: &Place) {
    older(place).await;
    let before = steps(place).await;
    let all: Vec<i64> = match place {
        Place::Sqlite(_) => sqlite::MIGRATIONS.iter().map(|step| step.version).collect(),
        Place::Postgres { .. } => postgres::MIGRATIONS.iter().map(|step| step.version).collect(),
    };
    let (mut cut, mut seen) = (0, Vec::new());
    for try_number in 0..40_u64 {
        let mut child = Process::start("upgrade::process", place);
        let pause = Duration::from_millis(try_number * 3);
        let done = tokio::task::spawn_blocking(move || {
            child.says("begins").expect("it begins");
            sleep(pause);
            drop(child);
        });
        done.await.unwrap();
        let now = steps(place).await;
        // Each step is there whole, or not at all, and none without the one before it.
        assert!(now.iter().all(|(_, is_done)| *is_done), "{now:?}");
        let there: Vec<i64> = now.iter().map(|(version, _)| *version).collect();
        assert_eq!(there, all[..there.len()]);
        cut += usize::from(there.len() < all.len());
        seen.push(there.len());
        if there.len() == all.len() && cut > 0 {
            break;
        }
    }
    assert!(cut > 0, "none was ended in the middle: {before:?} {seen:?}");
    let store = place.open().await;
    let spent = store.spent(u64::MAX / 2, None).await.unwrap();
    let total: u64 = spent.projects.values().map(|sums| sums.total).sum();
    assert_eq!(total, CALLS as u64 * 10, "added up once");
    store.close().await;
}

/// What a newer version does first: it adds, and takes nothing away.
const EXPANDED: [&str; 5] = [
    "ALTER TABLE run ADD COLUMN of_later TEXT;",
    "ALTER TABLE project ADD COLUMN of_later BIGINT NOT NULL DEFAULT 7;",
    "ALTER TABLE artifact ADD COLUMN of_later TEXT;",
    "ALTER TABLE comparison ADD COLUMN of_later TEXT;",
    "CREATE TABLE of_later (id BIGINT PRIMARY KEY);",
];

pub(crate) async fn expanded(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    let shop = project(store, None, 1).await.id;
    let work = async |key: &str| {
        let run = accept(store, new(&shop, key)).await;
        let mut got = store.claim_runs(&claim("old", 9), 200).await.unwrap();
        let mut mine = got.pop().expect("it gets the run");
        assert_eq!(mine.id, run.id);
        mine.state = RunState { status: toft_model::run::RunStatus::Completed, ..mine.state };
        let event = NewRunEvent { ts: 1, kind: "done".into(), data: "{}".into() };
        let left = Left::default();
        let wrote = store.write_run(&mine, &[event], &left, Durable::Now, 300).await.unwrap();
        assert_eq!(wrote, Wrote::Done(2));
        assert_eq!(store.run_events(&run.id, 0, 9, 1 << 20).await.unwrap().len(), 2);
        assert!(store.artifact(&run.id, "workspace").await.unwrap().is_none());
        assert!(store.comparisons(&shop, 9, 0).await.unwrap().is_empty());
        assert!(store.create_project(&new_project(None, "More"), 5).await.unwrap().created);
    };
    // Often enough that statements are kept ready.
    for n in 0..8 {
        work(&format!("before {n}")).await;
    }
    // Strict tables of SQLite know one word for whole numbers.
    let whole = if matches!(place, Place::Sqlite(_)) { "INTEGER" } else { "BIGINT" };
    for change in EXPANDED {
        place.sql(&change.replace("BIGINT", whole)).await;
    }
    let checksum = if matches!(place, Place::Sqlite(_)) { "X'00'" } else { "'\\x00'" };
    let newer = format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', true, {checksum}, 1)"
    );
    place.sql(&newer).await;
    for n in 0..8 {
        work(&format!("after {n}")).await;
    }
    assert_eq!(store.runs(&shop, 99, 0, usize::MAX).await.unwrap().len(), 16);
    // One of its version does not begin any more, and says why.
    let refused = match place {
        Place::Sqlite(_) => SqliteStore::open(&place.file()).await.err(),
        Place::Postgres { url } => PostgresStore::open(url).await.err(),
    };
    let refused = refused.expect("the database is newer");
    assert!(matches!(refused, StoreError::Migrate(_)), "{refused:?}");
    assert!(refused.to_string().contains("newer Toft"), "{refused}");
    work("and on").await;
    store.close().await;
}
