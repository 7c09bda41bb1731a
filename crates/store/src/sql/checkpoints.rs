//! [`Checkpoints`].

use super::{DbRow, SqlStore, id, ms, raw, raw_of, small, unsigned, words};
use crate::{
    checkpoints::{CheckpointRule, Checkpoints, ConversationStep, Durable, TakenCheckpoint},
    error::StoreError,
    events::Events as _,
};
use async_trait::async_trait;
use sqlx::{FromRow, Row as _};
use toft_model::{
    checkpoint::{Cause, Checkpoint, CheckpointId, KeepRule, Place},
    id::ProjectId,
};

/// A row that was not written by us.
fn unread(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

fn places(places: &[Place]) -> String {
    serde_json::to_string(places).expect("places are JSON-able")
}

impl FromRow<'_, DbRow> for TakenCheckpoint {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        let session: Option<&str> = row.try_get("message_session")?;
        let entry = raw_of(row, "message_entry")?;
        let message = match (session, entry) {
            (Some(session), Some(entry)) => {
                Some(Place { session_id: id(session)?, leaf_entry_id: Some(entry) })
            }
            _ => None,
        };
        let place: Option<&str> = row.try_get("place")?;
        Ok(Self {
            checkpoint: Checkpoint {
                id: id(row.try_get("public_id")?)?,
                project_id: id(row.try_get("project")?)?,
                label: raw_of(row, "label")?,
                cause: match row.try_get("cause")? {
                    "prompt" => Cause::Prompt,
                    "restore" => Cause::Restore,
                    "fork" => Cause::Fork,
                    _ => Cause::Manual,
                },
                created_at: unsigned(row.try_get("created_at")?),
                seq: unsigned(row.try_get("seq")?),
                base: row.try_get("base")?,
                sessions: serde_json::from_str(row.try_get("sessions")?).map_err(unread)?,
                message,
            },
            away: row.try_get("backend")?,
            place: place.map(serde_json::from_str).transpose().map_err(unread)?,
        })
    }
}

macro_rules! checkpoint {
    ($rest:literal) => {
        concat!(
            "SELECT c.public_id, p.public_id AS project, c.label, c.cause, c.created_at, c.seq, \
             c.base, c.sessions, c.message_session, c.message_entry, c.place, c.backend \
             FROM checkpoint c JOIN project p ON p.id = c.project_id WHERE c.project_id = $1 ",
            $rest
        )
    };
}

