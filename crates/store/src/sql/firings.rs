//! [`Firings`].

use super::{
    DbConnection, DbRow, SqlStore, flag, ms, raw, raw_of,
    schedules::{decode, schedules, time},
    small, unsigned,
};
use crate::{
    error::StoreError,
    firings::{Decided, Firing, Firings, Step},
    schedules::Schedule,
};
use async_trait::async_trait;
use serde_json::{from_str, to_string};
use sqlx::{FromRow, Row as _};
use toft_model::{event::Outcome, schedule::ScheduleId};

/// Firings that are kept per schedule. With 4 KiB of output each they take less than a megabyte.
const FIRINGS_KEPT: i64 = 200;

macro_rules! firings {
    ($rest:literal) => {
        concat!(
            "SELECT f.public_id, s.public_id AS schedule, f.slot, f.last_slot, f.slots, f.by_hand, \
             f.outcome, f.reason, f.is_late, f.work, f.step, f.boot, f.session, f.after_seq, f.entry, \
             f.started_at, f.ended_at, f.exit_code, f.output, f.told FROM schedule_firing f \
             JOIN schedule s ON s.id = f.schedule_id ",
            $rest
        )
    };
}

impl FromRow<'_, DbRow> for Firing {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        let text = |column| row.try_get::<&str, _>(column);
        let session: Option<&str> = row.try_get("session")?;
        let work: Option<&str> = row.try_get("work")?;
        Ok(Self {
            id: row.try_get("public_id")?,
            schedule: text("schedule")?.parse().map_err(decode)?,
            slot: unsigned(row.try_get("slot")?),
            last_slot: unsigned(row.try_get("last_slot")?),
            slots: unsigned(row.try_get("slots")?),
            by_hand: flag(row, "by_hand")?,
            outcome: outcome(text("outcome")?),
            reason: raw_of(row, "reason")?,
            is_late: flag(row, "is_late")?,
            work: work.map(from_str).transpose().map_err(decode)?,
            step: step(text("step")?),
            boot: time(row, "boot")?,
            session: session.map(str::parse).transpose().map_err(decode)?,
            after_seq: time(row, "after_seq")?,
            entry: raw_of(row, "entry")?,
            started_at: time(row, "started_at")?,
            ended_at: time(row, "ended_at")?,
            exit_code: row.try_get::<Option<i64>, _>("exit_code")?.map(small),
            output: raw_of(row, "output")?,
            told: flag(row, "told")?,
        })
    }
}

/// The table's check lets no other word in.
fn outcome(word: &str) -> Outcome {
    match word {
        "running" => Outcome::Running,
        "fired" => Outcome::Fired,
        "late" => Outcome::Late,
        "skipped" => Outcome::Skipped,
        "suppressed" => Outcome::Suppressed,
        _ => Outcome::Failed,
    }
}

fn step(word: &str) -> Step {
    match word {
        "waiting" => Step::Waiting,
        "due" => Step::Due,
        "asked" => Step::Asked,
        "started" => Step::Started,
        _ => Step::Over,
    }
}

fn work_json(firing: &Firing) -> Option<String> {
    let text = firing.work.as_ref().map(to_string);
    text.map(|text| text.expect("schedules hold only JSON-able data"))
}

/// Adds one record, or lets it join the newest. Whether it is a record of its own.
async fn add(conn: &mut DbConnection, key: i64, firing: &Firing) -> Result<bool, StoreError> {
    if firing.step == Step::Over && !firing.by_hand {
        let joined = sqlx::query(
            "UPDATE schedule_firing SET last_slot = $1, slots = slots + $2, ended_at = $3 \
             WHERE id = (SELECT max(id) FROM schedule_firing WHERE schedule_id = $4) \
             AND step = 'over' AND by_hand = 0 AND outcome = $5 AND reason IS NOT DISTINCT FROM $6 \
             AND outcome IN ('skipped', 'suppressed') AND last_slot < $7",
        )
        .bind(ms(firing.last_slot))
        .bind(ms(firing.slots))
        .bind(firing.ended_at.map(ms))
        .bind(key)
        .bind(firing.outcome.as_str())
        .bind(firing.reason.as_deref().map(raw))
        .bind(ms(firing.slot))
        .execute(&mut *conn)
        .await?;
        if joined.rows_affected() > 0 {
            return Ok(false);
        }
    }
    let added = sqlx::query(
        "INSERT INTO schedule_firing (public_id, schedule_id, slot, last_slot, slots, by_hand, \
         outcome, reason, is_late, work, step, started_at, ended_at, told) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (schedule_id, slot, by_hand) DO NOTHING",
    )
    .bind(&firing.id)
    .bind(key)
    .bind(ms(firing.slot))
    .bind(ms(firing.last_slot))
    .bind(ms(firing.slots))
    .bind(i64::from(firing.by_hand))
    .bind(firing.outcome.as_str())
    .bind(firing.reason.as_deref().map(raw))
    .bind(i64::from(firing.is_late))
    .bind(work_json(firing))
    .bind(firing.step.as_str())
    .bind(firing.started_at.map(ms))
    .bind(firing.ended_at.map(ms))
    .bind(i64::from(firing.told))
    .execute(conn)
    .await?;
    Ok(added.rows_affected() > 0)
}

