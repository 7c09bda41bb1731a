//! Steps of the schema that change rows, on rows of before.

use super::MIGRATIONS;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection, raw_sql};
use toft_model::time::{month_begins, month_of};

#[tokio::test]
async fn schedules_and_their_firings_outlive_the_step_to_more_rules() {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let step = async |db: &mut SqliteConnection, version: i64| {
        let step = MIGRATIONS.iter().find(|m| m.version == version).unwrap();
        let mut tx = db.begin().await.unwrap();
        tx.execute(raw_sql(step.sql.clone())).await.unwrap();
        tx.commit().await.unwrap();
    };
    raw_sql("PRAGMA foreign_keys = ON").execute(&mut db).await.unwrap();
    for version in 1..=7 {
        step(&mut db, version).await;
    }
    let rows = "
        INSERT INTO project (id, public_id, team_id, name, owner_id, wanted, created_at, updated_at)
          SELECT 1, 'pppppppppppp', 1, 'Shop', id, 'running', 1, 1 FROM \"user\" LIMIT 1;
        INSERT INTO schedule VALUES (7, 'aaaaaaaaaaaa', 1, 'nightly', '{\"everyS\":60}', '{}', 'none',
          'queue', 1000, 1, 1, 2, 3, 4, 5, 6);
        INSERT INTO schedule_firing (id, public_id, schedule_id, slot, last_slot, slots, by_hand, outcome,
          is_late, step, told) VALUES (9, 'f', 7, 1, 1, 1, 0, 'fired', 0, 'over', 1);";
    raw_sql(AssertSqlSafe(rows.to_owned())).execute(&mut db).await.unwrap();
    step(&mut db, 8).await;
    let kept: (i64, String, i64, String) =
        sqlx::query_as("SELECT id, catch_up, catch_up_max, overlap FROM schedule")
            .fetch_one(&mut db)
            .await
            .unwrap();
    assert_eq!(kept, (7, "none".into(), 10, "queue".into()));
    let firing = "SELECT schedule_id FROM schedule_firing WHERE public_id = 'f'";
    let of: i64 = sqlx::query_scalar(firing).fetch_one(&mut db).await.unwrap();
    assert_eq!(of, 7);
    // They still go with their schedule, and numbers are not given out again.
    raw_sql(
        "UPDATE schedule SET overlap = 'cancel', catch_up = 'all'; \
         DELETE FROM schedule;",
    )
    .execute(&mut db)
    .await
    .unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM schedule_firing")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(left, 0);
    let last: i64 = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'schedule'")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(last, 7);
}

#[tokio::test]
async fn months_are_those_of_the_rest_of_the_system_and_older_calls_are_added_up() {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let steps = |from: i64, to: i64| {
        let all = MIGRATIONS.iter();
        all.filter(move |step| (from..=to).contains(&step.version))
    };
    for step in steps(1, 14) {
        raw_sql(step.sql.clone()).execute(&mut db).await.unwrap();
    }
    let (begin, last) = (month_begins(2026 * 12 + 11), month_begins(9999 * 12 + 11));
    let moments = [0, begin - 1, begin, last, u64::MAX];
    for (id, ts) in moments.iter().enumerate() {
        sqlx::query(
            "INSERT INTO usage (id, ts, day, project, session, run, provider, cost, reserved, ended) \
             VALUES ($1, $2, 0, 'aaaaaaaaaaaa', 's', 'r', 'p', 10, 3, 1)",
        )
        .bind(id.to_string())
        .bind(i64::try_from(*ts).unwrap_or(i64::MAX))
        .execute(&mut db)
        .await
        .unwrap();
    }
    for step in steps(15, 15) {
        raw_sql(step.sql.clone()).execute(&mut db).await.unwrap();
    }
    let months: Vec<u32> =
        sqlx::query_scalar("SELECT month FROM usage ORDER BY id").fetch_all(&mut db).await.unwrap();
    let want: Vec<u32> = moments.iter().map(|ts| month_of(*ts)).collect();
    assert_eq!(months, want);
    let kept: Vec<(u32, f64)> =
        sqlx::query_as("SELECT month, spent FROM spent_month ORDER BY month")
            .fetch_all(&mut db)
            .await
            .unwrap();
    assert_eq!(kept, [(1970 * 12, 10.0), (want[1], 10.0), (want[2], 10.0), (want[3], 20.0)]);
    let run: (f64, i64) =
        sqlx::query_as("SELECT spent, last_ts FROM spent_run").fetch_one(&mut db).await.unwrap();
    assert_eq!(run, (50.0, i64::MAX));
}

#[tokio::test]
async fn projects_of_before_are_of_whatever_their_server_says() {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    for step in MIGRATIONS.iter().filter(|step| step.version < 32) {
        raw_sql(step.sql.clone()).execute(&mut db).await.unwrap();
    }
    let rows = "
        INSERT INTO project (id, public_id, team_id, name, owner_id, wanted, created_at, updated_at, host)
          SELECT 1, 'pppppppppppp', 1, 'Shop', id, 'running', 1, 1, 'me' FROM \"user\" LIMIT 1;
        INSERT INTO checkpoint (public_id, project_id, cause, created_at, seq, base, sessions)
          VALUES ('cccccccccccc', 1, 'manual', 1, 1, 'host-1', '[]');";
    raw_sql(AssertSqlSafe(rows.to_owned())).execute(&mut db).await.unwrap();
    for step in MIGRATIONS.iter().filter(|step| step.version >= 32) {
        raw_sql(step.sql.clone()).execute(&mut db).await.unwrap();
    }
    for table in ["project", "checkpoint"] {
        let statement = AssertSqlSafe(format!("SELECT backend FROM {table}"));
        let of: Option<String> = sqlx::query_scalar(statement).fetch_one(&mut db).await.unwrap();
        assert_eq!(of, None, "{table}");
    }
}
