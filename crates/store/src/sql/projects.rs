//! [`Projects`].

use super::{
    DbRow, Durable, SqlStore, Write, comparisons, history, id, machine_settings, ms, raw, raw_of,
    runs, unsigned,
};
use crate::{
    error::StoreError,
    projects::{Created, NewProject, Project, Projects, Wake, Wanted},
};
use async_trait::async_trait;
use serde_json::from_value;
use sqlx::{FromRow, Row as _};
use toft_model::{id::ProjectId, machine::MachineState};

/// Wakes that are kept per project: enough to see a pattern, too few to fill a disk.
const WAKES_KEPT: i64 = 100;
/// Numbers of events that one transaction removes, so that other writers get their turn in between.
const DELETE_ROWS: i64 = 5_000;

macro_rules! project {
    ($rest:literal) => {
        concat!(
            "SELECT public_id, alias, name, owner_id, wanted, state_reason, host, backend, machine_state, created_at, updated_at, \
             (SELECT r.public_id FROM run r WHERE r.project_id = project.id \
             ORDER BY r.run_index DESC LIMIT 1) AS latest_run \
             FROM project ",
            $rest
        )
    };
}

impl FromRow<'_, DbRow> for Project {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: id(row.try_get("public_id")?)?,
            alias: row.try_get("alias")?,
            name: row.try_get("name")?,
            owner: row.try_get("owner_id")?,
            wanted: match row.try_get("wanted")? {
                "stopped" => Wanted::Stopped,
                _ => Wanted::Running,
            },
            state_reason: raw_of(row, "state_reason")?,
            host: row.try_get("host")?,
            backend: row.try_get("backend")?,
            machine_state: row
                .try_get::<Option<String>, _>("machine_state")?
                .and_then(|word| from_value(word.into()).ok()),
            latest_run: row.try_get("latest_run")?,
            created_at: unsigned(row.try_get("created_at")?),
            updated_at: unsigned(row.try_get("updated_at")?),
        })
    }
}

/// The project with the alias, or the id, of one that is to be made.
async fn known(tx: &mut Write<'_>, new: &NewProject) -> Result<Option<Project>, StoreError> {
    let (statement, name) = match &new.alias {
        Some(alias) => {
            (project!("WHERE team_id = 1 AND alias = $1 AND deleted_at IS NULL"), alias.as_str())
        }
        None => (project!("WHERE public_id = $1 AND deleted_at IS NULL"), new.id.as_str()),
    };
    Ok(sqlx::query_as(statement).bind(name).fetch_optional(tx.on()).await?)
}

#[async_trait]
impl Projects for SqlStore {
    async fn create_project(&self, new: &NewProject, now_ms: u64) -> Result<Created, StoreError> {
        let mut tx = self.begin().await?;
        if let Some(project) = known(&mut tx, new).await? {
            return Ok(Created { project, created: false });
        }
        let project = Project {
            id: new.id.clone(),
            alias: new.alias.clone(),
            name: new.name.clone(),
            owner: new.owner.clone(),
            wanted: Wanted::Running,
            state_reason: None,
            host: None,
            backend: new.backend.clone(),
            machine_state: None,
            latest_run: None,
            created_at: now_ms,
            updated_at: now_ms,
        };
        let key: Option<i64> = sqlx::query_scalar(
            "INSERT INTO project (public_id, team_id, alias, name, owner_id, wanted, created_at, \
             updated_at, backend) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT DO NOTHING RETURNING id",
        )
        .bind(project.id.as_str())
        .bind(&project.alias)
        .bind(&project.name)
        .bind(&project.owner)
        .bind(project.wanted.as_str())
        .bind(ms(now_ms))
        .bind(ms(now_ms))
        .bind(&project.backend)
        .fetch_optional(tx.on())
        .await?;
        let Some(key) = key else {
            // Another server was faster, or the id is a deleted project's.
            let project = known(&mut tx, new).await?;
            let project = project.ok_or(StoreError::Taken { what: "this project id" })?;
            return Ok(Created { project, created: false });
        };
        machine_settings::first(&mut tx, key, &new.settings, now_ms).await?;
        tx.commit().await?;
        Ok(Created { project, created: true })
    }

