//! [`Schedules`].

use super::{DbRow, Durable, SqlStore, Statement, flag, ms, small, unsigned};
use crate::{
    error::StoreError,
    schedules::{Schedule, Schedules},
};
use async_trait::async_trait;
use serde_json::{from_str, to_string};
use sqlx::{FromRow, Row as _};
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

pub(super) fn time(row: &DbRow, column: &str) -> sqlx::Result<Option<u64>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(unsigned))
}

impl FromRow<'_, DbRow> for Schedule {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
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
            catch_up_max: small(row.try_get("catch_up_max")?),
            overlap: match text("overlap")? {
                "queue" => Overlap::Queue,
                "cancel" => Overlap::Cancel,
                "allow" => Overlap::Allow,
                _ => Overlap::Skip,
            },
            timeout_ms: unsigned(row.try_get("timeout_ms")?),
            enabled: flag(row, "enabled")?,
            anchor_at: unsigned(row.try_get("anchor_at")?),
            decided_at: unsigned(row.try_get("decided_at")?),
            next_at: time(row, "next_at")?,
            revision: unsigned(row.try_get("revision")?),
            created_at: unsigned(row.try_get("created_at")?),
            updated_at: unsigned(row.try_get("updated_at")?),
        })
    }
}

/// Binds what can be changed of a schedule, in the order of its columns.
fn fields<'a>(statement: Statement<'a>, schedule: &'a Schedule) -> Statement<'a> {
    let json = |text: serde_json::Result<String>| text.expect("schedules hold only JSON-able data");
    statement
        .bind(&schedule.name)
        .bind(json(to_string(&schedule.when)))
        .bind(json(to_string(&schedule.work)))
        .bind(schedule.catch_up.as_str())
        .bind(i64::from(schedule.catch_up_max))
        .bind(schedule.overlap.as_str())
        .bind(ms(schedule.timeout_ms))
        .bind(i64::from(schedule.enabled))
        .bind(ms(schedule.anchor_at))
        .bind(ms(schedule.decided_at))
        .bind(schedule.next_at.map(ms))
}

const NAME: &str = "the name of this schedule";

#[async_trait]
impl Schedules for SqlStore {
    async fn add_schedule(&self, schedule: &Schedule) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(&schedule.project, Durable::Now).await?;
        let statement = sqlx::query(
            "INSERT INTO schedule (public_id, project_id, name, due, work, catch_up, \
             catch_up_max, overlap, timeout_ms, enabled, anchor_at, decided_at, next_at, revision, \
             created_at, updated_at) \
             SELECT $1, id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 FROM project \
             WHERE id = $16 AND deleted_at IS NULL",
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
        Ok(sqlx::query_as(schedules!("WHERE s.public_id = $1 AND p.public_id = $2"))
            .bind(id.as_str())
            .bind(project.as_str())
            .fetch_optional(&self.read)
            .await?)
    }

    async fn schedules(&self, project: &ProjectId) -> Result<Vec<Schedule>, StoreError> {
        Ok(sqlx::query_as(schedules!("WHERE p.public_id = $1 ORDER BY s.name"))
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
            "UPDATE schedule SET name = $1, due = $2, work = $3, catch_up = $4, \
             catch_up_max = $5, overlap = $6, timeout_ms = $7, enabled = $8, anchor_at = $9, decided_at = $10, next_at = $11, \
             revision = revision + 1, updated_at = $12 WHERE public_id = $13 AND revision = $14",
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
        let (mut tx, key) = self.begin_in(project, Durable::Now).await?;
        let gone = sqlx::query("DELETE FROM schedule WHERE public_id = $1 AND project_id = $2")
            .bind(id.as_str())
            .bind(key)
            .execute(tx.on())
            .await?;
        tx.commit().await?;
        Ok(gone.rows_affected() > 0)
    }

    async fn next_slot(&self, after_ms: u64) -> Result<Option<u64>, StoreError> {
        let next: Option<i64> =
            sqlx::query_scalar("SELECT min(next_at) FROM schedule WHERE next_at > $1")
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
            "WHERE s.next_at <= $1 AND (s.next_at, s.public_id) > ($2, $3) \
             ORDER BY s.next_at, s.public_id LIMIT $4"
        ))
        .bind(ms(now_ms))
        .bind(slot)
        .bind(id)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?)
    }
}