#[async_trait]
impl Firings for SqlStore {
    async fn decide_slots(&self, decided: &Decided<'_>) -> Result<Option<Vec<Firing>>, StoreError> {
        let mut tx = self.begin().await?;
        let key: Option<i64> = sqlx::query_scalar(
            "UPDATE schedule SET decided_at = $1, next_at = $2, revision = revision + 1 \
             WHERE public_id = $3 AND revision = $4 AND EXISTS (SELECT 1 FROM project p \
             WHERE p.id = schedule.project_id AND COALESCE(p.host, $5) = $5) RETURNING id",
        )
        .bind(ms(decided.decided_at))
        .bind(decided.next_at.map(ms))
        .bind(decided.schedule.as_str())
        .bind(ms(decided.revision))
        .bind(self.me.get().map_or("", String::as_str))
        .fetch_optional(tx.on())
        .await?;
        let Some(key) = key else { return Ok(None) };
        let mut new = Vec::with_capacity(decided.firings.len());
        for firing in decided.firings {
            if add(tx.on(), key, firing).await? {
                new.push(firing.clone());
            }
        }
        sqlx::query(
            "DELETE FROM schedule_firing WHERE schedule_id = $1 AND step = 'over' AND told = 1 \
             AND id <= (SELECT id FROM schedule_firing WHERE schedule_id = $2 \
             ORDER BY id DESC LIMIT 1 OFFSET $3)",
        )
        .bind(key)
        .bind(key)
        .bind(FIRINGS_KEPT)
        .execute(tx.on())
        .await?;
        tx.commit().await?;
        Ok(Some(new))
    }

    async fn update_firing(&self, firing: &Firing) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let kept = sqlx::query(
            "UPDATE schedule_firing SET outcome = $1, reason = $2, is_late = $3, work = $4, step = $5, boot = $6, \
             session = $7, after_seq = $8, entry = $9, started_at = $10, ended_at = $11, exit_code = $12, \
             output = $13, told = $14 WHERE public_id = $15 AND EXISTS (SELECT 1 FROM schedule s \
             JOIN project p ON p.id = s.project_id WHERE s.id = schedule_firing.schedule_id \
             AND COALESCE(p.host, $16) = $16)",
        )
        .bind(firing.outcome.as_str())
        .bind(firing.reason.as_deref().map(raw))
        .bind(i64::from(firing.is_late))
        .bind(work_json(firing))
        .bind(firing.step.as_str())
        .bind(firing.boot.map(ms))
        .bind(firing.session.as_ref().map(toft_model::id::SessionId::as_str))
        .bind(firing.after_seq.map(ms))
        .bind(firing.entry.as_deref().map(raw))
        .bind(firing.started_at.map(ms))
        .bind(firing.ended_at.map(ms))
        .bind(firing.exit_code.map(i64::from))
        .bind(firing.output.as_deref().map(raw))
        .bind(i64::from(firing.told))
        .bind(&firing.id)
        .bind(self.me.get().map_or("", String::as_str))
        .execute(tx.on())
        .await?;
        tx.commit().await?;
        Ok(kept.rows_affected() > 0)
    }

    async fn firing(&self, id: &str) -> Result<Option<Firing>, StoreError> {
        Ok(sqlx::query_as(firings!("WHERE f.public_id = $1"))
            .bind(id)
            .fetch_optional(&self.read)
            .await?)
    }

    async fn open_firings(&self, schedule: &ScheduleId) -> Result<Vec<Firing>, StoreError> {
        Ok(sqlx::query_as(firings!("WHERE s.public_id = $1 AND f.step <> 'over' ORDER BY f.id"))
            .bind(schedule.as_str())
            .fetch_all(&self.read)
            .await?)
    }

    async fn all_open_firings(&self) -> Result<Vec<(Schedule, Firing)>, StoreError> {
        let open: Vec<Firing> = sqlx::query_as(firings!("WHERE f.step <> 'over' ORDER BY f.id"))
            .fetch_all(&self.read)
            .await?;
        self.with_schedules(open).await
    }

    async fn untold_firings(&self, limit: u32) -> Result<Vec<(Schedule, Firing)>, StoreError> {
        let untold: Vec<Firing> =
            sqlx::query_as(firings!("WHERE f.told = 0 AND f.step = 'over' ORDER BY f.id LIMIT $1"))
                .bind(i64::from(limit))
                .fetch_all(&self.read)
                .await?;
        self.with_schedules(untold).await
    }

    async fn firings(
        &self,
        schedule: &ScheduleId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Firing>, StoreError> {
        Ok(sqlx::query_as(firings!(
            "WHERE s.public_id = $1 AND f.slot < $2 ORDER BY f.slot DESC LIMIT $3"
        ))
        .bind(schedule.as_str())
        .bind(before.map_or(i64::MAX, ms))
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?)
    }
}

impl SqlStore {
    /// Few firings are open at a time: one look each.
    async fn with_schedules(
        &self,
        firings: Vec<Firing>,
    ) -> Result<Vec<(Schedule, Firing)>, StoreError> {
        let mut out = Vec::with_capacity(firings.len());
        for firing in firings {
            let schedule: Option<Schedule> = sqlx::query_as(schedules!("WHERE s.public_id = $1"))
                .bind(firing.schedule.as_str())
                .fetch_optional(&self.read)
                .await?;
            if let Some(schedule) = schedule {
                out.push((schedule, firing));
            }
        }
        Ok(out)
    }
}