    async fn project(&self, id_or_alias: &str) -> Result<Option<Project>, StoreError> {
        if id_or_alias.parse::<ProjectId>().is_ok() {
            let found: Option<Project> =
                sqlx::query_as(project!("WHERE public_id = $1 AND deleted_at IS NULL"))
                    .bind(id_or_alias)
                    .fetch_optional(&self.read)
                    .await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(sqlx::query_as(project!("WHERE team_id = 1 AND alias = $1 AND deleted_at IS NULL"))
            .bind(id_or_alias)
            .fetch_optional(&self.read)
            .await?)
    }

    async fn projects(&self, limit: u32, offset: u32) -> Result<Vec<Project>, StoreError> {
        Ok(sqlx::query_as(project!(
            "WHERE deleted_at IS NULL ORDER BY updated_at DESC, id DESC LIMIT $1 OFFSET $2"
        ))
        .bind(i64::from(limit))
        .bind(i64::from(offset))
        .fetch_all(&self.read)
        .await?)
    }

    async fn listed_projects(&self, limit: u32, offset: u32) -> Result<Vec<Project>, StoreError> {
        Ok(sqlx::query_as(project!(
            "WHERE deleted_at IS NULL AND NOT EXISTS \
             (SELECT 1 FROM candidate d WHERE d.project_id = project.id) \
             ORDER BY updated_at DESC, id DESC LIMIT $1 OFFSET $2"
        ))
        .bind(i64::from(limit))
        .bind(i64::from(offset))
        .fetch_all(&self.read)
        .await?)
    }

    async fn rename_project(
        &self,
        id: &ProjectId,
        name: &str,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(id, Durable::Now).await?;
        sqlx::query("UPDATE project SET name = $1, updated_at = $2 WHERE id = $3")
            .bind(name)
            .bind(ms(now_ms))
            .bind(key)
            .execute(tx.on())
            .await?;
        tx.commit().await
    }

    async fn set_wanted(
        &self,
        id: &ProjectId,
        wanted: Wanted,
        reason: Option<&str>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(id, Durable::Now).await?;
        sqlx::query(
            "UPDATE project SET wanted = $1, state_reason = $2, updated_at = $3 WHERE id = $4 \
             AND COALESCE(host, $5) = $5",
        )
        .bind(wanted.as_str())
        .bind(reason.map(raw))
        .bind(ms(now_ms))
        .bind(key)
        .bind(self.me.get().map_or("", String::as_str))
        .execute(tx.on())
        .await?;
        tx.commit().await
    }

    async fn move_project(
        &self,
        id: &ProjectId,
        from: &str,
        to: &str,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(id, Durable::Now).await?;
        sqlx::query("UPDATE project SET backend = $1, updated_at = $2 WHERE id = $3")
            .bind(to)
            .bind(ms(now_ms))
            .bind(key)
            .execute(tx.on())
            .await?;
        sqlx::query(
            "UPDATE checkpoint SET backend = CASE WHEN backend = $1 THEN NULL \
             ELSE COALESCE(backend, $2) END WHERE project_id = $3",
        )
        .bind(to)
        .bind(from)
        .bind(key)
        .execute(tx.on())
        .await?;
        sqlx::query("DELETE FROM project_image WHERE project = $1")
            .bind(id.as_str())
            .execute(tx.on())
            .await?;
        tx.commit().await
    }

    async fn backend_of(&self, id: &ProjectId) -> Result<Option<String>, StoreError> {
        let found = sqlx::query_scalar::<_, Option<String>>(
            "SELECT backend FROM project WHERE public_id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(&self.read)
        .await?;
        Ok(found.flatten())
    }

    async fn name_backends(&self, backend: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE project SET backend = $1 WHERE backend IS NULL AND host = $2")
            .bind(backend)
            .bind(self.me.get())
            .execute(tx.on())
            .await?;
        tx.commit().await
    }

    async fn touch_project(&self, id: &ProjectId, now_ms: u64) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(id, Durable::Soon).await?;
        sqlx::query("UPDATE project SET updated_at = $1 WHERE id = $2 AND updated_at < $1")
            .bind(ms(now_ms))
            .bind(key)
            .execute(tx.on())
            .await?;
        tx.commit().await
    }

    async fn delete_project(&self, id: &ProjectId, now_ms: u64) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(id, Durable::Now).await?;
        history::hand_down(tx.on(), key).await?;
        sqlx::query("UPDATE project SET deleted_at = $1, alias = NULL WHERE id = $2")
            .bind(ms(now_ms))
            .bind(key)
            .execute(tx.on())
            .await?;
        for statement in comparisons::OF_A_DELETED {
            sqlx::query(statement).bind(key).execute(tx.on()).await?;
        }
        for statement in [
            "UPDATE run SET status = 'cancelled', fence = fence + 1, host_away = 0 WHERE project_id = $1 \
             AND status IN ('queued', 'running')",
            "DELETE FROM bridge_snapshot WHERE project_id = $1",
            "DELETE FROM bridge_tamper WHERE project_id = $1",
            "DELETE FROM machine_wake WHERE project_id = $1",
            "DELETE FROM checkpoint WHERE project_id = $1",
            "DELETE FROM checkpoint_rule WHERE project_id = $1",
            "DELETE FROM fork_origin WHERE project_id = $1",
            "DELETE FROM inherited_event WHERE project_id = $1",
            "DELETE FROM schedule WHERE project_id = $1",
            "DELETE FROM machine_settings WHERE project_id = $1",
            "DELETE FROM machine_observed WHERE project_id = $1",
            "DELETE FROM model_limit WHERE project_id = $1",
            "DELETE FROM project_fallback WHERE project_id = $1",
            "DELETE FROM webhook WHERE project_id = $1",
            "DELETE FROM trace_cursor WHERE project_id = $1",
            "DELETE FROM budget WHERE scope = (SELECT public_id FROM project WHERE id = $1)",
            "DELETE FROM secret WHERE project_id = $1",
            "DELETE FROM api_key WHERE project_id = $1",
            "DELETE FROM secret_key WHERE project_id = $1",
            "DELETE FROM project_image WHERE project = (SELECT public_id FROM project WHERE id = $1)",
        ] {
            sqlx::query(statement).bind(key).execute(tx.on()).await?;
        }
        tx.commit_as("projects.deleted").await?;
        self.forget(id);
        Ok(())
    }

