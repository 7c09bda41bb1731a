//! [`Spending`]. The sums are kept by triggers on the rows of calls.

use super::{SqlStore, ms, nanos, small, unsigned};
use crate::{checkpoints::Durable, error::StoreError, spending::Spending};
use async_trait::async_trait;
use sqlx::FromRow;
use std::collections::BTreeMap;
use toft_model::{
    budget::{Budget, Budgets, RunSum, Spent, Sums},
    id::ProjectId,
    machine::ModelLimits,
    time::month_of,
};

#[async_trait]
impl Spending for SqlStore {
    async fn budget(&self, of: Option<&ProjectId>) -> Result<Budget, StoreError> {
        let row: Option<BudgetRow> =
            sqlx::query_as("SELECT run, month, total FROM budget WHERE scope = $1")
                .bind(scope(of))
                .fetch_optional(&self.read)
                .await?;
        Ok(row.map(BudgetRow::into_budget).unwrap_or_default())
    }

    async fn budgets(&self) -> Result<Budgets, StoreError> {
        let rows: Vec<(String, Option<i64>, Option<i64>, Option<i64>)> =
            sqlx::query_as("SELECT scope, run, month, total FROM budget")
                .fetch_all(&self.read)
                .await?;
        let mut all = Budgets::default();
        for (scope, run, month, total) in rows {
            let budget = BudgetRow { run, month, total }.into_budget();
            if scope.is_empty() {
                all.team = budget;
            } else if let Ok(project) = scope.parse()
                && !budget.is_empty()
            {
                all.projects.insert(project, budget);
            }
        }
        Ok(all)
    }

    async fn put_budget(
        &self,
        of: Option<&ProjectId>,
        budget: &Budget,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut tx = match of {
            Some(project) => self.begin_in(project, Durable::Now).await?.0,
            None => self.begin().await?,
        };
        sqlx::query(
            "INSERT INTO budget (scope, run, month, total, updated_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (scope) DO UPDATE SET run = excluded.run, month = excluded.month, \
             total = excluded.total, updated_at = excluded.updated_at",
        )
        .bind(scope(of))
        .bind(budget.run.map(ms))
        .bind(budget.month.map(ms))
        .bind(budget.total.map(ms))
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        tx.commit().await
    }

    async fn spent(&self, now_ms: u64, runs_since: Option<u64>) -> Result<Spent, StoreError> {
        // One snapshot: sums that do not fit their position would be counted twice, or never.
        let mut tx = self.moment().await?;
        let position: Option<i64> = sqlx::query_scalar(super::usage::POSITION)
            .bind(self.me.get().map_or("", String::as_str))
            .fetch_optional(&mut *tx)
            .await?;
        let month = month_of(now_ms);
        let mut spent = Spent { position: position.map_or(0, unsigned), month, ..Spent::default() };
        let rows: Vec<(String, f64, f64)> = sqlx::query_as(
            "SELECT project, TOTAL(spent) FILTER (WHERE month >= $1), TOTAL(spent) \
             FROM spent_month GROUP BY project",
        )
        .bind(i64::from(month))
        .fetch_all(&mut *tx)
        .await?;
        for (project, month, total) in rows {
            let sums = Sums { month: nanos(month), total: nanos(total) };
            spent.team.month = spent.team.month.saturating_add(sums.month);
            spent.team.total = spent.team.total.saturating_add(sums.total);
            if let Ok(project) = project.parse() {
                spent.projects.insert(project, sums);
            }
        }
        if let Some(since) = runs_since {
            let rows: Vec<(String, String, String, f64)> =
                sqlx::query_as(RUNS).bind(ms(since)).bind(RUNS_MAX).fetch_all(&mut *tx).await?;
            let sum = |(project, session, run, sum): (String, String, String, f64)| {
                let (project, session) = (project.parse().ok()?, session.parse().ok()?);
                Some(RunSum { project, session, run: run.parse().ok()?, spent: nanos(sum) })
            };
            spent.runs = rows.into_iter().filter_map(sum).collect();
        }
        Ok(spent)
    }

    async fn model_limits(&self, project: &ProjectId) -> Result<ModelLimits, StoreError> {
        let key = self.key(project).await?;
        let row: Option<(Option<i64>, Option<i64>)> = sqlx::query_as(
            "SELECT calls_at_once, calls_per_minute FROM model_limit WHERE project_id = $1",
        )
        .bind(key)
        .fetch_optional(&self.read)
        .await?;
        let (at_once, per_minute) = row.unwrap_or_default();
        Ok(limits_of(at_once, per_minute))
    }

    async fn all_model_limits(&self) -> Result<BTreeMap<ProjectId, ModelLimits>, StoreError> {
        let rows: Vec<(String, Option<i64>, Option<i64>)> = sqlx::query_as(
            "SELECT p.public_id, l.calls_at_once, l.calls_per_minute FROM model_limit l \
             JOIN project p ON p.id = l.project_id AND p.deleted_at IS NULL \
             WHERE l.calls_at_once IS NOT NULL OR l.calls_per_minute IS NOT NULL",
        )
        .fetch_all(&self.read)
        .await?;
        let limits = |(id, at_once, per_minute): (String, _, _)| {
            Some((id.parse().ok()?, limits_of(at_once, per_minute)))
        };
        // Only ids that were parsed once are ever written.
        Ok(rows.into_iter().filter_map(limits).collect())
    }

    async fn put_model_limits(
        &self,
        project: &ProjectId,
        limits: &ModelLimits,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(project, Durable::Now).await?;
        sqlx::query(
            "INSERT INTO model_limit (project_id, calls_at_once, calls_per_minute, updated_at) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (project_id) DO UPDATE SET \
             calls_at_once = excluded.calls_at_once, \
             calls_per_minute = excluded.calls_per_minute, updated_at = excluded.updated_at",
        )
        .bind(key)
        .bind(limits.calls_at_once.map(i64::from))
        .bind(limits.calls_per_minute.map(i64::from))
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        tx.commit().await
    }
}

/// Runs that are told to the gateway: those of weeks, in a frame of one MiB or two.
const RUNS_MAX: i64 = 10_000;

/// Runs of late. The newest of each project come first: a machine can make up runs, and would push out
/// those of others.
const RUNS: &str = concat!(
    "SELECT project, session, run, spent FROM (SELECT *, ROW_NUMBER() OVER \
     (PARTITION BY project ORDER BY last_ts DESC) AS place FROM spent_run",
    by_index!("spent_run_last"),
    " WHERE last_ts >= $1) late ORDER BY place, last_ts DESC LIMIT $2"
);

#[derive(FromRow)]
struct BudgetRow {
    run: Option<i64>,
    month: Option<i64>,
    total: Option<i64>,
}

impl BudgetRow {
    fn into_budget(self) -> Budget {
        let of = |nanos: Option<i64>| nanos.map(unsigned);
        Budget { run: of(self.run), month: of(self.month), total: of(self.total) }
    }
}

fn limits_of(at_once: Option<i64>, per_minute: Option<i64>) -> ModelLimits {
    ModelLimits { calls_at_once: at_once.map(small), calls_per_minute: per_minute.map(small) }
}

fn scope(of: Option<&ProjectId>) -> &str {
    of.map_or("", ProjectId::as_str)
}
