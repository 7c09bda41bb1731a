//! [`Webhooks`].

use super::{DbRow, Durable, SqlStore, Write, flag, id, ms, raw, raw_of, small, unsigned};
use crate::{
    error::StoreError,
    webhooks::{Claiming, Delivery, Webhook, Webhooks},
};
use async_trait::async_trait;
use sqlx::{FromRow, Row as _};
use toft_model::{id::ProjectId, run::WebhookId};

macro_rules! webhooks {
    ($rest:literal) => {
        concat!(
            "SELECT w.public_id, p.public_id AS of_project, w.url, w.sealed, w.created_at FROM webhook w \
             LEFT JOIN project p ON p.id = w.project_id ",
            $rest
        )
    };
}

macro_rules! deliveries {
    ($rest:expr) => {
        concat!(
            "SELECT o.public_id AS delivery, o.attempts, o.next_at, o.done_at, o.delivered, o.said, \
             o.created_at AS told_at, r.public_id AS run, q.public_id AS project, w.public_id, \
             p.public_id AS of_project, w.url, w.sealed, w.created_at FROM outbox o \
             JOIN webhook w ON w.id = o.webhook_id JOIN run r ON r.id = o.run_id \
             JOIN project q ON q.id = r.project_id LEFT JOIN project p ON p.id = w.project_id ",
            $rest
        )
    };
}

impl FromRow<'_, DbRow> for Webhook {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        let project: Option<&str> = row.try_get("of_project")?;
        Ok(Self {
            id: id(row.try_get("public_id")?)?,
            project: project.map(id).transpose()?,
            url: row.try_get("url")?,
            sealed: row.try_get("sealed")?,
            created_at: unsigned(row.try_get("created_at")?),
        })
    }
}

impl FromRow<'_, DbRow> for Delivery {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: id(row.try_get("delivery")?)?,
            webhook: Webhook::from_row(row)?,
            project: id(row.try_get("project")?)?,
            run: id(row.try_get("run")?)?,
            attempts: small(row.try_get("attempts")?),
            next_at: unsigned(row.try_get("next_at")?),
            done_at: row.try_get::<Option<i64>, _>("done_at")?.map(unsigned),
            is_delivered: flag(row, "delivered")?,
            said: raw_of(row, "said")?,
            created_at: unsigned(row.try_get("told_at")?),
        })
    }
}

/// A run is over: whoever wants to know is to be told. Part of the transaction that ends it. Of a candidate's, in a
/// fork that nobody has subscribed to, the project of its comparison is told.
pub(super) async fn tell_of(
    tx: &mut Write<'_>,
    run_key: i64,
    now_ms: u64,
) -> Result<(), StoreError> {
    let wanting: Vec<i64> = sqlx::query_scalar(
        "SELECT w.id FROM webhook w JOIN run r ON r.id = $1 JOIN project p ON p.id = r.project_id \
         WHERE w.team_id = p.team_id AND (w.project_id IS NULL OR w.project_id = p.id OR w.project_id = \
         (SELECT c.project_id FROM candidate d JOIN comparison c ON c.id = d.comparison_id WHERE d.run = r.public_id)) \
         ORDER BY w.id",
    )
    .bind(run_key)
    .fetch_all(tx.on())
    .await?;
    for webhook in wanting {
        sqlx::query(concat!(
            "INSERT INTO outbox (public_id, webhook_id, run_id, next_at, created_at) VALUES ($1, $2, $3, ",
            clock!("$4"),
            ", $4) ON CONFLICT (webhook_id, run_id) DO NOTHING",
        ))
        .bind(WebhookId::random().as_str())
        .bind(webhook)
        .bind(run_key)
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
    }
    Ok(())
}

#[async_trait]
impl Webhooks for SqlStore {
    async fn add_webhook(&self, webhook: &Webhook, at_most: u32) -> Result<bool, StoreError> {
        let (mut tx, project) = match &webhook.project {
            Some(project) => {
                let (tx, key) = self.begin_in(project, Durable::Now).await?;
                (tx, Some(key))
            }
            None => (self.begin().await?, None),
        };
        if project.is_none() {
            // Held, or two that are added at once see each other as little as their count.
            sqlx::query(concat!("SELECT id FROM team WHERE id = 1", held!()))
                .fetch_optional(tx.on())
                .await?;
        }
        let is_added = sqlx::query(
            "INSERT INTO webhook (public_id, team_id, project_id, url, sealed, created_at) \
             SELECT $1, 1, $2, $3, $4, $5 WHERE $6 > \
             (SELECT COUNT(*) FROM webhook WHERE COALESCE(project_id, 0) = COALESCE($2, 0))",
        )
        .bind(webhook.id.as_str())
        .bind(project)
        .bind(&webhook.url)
        .bind(&webhook.sealed)
        .bind(ms(webhook.created_at))
        .bind(i64::from(at_most))
        .execute(tx.on())
        .await?
        .rows_affected()
            > 0;
        tx.commit_as("webhooks.added").await?;
        Ok(is_added)
    }