#[async_trait]
impl Checkpoints for SqlStore {
    async fn add_checkpoint(
        &self,
        taken: &TakenCheckpoint,
        durable: Durable,
    ) -> Result<(), StoreError> {
        let one = &taken.checkpoint;
        let (mut tx, key) = self.begin_in(&one.project_id, durable).await?;
        let message = one.message.as_ref();
        let added = sqlx::query(
            "INSERT INTO checkpoint (public_id, project_id, label, cause, created_at, seq, base, \
             sessions, message_session, message_entry, place) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM project WHERE id = $12 AND deleted_at IS NULL",
        )
        .bind(one.id.as_str())
        .bind(key)
        .bind(one.label.as_deref().map(raw))
        .bind(one.cause.as_str())
        .bind(ms(one.created_at))
        .bind(ms(one.seq))
        .bind(&one.base)
        .bind(places(&one.sessions))
        .bind(message.map(|m| m.session_id.as_str()))
        .bind(message.and_then(|m| m.leaf_entry_id.as_deref()).map(raw))
        .bind(taken.place.as_ref().map(|p| serde_json::to_string(p).expect("a place is JSON-able")))
        .bind(key)
        .execute(tx.on())
        .await
        .map_err(|e| StoreError::or_taken(e, "this checkpoint id"))?;
        if added.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "project" });
        }
        tx.commit().await
    }

    async fn checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Option<TakenCheckpoint>, StoreError> {
        let key = self.key(project).await?;
        Ok(sqlx::query_as(checkpoint!("AND c.public_id = $2"))
            .bind(key)
            .bind(id.as_str())
            .fetch_optional(&self.read)
            .await?)
    }

    async fn checkpoints(&self, project: &ProjectId) -> Result<Vec<TakenCheckpoint>, StoreError> {
        let key = self.key(project).await?;
        Ok(sqlx::query_as(checkpoint!("ORDER BY c.id DESC"))
            .bind(key)
            .fetch_all(&self.read)
            .await?)
    }

    async fn checkpoint_count(&self, project: &ProjectId) -> Result<u64, StoreError> {
        let key = self.key(project).await?;
        let count = sqlx::query_scalar("SELECT count(*) FROM checkpoint WHERE project_id = $1")
            .bind(key)
            .fetch_one(&self.read)
            .await?;
        Ok(unsigned(count))
    }

    async fn checkpoint_before(
        &self,
        project: &ProjectId,
        message: &Place,
    ) -> Result<Option<TakenCheckpoint>, StoreError> {
        let key = self.key(project).await?;
        Ok(sqlx::query_as(checkpoint!(
            "AND c.message_session = $2 AND c.message_entry = $3 ORDER BY c.id LIMIT 1"
        ))
        .bind(key)
        .bind(message.session_id.as_str())
        .bind(message.leaf_entry_id.as_deref().map(raw))
        .fetch_optional(&self.read)
        .await?)
    }

    async fn bind_checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        message: &Place,
    ) -> Result<bool, StoreError> {
        let (mut tx, key) = self.begin_in(project, Durable::Soon).await?;
        let bound = sqlx::query(
            "UPDATE checkpoint SET message_session = $1, message_entry = $2 \
             WHERE project_id = $3 AND public_id = $4 AND message_entry IS NULL",
        )
        .bind(message.session_id.as_str())
        .bind(message.leaf_entry_id.as_deref().map(raw))
        .bind(key)
        .bind(id.as_str())
        .execute(tx.on())
        .await?;
        tx.commit().await?;
        Ok(bound.rows_affected() > 0)
    }

    async fn label_checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        label: Option<&str>,
    ) -> Result<bool, StoreError> {
        let (mut tx, key) = self.begin_in(project, Durable::Now).await?;
        let named = sqlx::query(
            "UPDATE checkpoint SET label = $1 WHERE project_id = $2 AND public_id = $3",
        )
        .bind(label.map(raw))
        .bind(key)
        .bind(id.as_str())
        .execute(tx.on())
        .await?;
        tx.commit().await?;
        Ok(named.rows_affected() > 0)
    }

    async fn delete_checkpoints(
        &self,
        project: &ProjectId,
        ids: &[CheckpointId],
        durable: Durable,
    ) -> Result<u64, StoreError> {
        let ids: Vec<&str> = ids.iter().map(CheckpointId::as_str).collect();
        let (mut tx, key) = self.begin_in(project, durable).await?;
        let gone = sqlx::query(concat!(
            "DELETE FROM checkpoint WHERE project_id = $1 AND ",
            among!("public_id", "$2")
        ))
        .bind(key)
        .bind(words(&ids))
        .execute(tx.on())
        .await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }

    async fn checkpoint_rule(&self, project: &ProjectId) -> Result<CheckpointRule, StoreError> {
        let key = self.key(project).await?;
        let row: Option<(i64, i64, i64, i64)> = sqlx::query_as(
            "SELECT keep_last, keep_hourly, keep_daily, is_automatic FROM checkpoint_rule \
             WHERE project_id = $1",
        )
        .bind(key)
        .fetch_optional(&self.read)
        .await?;
        Ok(row.map_or_else(CheckpointRule::default, |(last, hourly, daily, automatic)| {
            let keep = KeepRule { last: small(last), hourly: small(hourly), daily: small(daily) };
            CheckpointRule { keep, automatic: automatic != 0 }
        }))
    }

    async fn put_checkpoint_rule(
        &self,
        project: &ProjectId,
        rule: &CheckpointRule,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(project, Durable::Now).await?;
        sqlx::query(
            "INSERT INTO checkpoint_rule \
             (project_id, keep_last, keep_hourly, keep_daily, is_automatic, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (project_id) DO UPDATE SET \
             keep_last = excluded.keep_last, keep_hourly = excluded.keep_hourly, \
             keep_daily = excluded.keep_daily, is_automatic = excluded.is_automatic, \
             updated_at = excluded.updated_at",
        )
        .bind(key)
        .bind(i64::from(rule.keep.last))
        .bind(i64::from(rule.keep.hourly))
        .bind(i64::from(rule.keep.daily))
        .bind(i64::from(rule.automatic))
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        tx.commit().await
    }

    async fn places(&self, project: &ProjectId) -> Result<(u64, Vec<Place>), StoreError> {
        // Read first: a place of a later event is no lie, a number of one that is not in it is.
        let head = self.head(project).await?;
        let key = self.key(project).await?;
        Ok((head.seq, self.read_places(key).await?))
    }

    async fn steps(
        &self,
        project: &ProjectId,
        session: &str,
    ) -> Result<Vec<ConversationStep>, StoreError> {
        let key = self.key(project).await?;
        self.read_steps(key, session).await
    }
}
