//! [`Schedules`] on SQLite.

use super::{SqliteStore, ms, unsigned};
use crate::{
    error::StoreError,
    schedules::{Schedule, Schedules},
};
use async_trait::async_trait;
use serde_json::{from_str, to_string};
use sqlx::{FromRow, Row as _, sqlite::SqliteRow};
use toft_model::{
    id::ProjectId,
    schedule::{CatchUp, Overlap, ScheduleId},
};

macro_rules! schedules {
    ($rest:literal) => {
        concat!(
            "SELECT s.public_id, p.public_id AS project, s.name, s.due, s.work, s.catch_up, \
             s.catch_up_max, s.overlap, s.timeout_ms, s.enabled, s.anchor_at, s.decided_at, s.next_at, s.revision, \
             s.created_at, s.updated_at FROM schedule s \
             JOIN project p ON p.id = s.project_id AND p.deleted_at IS NULL ",
            $rest
        )
    };
}
pub(super) use schedules;

pub(super) fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

pub(super) fn time(row: &SqliteRow, column: &str) -> sqlx::Result<Option<u64>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(unsigned))
}

impl FromRow<'_, SqliteRow> for Schedule {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let text = |column| row.try_get::<&str, _>(column);
        Ok(Self {
            id: text("public_id")?.parse().map_err(decode)?,
            project: text("project")?.parse().map_err(decode)?,
            name: row.try_get("name")?,
            when: from_str(text("due")?).map_err(decode)?,
            work: from_str(text("work")?).map_err(decode)?,
            catch_up: match text("catch_up")? {
                "none" => CatchUp::None,
                "all" => CatchUp::All,
                _ => CatchUp::Latest,
            },
            catch_up_max: row.try_get("catch_up_max")?,
            overlap: match text("overlap")? {
                "queue" => Overlap::Queue,
                "cancel" => Overlap::Cancel,
                "allow" => Overlap::Allow,
                _ => Overlap::Skip,
            },
            timeout_ms: unsigned(row.try_get("timeout_ms")?),
            enabled: row.try_get("enabled")?,
            anchor_at: unsigned(row.try_get("anchor_at")?),
            decided_at: unsigned(row.try_get("decided_at")?),
            next_at: time(row, "next_at")?,
            revision: unsigned(row.try_get("revision")?),
            created_at: unsigned(row.try_get("created_at")?),
            updated_at: unsigned(row.try_get("updated_at")?),
        })
    }
}

type Statement<'a> = sqlx::query::Query<'a, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// Binds what can be changed of a schedule, in the order of its columns.
fn fields<'a>(statement: Statement<'a>, schedule: &'a Schedule) -> Statement<'a> {
    let json = |text: serde_json::Result<String>| text.expect("schedules hold only JSON-able data");
    statement
        .bind(&schedule.name)
        .bind(json(to_string(&schedule.when)))
        .bind(json(to_string(&schedule.work)))
        .bind(schedule.catch_up.as_str())
        .bind(schedule.catch_up_max)
        .bind(schedule.overlap.as_str())
        .bind(ms(schedule.timeout_ms))
        .bind(schedule.enabled)
        .bind(ms(schedule.anchor_at))
        .bind(ms(schedule.decided_at))
        .bind(schedule.next_at.map(ms))
}

const NAME: &str = "the name of this schedule";

