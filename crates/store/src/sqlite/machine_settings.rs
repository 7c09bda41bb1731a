//! [`MachineRecords`] on SQLite.

use super::{SqliteStore, Write, ms};
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
         updated_at) VALUES (?, ?, ?, ?, ?, ?)",
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

impl SqliteStore {
    /// `statement` has the project, the JSON and the time.
    async fn put_setting_of(
        &self,
        id: &ProjectId,
        statement: &'static str,
        json: Option<String>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let key = self.key(id).await?;
        let mut tx = self.begin().await?;
        sqlx::query(statement).bind(key).bind(json).bind(ms(now_ms)).execute(tx.on()).await?;
        tx.commit().await
    }
}

#[async_trait]
impl MachineRecords for SqliteStore {
    async fn machine_settings(&self, id: &ProjectId) -> Result<MachineSettings, StoreError> {
        let key = self.key(id).await?;
        let row: Option<Columns> = sqlx::query_as(
            "SELECT limits, idle, egress, egress_ceiling FROM machine_settings \
             WHERE project_id = ?",
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
            VALUES (?, ?, ?) ON CONFLICT (project_id) DO UPDATE SET limits = excluded.limits, \
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
            VALUES (?, ?, ?) ON CONFLICT (project_id) DO UPDATE SET idle = excluded.idle, \
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
            VALUES (?, ?, ?) ON CONFLICT (project_id) DO UPDATE SET egress = excluded.egress, \
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
            VALUES (?, ?, ?) ON CONFLICT (project_id) DO UPDATE SET \
            egress_ceiling = excluded.egress_ceiling, updated_at = excluded.updated_at";
        self.put_setting_of(id, PUT, ceiling.map(|one| json!(one).to_string()), now_ms).await
    }

    async fn add_observed(
        &self,
        id: &ProjectId,
        told: &Told,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let key = self.key(id).await?;
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO machine_observed (project_id, told_id, what, at) VALUES (?, ?, ?, ?) \
             ON CONFLICT (project_id, told_id) DO NOTHING",
        )
        .bind(key)
        .bind(&told.id)
        .bind(json!(told.what).to_string())
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        sqlx::query(
            "DELETE FROM machine_observed WHERE project_id = ? AND id <= (SELECT id FROM \
             machine_observed WHERE project_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
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
            "SELECT told_id, what FROM machine_observed WHERE project_id = ? ORDER BY id",
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
        let key = self.key(id).await?;
        let mut tx = self.begin_relaxed().await?;
        sqlx::query("DELETE FROM machine_observed WHERE project_id = ? AND told_id = ?")
            .bind(key)
            .bind(told_id)
            .execute(tx.on())
            .await?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projects::{NewProject, Projects as _};

    #[tokio::test]
    async fn what_a_machine_may_reach_and_cannot_be_read_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("t.db")).await.unwrap();
        let new = NewProject {
            id: ProjectId::random(),
            alias: None,
            name: "Shop".into(),
            owner: crate::people::SYSTEM_USER.into(),
            settings: MachineSettings::default(),
        };
        let id = store.create_project(&new, 1).await.unwrap().project.id;
        let open = EgressSetting { level: EgressName::Open, rules: Vec::new() };
        store.put_egress(&id, Some(&open), 2).await.unwrap();
        assert_eq!(store.machine_settings(&id).await.unwrap().egress, Some(open));
        for text in
            ["", "{}", "{\"level\":\"all\"}", "\"open\"", "{\"level\":\"open\",\"rules\":[1]}"]
        {
            sqlx::query("UPDATE machine_settings SET egress = ?")
                .bind(text)
                .execute(&store.full)
                .await
                .unwrap();
            let read = store.machine_settings(&id).await.unwrap().egress;
            assert_eq!(read, Some(EgressSetting::nothing()), "{text:?}");
        }
        let wide = EgressCeiling { level: EgressName::Open, inherited: false };
        store.put_egress_ceiling(&id, Some(&wide), 3).await.unwrap();
        assert_eq!(store.machine_settings(&id).await.unwrap().ceiling, Some(wide));
        for text in ["", "{}", "{\"level\":\"all\"}", "\"open\""] {
            sqlx::query("UPDATE machine_settings SET egress_ceiling = ?")
                .bind(text)
                .execute(&store.full)
                .await
                .unwrap();
            let read = store.machine_settings(&id).await.unwrap().ceiling;
            assert_eq!(read.map(|one| one.level), Some(EgressName::None), "{text:?}");
        }
    }
}
