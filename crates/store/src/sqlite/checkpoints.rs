//! [`Checkpoints`] on SQLite.

use super::{SqliteStore, ms, unsigned};
use crate::{
    checkpoints::{CheckpointRule, Checkpoints, ConversationStep, Durable, TakenCheckpoint},
    error::StoreError,
    events::Events as _,
};
use async_trait::async_trait;
use sqlx::{FromRow, Row as _, sqlite::SqliteRow};
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

fn id<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    text: &str,
) -> sqlx::Result<T> {
    text.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

impl FromRow<'_, SqliteRow> for TakenCheckpoint {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let session: Option<&str> = row.try_get("message_session")?;
        let entry: Option<String> = row.try_get("message_entry")?;
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
                label: row.try_get("label")?,
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
            place: place.map(serde_json::from_str).transpose().map_err(unread)?,
        })
    }
}

macro_rules! checkpoint {
    ($rest:literal) => {
        concat!(
            "SELECT c.public_id, p.public_id AS project, c.label, c.cause, c.created_at, c.seq, \
             c.base, c.sessions, c.message_session, c.message_entry, c.place \
             FROM checkpoint c JOIN project p ON p.id = c.project_id WHERE c.project_id = ? ",
            $rest
        )
    };
}

#[async_trait]
impl Checkpoints for SqliteStore {
    async fn add_checkpoint(
        &self,
        taken: &TakenCheckpoint,
        durable: Durable,
    ) -> Result<(), StoreError> {
        let one = &taken.checkpoint;
        let key = self.key(&one.project_id).await?;
        let mut tx = self.begin_durable(durable).await?;
        let message = one.message.as_ref();
        let added = sqlx::query(
            "INSERT INTO checkpoint (public_id, project_id, label, cause, created_at, seq, base, \
             sessions, message_session, message_entry, place) \
             SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM project WHERE id = ? AND deleted_at IS NULL",
        )
        .bind(one.id.as_str())
        .bind(key)
        .bind(&one.label)
        .bind(one.cause.as_str())
        .bind(ms(one.created_at))
        .bind(ms(one.seq))
        .bind(&one.base)
        .bind(places(&one.sessions))
        .bind(message.map(|m| m.session_id.as_str()))
        .bind(message.and_then(|m| m.leaf_entry_id.as_deref()))
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
        Ok(sqlx::query_as(checkpoint!("AND c.public_id = ?"))
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
        let count = sqlx::query_scalar("SELECT count(*) FROM checkpoint WHERE project_id = ?")
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
            "AND c.message_session = ? AND c.message_entry = ? ORDER BY c.id LIMIT 1"
        ))
        .bind(key)
        .bind(message.session_id.as_str())
        .bind(&message.leaf_entry_id)
        .fetch_optional(&self.read)
        .await?)
    }

    async fn bind_checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        message: &Place,
    ) -> Result<bool, StoreError> {
        let key = self.key(project).await?;
        let mut tx = self.begin_relaxed().await?;
        let bound = sqlx::query(
            "UPDATE checkpoint SET message_session = ?, message_entry = ? \
             WHERE project_id = ? AND public_id = ? AND message_entry IS NULL",
        )
        .bind(message.session_id.as_str())
        .bind(&message.leaf_entry_id)
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
        let key = self.key(project).await?;
        let mut tx = self.begin().await?;
        let named =
            sqlx::query("UPDATE checkpoint SET label = ? WHERE project_id = ? AND public_id = ?")
                .bind(label)
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
        let key = self.key(project).await?;
        let ids = serde_json::to_string(ids).expect("ids are JSON-able");
        let mut tx = self.begin_durable(durable).await?;
        let gone = sqlx::query(
            "DELETE FROM checkpoint WHERE project_id = ? \
             AND public_id IN (SELECT value FROM json_each(?))",
        )
        .bind(key)
        .bind(ids)
        .execute(tx.on())
        .await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }

    async fn checkpoint_rule(&self, project: &ProjectId) -> Result<CheckpointRule, StoreError> {
        let key = self.key(project).await?;
        let row: Option<(u32, u32, u32, bool)> = sqlx::query_as(
            "SELECT keep_last, keep_hourly, keep_daily, is_automatic FROM checkpoint_rule \
             WHERE project_id = ?",
        )
        .bind(key)
        .fetch_optional(&self.read)
        .await?;
        Ok(row.map_or_else(CheckpointRule::default, |(last, hourly, daily, automatic)| {
            CheckpointRule { keep: KeepRule { last, hourly, daily }, automatic }
        }))
    }

    async fn put_checkpoint_rule(
        &self,
        project: &ProjectId,
        rule: &CheckpointRule,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let key = self.key(project).await?;
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO checkpoint_rule \
             (project_id, keep_last, keep_hourly, keep_daily, is_automatic, updated_at) \
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (project_id) DO UPDATE SET \
             keep_last = excluded.keep_last, keep_hourly = excluded.keep_hourly, \
             keep_daily = excluded.keep_daily, is_automatic = excluded.is_automatic, \
             updated_at = excluded.updated_at",
        )
        .bind(key)
        .bind(rule.keep.last)
        .bind(rule.keep.hourly)
        .bind(rule.keep.daily)
        .bind(rule.automatic)
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
