//! [`Forks`]. A fork that is being made is a project that counts as deleted and not yet
//! destroyed: a server that dies leaves what the next one removes.

use super::{SqlStore, comparisons, ms, raw};
use crate::{
    error::StoreError,
    events::SnapshotKind,
    forks::Forks,
    projects::{NewProject, Project, Projects as _, Wanted},
};
use async_trait::async_trait;
use toft_model::{id::ProjectId, run::ComparisonId};

#[async_trait]
impl Forks for SqlStore {
    async fn begin_forks(&self, new: &[NewProject], now_ms: u64) -> Result<(), StoreError> {
        // After a power cut the disks may be gone as well; a kill of the process loses nothing.
        let mut tx = self.begin_relaxed().await?;
        for one in new {
            sqlx::query(
                "INSERT INTO project (public_id, team_id, name, owner_id, wanted, created_at, \
                 updated_at, deleted_at, host, backend) VALUES ($1, 1, $2, $3, $4, $5, $5, $5, $6, $7)",
            )
            .bind(one.id.as_str())
            .bind(&one.name)
            .bind(&one.owner)
            .bind(Wanted::Running.as_str())
            .bind(ms(now_ms))
            .bind(self.me.get())
            .bind(&one.backend)
            .execute(tx.on())
            .await
            .map_err(|e| StoreError::or_taken(e, "this project id"))?;
        }
        tx.commit().await
    }

    async fn finish_forks(
        &self,
        origin: &ProjectId,
        seq: u64,
        made: &[ProjectId],
        kept: &[(SnapshotKind, String)],
        candidates_of: Option<&ComparisonId>,
    ) -> Result<Vec<Project>, StoreError> {
        let mut tx = self.begin().await?;
        // Within the transaction: an origin that goes just now hands down what was said to them, too.
        let key: Option<(i64,)> = sqlx::query_as(concat!(
            "SELECT id FROM project WHERE public_id = $1 AND deleted_at IS NULL",
            held!()
        ))
        .bind(origin.as_str())
        .fetch_optional(tx.on())
        .await?;
        let (key,) = key.ok_or(StoreError::Missing { what: "project" })?;
        if let Some(comparison) = candidates_of {
            comparisons::begin::made(&mut tx, comparison, made).await?;
        }
        for id in made {
            let shown = sqlx::query(
                "UPDATE project SET deleted_at = NULL WHERE public_id = $1 AND destroyed_at IS NULL",
            )
            .bind(id.as_str())
            .execute(tx.on())
            .await?;
            if shown.rows_affected() == 0 {
                return Err(StoreError::Missing { what: "project" });
            }
            for statement in [
                "INSERT INTO fork_origin (project_id, origin_id, seq) \
                 SELECT id, $1, $2 FROM project WHERE public_id = $3",
                "INSERT INTO checkpoint_rule (project_id, keep_last, keep_hourly, keep_daily, \
                 is_automatic, updated_at) SELECT p.id, r.keep_last, r.keep_hourly, r.keep_daily, \
                 r.is_automatic, r.updated_at FROM checkpoint_rule r, project p \
                 WHERE r.project_id = $1 AND $2 >= 0 AND p.public_id = $3",
                concat!(
                    "INSERT INTO machine_settings (project_id, limits, idle, egress, \
                     egress_ceiling, updated_at) SELECT p.id, s.limits, s.idle, s.egress, ",
                    as_inherited!("s.egress_ceiling"),
                    ", s.updated_at FROM machine_settings s, project p \
                     WHERE s.project_id = $1 AND $2 >= 0 AND p.public_id = $3"
                ),
                "INSERT INTO model_limit (project_id, calls_at_once, calls_per_minute, updated_at) \
                 SELECT p.id, l.calls_at_once, l.calls_per_minute, l.updated_at FROM model_limit l, \
                 project p WHERE l.project_id = $1 AND $2 >= 0 AND p.public_id = $3",
                "INSERT INTO project_fallback (project_id, chains, updated_at) \
                 SELECT p.id, f.chains, f.updated_at FROM project_fallback f, \
                 project p WHERE f.project_id = $1 AND $2 >= 0 AND p.public_id = $3",
                "INSERT INTO budget (scope, run, month, total, updated_at) \
                 SELECT $3, b.run, b.month, b.total, b.updated_at FROM budget b \
                 JOIN project o ON o.public_id = b.scope WHERE o.id = $1 AND $2 >= 0",
                "INSERT INTO project_image (project, image_key, image_name) \
                 SELECT $3, i.image_key, i.image_name FROM project_image i \
                 JOIN project o ON o.public_id = i.project WHERE o.id = $1 AND $2 >= 0",
            ] {
                sqlx::query(statement)
                    .bind(key)
                    .bind(ms(seq))
                    .bind(id.as_str())
                    .execute(tx.on())
                    .await?;
            }
            for (kind, json) in kept {
                sqlx::query(
                    "INSERT INTO bridge_snapshot (project_id, kind, json, updated_at) \
                     SELECT id, $1, $2, created_at FROM project WHERE public_id = $3",
                )
                .bind(kind.as_str())
                .bind(raw(json))
                .bind(id.as_str())
                .execute(tx.on())
                .await?;
            }
        }
        tx.commit().await?;
        let mut out = Vec::with_capacity(made.len());
        for id in made {
            let project = self.project(id.as_str()).await?;
            out.push(project.ok_or(StoreError::Missing { what: "project" })?);
        }
        Ok(out)
    }

    async fn fork_origin(&self, project: &ProjectId) -> Result<Option<ProjectId>, StoreError> {
        let key = self.key(project).await?;
        let origin: Option<String> = sqlx::query_scalar(
            "SELECT p.public_id FROM fork_origin f JOIN project p ON p.id = f.origin_id \
             WHERE f.project_id = $1 AND p.deleted_at IS NULL",
        )
        .bind(key)
        .fetch_optional(&self.read)
        .await?;
        Ok(origin.and_then(|id| id.parse().ok()))
    }

    async fn project_names(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT name FROM project WHERE deleted_at IS NULL AND substr(name, 1, $1) = $2",
        )
        .bind(i32::try_from(beginning.chars().count()).unwrap_or(i32::MAX))
        .bind(beginning)
        .fetch_all(&self.read)
        .await?)
    }
}
