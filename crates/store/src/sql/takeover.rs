//! [`TakeOver`].

use super::{ALONE, SqlStore, Write, ms, unsigned};
use crate::{error::StoreError, servers::GONE_MS, takeover::TakeOver};
use async_trait::async_trait;
use toft_model::id::ProjectId;

/// Whether the server of a project `p` was silent for too long: `$1` is now, `$2` how long it may be.
macro_rules! is_gone {
    () => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM server s WHERE s.id = p.host AND s.seen_at > ",
            clock!("$1"),
            " - $2)"
        )
    };
}

/// Refuses to go on with a write about a machine that is another server's by now. The caller holds the project's row.
pub(super) async fn still_ours(
    store: &SqlStore,
    tx: &mut Write<'_>,
    key: i64,
) -> Result<(), StoreError> {
    if ALONE {
        return Ok(());
    }
    let ours = sqlx::query("SELECT 1 FROM project WHERE id = $1 AND COALESCE(host, $2) = $2")
        .bind(key)
        .bind(store.me.get().map_or("", String::as_str))
        .fetch_optional(tx.on())
        .await?;
    ours.map(|_| ()).ok_or(StoreError::Missing { what: "project of this server's" })
}

#[async_trait]
impl TakeOver for SqlStore {
    async fn installation(&self, new: &str) -> Result<String, StoreError> {
        let known = async || {
            sqlx::query_scalar::<_, String>("SELECT name FROM installation WHERE id = 1")
                .fetch_optional(&self.read)
                .await
        };
        if let Some(name) = known().await? {
            return Ok(name);
        }
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO installation (id, name) VALUES (1, $1) ON CONFLICT (id) DO NOTHING",
        )
        .bind(new)
        .execute(tx.on())
        .await?;
        tx.commit().await?;
        // Another server may have been faster.
        known().await?.ok_or(StoreError::Missing { what: "name of the installation" })
    }

    async fn held_projects(&self, backends: &[&str]) -> Result<Vec<(ProjectId, u64)>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(concat!(
            "SELECT public_id, host_fence FROM project WHERE destroyed_at IS NULL AND host = $1 AND ",
            among!("backend", "$2")
        ))
        .bind(self.me.get().map_or("", String::as_str))
        .bind(super::words(backends))
        .fetch_all(&self.read)
        .await?;
        // Only ids that were parsed once are ever written.
        Ok(rows
            .into_iter()
            .filter_map(|(id, fence)| Some((id.parse().ok()?, unsigned(fence))))
            .collect())
    }

    async fn abandoned_projects(
        &self,
        backends: &[&str],
        limit: u32,
        now_ms: u64,
    ) -> Result<Vec<ProjectId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(concat!(
            "SELECT p.public_id FROM project p WHERE p.deleted_at IS NULL AND p.host IS NOT NULL AND ",
            is_gone!(),
            " AND ",
            among!("p.backend", "$3"),
            " AND (EXISTS (SELECT 1 FROM run r WHERE r.project_id = p.id AND r.status IN ('queued', 'running')) \
             OR EXISTS (SELECT 1 FROM schedule d WHERE d.project_id = p.id AND d.next_at IS NOT NULL)) \
             ORDER BY p.updated_at, p.id LIMIT $4"
        ))
        .bind(ms(now_ms))
        .bind(ms(GONE_MS))
        .bind(super::words(backends))
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }

    async fn take_project(
        &self,
        project: &ProjectId,
        from: &str,
        now_ms: u64,
    ) -> Result<Option<u64>, StoreError> {
        let Some(me) = self.me.get() else { return Ok(None) };
        // What is done there after this must not be done by nobody's leave: on disk when this returns.
        let mut tx = self.begin().await?;
        let fence: Option<i64> = sqlx::query_scalar(concat!(
            "UPDATE project AS p SET host = $3, host_fence = host_fence + 1 WHERE p.public_id = $4 \
             AND p.deleted_at IS NULL AND p.host = $5 AND p.host <> $3 AND ",
            is_gone!(),
            " RETURNING host_fence"
        ))
        .bind(ms(now_ms))
        .bind(ms(GONE_MS))
        .bind(me)
        .bind(project.as_str())
        .bind(from)
        .fetch_optional(tx.on())
        .await?;
        tx.commit().await?;
        Ok(fence.map(unsigned))
    }
}
