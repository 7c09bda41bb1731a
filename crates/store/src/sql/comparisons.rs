//! [`Comparisons`]. Each move from one status to the next is one statement that names the status before it: of two
//! callers one is told that it did it.

use super::{DbRow, SqlStore, Write, ms, raw, raw_of, unsigned};
use crate::{
    comparisons::{
        Candidate, Compared, Comparison, ComparisonStatus, Comparisons, KeepBegun, NewComparison,
    },
    error::StoreError,
    runs::Artifact,
};
use async_trait::async_trait;
use sqlx::Row as _;
use toft_model::{
    id::{InvalidId, ProjectId},
    run::{ComparisonId, JobId},
};

macro_rules! comparisons {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, c.public_id, c.request_digest, c.prompt, c.options, c.status, c.error, c.base, c.kept_run, \
             c.keep_checkpoint, c.created_at, c.updated_at, p.public_id AS project FROM comparison c \
             JOIN project p ON p.id = c.project_id ",
            $rest
        )
    };
}

/// Of a fork that is gone nothing is told but what its run came to.
const CANDIDATES: &str = "SELECT d.number, d.run, d.provider, d.model, d.outcome, \
     CASE WHEN f.deleted_at IS NULL THEN f.public_id END AS fork FROM candidate d \
     LEFT JOIN project f ON f.id = d.project_id WHERE d.comparison_id = $1 ORDER BY d.number";

fn id<T: std::str::FromStr<Err = InvalidId>>(text: &str) -> sqlx::Result<T> {
    text.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

fn status(word: &str) -> sqlx::Result<ComparisonStatus> {
    let found = ComparisonStatus::ALL.into_iter().find(|status| status.as_str() == word);
    found.ok_or_else(|| sqlx::Error::Decode(format!("{word:?} is no status").into()))
}

fn candidate(row: &DbRow) -> sqlx::Result<Candidate> {
    let fork: Option<&str> = row.try_get("fork")?;
    Ok(Candidate {
        number: unsigned(row.try_get("number")?),
        run: id(row.try_get("run")?)?,
        provider: row.try_get("provider")?,
        model: row.try_get("model")?,
        project: fork.map(id).transpose()?,
        outcome: raw_of(row, "outcome")?,
    })
}

impl SqlStore {
    async fn comparison_of(&self, row: &DbRow) -> Result<Comparison, StoreError> {
        let key: i64 = row.try_get("id")?;
        let rows = sqlx::query(CANDIDATES).bind(key).fetch_all(&self.read).await?;
        let candidates = rows.iter().map(candidate).collect::<sqlx::Result<_>>()?;
        let kept_run: Option<&str> = row.try_get("kept_run")?;
        Ok(Comparison {
            id: id(row.try_get("public_id")?)?,
            project: id(row.try_get("project")?)?,
            prompt: row.try_get("prompt")?,
            options: row.try_get("options")?,
            status: status(row.try_get("status")?)?,
            error: row.try_get("error")?,
            base: row.try_get("base")?,
            kept_run: kept_run.map(id).transpose()?,
            keep_checkpoint: row.try_get("keep_checkpoint")?,
            candidates,
            created_at: unsigned(row.try_get("created_at")?),
            updated_at: unsigned(row.try_get("updated_at")?),
        })
    }
}

async fn begin(
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
pub(super) async fn made(
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

async fn begin_keep(
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

async fn finish_keep(
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
    if !runs.is_empty() {
        sqlx::query("UPDATE run SET writable = 0 WHERE project_id = $1 AND writable = 1")
            .bind(project)
            .execute(tx.on())
            .await?;
    }
    for (place, (index, run)) in (last.unwrap_or(0) + 1..).zip(&runs).enumerate() {
        // Their keys were those of requests to the fork. Before the first of them the project was as at the base;
        // the copies before the others go with the fork.
        sqlx::query(
            "UPDATE run SET project_id = $2, run_index = $3, writable = $4, request_key = 'kept:' || public_id, \
             checkpoint = $5, updated_at = $6 WHERE id = $1",
        )
        .bind(run)
        .bind(project)
        .bind(index)
        .bind(i64::from(place + 1 == runs.len()))
        .bind(base.as_deref().filter(|_| place == 0))
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        sqlx::query("UPDATE artifact SET path = replace(path, $2, $3) WHERE run_id = $1")
            .bind(run)
            .bind(below)
            .bind(instead)
            .execute(tx.on())
            .await?;
    }
    tx.commit().await?;
    Ok(true)
}

#[async_trait]
impl Comparisons for SqlStore {
    async fn begin_comparison(
        &self,
        new: &NewComparison,
        open_max: u32,
        now_ms: u64,
    ) -> Result<Compared, StoreError> {
        begin(self, new, open_max, now_ms).await
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
            Some(row) => Ok(Some(self.comparison_of(&row).await?)),
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
            found.push(self.comparison_of(row).await?);
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
        begin_keep(self, id, run, checkpoint, now_ms).await
    }

    async fn candidate_artifacts(&self, fork: &ProjectId) -> Result<Vec<Artifact>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.name, a.path, a.mime, a.size, a.files, a.created_at FROM artifact a JOIN run r ON r.id = a.run_id \
             JOIN project f ON f.id = r.project_id WHERE f.public_id = $1 ORDER BY a.id",
        )
        .bind(fork.as_str())
        .fetch_all(&self.read)
        .await?;
        Ok(rows.iter().map(super::runs::artifact).collect::<sqlx::Result<_>>()?)
    }

    async fn finish_keep(
        &self,
        id: &ComparisonId,
        fork: &ProjectId,
        below: &str,
        instead: &str,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        finish_keep(self, id, fork, below, instead, now_ms).await
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
