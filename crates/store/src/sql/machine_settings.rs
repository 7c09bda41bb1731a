//! [`MachineRecords`].

use super::{Durable, SqlStore, Write, ms};
use crate::{
    error::StoreError,
    machine_settings::{MachineRecords, MachineSettings},
};
use async_trait::async_trait;
use serde_json::{from_str, json};
use toft_model::{
    event::{Observed, Told},
    id::ProjectId,
    machine::{EgressCeiling, EgressName, EgressSetting, IdleRule, Limits},
};

/// What waits per project: a machine that reaches its limits over and over while its bridge is down
/// fills a page, not the disk.
const OBSERVED_KEPT: i64 = 100;

/// What a ceiling is that cannot be read.
const NOTHING: EgressCeiling = EgressCeiling { level: EgressName::None, inherited: false };

/// The settings, as JSON each.
type Columns = (Option<String>, Option<String>, Option<String>, Option<String>);

/// Writes what a project is made with.
pub(super) async fn first(
    tx: &mut Write<'_>,
    key: i64,
    settings: &MachineSettings,
    now_ms: u64,
) -> Result<(), StoreError> {
    if *settings == MachineSettings::default() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO machine_settings (project_id, limits, idle, egress, egress_ceiling, \
         updated_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(key)
    .bind(settings.limits.as_ref().map(|one| json!(one).to_string()))
    .bind(settings.idle.as_ref().map(|one| json!(one).to_string()))
    .bind(settings.egress.as_ref().map(|one| json!(one).to_string()))
    .bind(settings.ceiling.as_ref().map(|one| json!(one).to_string()))
    .bind(ms(now_ms))
    .execute(tx.on())
    .await?;
    Ok(())
}

impl SqlStore {
    /// `statement` has the project, the JSON and the time.
    async fn put_setting_of(
        &self,
        id: &ProjectId,
        statement: &'static str,
        json: Option<String>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(id, Durable::Now).await?;
        sqlx::query(statement).bind(key).bind(json).bind(ms(now_ms)).execute(tx.on()).await?;
        tx.commit().await
    }
}

#[async_trait]
impl MachineRecords for SqlStore {
    async fn machine_settings(&self, id: &ProjectId) -> Result<MachineSettings, StoreError> {
        let key = self.key(id).await?;
        let row: Option<Columns> = sqlx::query_as(
            "SELECT limits, idle, egress, egress_ceiling FROM machine_settings \
             WHERE project_id = $1",
        )
        .bind(key)
        .fetch_optional(&self.read)
        .await?;
        let (limits, idle, egress, ceiling) = row.unwrap_or_default();
        // A row that does not fit was not written by us: the default holds. But nothing is opened by it.
        Ok(MachineSettings {
            limits: limits.and_then(|text| from_str::<Limits>(&text).ok()),
            idle: idle.and_then(|text| from_str::<IdleRule>(&text).ok()),
            egress: egress.map(|text| from_str(&text).unwrap_or_else(|_| EgressSetting::nothing())),
            ceiling: ceiling.map(|text| from_str(&text).unwrap_or(NOTHING)),
        })
    }

    async fn idle_rules(&self) -> Result<Vec<(ProjectId, IdleRule)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT p.public_id, s.idle FROM machine_settings s JOIN project p \
             ON p.id = s.project_id AND p.deleted_at IS NULL WHERE s.idle IS NOT NULL",
        )
        .fetch_all(&self.read)
        .await?;
        let rule = |(id, idle): (String, String)| Some((id.parse().ok()?, from_str(&idle).ok()?));
        Ok(rows.into_iter().filter_map(rule).collect())
    }

    async fn put_limits(
        &self,
        id: &ProjectId,
        limits: Option<&Limits>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        const PUT: &str = "INSERT INTO machine_settings (project_id, limits, updated_at) \
            VALUES ($1, $2, $3) ON CONFLICT (project_id) DO UPDATE SET limits = excluded.limits, \
            updated_at = excluded.updated_at";
        self.put_setting_of(id, PUT, limits.map(|limits| json!(limits).to_string()), now_ms).await
    }

    async fn put_idle(
        &self,
        id: &ProjectId,
        idle: Option<&IdleRule>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        const PUT: &str = "INSERT INTO machine_settings (project_id, idle, updated_at) \
            VALUES ($1, $2, $3) ON CONFLICT (project_id) DO UPDATE SET idle = excluded.idle, \
            updated_at = excluded.updated_at";
        self.put_setting_of(id, PUT, idle.map(|idle| json!(idle).to_string()), now_ms).await
    }

    async fn put_egress(
        &self,
        id: &ProjectId,
        egress: Option<&EgressSetting>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        const PUT: &str = "INSERT INTO machine_settings (project_id, egress, updated_at) \
            VALUES ($1, $2, $3) ON CONFLICT (project_id) DO UPDATE SET egress = excluded.egress, \
            updated_at = excluded.updated_at";
        self.put_setting_of(id, PUT, egress.map(|egress| json!(egress).to_string()), now_ms).await
    }

    async fn put_egress_ceiling(
        &self,
        id: &ProjectId,
        ceiling: Option<&EgressCeiling>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        const PUT: &str = "INSERT INTO machine_settings (project_id, egress_ceiling, updated_at) \
            VALUES ($1, $2, $3) ON CONFLICT (project_id) DO UPDATE SET \
            egress_ceiling = excluded.egress_ceiling, updated_at = excluded.updated_at";
        self.put_setting_of(id, PUT, ceiling.map(|one| json!(one).to_string()), now_ms).await
    }

    async fn add_observed(
        &self,
        id: &ProjectId,
        told: &Told,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(id, Durable::Now).await?;
        sqlx::query(
            "INSERT INTO machine_observed (project_id, told_id, what, at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (project_id, told_id) DO NOTHING",
        )
        .bind(key)
        .bind(&told.id)
        .bind(json!(told.what).to_string())
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        sqlx::query(
            "DELETE FROM machine_observed WHERE project_id = $1 AND id <= (SELECT id FROM \
             machine_observed WHERE project_id = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)",
        )
        .bind(key)
        .bind(key)
        .bind(OBSERVED_KEPT)
        .execute(tx.on())
        .await?;
        tx.commit().await
    }

    async fn observed(&self, id: &ProjectId) -> Result<Vec<Told>, StoreError> {
        let key = self.key(id).await?;
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT told_id, what FROM machine_observed WHERE project_id = $1 ORDER BY id",
        )
        .bind(key)
        .fetch_all(&self.read)
        .await?;
        let told = |(id, what): (String, String)| {
            Some(Told { id, what: from_str::<Observed>(&what).ok()? })
        };
        Ok(rows.into_iter().filter_map(told).collect())
    }

    async fn drop_observed(&self, id: &ProjectId, told_id: &str) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(id, Durable::Soon).await?;
        sqlx::query("DELETE FROM machine_observed WHERE project_id = $1 AND told_id = $2")
            .bind(key)
            .bind(told_id)
            .execute(tx.on())
            .await?;
        tx.commit().await
    }
}
