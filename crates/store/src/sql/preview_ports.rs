//! [`PreviewPorts`].

use super::{SqlStore, ms, unsigned};
use crate::{
    error::StoreError,
    preview_ports::{PreviewPort, PreviewPorts},
};
use async_trait::async_trait;
use toft_model::id::ProjectId;

/// A row that does not fit its types was not written by us: it is left out.
fn read(row: (i64, String, Option<i64>, i64, bool)) -> Option<PreviewPort> {
    let (port, project, app_port, used_at, lives) = row;
    Some(PreviewPort {
        port: u16::try_from(port).ok()?,
        project: project.parse().ok()?,
        app_port: app_port.map(u16::try_from).transpose().ok()?,
        used_at: unsigned(used_at),
        lives,
    })
}

#[async_trait]
impl PreviewPorts for SqlStore {
    async fn preview_ports(&self) -> Result<Vec<PreviewPort>, StoreError> {
        let rows: Vec<(i64, String, Option<i64>, i64, bool)> = sqlx::query_as(
            "SELECT v.port, p.public_id, v.app_port, v.used_at, p.deleted_at IS NULL \
             FROM preview_port v JOIN project p ON p.id = v.project_id ORDER BY v.port",
        )
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().filter_map(read).collect())
    }

    async fn put_preview_port(
        &self,
        port: u16,
        project: &ProjectId,
        app_port: Option<u16>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let owner: Option<(i64,)> =
            sqlx::query_as("SELECT id FROM project WHERE public_id = $1 AND deleted_at IS NULL")
                .bind(project.as_str())
                .fetch_optional(tx.on())
                .await?;
        let (owner,) = owner.ok_or(StoreError::Missing { what: "project" })?;
        let put = sqlx::query(
            "INSERT INTO preview_port (port, project_id, app_port, used_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (port) DO UPDATE SET project_id = excluded.project_id, \
             app_port = excluded.app_port, used_at = excluded.used_at \
             WHERE preview_port.project_id = excluded.project_id OR NOT EXISTS \
             (SELECT 1 FROM project p WHERE p.id = preview_port.project_id \
              AND p.deleted_at IS NULL)",
        )
        .bind(i64::from(port))
        .bind(owner)
        .bind(app_port.map(i64::from))
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        if put.rows_affected() == 0 {
            return Err(StoreError::Taken { what: "the preview port" });
        }
        tx.commit().await
    }
}
