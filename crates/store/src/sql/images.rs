//! [`Images`].

use super::{DbRow, SqlStore, flag, ms, raw, raw_of, unsigned};
use crate::{
    error::StoreError,
    images::{Image, ImageState, Images, NewImage, ProjectImage},
};
use async_trait::async_trait;
use sqlx::{FromRow, Row as _};
use toft_model::id::ProjectId;

macro_rules! image {
    ($rest:literal) => {
        concat!(
            "SELECT key, name, kind, source, state, reason, bytes, builder, is_default, created_at, host \
             FROM image ",
            $rest
        )
    };
}

impl FromRow<'_, DbRow> for Image {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        let builder: Option<&str> = row.try_get("builder")?;
        let reason = raw_of(row, "reason")?;
        Ok(Self {
            what: NewImage {
                key: row.try_get("key")?,
                name: row.try_get("name")?,
                kind: row.try_get("kind")?,
                source: row.try_get("source")?,
            },
            state: match row.try_get("state")? {
                "making" => ImageState::Making,
                "ready" => ImageState::Ready,
                _ => ImageState::Failed(reason.unwrap_or_default()),
            },
            bytes: unsigned(row.try_get("bytes")?),
            created_at: unsigned(row.try_get("created_at")?),
            builder: builder.and_then(|id| id.parse().ok()),
            is_default: flag(row, "is_default")?,
            host: row.try_get("host")?,
        })
    }
}

const BY_KEY: &str = image!("WHERE key = $1");

#[async_trait]
impl Images for SqlStore {
    async fn begin_image(&self, new: &NewImage, now_ms: u64) -> Result<(Image, bool), StoreError> {
        let mut tx = self.begin().await?;
        let known: Option<Image> =
            sqlx::query_as(BY_KEY).bind(&new.key).fetch_optional(tx.on()).await?;
        if let Some(known) = known {
            if !matches!(known.state, ImageState::Failed(_)) {
                return Ok((known, false));
            }
            sqlx::query("DELETE FROM image WHERE key = $1").bind(&new.key).execute(tx.on()).await?;
        }
        // Tried again with another script: what failed before gives its name to it.
        sqlx::query("DELETE FROM image WHERE name = $1 AND state = 'failed' AND builder IS NULL")
            .bind(&new.name)
            .execute(tx.on())
            .await?;
        let begun = sqlx::query(
            "INSERT INTO image (key, name, kind, source, state, created_at, host) \
             VALUES ($1, $2, $3, $4, 'making', $5, $6) ON CONFLICT (key) DO NOTHING",
        )
        .bind(&new.key)
        .bind(&new.name)
        .bind(&new.kind)
        .bind(&new.source)
        .bind(ms(now_ms))
        .bind(self.me.get())
        .execute(tx.on())
        .await
        .map_err(|e| StoreError::or_taken(e, "the name of another image"))?;
        if begun.rows_affected() == 0 {
            // Another server was faster.
            return Ok((sqlx::query_as(BY_KEY).bind(&new.key).fetch_one(tx.on()).await?, false));
        }
        tx.commit().await?;
        let image = Image {
            what: new.clone(),
            state: ImageState::Making,
            bytes: 0,
            created_at: now_ms,
            builder: None,
            is_default: false,
            host: self.me.get().cloned(),
        };
        Ok((image, true))
    }

    async fn set_image_builder(
        &self,
        key: &str,
        builder: Option<&ProjectId>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE image SET builder = $1 WHERE key = $2")
            .bind(builder.map(ProjectId::as_str))
            .bind(key)
            .execute(tx.on())
            .await?;
        tx.commit().await
    }

    async fn finish_image(&self, key: &str, done: Result<u64, &str>) -> Result<(), StoreError> {
        let (state, bytes, reason) = match done {
            Ok(bytes) => ("ready", bytes, None),
            Err(reason) => ("failed", 0, Some(reason)),
        };
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE image SET state = $1, bytes = $2, reason = $3 WHERE key = $4")
            .bind(state)
            .bind(ms(bytes))
            .bind(reason.map(raw))
            .bind(key)
            .execute(tx.on())
            .await?;
        tx.commit().await
    }

    async fn rename_image(&self, key: &str, name: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let renamed = sqlx::query("UPDATE image SET name = $1 WHERE key = $2")
            .bind(name)
            .bind(key)
            .execute(tx.on())
            .await
            .map_err(|e| StoreError::or_taken(e, "the name of another image"))?;
        if renamed.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "image" });
        }
        tx.commit().await
    }

    async fn set_default_image(&self, key: Option<&str>) -> Result<(), StoreError> {
        retried!(
            async {
                let mut tx = self.begin().await?;
                sqlx::query("UPDATE image SET is_default = 0").execute(tx.on()).await?;
                if let Some(key) = key {
                    let set = sqlx::query("UPDATE image SET is_default = 1 WHERE key = $1")
                        .bind(key)
                        .execute(tx.on())
                        .await?;
                    if set.rows_affected() == 0 {
                        return Err(StoreError::Missing { what: "image" });
                    }
                }
                tx.commit().await
            }
            .await
        )
    }

    async fn delete_image(&self, key: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let gone =
            sqlx::query("DELETE FROM image WHERE key = $1").bind(key).execute(tx.on()).await?;
        tx.commit().await?;
        Ok(gone.rows_affected() > 0)
    }

    async fn images(&self) -> Result<Vec<Image>, StoreError> {
        Ok(sqlx::query_as(image!("ORDER BY id DESC")).fetch_all(&self.read).await?)
    }

    async fn image(&self, key_or_name: &str) -> Result<Option<Image>, StoreError> {
        // A key wins: names are chosen by people.
        Ok(sqlx::query_as(image!("WHERE key = $1 OR name = $1 ORDER BY key = $1 DESC LIMIT 1"))
            .bind(key_or_name)
            .fetch_optional(&self.read)
            .await?)
    }

    async fn set_project_image(
        &self,
        project: &ProjectId,
        image: Option<&ProjectImage>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM project_image WHERE project = $1")
            .bind(project.as_str())
            .execute(tx.on())
            .await?;
        if let Some(image) = image {
            sqlx::query(
                "INSERT INTO project_image (project, image_key, image_name) VALUES ($1, $2, $3)",
            )
            .bind(project.as_str())
            .bind(&image.key)
            .bind(&image.name)
            .execute(tx.on())
            .await?;
        }
        tx.commit().await
    }

    async fn project_image(&self, project: &ProjectId) -> Result<Option<ProjectImage>, StoreError> {
        let row: Option<(String, String)> =
            sqlx::query_as("SELECT image_key, image_name FROM project_image WHERE project = $1")
                .bind(project.as_str())
                .fetch_optional(&self.read)
                .await?;
        Ok(row.map(|(key, name)| ProjectImage { key, name }))
    }

    async fn projects_of_image(&self, key: &str) -> Result<Vec<ProjectId>, StoreError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT p.public_id FROM project_image i JOIN project p ON p.public_id = i.project \
             WHERE i.image_key = $1 AND p.deleted_at IS NULL ORDER BY p.id",
        )
        .bind(key)
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().filter_map(|(id,)| id.parse().ok()).collect())
    }
}
