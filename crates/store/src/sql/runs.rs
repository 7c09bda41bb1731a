//! [`Runs`]: how requests become runs (`accept`), what changes them (`write`) and ends them (`cancel`), what they tell
//! (`events`) and what they leave (`artifacts`). Who works on them is in `queue`.

mod accept;
pub(super) mod artifacts;
mod cancel;
pub(super) mod events;
pub(super) mod hosts;
pub(super) mod row;
mod write;

use super::{Durable, SqlStore, queue, unsigned};
use crate::{
    error::StoreError,
    runs::{
        Accepted, Artifact, Cancelled, Claim, Left, NewRun, NewRunEvent, Reached, Run, RunEvent,
        RunMessage, Runs, Wrote,
    },
};
use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use row::{runs, word};
use sqlx::{FromRow as _, Row as _};
use toft_model::{
    id::ProjectId,
    run::{JobId, RunStatus},
};

/// Removes the runs of a deleted project, one at a time, so that other writers get their turn in between.
pub(super) async fn delete(store: &SqlStore, project_key: i64) -> Result<(), StoreError> {
    loop {
        let mut tx = store.begin_relaxed().await?;
        // By its index: the smallest id is looked for through all of them.
        let key: Option<i64> = sqlx::query_scalar(concat!(
            "SELECT id FROM run WHERE project_id = $1 ORDER BY run_index LIMIT 1",
            // A candidate's may become another project's in this moment.
            held!()
        ))
        .bind(project_key)
        .fetch_optional(tx.on())
        .await?;
        let Some(key) = key else { return Ok(()) };
        for statement in [
            "DELETE FROM outbox WHERE run_id = $1",
            "DELETE FROM run_event WHERE run_id = $1",
            "DELETE FROM run_message WHERE run_id = $1",
            "DELETE FROM artifact WHERE run_id = $1",
            "DELETE FROM run WHERE id = $1",
        ] {
            sqlx::query(statement).bind(key).execute(tx.on()).await?;
        }
        tx.commit_as("runs.deleted").await?;
    }
}

#[async_trait]
impl Runs for SqlStore {
    async fn accept_runs(
        &self,
        requests: &[NewRun],
        now_ms: u64,
    ) -> Result<Vec<Accepted>, StoreError> {
        retried!(accept::accept(self, requests, now_ms).await)
    }

    async fn run(&self, project: &ProjectId, id: &JobId) -> Result<Option<Run>, StoreError> {
        Ok(sqlx::query_as(runs!(
            "WHERE p.public_id = $1 AND r.public_id = $2 AND p.deleted_at IS NULL"
        ))
        .bind(project.as_str())
        .bind(id.as_str())
        .fetch_optional(&self.read)
        .await?)
    }

    async fn run_reached(
        &self,
        project: &ProjectId,
        id: &JobId,
    ) -> Result<Option<Reached>, StoreError> {
        let found: Option<(String, i64)> = sqlx::query_as(
            "SELECT r.status, r.last_seq FROM run r JOIN project p ON p.id = r.project_id \
             WHERE p.public_id = $1 AND r.public_id = $2 AND p.deleted_at IS NULL",
        )
        .bind(project.as_str())
        .bind(id.as_str())
        .fetch_optional(&self.read)
        .await?;
        let reached = found.map(|(status, last_seq)| {
            let is_over = word::<RunStatus>(&status)?.is_over();
            Ok::<_, sqlx::Error>(Reached { last_seq: unsigned(last_seq), is_over })
        });
        Ok(reached.transpose()?)
    }

    async fn run_of_key(
        &self,
        project: &ProjectId,
        key: &str,
    ) -> Result<Option<(Run, String)>, StoreError> {
        let row = sqlx::query(runs!(
            "WHERE p.public_id = $1 AND r.request_key = $2 AND p.deleted_at IS NULL"
        ))
        .bind(project.as_str())
        .bind(key)
        .fetch_optional(&self.read)
        .await?;
        let found = row.map(|row| {
            Ok::<_, sqlx::Error>((Run::from_row(&row)?, row.try_get("request_digest")?))
        });
        Ok(found.transpose()?)
    }

