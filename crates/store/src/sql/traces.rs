//! [`Traces`].

use super::{Durable, SqlStore, ms, unsigned, words};
use crate::{
    error::StoreError,
    events::{Events as _, NewEvent},
    traces::{EventPage, TraceCursor, Traces},
};
use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use toft_model::id::ProjectId;

/// Where a place begins that was not in use: behind everything that the copy holds.
const BEGIN_BEHIND: &str = "INSERT INTO trace_cursor (sink, project_id, sent, open_from) \
    SELECT $1, id, head, head FROM (SELECT p.id, coalesce((SELECT max(e.seq) FROM bridge_event e \
    WHERE e.project_id = p.id), 0) AS head FROM project p WHERE p.deleted_at IS NULL) live";

#[async_trait]
impl Traces for SqlStore {
    async fn use_trace_sinks(&self, names: &[&str], now_ms: u64) -> Result<(), StoreError> {
        retried!(
            async {
                let mut tx = self.begin().await?;
                // Others may send to them.
                sqlx::query(concat!(
                    "DELETE FROM trace_sink WHERE ",
                    not_among!("name", "$1"),
                    " AND NOT EXISTS (SELECT 1 FROM server s WHERE s.id <> $2 AND s.seen_at > ",
                    clock!("$3"),
                    " - $4)"
                ))
                .bind(words(names))
                .bind(self.me.get().map_or("", String::as_str))
                .bind(ms(now_ms))
                .bind(ms(crate::servers::GONE_MS))
                .execute(tx.on())
                .await?;
                for name in names {
                    let new = sqlx::query(
                "INSERT INTO trace_sink (name, since) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(name)
            .bind(ms(now_ms))
            .execute(tx.on())
            .await?
            .rows_affected();
                    if new > 0 {
                        sqlx::query(BEGIN_BEHIND).bind(name).execute(tx.on()).await?;
                    }
                }
                tx.commit().await
            }
            .await
        )
    }

    async fn trace_taken(&self, sink: &str) -> Result<bool, StoreError> {
        let has: Option<i64> =
            sqlx::query_scalar("SELECT has_taken FROM trace_sink WHERE name = $1")
                .bind(sink)
                .fetch_optional(&self.read)
                .await?;
        Ok(has == Some(1))
    }

    async fn put_trace_taken(&self, sink: &str) -> Result<(), StoreError> {
        let mut tx = self.begin_relaxed().await?;
        sqlx::query("UPDATE trace_sink SET has_taken = 1 WHERE name = $1")
            .bind(sink)
            .execute(tx.on())
            .await?;
        tx.commit().await
    }

    async fn trace_cursor(
        &self,
        sink: &str,
        project: &ProjectId,
    ) -> Result<TraceCursor, StoreError> {
        let key = self.key(project).await?;
        let row: Option<(i64, i64)> = sqlx::query_as(
            "SELECT sent, open_from FROM trace_cursor WHERE sink = $1 AND project_id = $2",
        )
        .bind(sink)
        .bind(key)
        .fetch_optional(&self.read)
        .await?;
        Ok(row.map_or_else(TraceCursor::default, |(sent, open_from)| TraceCursor {
            sent: unsigned(sent),
            open_from: unsigned(open_from),
        }))
    }

    async fn put_trace_cursor(
        &self,
        sink: &str,
        project: &ProjectId,
        cursor: TraceCursor,
    ) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(project, Durable::Soon).await?;
        sqlx::query(
            "INSERT INTO trace_cursor (sink, project_id, sent, open_from) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (sink, project_id) DO UPDATE SET sent = excluded.sent, \
             open_from = excluded.open_from",
        )
        .bind(sink)
        .bind(key)
        .bind(ms(cursor.sent))
        .bind(ms(cursor.open_from))
        .execute(tx.on())
        .await?;
        tx.commit().await
    }

    async fn events_of(
        &self,
        project: &ProjectId,
        kinds: &[&str],
        after: u64,
        rows_max: u32,
        bytes_max: usize,
    ) -> Result<EventPage, StoreError> {
        let key = self.key(project).await?;
        // What is added meanwhile is for the next look.
        let head = self.head(project).await?.seq.max(after);
        let mut rows = sqlx::query_as::<_, NewEvent>(concat!(
            "SELECT seq, ts, session, kind, data FROM bridge_event WHERE project_id = $1 \
             AND seq > $2 AND seq <= $3 AND ",
            among!("kind", "$4"),
            " ORDER BY seq LIMIT $5"
        ))
        .bind(key)
        .bind(ms(after))
        .bind(ms(head))
        .bind(words(kinds))
        .bind(i64::from(rows_max))
        .fetch(&self.read);
        let mut page = EventPage { events: Vec::new(), through: head };
        let mut bytes = 0;
        while let Some(event) = rows.try_next().await? {
            bytes += event.data.len();
            page.events.push(event);
            if bytes >= bytes_max || page.events.len() >= rows_max as usize {
                page.through = page.events.last().map_or(head, |event| event.seq);
                break;
            }
        }
        Ok(page)
    }
}