    async fn webhooks(&self, project: Option<&ProjectId>) -> Result<Vec<Webhook>, StoreError> {
        let found = match project {
            Some(project) => {
                sqlx::query_as(webhooks!(
                    "WHERE p.public_id = $1 AND p.deleted_at IS NULL ORDER BY w.id"
                ))
                .bind(project.as_str())
                .fetch_all(&self.read)
                .await?
            }
            None => {
                sqlx::query_as(webhooks!("WHERE w.project_id IS NULL ORDER BY w.id"))
                    .fetch_all(&self.read)
                    .await?
            }
        };
        Ok(found)
    }

    async fn delete_webhook(
        &self,
        project: Option<&ProjectId>,
        id: &WebhookId,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query(
            "DELETE FROM webhook WHERE public_id = $1 AND ((CAST($2 AS TEXT) IS NULL AND project_id IS NULL) OR \
             project_id = (SELECT id FROM project WHERE public_id = $2))",
        )
        .bind(id.as_str())
        .bind(project.map(ProjectId::as_str))
        .execute(tx.on())
        .await?
        .rows_affected();
        tx.commit_as("webhooks.removed").await?;
        Ok(gone > 0)
    }

    async fn claim_deliveries(
        &self,
        of: &Claiming<'_>,
        lease_ms: u64,
        now_ms: u64,
    ) -> Result<Vec<Delivery>, StoreError> {
        // Nothing is due, most of the time: no turn of a writer is taken for that.
        let any = sqlx::query(concat!(
            "SELECT 1 FROM outbox WHERE done_at IS NULL AND next_at <= ",
            clock!("$1"),
            " LIMIT 1"
        ));
        if any.bind(ms(now_ms)).fetch_optional(&self.read).await?.is_none() {
            return Ok(Vec::new());
        }
        let busy: Vec<&str> = of.busy.iter().map(WebhookId::as_str).collect();
        let mut tx = self.begin().await?;
        let ids: Vec<String> = sqlx::query_scalar(concat!(
            "UPDATE outbox SET attempts = attempts + 1, next_at = ",
            clock!("$2"),
            " + $3 WHERE id IN (SELECT o.id FROM outbox o WHERE o.done_at IS NULL AND o.next_at <= ",
            clock!("$2"),
            " AND o.id IN (SELECT n.id FROM (SELECT d.id, \
             ROW_NUMBER() OVER (PARTITION BY d.webhook_id ORDER BY d.next_at, d.id) AS place FROM outbox d \
             WHERE d.done_at IS NULL AND d.next_at <= ",
            clock!("$2"),
            ") n WHERE n.place <= $4) AND ",
            not_among!("(SELECT w.public_id FROM webhook w WHERE w.id = o.webhook_id)", "$5"),
            " ORDER BY o.next_at LIMIT $1",
            skip_held!("o"),
            ") RETURNING public_id"
        ))
        .bind(i64::from(of.limit))
        .bind(ms(now_ms))
        .bind(ms(lease_ms))
        .bind(i64::from(of.per_webhook))
        .bind(super::words(&busy))
        .fetch_all(tx.on())
        .await?;
        tx.commit_as("webhooks.claimed").await?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        Ok(sqlx::query_as(deliveries!(concat!(
            "WHERE ",
            among!("o.public_id", "$1"),
            " ORDER BY o.id"
        )))
        .bind(super::words(&ids))
        .fetch_all(&self.read)
        .await?)
    }

    async fn put_delivery(
        &self,
        id: &WebhookId,
        is_delivered: bool,
        again_in_ms: Option<u64>,
        said: &str,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(concat!(
            "UPDATE outbox SET delivered = $2, next_at = COALESCE(",
            clock!("$5"),
            " + $3, next_at), said = $4, \
             done_at = CASE WHEN CAST($3 AS BIGINT) IS NULL THEN CAST($5 AS BIGINT) END \
             WHERE public_id = $1 AND done_at IS NULL",
        ))
        .bind(id.as_str())
        .bind(i64::from(is_delivered))
        .bind(again_in_ms.map(ms))
        .bind(raw(said))
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        tx.commit_as("webhooks.told").await
    }

    async fn deliveries(&self, id: &WebhookId, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        Ok(sqlx::query_as(deliveries!("WHERE w.public_id = $1 ORDER BY o.id DESC LIMIT $2"))
            .bind(id.as_str())
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?)
    }
}
