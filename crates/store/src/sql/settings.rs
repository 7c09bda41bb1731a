//! [`Settings`].

use super::{SqlStore, ms};
use crate::{
    error::StoreError,
    settings::{ProviderKey, Settings},
};
use async_trait::async_trait;

#[async_trait]
impl Settings for SqlStore {
    async fn settings(&self, user: &str) -> Result<Vec<(String, String)>, StoreError> {
        Ok(sqlx::query_as("SELECT key, value FROM setting WHERE user_id = $1 ORDER BY key")
            .bind(user)
            .fetch_all(&self.read)
            .await?)
    }

    async fn put_setting(
        &self,
        user: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        match value {
            Some(value) => {
                sqlx::query(
                    "INSERT INTO setting (user_id, key, value) VALUES ($1, $2, $3) \
                     ON CONFLICT (user_id, key) DO UPDATE SET value = excluded.value",
                )
                .bind(user)
                .bind(key)
                .bind(value)
                .execute(tx.on())
                .await?
            }
            None => {
                sqlx::query("DELETE FROM setting WHERE user_id = $1 AND key = $2")
                    .bind(user)
                    .bind(key)
                    .execute(tx.on())
                    .await?
            }
        };
        tx.commit().await
    }

    async fn provider_keys(&self) -> Result<Vec<ProviderKey>, StoreError> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT provider, sealed, hint FROM provider_key ORDER BY provider")
                .fetch_all(&self.read)
                .await?;
        Ok(rows
            .into_iter()
            .map(|(provider, sealed, hint)| ProviderKey { provider, sealed, hint })
            .collect())
    }

    async fn put_provider_key(&self, key: &ProviderKey, now_ms: u64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO provider_key (provider, sealed, hint, updated_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (provider) DO UPDATE SET sealed = excluded.sealed, hint = excluded.hint, \
             updated_at = excluded.updated_at",
        )
        .bind(&key.provider)
        .bind(&key.sealed)
        .bind(&key.hint)
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        tx.commit().await
    }

    async fn delete_provider_key(&self, provider: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM provider_key WHERE provider = $1")
            .bind(provider)
            .execute(tx.on())
            .await?;
        tx.commit().await
    }
}