    async fn remove_left(&self, id: &ProjectId) -> Result<(), StoreError> {
        let deleted = "SELECT id FROM project WHERE public_id = $1 AND deleted_at IS NOT NULL";
        let key: Option<i64> =
            sqlx::query_scalar(deleted).bind(id.as_str()).fetch_optional(&self.read).await?;
        let Some(key) = key else { return Ok(()) };
        runs::delete(self, key).await?;
        loop {
            let mut tx = self.begin_relaxed().await?;
            let gone = sqlx::query(
                "DELETE FROM bridge_event WHERE project_id = $1 AND seq < $2 + \
                 (SELECT min(seq) FROM bridge_event WHERE project_id = $1)",
            )
            .bind(key)
            .bind(DELETE_ROWS)
            .execute(tx.on())
            .await?
            .rows_affected();
            tx.commit().await?;
            if gone == 0 {
                return Ok(());
            }
        }
    }

    async fn to_destroy(&self) -> Result<Vec<ProjectId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT public_id FROM project WHERE deleted_at IS NOT NULL AND destroyed_at IS NULL \
             AND COALESCE(host, $1) = $1",
        )
        .bind(self.me.get().map_or("", String::as_str))
        .fetch_all(&self.read)
        .await?;
        // Only ids that were parsed once are ever written.
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }

    async fn set_destroyed(&self, id: &ProjectId, now_ms: u64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE project SET destroyed_at = $1 WHERE public_id = $2 AND deleted_at IS NOT NULL",
        )
        .bind(ms(now_ms))
        .bind(id.as_str())
        .execute(tx.on())
        .await?;
        // A fork that never was had them already.
        for statement in [
            "DELETE FROM secret WHERE project_id = (SELECT id FROM project WHERE public_id = $1 \
             AND destroyed_at IS NOT NULL)",
            "DELETE FROM secret_key WHERE project_id = (SELECT id FROM project WHERE public_id = $1 \
             AND destroyed_at IS NOT NULL)",
        ] {
            sqlx::query(statement).bind(id.as_str()).execute(tx.on()).await?;
        }
        tx.commit().await
    }

    async fn add_wake(&self, id: &ProjectId, wake: &Wake) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(id, Durable::Soon).await?;
        sqlx::query(
            "INSERT INTO machine_wake (project_id, at, cause, was) VALUES ($1, $2, $3, $4)",
        )
        .bind(key)
        .bind(ms(wake.at))
        .bind(&wake.cause)
        .bind(wake.was.map(MachineState::as_str))
        .execute(tx.on())
        .await?;
        sqlx::query(
            "DELETE FROM machine_wake WHERE project_id = $1 AND id <= (SELECT id FROM machine_wake \
             WHERE project_id = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)",
        )
        .bind(key)
        .bind(key)
        .bind(WAKES_KEPT)
        .execute(tx.on())
        .await?;
        tx.commit().await
    }

    async fn wakes(&self, id: &ProjectId, limit: u32) -> Result<Vec<Wake>, StoreError> {
        let key = self.key(id).await?;
        let rows: Vec<(i64, String, Option<String>)> = sqlx::query_as(
            "SELECT at, cause, was FROM machine_wake WHERE project_id = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(key)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        let wake = |(at, cause, was): (i64, String, Option<String>)| {
            let was = was.and_then(|word| from_value(word.into()).ok());
            Wake { at: unsigned(at), cause, was }
        };
        Ok(rows.into_iter().map(wake).collect())
    }
}
