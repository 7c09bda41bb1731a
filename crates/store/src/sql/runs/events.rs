//! What runs tell and what is said in them: rows that are only added.

use super::super::{DbRow, SqlStore, Write, ms, raw, raw_at, unsigned};
use crate::{
    error::StoreError,
    runs::{NewRunEvent, RunEvent, RunMessage},
};
use futures_util::TryStreamExt as _;
use sqlx::Row as _;
use toft_model::run::JobId;

/// Messages of a run that are told.
const MESSAGES_MAX: i64 = 200;

/// Adds events behind the last one.
pub(in super::super) async fn add(
    tx: &mut Write<'_>,
    run_key: i64,
    last_seq: u64,
    events: &[NewRunEvent],
) -> Result<(), StoreError> {
    for (seq, event) in (last_seq + 1..).zip(events) {
        sqlx::query(
            "INSERT INTO run_event (run_id, seq, ts, kind, data) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(run_key)
        .bind(ms(seq))
        .bind(ms(event.ts))
        .bind(&event.kind)
        .bind(raw(&event.data))
        .execute(tx.on())
        .await?;
    }
    Ok(())
}

/// All that a run told after a number, in a transaction.
pub(super) async fn since(
    tx: &mut Write<'_>,
    run_key: i64,
    after: u64,
) -> Result<Vec<NewRunEvent>, StoreError> {
    let rows = sqlx::query(
        "SELECT ts, kind, data FROM run_event WHERE run_id = $1 AND seq > $2 ORDER BY seq",
    )
    .bind(run_key)
    .bind(ms(after))
    .fetch_all(tx.on())
    .await?;
    Ok(rows.iter().map(told).collect::<sqlx::Result<_>>()?)
}

fn told(row: &DbRow) -> sqlx::Result<NewRunEvent> {
    Ok(NewRunEvent {
        ts: unsigned(row.try_get("ts")?),
        kind: row.try_get("kind")?,
        data: raw_at(row, "data")?,
    })
}

pub(super) async fn after(
    store: &SqlStore,
    id: &JobId,
    after: u64,
    rows_max: u32,
    bytes_max: usize,
) -> Result<Vec<RunEvent>, StoreError> {
    let mut rows = sqlx::query(
        "SELECT e.seq, e.ts, e.kind, e.data FROM run_event e JOIN run r ON r.id = e.run_id \
         WHERE r.public_id = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3",
    )
    .bind(id.as_str())
    .bind(ms(after))
    .bind(i64::from(rows_max))
    .fetch(&store.read);
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        let event = told(&row)?;
        bytes += event.data.len();
        if bytes > bytes_max && !events.is_empty() {
            break;
        }
        events.push(RunEvent { seq: unsigned(row.try_get("seq")?), event });
    }
    Ok(events)
}

pub(super) async fn messages(store: &SqlStore, id: &JobId) -> Result<Vec<RunMessage>, StoreError> {
    let rows = sqlx::query(
        "SELECT m.public_id, m.role, m.content, m.input, m.created_at FROM run_message m \
         JOIN run r ON r.id = m.run_id WHERE r.public_id = $1 ORDER BY m.id LIMIT $2",
    )
    .bind(id.as_str())
    .bind(MESSAGES_MAX)
    .fetch_all(&store.read)
    .await?;
    let message = |row: DbRow| {
        Ok(RunMessage {
            id: row.try_get("public_id")?,
            role: row.try_get("role")?,
            content: raw_at(&row, "content")?,
            input: row.try_get("input")?,
            created_at: unsigned(row.try_get("created_at")?),
        })
    };
    Ok(rows.into_iter().map(message).collect::<sqlx::Result<_>>()?)
}
