//! [`Servers`].

use super::{ALONE, SqlStore, ms, queue, runs::hosts, unsigned};
use crate::{
    error::StoreError,
    servers::{GONE_MS, Joined, NewServer, Server, Servers},
};
use async_trait::async_trait;
use toft_model::{id::ProjectId, machine::MachineState, run::JobId};

/// A server that was silent for so long, and has nothing, is forgotten.
const FORGOTTEN_MS: u64 = 30 * 24 * 3_600_000;
async fn join(store: &SqlStore, server: &NewServer, now_ms: u64) -> Result<Joined, StoreError> {
    let mut tx = store.begin().await?;
    let other: Option<(String, String, i64)> = sqlx::query_as(concat!(
        "SELECT place, url, ",
        clock!("$2"),
        " - seen_at FROM server WHERE id = $1",
        held!()
    ))
    .bind(&server.id)
    .bind(ms(now_ms))
    .fetch_optional(tx.on())
    .await?;
    if let Some((place, url, silent_ms)) = other
        && place != server.place
        && unsigned(silent_ms) < GONE_MS
        && !ALONE
    {
        return Ok(Joined::Taken(url));
    }
    let differs: Option<String> = sqlx::query_scalar(concat!(
        "SELECT url FROM server WHERE id <> $1 AND shares <> $2 AND seen_at > ",
        clock!("$3"),
        " - $4 ORDER BY seen_at DESC LIMIT 1"
    ))
    .bind(&server.id)
    .bind(&server.shares)
    .bind(ms(now_ms))
    .bind(ms(GONE_MS))
    .fetch_optional(tx.on())
    .await?;
    if let Some(url) = differs.filter(|_| !ALONE) {
        return Ok(Joined::Differs(url));
    }
    sqlx::query(concat!(
        "INSERT INTO server (id, place, url, version, shares, seen_at, created_at) \
         VALUES ($1, $2, $3, $4, $6, ",
        clock!("$5"),
        ", $5) ON CONFLICT (id) DO UPDATE SET place = excluded.place, url = excluded.url, \
         version = excluded.version, shares = excluded.shares, seen_at = excluded.seen_at"
    ))
    .bind(&server.id)
    .bind(&server.place)
    .bind(&server.url)
    .bind(&server.version)
    .bind(ms(now_ms))
    .bind(&server.shares)
    .execute(tx.on())
    .await?;
    sqlx::query(concat!(
        "DELETE FROM server WHERE seen_at < ",
        clock!("$1"),
        " - $2 AND NOT EXISTS (SELECT 1 FROM project p WHERE p.host = server.id) \
         AND NOT EXISTS (SELECT 1 FROM image i WHERE i.host = server.id)"
    ))
    .bind(ms(now_ms))
    .bind(ms(FORGOTTEN_MS))
    .execute(tx.on())
    .await?;
    if ALONE {
        // There is no other whose they could be, whatever an earlier folder of this file was called.
        for statement in ["UPDATE project SET host = $1", "UPDATE image SET host = $1"] {
            sqlx::query(statement).bind(&server.id).execute(tx.on()).await?;
        }
    }
    tx.commit().await?;
    // Whoever joins again is the same.
    let _ = store.me.set(server.id.clone());
    Ok(Joined::Yes)
}

#[async_trait]
impl Servers for SqlStore {
    fn is_shared(&self) -> bool {
        !ALONE
    }

    async fn join(&self, server: &NewServer, now_ms: u64) -> Result<Joined, StoreError> {
        join(self, server, now_ms).await
    }

    async fn beat(&self, server: &NewServer, now_ms: u64) -> Result<bool, StoreError> {
        let mut tx = self.begin_relaxed().await?;
        let kept = sqlx::query(concat!(
            "UPDATE server SET seen_at = ",
            clock!("$3"),
            " WHERE id = $1 AND place = $2"
        ))
        .bind(&server.id)
        .bind(&server.place)
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(kept > 0)
    }

    async fn servers(&self, now_ms: u64) -> Result<Vec<Server>, StoreError> {
        let rows: Vec<(String, String, String, i64)> = sqlx::query_as(concat!(
            "SELECT id, url, version, ",
            clock!("$1"),
            " - seen_at FROM server ORDER BY created_at, id"
        ))
        .bind(ms(now_ms))
        .fetch_all(&self.read)
        .await?;
        let server = |(id, url, version, silent_ms): (String, String, String, i64)| Server {
            id,
            url,
            version,
            silent_ms: unsigned(silent_ms),
        };
        Ok(rows.into_iter().map(server).collect())
    }

    async fn bind_project(
        &self,
        project: &ProjectId,
        backend: &str,
    ) -> Result<Option<String>, StoreError> {
        let known = sqlx::query_scalar::<_, Option<String>>(
            "SELECT host FROM project WHERE public_id = $1 AND deleted_at IS NULL",
        )
        .bind(project.as_str())
        .fetch_optional(&self.read)
        .await?;
        let (Some(None), Some(me)) = (&known, self.me.get()) else { return Ok(known.flatten()) };
        // The disk is made after this: it must not be lost when the disk is there.
        let mut tx = self.begin().await?;
        let host = sqlx::query_scalar::<_, Option<String>>(
            "UPDATE project SET backend = CASE WHEN host IS NULL THEN COALESCE(backend, $3) ELSE backend END, \
             host = COALESCE(host, $2) WHERE public_id = $1 AND deleted_at IS NULL RETURNING host",
        )
        .bind(project.as_str())
        .bind(me)
        .bind(backend)
        .fetch_optional(tx.on())
        .await?;
        tx.commit().await?;
        Ok(host.flatten())
    }

    async fn keep_machine_states(
        &self,
        states: &[(ProjectId, MachineState)],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_relaxed().await?;
        let named: Vec<&str> = states.iter().map(|(project, _)| project.as_str()).collect();
        let keys = tx.hold(&named).await?;
        for (project, state) in states {
            sqlx::query("UPDATE project SET machine_state = $2 WHERE id = $1 AND host = $3")
                .bind(keys.get(project.as_str()))
                .bind(state.as_str())
                .bind(self.me.get())
                .execute(tx.on())
                .await?;
        }
        tx.commit().await
    }

    async fn tell_of_hosts(&self, is_sure: bool, now_ms: u64) -> Result<Vec<JobId>, StoreError> {
        hosts::tell_of(self, is_sure, now_ms).await
    }

    async fn give_back_run(&self, run: &JobId, fence: u64) -> Result<(), StoreError> {
        queue::give_back(self, run, fence).await
    }
}
