//! A request becomes a comparison, and the forks that are made for it become its candidates.

use super::super::{SqlStore, Write, id, ms};
use crate::{
    comparisons::{Compared, NewComparison},
    error::StoreError,
};
use toft_model::{id::ProjectId, run::ComparisonId};

pub(super) async fn begin(
    store: &SqlStore,
    new: &NewComparison,
    open_max: u32,
    now_ms: u64,
) -> Result<Compared, StoreError> {
    let mut tx = store.begin().await?;
    let key: Option<i64> = sqlx::query_scalar(concat!(
        "SELECT id FROM project WHERE public_id = $1 AND deleted_at IS NULL",
        held!()
    ))
    .bind(new.project.as_str())
    .fetch_optional(tx.on())
    .await?;
    let Some(key) = key else { return Ok(Compared::NoProject) };
    let known: Option<(String, String)> = sqlx::query_as(
        "SELECT public_id, request_digest FROM comparison WHERE project_id = $1 AND request_key = $2",
    )
    .bind(key)
    .bind(&new.key)
    .fetch_optional(tx.on())
    .await?;
    if let Some((known, digest)) = known {
        let is_same = digest == new.digest;
        return Ok(if is_same { Compared::Known(id(&known)?) } else { Compared::Other });
    }
    let of_a_run = sqlx::query("SELECT 1 FROM run WHERE project_id = $1 AND request_key = $2")
        .bind(key)
        .bind(&new.key)
        .fetch_optional(tx.on())
        .await?;
    if of_a_run.is_some() {
        return Ok(Compared::Other);
    }
    let open: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM comparison WHERE project_id = $1 \
         AND status IN ('making', 'open', 'keeping', 'dropping')",
    )
    .bind(key)
    .fetch_one(tx.on())
    .await?;
    if open >= i64::from(open_max) {
        return Ok(Compared::TooMany);
    }
    let comparison: i64 = sqlx::query_scalar(
        "INSERT INTO comparison (public_id, project_id, request_key, request_digest, owner, prompt, options, \
         status, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'making', $8, $8) RETURNING id",
    )
    .bind(new.id.as_str())
    .bind(key)
    .bind(&new.key)
    .bind(&new.digest)
    .bind(&new.owner)
    .bind(&new.prompt)
    .bind(&new.options)
    .bind(ms(now_ms))
    .fetch_one(tx.on())
    .await?;
    for (number, one) in (1_i64..).zip(&new.candidates) {
        sqlx::query(
            "INSERT INTO candidate (comparison_id, number, run, provider, model) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(comparison)
        .bind(number)
        .bind(one.run.as_str())
        .bind(&one.provider)
        .bind(&one.model)
        .execute(tx.on())
        .await?;
    }
    tx.commit().await?;
    Ok(Compared::New(new.id.clone()))
}

/// Notes within the transaction that shows them which forks are candidates. `Missing`: the comparison does not wait
/// for them any more.
pub(in super::super) async fn made(
    tx: &mut Write<'_>,
    comparison: &ComparisonId,
    forks: &[ProjectId],
) -> Result<(), StoreError> {
    let key: Option<i64> = sqlx::query_scalar(concat!(
        "SELECT id FROM comparison WHERE public_id = $1 AND status = 'making'",
        held!()
    ))
    .bind(comparison.as_str())
    .fetch_optional(tx.on())
    .await?;
    let key = key.ok_or(StoreError::Missing { what: "comparison" })?;
    for (number, fork) in (1_i64..).zip(forks) {
        sqlx::query(
            "UPDATE candidate SET project_id = (SELECT id FROM project WHERE public_id = $3) \
             WHERE comparison_id = $1 AND number = $2",
        )
        .bind(key)
        .bind(number)
        .bind(fork.as_str())
        .execute(tx.on())
        .await?;
    }
    Ok(())
}
