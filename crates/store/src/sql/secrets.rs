//! [`Secrets`].

use super::{DbConnection, SqlStore, Write, ms, unsigned};
use crate::{
    error::StoreError,
    secrets::{AuthorityRow, BrokeredRow, ProjectKey, ProjectSecrets, SecretRow, Secrets, Wrapped},
};
use async_trait::async_trait;
use toft_model::id::ProjectId;

type Row = (String, String, Option<String>, i64, i64, String, Option<String>, Option<String>);

fn row((name, kind, sealed, revision, set_at, set_by, placeholder, binding): Row) -> SecretRow {
    let brokered = placeholder.zip(binding);
    SecretRow {
        name,
        kind,
        sealed,
        revision: unsigned(revision),
        set_at: unsigned(set_at),
        set_by,
        brokered: brokered.map(|(placeholder, binding)| BrokeredRow { placeholder, binding }),
    }
}

type KeyRow = (String, i64, Option<String>, Option<String>);

fn key((sealed, revision, certificate, authority): KeyRow) -> (ProjectKey, u64) {
    let authority = certificate.zip(authority);
    let authority = authority.map(|(certificate, sealed)| AuthorityRow { certificate, sealed });
    (ProjectKey { sealed, authority }, unsigned(revision))
}

/// The internal key of a project that is there or being made.
async fn secrets_of(conn: &mut DbConnection, id: &ProjectId) -> Result<i64, StoreError> {
    let key: Option<i64> =
        sqlx::query_scalar("SELECT id FROM project WHERE public_id = $1 AND destroyed_at IS NULL")
            .bind(id.as_str())
            .fetch_optional(conn)
            .await?;
    key.ok_or(StoreError::Missing { what: "project" })
}

/// The same, held until the transaction ends: a revision that was read stays so.
async fn held_secrets_of(tx: &mut Write<'_>, id: &ProjectId) -> Result<i64, StoreError> {
    let key: Option<i64> = sqlx::query_scalar(concat!(
        "SELECT id FROM project WHERE public_id = $1 AND destroyed_at IS NULL",
        held!()
    ))
    .bind(id.as_str())
    .fetch_optional(tx.on())
    .await?;
    key.ok_or(StoreError::Missing { what: "project" })
}

/// The project's revision.
async fn revision(tx: &mut Write<'_>, key: i64) -> Result<u64, StoreError> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT revision FROM secret_key WHERE project_id = $1")
            .bind(key)
            .fetch_optional(tx.on())
            .await?;
    Ok(found.map_or(0, unsigned))
}

