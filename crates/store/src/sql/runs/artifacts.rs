//! Files that runs have left: which there are, and where. What is in them is not the database's.

use super::super::{DbRow, Durable, SqlStore, unsigned};
use crate::{error::StoreError, runs::Artifact};
use sqlx::{FromRow, Row as _};
use toft_model::{id::ProjectId, run::JobId};

/// Old files that are told at once.
const OLD_MAX: i64 = 100;

/// Reads what runs have left.
macro_rules! artifacts {
    ($rest:literal) => {
        concat!(
            "SELECT a.name, a.path, a.mime, a.size, a.files, a.created_at FROM artifact a \
             JOIN run r ON r.id = a.run_id ",
            $rest
        )
    };
}

impl FromRow<'_, DbRow> for Artifact {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get("name")?,
            path: row.try_get("path")?,
            mime: row.try_get("mime")?,
            size: unsigned(row.try_get("size")?),
            files: unsigned(row.try_get("files")?),
            created_at: unsigned(row.try_get("created_at")?),
        })
    }
}

/// Those of all runs of a project.
pub(in super::super) async fn of_project(
    store: &SqlStore,
    project: &ProjectId,
) -> Result<Vec<Artifact>, StoreError> {
    Ok(sqlx::query_as(artifacts!(
        "JOIN project p ON p.id = a.project_id WHERE p.public_id = $1 ORDER BY a.id"
    ))
    .bind(project.as_str())
    .fetch_all(&store.read)
    .await?)
}

/// The newest of a run's of that name.
pub(super) async fn newest(
    store: &SqlStore,
    id: &JobId,
    name: &str,
) -> Result<Option<Artifact>, StoreError> {
    Ok(sqlx::query_as(artifacts!(
        "WHERE r.public_id = $1 AND a.name = $2 ORDER BY a.id DESC LIMIT 1"
    ))
    .bind(id.as_str())
    .bind(name)
    .fetch_optional(&store.read)
    .await?)
}

/// Where those lie of a project's runs before the newest `keep` that left any.
pub(super) async fn old(
    store: &SqlStore,
    project: &ProjectId,
    keep: u32,
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT a.path FROM artifact a JOIN run r ON r.id = a.run_id JOIN project p ON p.id = a.project_id \
         WHERE p.public_id = $1 AND r.run_index <= (SELECT DISTINCT o.run_index FROM artifact b \
         JOIN run o ON o.id = b.run_id JOIN project q ON q.id = b.project_id WHERE q.public_id = $1 \
         ORDER BY o.run_index DESC LIMIT 1 OFFSET $2) ORDER BY a.id LIMIT $3",
    )
    .bind(project.as_str())
    .bind(i64::from(keep))
    .bind(OLD_MAX)
    .fetch_all(&store.read)
    .await?)
}

pub(super) async fn forget(
    store: &SqlStore,
    project: &ProjectId,
    path: &str,
) -> Result<(), StoreError> {
    let (mut tx, key) = store.begin_in(project, Durable::Soon).await?;
    sqlx::query("DELETE FROM artifact WHERE path = $1 AND project_id = $2")
        .bind(path)
        .bind(key)
        .execute(tx.on())
        .await?;
    tx.commit_as("artifacts.forgotten").await
}
