//! The queue: who works on which run. A claim, a renewal and a take-over are one statement each, so a run never has
//! two owners.

use super::{SqlStore, Write, ms, runs::row::runs, words};
use crate::{
    error::StoreError,
    runs::{Claim, Run},
};
use serde_json::json;
use std::collections::HashSet;
use toft_model::run::JobId;

/// Gives the runs that a condition finds to an owner. `$1` owner, `$2` lease, `$3` now.
macro_rules! give {
    ($crashes:literal, $found:expr) => {
        concat!(
            "UPDATE run SET status = 'running', fence = fence + 1, owner = $1, lease_until = ",
            clock!("$3"),
            " + $2, crashes = ",
            $crashes,
            ", claimed_seq = last_seq, updated_at = $3 WHERE id IN (",
            $found,
            ") RETURNING public_id"
        )
    };
}

/// Whether the owner can do it: it has the project's machine, or nobody has one.
macro_rules! in_reach {
    () => {
        " AND COALESCE((SELECT p.host FROM project p WHERE p.id = r.project_id), $1) = $1"
    };
}

/// The oldest run that waits, of each project that has one and room for it. It comes first also while it waits to be
/// tried again: what follows builds on it. Projects are stepped through by an index, so it costs as much as there are
/// projects that wait, however many runs one of them has.
macro_rules! heads {
    () => {
        concat!(
            "WITH RECURSIVE waiting (id) AS (SELECT MIN(o.project_id) FROM run o",
            by_index!("run_queued_of"),
            " WHERE o.status = 'queued' UNION ALL SELECT (SELECT MIN(o.project_id) FROM run o",
            by_index!("run_queued_of"),
            " WHERE o.status = 'queued' AND o.project_id > w.id) FROM waiting w WHERE w.id IS NOT NULL) \
             SELECT (SELECT MIN(o.id) FROM run o WHERE o.project_id = w.id AND o.status = 'queued') FROM waiting w \
             WHERE w.id IS NOT NULL AND \
             (SELECT COUNT(*) FROM run o WHERE o.project_id = w.id AND o.status = 'running') < $5"
        )
    };
}

/// Of those, as many of each team as it has room for: its most urgent, and teams in turn. What waits for a person, or
/// for its host, takes no room. SQLite begins with what stands left of a `CROSS JOIN`, and would else go through all
/// runs that wait.
const CLAIM: &str = give!(
    "crashes",
    concat!(
        "SELECT t.id FROM (\
         SELECT r.id, ROW_NUMBER() OVER (PARTITION BY p.team_id ORDER BY r.priority DESC, r.id) + \
         (SELECT COUNT(*) FROM run o JOIN project q ON q.id = o.project_id WHERE o.status = 'running' \
         AND COALESCE(o.waits_for, '') NOT IN ('approval', 'answer', 'machine') AND o.host_away = 0 \
         AND q.team_id = p.team_id) AS place \
         FROM run r JOIN project p ON p.id = r.project_id WHERE r.id IN (",
        heads!(),
        ") AND r.not_before <= ",
        clock!("$3"),
        in_reach!(),
        ") c CROSS JOIN run t WHERE t.id = c.id AND t.status = 'queued' AND c.place <= $6 \
         ORDER BY c.place, t.priority DESC, t.id LIMIT $4",
        skip_held!("t")
    )
);

/// Only what was not let go in order counts as a crash, and what has told something since begins to count anew. What only
/// waits has nothing to tell, and ends no server.
const TAKE_OVER: &str = give!(
    "CASE WHEN owner IS NULL OR waits_for IS NOT NULL THEN crashes WHEN last_seq = claimed_seq THEN crashes + 1 ELSE 1 END",
    concat!(
        "SELECT r.id FROM run r WHERE r.status = 'running' AND (r.owner IS NULL OR r.lease_until <= ",
        clock!("$3"),
        ")",
        in_reach!(),
        " ORDER BY r.id LIMIT $4",
        skip_held!("r")
    )
);

/// The runs of these ids, as they were just given to their owner, in the order of their begin. Read before that is
/// committed: what is given and not heard of would wait for the end of its lease.
async fn given(tx: &mut Write<'_>, ids: Vec<String>) -> Result<Vec<Run>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    Ok(sqlx::query_as(runs!(concat!("WHERE ", among!("r.public_id", "$1"), " ORDER BY r.id")))
        .bind(words(&ids))
        .fetch_all(tx.on())
        .await?)
}