#[async_trait]
impl Secrets for SqlStore {
    async fn secrets(&self, project: &ProjectId) -> Result<ProjectSecrets, StoreError> {
        // One moment: a key without its rows opens nothing.
        let mut tx = self.moment().await?;
        let id = secrets_of(&mut tx, project).await?;
        let kept: Option<KeyRow> = sqlx::query_as(
            "SELECT sealed, revision, authority_certificate, authority_key FROM secret_key \
             WHERE project_id = $1",
        )
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT name, kind, sealed, revision, set_at, set_by, placeholder, binding FROM secret \
             WHERE project_id = $1 ORDER BY name",
        )
        .bind(id)
        .fetch_all(&mut *tx)
        .await?;
        let (key, revision) = kept.map(key).unzip();
        Ok(ProjectSecrets {
            revision: revision.unwrap_or_default(),
            key,
            rows: rows.into_iter().map(row).collect(),
        })
    }

    async fn put_secrets(
        &self,
        project: &ProjectId,
        before: u64,
        key: &ProjectKey,
        rows: &[SecretRow],
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let id = held_secrets_of(&mut tx, project).await?;
        if revision(&mut tx, id).await? != before {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO secret_key (project_id, sealed, revision, made_at, authority_certificate, \
             authority_key) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (project_id) DO UPDATE SET revision = excluded.revision, made_at = \
             CASE WHEN secret_key.sealed = excluded.sealed THEN secret_key.made_at ELSE excluded.made_at END, \
             sealed = excluded.sealed, authority_certificate = excluded.authority_certificate, \
             authority_key = excluded.authority_key",
        )
        .bind(id)
        .bind(&key.sealed)
        .bind(ms(before + 1))
        .bind(ms(now_ms))
        .bind(key.authority.as_ref().map(|authority| &authority.certificate))
        .bind(key.authority.as_ref().map(|authority| &authority.sealed))
        .execute(tx.on())
        .await?;
        for row in rows {
            sqlx::query(
                "INSERT INTO secret (project_id, name, kind, sealed, revision, set_at, set_by, \
                 placeholder, binding) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                 ON CONFLICT (project_id, name) DO UPDATE SET \
                 kind = excluded.kind, sealed = excluded.sealed, revision = excluded.revision, \
                 set_at = excluded.set_at, set_by = excluded.set_by, \
                 placeholder = excluded.placeholder, binding = excluded.binding",
            )
            .bind(id)
            .bind(&row.name)
            .bind(&row.kind)
            .bind(&row.sealed)
            .bind(ms(row.revision))
            .bind(ms(row.set_at))
            .bind(&row.set_by)
            .bind(row.brokered.as_ref().map(|brokered| &brokered.placeholder))
            .bind(row.brokered.as_ref().map(|brokered| &brokered.binding))
            .execute(tx.on())
            .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn delete_secret(&self, project: &ProjectId, name: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let id = held_secrets_of(&mut tx, project).await?;
        let gone = sqlx::query("DELETE FROM secret WHERE project_id = $1 AND name = $2")
            .bind(id)
            .bind(name)
            .execute(tx.on())
            .await?
            .rows_affected();
        if gone == 0 {
            return Ok(false);
        }
        sqlx::query("UPDATE secret_key SET revision = revision + 1 WHERE project_id = $1")
            .bind(id)
            .execute(tx.on())
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn reseal_secret(
        &self,
        project: &ProjectId,
        name: &str,
        before: &str,
        sealed: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let id = held_secrets_of(&mut tx, project).await?;
        let done = sqlx::query(
            "UPDATE secret SET sealed = $1 WHERE project_id = $2 AND name = $3 AND sealed = $4",
        )
        .bind(sealed)
        .bind(id)
        .bind(name)
        .bind(before)
        .execute(tx.on())
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(done > 0)
    }

    async fn replace_secret_key(
        &self,
        project: &ProjectId,
        at: u64,
        key: &ProjectKey,
        sealed: &[(String, String)],
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let id = held_secrets_of(&mut tx, project).await?;
        if revision(&mut tx, id).await? != at {
            return Ok(false);
        }
        sqlx::query(
            "UPDATE secret_key SET sealed = $1, made_at = $2, authority_certificate = $3, \
             authority_key = $4 WHERE project_id = $5",
        )
        .bind(&key.sealed)
        .bind(ms(now_ms))
        .bind(key.authority.as_ref().map(|authority| &authority.certificate))
        .bind(key.authority.as_ref().map(|authority| &authority.sealed))
        .bind(id)
        .execute(tx.on())
        .await?;
        for (name, sealed) in sealed {
            sqlx::query("UPDATE secret SET sealed = $1 WHERE project_id = $2 AND name = $3")
                .bind(sealed)
                .bind(id)
                .bind(name)
                .execute(tx.on())
                .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn master_id(&self) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT master_id FROM vault WHERE id = 1")
            .fetch_optional(&self.read)
            .await?)
    }

    async fn put_master_id(&self, id: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO vault (id, master_id) VALUES (1, $1) ON CONFLICT (id) DO NOTHING")
            .bind(id)
            .execute(tx.on())
            .await?;
        tx.commit().await
    }

    async fn wrapped(&self) -> Result<Wrapped, StoreError> {
        let mut tx = self.moment().await?;
        let keys: Vec<(String, String)> = sqlx::query_as(
            "SELECT p.public_id, k.sealed FROM secret_key k JOIN project p ON p.id = k.project_id",
        )
        .fetch_all(&mut *tx)
        .await?;
        let provider_keys =
            sqlx::query_as("SELECT provider, sealed FROM provider_key").fetch_all(&mut *tx).await?;
        // All or nothing: a key that is left out is lost with the master key that it is under.
        let parsed = |(id, sealed): (String, String)| match id.parse() {
            Ok(id) => Ok((id, sealed)),
            Err(error) => Err(StoreError::Query(sqlx::Error::Decode(Box::new(error)))),
        };
        let data_keys = keys.into_iter().map(parsed).collect::<Result<_, _>>()?;
        let webhooks =
            sqlx::query_as("SELECT public_id, sealed FROM webhook").fetch_all(&mut *tx).await?;
        Ok(Wrapped { webhooks, data_keys, provider_keys })
    }

    async fn rewrap(&self, anew: &Wrapped, master_id: &str) -> Result<(), StoreError> {
        retried!(
            async {
                let mut tx = self.begin().await?;
                for (project, sealed) in &anew.data_keys {
                    sqlx::query(
                        "UPDATE secret_key SET sealed = $1 WHERE project_id = \
                 (SELECT id FROM project WHERE public_id = $2)",
                    )
                    .bind(sealed)
                    .bind(project.as_str())
                    .execute(tx.on())
                    .await?;
                }
                for (provider, sealed) in &anew.provider_keys {
                    sqlx::query("UPDATE provider_key SET sealed = $1 WHERE provider = $2")
                        .bind(sealed)
                        .bind(provider)
                        .execute(tx.on())
                        .await?;
                }
                for (id, sealed) in &anew.webhooks {
                    sqlx::query("UPDATE webhook SET sealed = $1 WHERE public_id = $2")
                        .bind(sealed)
                        .bind(id)
                        .execute(tx.on())
                        .await?;
                }
                put_master_id(&mut tx, master_id).await?;
                tx.commit().await
            }
            .await
        )
    }
}

async fn put_master_id(tx: &mut Write<'_>, id: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO vault (id, master_id) VALUES (1, $1) \
         ON CONFLICT (id) DO UPDATE SET master_id = excluded.master_id",
    )
    .bind(id)
    .execute(tx.on())
    .await?;
    Ok(())
}