#[async_trait]
impl Schedules for SqliteStore {
    async fn add_schedule(&self, schedule: &Schedule) -> Result<(), StoreError> {
        let key = self.key(&schedule.project).await?;
        let mut tx = self.begin().await?;
        let statement = sqlx::query(
            "INSERT INTO schedule (public_id, project_id, name, due, work, catch_up, \
             catch_up_max, overlap, timeout_ms, enabled, anchor_at, decided_at, next_at, revision, \
             created_at, updated_at) \
             SELECT ?, id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM project \
             WHERE id = ? AND deleted_at IS NULL",
        );
        let added = fields(statement.bind(schedule.id.as_str()), schedule)
            .bind(ms(schedule.revision))
            .bind(ms(schedule.created_at))
            .bind(ms(schedule.updated_at))
            .bind(key)
            .execute(tx.on())
            .await
            .map_err(|e| StoreError::or_taken(e, NAME))?;
        if added.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "project" });
        }
        tx.commit().await
    }

    async fn schedule(
        &self,
        project: &ProjectId,
        id: &ScheduleId,
    ) -> Result<Option<Schedule>, StoreError> {
        Ok(sqlx::query_as(schedules!("WHERE s.public_id = ? AND p.public_id = ?"))
            .bind(id.as_str())
            .bind(project.as_str())
            .fetch_optional(&self.read)
            .await?)
    }

    async fn schedules(&self, project: &ProjectId) -> Result<Vec<Schedule>, StoreError> {
        Ok(sqlx::query_as(schedules!("WHERE p.public_id = ? ORDER BY s.name"))
            .bind(project.as_str())
            .fetch_all(&self.read)
            .await?)
    }

    async fn enabled_schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        Ok(sqlx::query_as(schedules!("WHERE s.enabled = 1 ORDER BY s.id"))
            .fetch_all(&self.read)
            .await?)
    }

    async fn update_schedule(&self, schedule: &Schedule) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let statement = sqlx::query(
            "UPDATE schedule SET name = ?, due = ?, work = ?, catch_up = ?, \
             catch_up_max = ?, overlap = ?, timeout_ms = ?, enabled = ?, anchor_at = ?, decided_at = ?, next_at = ?, \
             revision = revision + 1, updated_at = ? WHERE public_id = ? AND revision = ?",
        );
        let changed = fields(statement, schedule)
            .bind(ms(schedule.updated_at))
            .bind(schedule.id.as_str())
            .bind(ms(schedule.revision))
            .execute(tx.on())
            .await
            .map_err(|e| StoreError::or_taken(e, NAME))?;
        tx.commit().await?;
        Ok(changed.rows_affected() > 0)
    }

    async fn delete_schedule(
        &self,
        project: &ProjectId,
        id: &ScheduleId,
    ) -> Result<bool, StoreError> {
        let key = self.key(project).await?;
        let mut tx = self.begin().await?;
        let gone = sqlx::query("DELETE FROM schedule WHERE public_id = ? AND project_id = ?")
            .bind(id.as_str())
            .bind(key)
            .execute(tx.on())
            .await?;
        tx.commit().await?;
        Ok(gone.rows_affected() > 0)
    }

    async fn next_slot(&self, after_ms: u64) -> Result<Option<u64>, StoreError> {
        let next: Option<i64> =
            sqlx::query_scalar("SELECT min(next_at) FROM schedule WHERE next_at > ?")
                .bind(ms(after_ms))
                .fetch_one(&self.read)
                .await?;
        Ok(next.map(unsigned))
    }

    async fn due_schedules(
        &self,
        now_ms: u64,
        after: Option<(u64, &ScheduleId)>,
        limit: u32,
    ) -> Result<Vec<Schedule>, StoreError> {
        let (slot, id) = after.map_or((-1, ""), |(slot, id)| (ms(slot), id.as_str()));
        Ok(sqlx::query_as(schedules!(
            "WHERE s.next_at <= ? AND (s.next_at, s.public_id) > (?, ?) \
             ORDER BY s.next_at, s.public_id LIMIT ?"
        ))
        .bind(ms(now_ms))
        .bind(slot)
        .bind(id)
        .bind(limit)
        .fetch_all(&self.read)
        .await?)
    }
}

#[cfg(test)]
mod tests {
    use crate::sqlite::MIGRATIONS;
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection, raw_sql};

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
        let last: i64 =
            sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'schedule'")
                .fetch_one(&mut db)
                .await
                .unwrap();
        assert_eq!(last, 7);
    }
}