pub(super) async fn claim(
    store: &SqlStore,
    claim: &Claim<'_>,
    now_ms: u64,
) -> Result<Vec<Run>, StoreError> {
    // Nothing waits, most of the time: no turn of a writer is taken for that.
    let any = sqlx::query("SELECT 1 FROM run WHERE status = 'queued' LIMIT 1");
    if any.fetch_optional(&store.read).await?.is_none() {
        return Ok(Vec::new());
    }
    let mut tx = store.begin_claim().await?;
    let ids = sqlx::query_scalar(CLAIM)
        .bind(claim.owner)
        .bind(ms(claim.lease_ms))
        .bind(ms(now_ms))
        .bind(i64::from(claim.limit))
        .bind(i64::from(claim.per_project))
        .bind(i64::from(claim.per_team))
        .fetch_all(tx.on())
        .await?;
    let runs = given(&mut tx, ids).await?;
    tx.commit_as("runs.claimed").await?;
    Ok(runs)
}

pub(super) async fn take_over(
    store: &SqlStore,
    claim: &Claim<'_>,
    now_ms: u64,
) -> Result<Vec<Run>, StoreError> {
    let any = sqlx::query(concat!(
        "SELECT 1 FROM run WHERE status = 'running' AND (owner IS NULL OR lease_until <= ",
        clock!("$1"),
        ") LIMIT 1"
    ))
    .bind(ms(now_ms));
    if any.fetch_optional(&store.read).await?.is_none() {
        return Ok(Vec::new());
    }
    let mut tx = store.begin().await?;
    let ids = sqlx::query_scalar(TAKE_OVER)
        .bind(claim.owner)
        .bind(ms(claim.lease_ms))
        .bind(ms(now_ms))
        .bind(i64::from(claim.limit))
        .fetch_all(tx.on())
        .await?;
    let runs = given(&mut tx, ids).await?;
    tx.commit_as("runs.taken_over").await?;
    Ok(runs)
}

pub(super) async fn renew(
    store: &SqlStore,
    claim: &Claim<'_>,
    held: &[(JobId, u64)],
    now_ms: u64,
) -> Result<Vec<JobId>, StoreError> {
    let rows: Vec<_> = held.iter().map(|(id, fence)| json!({ "id": id, "fence": fence })).collect();
    let mut tx = store.begin_relaxed().await?;
    let kept: Vec<String> = sqlx::query_scalar(concat!(
        "UPDATE run SET lease_until = ",
        clock!("$3"),
        // Another server may have gone on with its machine, while this one was away.
        " + $2 WHERE owner = $1 AND status = 'running' \
         AND COALESCE((SELECT p.host FROM project p WHERE p.id = run.project_id), $1) = $1 \
         AND EXISTS (SELECT 1 FROM ",
        rows!("$4", "w"),
        " WHERE w.value ->> 'id' = run.public_id AND CAST(w.value ->> 'fence' AS BIGINT) = run.fence) \
         RETURNING public_id"
    ))
    .bind(claim.owner)
    .bind(ms(claim.lease_ms))
    .bind(ms(now_ms))
    .bind(json!(rows).to_string())
    .fetch_all(tx.on())
    .await?;
    tx.commit_as("runs.renewed").await?;
    let kept: HashSet<&str> = kept.iter().map(String::as_str).collect();
    let lost = held.iter().filter(|(id, _)| !kept.contains(id.as_str()));
    Ok(lost.map(|(id, _)| id.clone()).collect())
}

pub(super) async fn let_go(
    store: &SqlStore,
    owner: &str,
    is_in_order: bool,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "UPDATE run SET lease_until = 0, owner = CASE WHEN $2 = 1 THEN NULL ELSE owner END \
         WHERE owner = $1 AND status = 'running'",
    )
    .bind(owner)
    .bind(i64::from(is_in_order))
    .execute(tx.on())
    .await?;
    tx.commit_as("runs.let_go").await
}

/// Somebody else goes on with it: its project has a machine that is not in the owner's reach.
pub(super) async fn give_back(store: &SqlStore, run: &JobId, fence: u64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "UPDATE run SET owner = NULL, lease_until = 0 WHERE public_id = $1 AND fence = $2 \
         AND status = 'running'",
    )
    .bind(run.as_str())
    .bind(ms(fence))
    .execute(tx.on())
    .await?;
    tx.commit_as("runs.given_back").await
}
