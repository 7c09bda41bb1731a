//! How a run ends by others than its owner: somebody cancels it, or whoever worked on it for somebody who cancelled it
//! is gone.

use super::{
    super::{Durable, SqlStore, Write, ms, unsigned, webhooks},
    events,
    row::runs,
};
use crate::{
    error::StoreError,
    runs::{Cancelled, NewRunEvent, Run},
};
use toft_model::{id::ProjectId, run::JobId};

/// How a run is ended by others than its owner, at a time: whoever had it finds another fence.
macro_rules! cancelled_at {
    ($now:literal) => {
        concat!(
            "status = 'cancelled', phase = 'over', waits_for = NULL, cancel_requested = 1, completed_at = ",
            $now,
            ", duration_ms = ",
            $now,
            " - started_at, updated_at = ",
            $now,
            ", host_away = 0, fence = fence + 1, last_seq = last_seq + 1"
        )
    };
}

pub(super) use cancelled_at;

/// Tells that a run was ended so.
pub(super) async fn tell_cancelled(
    tx: &mut Write<'_>,
    key: i64,
    last_seq: i64,
    now_ms: u64,
) -> Result<(), StoreError> {
    let data = r#"{"status":"cancelled"}"#.into();
    let event = NewRunEvent { ts: now_ms, kind: "status".into(), data };
    events::add(tx, key, unsigned(last_seq) - 1, &[event]).await?;
    webhooks::tell_of(tx, key, now_ms).await
}

/// Of a run that is changed: nothing came after it in its project that is not over.
macro_rules! is_latest {
    () => {
        "NOT EXISTS (SELECT 1 FROM run n WHERE n.project_id = run.project_id AND n.run_index > run.run_index \
         AND n.status IN ('queued', 'running'))"
    };
}

pub(super) async fn cancel(
    store: &SqlStore,
    project: &ProjectId,
    run: &JobId,
    now_ms: u64,
) -> Result<Option<Cancelled>, StoreError> {
    let (mut tx, project_key) = store.begin_in(project, Durable::Now).await?;
    // Held, or what its owner writes in between is seen by neither of these.
    sqlx::query(concat!("SELECT id FROM run WHERE project_id = $1 AND public_id = $2", held!()))
        .bind(project_key)
        .bind(run.as_str())
        .fetch_optional(tx.on())
        .await?;
    // Nobody works on it, or nobody that can be reached: this ends it, and whoever is about to begin finds another
    // fence. What its machine still does is ended when that is back.
    let ended: Option<(i64, i64)> = sqlx::query_as(concat!(
        "UPDATE run SET ",
        cancelled_at!("$3"),
        " WHERE project_id = $1 AND public_id = $2 AND ",
        is_latest!(),
        " AND (status = 'queued' OR (status = 'running' AND host_away = 1)) RETURNING id, last_seq",
    ))
    .bind(project_key)
    .bind(run.as_str())
    .bind(ms(now_ms))
    .fetch_optional(tx.on())
    .await?;
    let mut is_cancelled = ended.is_some();
    if let Some((key, last_seq)) = ended {
        tell_cancelled(&mut tx, key, last_seq, now_ms).await?;
    } else {
        is_cancelled = sqlx::query(concat!(
            "UPDATE run SET cancel_requested = 1, updated_at = $3 WHERE project_id = $1 AND public_id = $2 \
             AND status = 'running' AND ",
            is_latest!()
        ))
        .bind(project_key)
        .bind(run.as_str())
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?
        .rows_affected()
            > 0;
    }
    let run: Option<Run> = sqlx::query_as(runs!("WHERE r.project_id = $1 AND r.public_id = $2"))
        .bind(project_key)
        .bind(run.as_str())
        .fetch_optional(tx.on())
        .await?;
    tx.commit_as("runs.cancelled").await?;
    Ok(run.map(|run| Cancelled { run, is_cancelled }))
}
