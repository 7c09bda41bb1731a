//! A comparison as a row, and its candidates as theirs.

use super::super::{DbRow, SqlStore, id, raw_of, unsigned};
use crate::{
    comparisons::{Candidate, Comparison, ComparisonStatus},
    error::StoreError,
};
use sqlx::Row as _;

/// Reads comparisons, each with its project.
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
pub(super) use comparisons;

/// Of a fork that is gone nothing is told but what its run came to.
const CANDIDATES: &str = "SELECT d.number, d.run, d.provider, d.model, d.outcome, \
     CASE WHEN f.deleted_at IS NULL THEN f.public_id END AS fork FROM candidate d \
     LEFT JOIN project f ON f.id = d.project_id WHERE d.comparison_id = $1 ORDER BY d.number";

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

/// What a row says, with its candidates.
pub(super) async fn comparison(store: &SqlStore, row: &DbRow) -> Result<Comparison, StoreError> {
    let key: i64 = row.try_get("id")?;
    let rows = sqlx::query(CANDIDATES).bind(key).fetch_all(&store.read).await?;
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
