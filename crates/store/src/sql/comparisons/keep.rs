//! A candidate is kept: first no run of the project is accepted any more, then its runs are the project's. What is
//! done with disks in between is the server's.

use super::super::{SqlStore, ms};
use crate::{comparisons::KeepBegun, error::StoreError};
use toft_model::{
    id::ProjectId,
    run::{ComparisonId, JobId},
};

pub(super) async fn begin(
    store: &SqlStore,
    comparison: &ComparisonId,
    run: &JobId,
    checkpoint: &str,
    now_ms: u64,
) -> Result<KeepBegun, StoreError> {
    let mut tx = store.begin().await?;
    // The project's row, which whoever accepts a run holds, too.
    let held: Option<(i64, i64, String, Option<String>)> = sqlx::query_as(concat!(
        "SELECT p.id, c.id, c.status, c.kept_run FROM project p JOIN comparison c ON c.project_id = p.id \
         WHERE c.public_id = $1 AND p.deleted_at IS NULL",
        held!()
    ))
    .bind(comparison.as_str())
    .fetch_optional(tx.on())
    .await?;
    let Some((project, key, status, kept)) = held else { return Ok(KeepBegun::Elsewhere) };
    if kept.as_deref() == Some(run.as_str())
        && matches!(status.as_str(), "keeping" | "dropping" | "kept")
    {
        return Ok(KeepBegun::Yes);
    }
    if status != "open" {
        return Ok(KeepBegun::Elsewhere);
    }
    let fork: Option<i64> = sqlx::query_scalar(concat!(
        "SELECT f.id FROM candidate d JOIN project f ON f.id = d.project_id \
         WHERE d.comparison_id = $1 AND d.run = $2 AND f.deleted_at IS NULL",
        held!()
    ))
    .bind(key)
    .bind(run.as_str())
    .fetch_optional(tx.on())
    .await?;
    let Some(fork) = fork else { return Ok(KeepBegun::Gone) };
    for (project, begun) in [(project, KeepBegun::ProjectWorks), (fork, KeepBegun::CandidateWorks)]
    {
        let works = sqlx::query(
            "SELECT 1 FROM run WHERE project_id = $1 AND status IN ('queued', 'running') LIMIT 1",
        )
        .bind(project)
        .fetch_optional(tx.on())
        .await?;
        if works.is_some() {
            return Ok(begun);
        }
    }
    sqlx::query(
        "UPDATE comparison SET status = 'keeping', kept_run = $2, keep_checkpoint = $3, error = NULL, \
         updated_at = $4 WHERE id = $1",
    )
    .bind(key)
    .bind(run.as_str())
    .bind(checkpoint)
    .bind(ms(now_ms))
    .execute(tx.on())
    .await?;
    tx.commit().await?;
    Ok(KeepBegun::Yes)
}

pub(super) async fn finish(
    store: &SqlStore,
    comparison: &ComparisonId,
    fork: &ProjectId,
    below: &str,
    instead: &str,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let moved: Option<(i64, Option<String>)> = sqlx::query_as(
        "UPDATE comparison SET status = 'dropping', updated_at = $2 \
         WHERE public_id = $1 AND status = 'keeping' RETURNING project_id, base",
    )
    .bind(comparison.as_str())
    .bind(ms(now_ms))
    .fetch_optional(tx.on())
    .await?;
    let Some((project, base)) = moved else { return Ok(false) };
    let runs: Vec<i64> = sqlx::query_scalar(
        "SELECT r.id FROM run r JOIN project f ON f.id = r.project_id WHERE f.public_id = $1 \
         ORDER BY r.run_index",
    )
    .bind(fork.as_str())
    .fetch_all(tx.on())
    .await?;
    let last: Option<i64> =
        sqlx::query_scalar("SELECT max(run_index) FROM run WHERE project_id = $1")
            .bind(project)
            .fetch_one(tx.on())
            .await?;
    for (place, (index, run)) in (last.unwrap_or(0) + 1..).zip(&runs).enumerate() {
        // Their keys were those of requests to the fork. Before the first of them the project was as at the base;
        // the copies before the others go with the fork.
        sqlx::query(
            "UPDATE run SET project_id = $2, run_index = $3, request_key = 'kept:' || public_id, \
             checkpoint = $4, updated_at = $5 WHERE id = $1",
        )
        .bind(run)
        .bind(project)
        .bind(index)
        .bind(base.as_deref().filter(|_| place == 0))
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        sqlx::query(
            "UPDATE artifact SET path = replace(path, $2, $3), project_id = $4 WHERE run_id = $1",
        )
        .bind(run)
        .bind(below)
        .bind(instead)
        .bind(project)
        .execute(tx.on())
        .await?;
    }
    tx.commit_as("runs.kept").await?;
    Ok(true)
}
