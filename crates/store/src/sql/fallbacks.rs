//! [`ProjectFallbacks`].

use super::{Durable, SqlStore, ms};
use crate::{error::StoreError, fallbacks::ProjectFallbacks};
use async_trait::async_trait;
use serde_json::{from_str, json};
use std::collections::BTreeMap;
use toft_model::{id::ProjectId, provider::Chains};

#[async_trait]
impl ProjectFallbacks for SqlStore {
    async fn fallbacks(&self, project: &ProjectId) -> Result<Chains, StoreError> {
        let key = self.key(project).await?;
        let row: Option<String> =
            sqlx::query_scalar("SELECT chains FROM project_fallback WHERE project_id = $1")
                .bind(key)
                .fetch_optional(&self.read)
                .await?;
        Ok(row.and_then(|json| from_str(&json).ok()).unwrap_or_default())
    }

    async fn all_fallbacks(&self) -> Result<BTreeMap<ProjectId, Chains>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT p.public_id, f.chains FROM project_fallback f \
             JOIN project p ON p.id = f.project_id AND p.deleted_at IS NULL",
        )
        .fetch_all(&self.read)
        .await?;
        // Only what was understood once is ever written.
        let understood =
            |(id, json): (String, String)| Some((id.parse().ok()?, from_str(&json).ok()?));
        Ok(rows.into_iter().filter_map(understood).collect())
    }

    async fn put_fallbacks(
        &self,
        project: &ProjectId,
        chains: &Chains,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(project, Durable::Now).await?;
        if chains.is_empty() {
            let statement = "DELETE FROM project_fallback WHERE project_id = $1";
            sqlx::query(statement).bind(key).execute(tx.on()).await?;
        } else {
            sqlx::query(
                "INSERT INTO project_fallback (project_id, chains, updated_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (project_id) DO UPDATE SET chains = excluded.chains, \
                 updated_at = excluded.updated_at",
            )
            .bind(key)
            .bind(json!(chains).to_string())
            .bind(ms(now_ms))
            .execute(tx.on())
            .await?;
        }
        tx.commit().await
    }
}
