//! How long it takes to say what was spent, and to write calls down, with a million calls: `cargo bench -p
//! toft-store --bench spent`. Figures for people; nothing is asserted.

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, raw_sql};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use toft_store::{Spending as _, SqliteStore, UsageEntry, UsageRecords as _, UsageRow};

const CALLS: u64 = 1_000_000;
const PROJECTS: u64 = 200;
const CALLS_A_RUN: u64 = 20;
/// As many as are read from the journal in one go.
const BATCH: usize = 5_000;
/// A year of calls up to here.
const NOW: u64 = 1_795_269_600_000;
const PAUSE: u64 = 365 * 86_400_000 / CALLS;
const ROUNDS: usize = 10;

/// What was asked before sums were kept.
const ADDED_UP: &str = "SELECT project, TOTAL(CASE WHEN ts >= 1793491200000 THEN COALESCE(cost, reserved) END), \
    TOTAL(COALESCE(cost, reserved)) FROM usage GROUP BY project";

fn call(n: u64) -> UsageEntry {
    let project = n % PROJECTS;
    UsageEntry::Ended(UsageRow {
        id: format!("{n:032x}"),
        ts: NOW - (CALLS - n) * PAUSE,
        project: Some(format!("p{project:011}")),
        session: Some(format!("s{}", n / PROJECTS / 1_000)),
        run: Some(format!("r{}", n / PROJECTS / CALLS_A_RUN)),
        provider: "p".to_owned(),
        model: Some("m".to_owned()),
        status: Some(200),
        cost: Some(1_000 + n % 977),
        ..UsageRow::default()
    })
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

async fn fill(path: &Path, kept: bool) -> (SqliteStore, Duration) {
    let store = SqliteStore::open(path).await.expect("a database");
    if !kept {
        let mut db = connect(path).await;
        for trigger in ["usage_spent_new", "usage_spent_changed"] {
            let drop = AssertSqlSafe(format!("DROP TRIGGER {trigger}"));
            raw_sql(drop).execute(&mut db).await.expect("there is a trigger");
        }
    }
    let mut took = Vec::new();
    for first in (0..CALLS).step_by(BATCH) {
        let calls: Vec<_> = (first..).take(BATCH).map(call).collect();
        let begun = Instant::now();
        store.add_usage(&calls, first).await.expect("calls are written");
        took.push(begun.elapsed());
    }
    (store, median(took))
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::connect(&path.display().to_string()).await.expect("a connection")
}

#[expect(clippy::print_stdout, reason = "its figures are for people")]
fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let dir = tempfile::tempdir().expect("a folder");
        let (_, plain) = fill(&dir.path().join("plain.db"), false).await;
        let path = dir.path().join("kept.db");
        let (store, kept) = fill(&path, true).await;
        println!("write {BATCH} calls: {plain:?} without sums, {kept:?} with");
        let mut db = connect(&path).await;
        let (mut before, mut sums, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            sqlx::query(ADDED_UP).fetch_all(&mut db).await.expect("sums");
            before.push(begun.elapsed());
            let begun = Instant::now();
            store.spent(NOW, None).await.expect("sums");
            sums.push(begun.elapsed());
            let begun = Instant::now();
            let found = store.spent(NOW, Some(NOW - 31 * 86_400_000)).await.expect("sums");
            runs.push(begun.elapsed());
            assert_eq!(found.projects.len() as u64, PROJECTS);
        }
        println!(
            "what was spent: {:?} added up, {:?} kept, {:?} with runs",
            median(before),
            median(sums),
            median(runs)
        );
    });
}
