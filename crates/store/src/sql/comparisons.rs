//! [`Comparisons`]. Each move from one status to the next is one statement that names the status before it: of two
//! callers one is told that it did it. How one begins is in `begin`, how a candidate is kept in `keep`.

pub(super) mod begin;
mod keep;
mod row;

use super::{SqlStore, id, ms, raw, runs::artifacts};
use crate::{
    comparisons::{Compared, Comparison, ComparisonStatus, Comparisons, KeepBegun, NewComparison},
    error::StoreError,
    runs::Artifact,
};
use async_trait::async_trait;
use row::comparisons;
use toft_model::{
    id::ProjectId,
    run::{ComparisonId, JobId},
};

#[async_trait]
impl Comparisons for SqlStore {
    async fn begin_comparison(
        &self,
        new: &NewComparison,
        open_max: u32,
        now_ms: u64,
    ) -> Result<Compared, StoreError> {
        begin::begin(self, new, open_max, now_ms).await
    }

    async fn comparison_of_key(
        &self,
        project: &ProjectId,
        key: &str,
    ) -> Result<Option<(ComparisonId, String)>, StoreError> {
        let found: Option<(String, String)> = sqlx::query_as(
            "SELECT c.public_id, c.request_digest FROM comparison c JOIN project p ON p.id = c.project_id \
             WHERE p.public_id = $1 AND c.request_key = $2 AND p.deleted_at IS NULL",
        )
        .bind(project.as_str())
        .bind(key)
        .fetch_optional(&self.read)
        .await?;
        Ok(match found {
            Some((known, digest)) => Some((id(&known)?, digest)),
            None => None,
        })
    }

    async fn comparison(&self, id: &ComparisonId) -> Result<Option<Comparison>, StoreError> {
        let row = sqlx::query(comparisons!("WHERE c.public_id = $1"))
            .bind(id.as_str())
            .fetch_optional(&self.read)
            .await?;
        match row {
            Some(row) => Ok(Some(row::comparison(self, &row).await?)),
            None => Ok(None),
        }
    }

    async fn comparisons(
        &self,
        project: &ProjectId,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<Comparison>, StoreError> {
        let rows = sqlx::query(comparisons!(
            "WHERE p.public_id = $1 AND p.deleted_at IS NULL ORDER BY c.id DESC LIMIT $2 OFFSET $3"
        ))
        .bind(project.as_str())
        .bind(i64::from(limit))
        .bind(i64::from(offset))
        .fetch_all(&self.read)
        .await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            found.push(row::comparison(self, row).await?);
        }
        Ok(found)
    }

    async fn unsettled_comparisons(&self, owner: &str) -> Result<Vec<ComparisonId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT public_id FROM comparison WHERE owner = $1 \
             AND status IN ('making', 'keeping', 'dropping') ORDER BY id",
        )
        .bind(owner)
        .fetch_all(&self.read)
        .await?;
        Ok(ids.iter().map(|one| id(one)).collect::<sqlx::Result<_>>()?)
    }

    async fn set_comparison_base(
        &self,
        id: &ComparisonId,
        base: &str,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE comparison SET base = $2, updated_at = $3 WHERE public_id = $1")
            .bind(id.as_str())
            .bind(base)
            .bind(ms(now_ms))
            .execute(tx.on())
            .await?;
        tx.commit().await
    }

    async fn move_comparison(
        &self,
        id: &ComparisonId,
        from: ComparisonStatus,
        to: ComparisonStatus,
        error: Option<&str>,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let moved = sqlx::query(
            "UPDATE comparison SET status = $3, error = $4, updated_at = $5, \
             kept_run = CASE WHEN $3 = 'open' THEN NULL ELSE kept_run END, \
             keep_checkpoint = CASE WHEN $3 = 'open' THEN NULL ELSE keep_checkpoint END \
             WHERE public_id = $1 AND status = $2",
        )
        .bind(id.as_str())
        .bind(from.as_str())
        .bind(to.as_str())
        // A message may quote what was read inside a machine.
        .bind(error.map(|text| text.replace('\0', "\u{fffd}")))
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(moved > 0)
    }

    async fn begin_keep(
        &self,
        id: &ComparisonId,
        run: &JobId,
        checkpoint: &str,
        now_ms: u64,
    ) -> Result<KeepBegun, StoreError> {
        keep::begin(self, id, run, checkpoint, now_ms).await
    }

    async fn candidate_artifacts(&self, fork: &ProjectId) -> Result<Vec<Artifact>, StoreError> {
        artifacts::of_project(self, fork).await
    }

    async fn finish_keep(
        &self,
        id: &ComparisonId,
        fork: &ProjectId,
        below: &str,
        instead: &str,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        keep::finish(self, id, fork, below, instead, now_ms).await
    }

    async fn begin_drop(&self, id: &ComparisonId, now_ms: u64) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let moved = sqlx::query(
            "UPDATE comparison SET status = 'dropping', error = NULL, updated_at = $2 \
             WHERE public_id = $1 AND status IN ('making', 'open')",
        )
        .bind(id.as_str())
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(moved > 0)
    }

    async fn set_outcome(
        &self,
        id: &ComparisonId,
        number: u64,
        outcome: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE candidate SET outcome = $3 WHERE number = $2 \
             AND comparison_id = (SELECT id FROM comparison WHERE public_id = $1)",
        )
        .bind(id.as_str())
        .bind(ms(number))
        .bind(raw(outcome))
        .execute(tx.on())
        .await?;
        tx.commit().await
    }

    async fn finish_drop(&self, id: &ComparisonId, now_ms: u64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let deleted = sqlx::query(
            "DELETE FROM comparison WHERE public_id = $1 AND status = 'dropping' \
             AND project_id IN (SELECT id FROM project WHERE deleted_at IS NOT NULL)",
        )
        .bind(id.as_str())
        .execute(tx.on())
        .await?
        .rows_affected();
        if deleted == 0 {
            sqlx::query(
                "UPDATE comparison SET updated_at = $2, \
                 status = CASE WHEN kept_run IS NULL THEN 'dropped' ELSE 'kept' END \
                 WHERE public_id = $1 AND status = 'dropping'",
            )
            .bind(id.as_str())
            .bind(ms(now_ms))
            .execute(tx.on())
            .await?;
        }
        tx.commit().await
    }

    async fn candidate_of(
        &self,
        fork: &ProjectId,
    ) -> Result<Option<(ProjectId, ComparisonId)>, StoreError> {
        let found: Option<(String, String)> = sqlx::query_as(
            "SELECT p.public_id, c.public_id FROM candidate d JOIN project f ON f.id = d.project_id \
             JOIN comparison c ON c.id = d.comparison_id JOIN project p ON p.id = c.project_id \
             WHERE f.public_id = $1 AND f.deleted_at IS NULL",
        )
        .bind(fork.as_str())
        .fetch_optional(&self.read)
        .await?;
        Ok(match found {
            Some((project, comparison)) => Some((id(&project)?, id(&comparison)?)),
            None => None,
        })
    }
}

/// What becomes of the comparisons of a project that is deleted: those that have forks are dropped, by who made them.
pub(super) const OF_A_DELETED: [&str; 2] = [
    "DELETE FROM comparison WHERE project_id = $1 AND status IN ('kept', 'dropped', 'failed')",
    "UPDATE comparison SET status = 'dropping' WHERE project_id = $1 AND status IN ('making', 'open', 'keeping')",
];
