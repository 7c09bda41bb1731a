//! [`ApiKeys`].

use super::{DbRow, Durable, SqlStore, ms, unsigned};
use crate::{
    api_keys::{ApiKey, ApiKeys, Scope},
    error::StoreError,
};
use async_trait::async_trait;
use sqlx::{FromRow, Row as _};

impl FromRow<'_, DbRow> for ApiKey {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        let hash: Vec<u8> = row.try_get("hash")?;
        let hash =
            hash.try_into().map_err(|_| sqlx::Error::Decode("a hash has 32 bytes".into()))?;
        let project: Option<String> = row.try_get("project")?;
        let project = project.map(|id| id.parse()).transpose();
        let optional = |name| {
            let at: sqlx::Result<Option<i64>> = row.try_get(name);
            at.map(|at| at.map(unsigned))
        };
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            prefix: row.try_get("prefix")?,
            hash,
            // A word of a later version opens nothing here.
            scopes: row.try_get::<&str, _>("scopes")?.split(' ').filter_map(Scope::parse).collect(),
            // What cannot be read must not become a key that is bound to nothing.
            project: project.map_err(|_| sqlx::Error::Decode("a project's id".into()))?,
            created_by: row.try_get("created_by")?,
            created_at: unsigned(row.try_get("created_at")?),
            expires_at: optional("expires_at")?,
            used_at: optional("used_at")?,
        })
    }
}

#[async_trait]
impl ApiKeys for SqlStore {
    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT k.id, k.name, k.prefix, k.hash, k.scopes, p.public_id AS project, k.created_by, \
             k.created_at, k.expires_at, k.used_at FROM api_key k \
             LEFT JOIN project p ON p.id = k.project_id ORDER BY k.created_at DESC, k.id DESC",
        )
        .fetch_all(&self.read)
        .await?)
    }

    async fn put_api_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let (mut tx, project) = match &key.project {
            Some(id) => {
                let (tx, id) = self.begin_in(id, Durable::Now).await?;
                (tx, Some(id))
            }
            None => (self.begin().await?, None),
        };
        let put = sqlx::query(
            "INSERT INTO api_key (id, name, prefix, hash, scopes, project_id, created_by, \
             created_at, expires_at, used_at) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 \
             WHERE $6 IS NULL OR EXISTS (SELECT 1 FROM project WHERE id = $6 AND deleted_at IS NULL)",
        )
        .bind(&key.id)
        .bind(&key.name)
        .bind(&key.prefix)
        .bind(key.hash.as_slice())
        .bind(scopes.join(" "))
        .bind(project)
        .bind(&key.created_by)
        .bind(ms(key.created_at))
        .bind(key.expires_at.map(ms))
        .bind(key.used_at.map(ms))
        .execute(tx.on())
        .await
        .map_err(|e| StoreError::or_taken(e, "this name of an API key"))?;
        if put.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "project" });
        }
        tx.commit().await
    }

    async fn touch_api_key(&self, id: &str, now_ms: u64) -> Result<(), StoreError> {
        let mut tx = self.begin_relaxed().await?;
        sqlx::query("UPDATE api_key SET used_at = $1 WHERE id = $2 AND coalesce(used_at, 0) < $1")
            .bind(ms(now_ms))
            .bind(id)
            .execute(tx.on())
            .await?;
        tx.commit().await
    }

    async fn delete_api_key(&self, id: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query("DELETE FROM api_key WHERE id = $1")
            .bind(id)
            .execute(tx.on())
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(gone == 1)
    }
}