    async fn runs(
        &self,
        project: &ProjectId,
        limit: u32,
        offset: u32,
        bytes_max: usize,
    ) -> Result<Vec<Run>, StoreError> {
        let mut rows = sqlx::query_as(runs!(
            // The project as one value: its index then has them in order.
            "WHERE r.project_id = (SELECT id FROM project WHERE public_id = $1 AND deleted_at IS NULL) \
             ORDER BY r.run_index DESC LIMIT $2 OFFSET $3"
        ))
        .bind(project.as_str())
        .bind(i64::from(limit))
        .bind(i64::from(offset))
        .fetch(&self.read);
        let (mut all, mut bytes) = (Vec::new(), 0);
        while let Some(run) = rows.try_next().await? {
            let run: Run = run;
            bytes += run.text_bytes();
            // At least one, however long it is.
            if bytes > bytes_max && !all.is_empty() {
                break;
            }
            all.push(run);
        }
        Ok(all)
    }

    async fn working_run(&self, project: &ProjectId) -> Result<Option<Run>, StoreError> {
        Ok(sqlx::query_as(runs!(
            "WHERE p.public_id = $1 AND r.status = 'running' AND p.deleted_at IS NULL ORDER BY r.run_index LIMIT 1"
        ))
        .bind(project.as_str())
        .fetch_optional(&self.read)
        .await?)
    }

    async fn count_runs(&self) -> Result<Vec<(RunStatus, u64)>, StoreError> {
        let counts: Vec<(String, i64)> =
            sqlx::query_as("SELECT status, COUNT(*) FROM run GROUP BY status ORDER BY status")
                .fetch_all(&self.read)
                .await?;
        let counts = counts.into_iter().map(|(status, n)| Ok((word(&status)?, unsigned(n))));
        Ok(counts.collect::<sqlx::Result<_>>()?)
    }

    async fn claim_runs(&self, claim: &Claim<'_>, now_ms: u64) -> Result<Vec<Run>, StoreError> {
        queue::claim(self, claim, now_ms).await
    }

    async fn take_over_runs(&self, claim: &Claim<'_>, now_ms: u64) -> Result<Vec<Run>, StoreError> {
        queue::take_over(self, claim, now_ms).await
    }

    async fn renew_runs(
        &self,
        claim: &Claim<'_>,
        held: &[(JobId, u64)],
        now_ms: u64,
    ) -> Result<Vec<JobId>, StoreError> {
        queue::renew(self, claim, held, now_ms).await
    }

    async fn let_go_runs(&self, owner: &str, is_in_order: bool) -> Result<(), StoreError> {
        queue::let_go(self, owner, is_in_order).await
    }

    async fn write_run(
        &self,
        run: &Run,
        events: &[NewRunEvent],
        left: &Left,
        durable: Durable,
        now_ms: u64,
    ) -> Result<Wrote, StoreError> {
        write::write(self, run, events, left, durable, now_ms).await
    }

    async fn cancel_run(
        &self,
        project: &ProjectId,
        id: &JobId,
        now_ms: u64,
    ) -> Result<Option<Cancelled>, StoreError> {
        cancel::cancel(self, project, id, now_ms).await
    }

    async fn run_events(
        &self,
        id: &JobId,
        after: u64,
        rows_max: u32,
        bytes_max: usize,
    ) -> Result<Vec<RunEvent>, StoreError> {
        events::after(self, id, after, rows_max, bytes_max).await
    }

    async fn run_messages(&self, id: &JobId) -> Result<Vec<RunMessage>, StoreError> {
        events::messages(self, id).await
    }

    async fn old_artifacts(
        &self,
        project: &ProjectId,
        keep: u32,
    ) -> Result<Vec<String>, StoreError> {
        artifacts::old(self, project, keep).await
    }

    async fn forget_artifact(&self, project: &ProjectId, path: &str) -> Result<(), StoreError> {
        artifacts::forget(self, project, path).await
    }

    async fn artifact(&self, id: &JobId, name: &str) -> Result<Option<Artifact>, StoreError> {
        artifacts::newest(self, id, name).await
    }
}
