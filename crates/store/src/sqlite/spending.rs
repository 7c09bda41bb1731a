//! [`Spending`] on SQLite. The sums are kept by triggers on the rows of calls.

use super::{SqliteStore, ms, nanos, unsigned};
use crate::{error::StoreError, spending::Spending};
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
impl Spending for SqliteStore {
    async fn budget(&self, of: Option<&ProjectId>) -> Result<Budget, StoreError> {
        let row: Option<BudgetRow> =
            sqlx::query_as("SELECT run, month, total FROM budget WHERE scope = ?")
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
        if let Some(project) = of {
            self.key(project).await?;
        }
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO budget (scope, run, month, total, updated_at) VALUES (?, ?, ?, ?, ?) \
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
        let mut tx = self.read.begin().await?;
        let position: i64 =
            sqlx::query_scalar("SELECT position FROM usage_position").fetch_one(&mut *tx).await?;
        let month = month_of(now_ms);
        let mut spent = Spent { position: unsigned(position), month, ..Spent::default() };
        let rows: Vec<(String, f64, f64)> = sqlx::query_as(
            "SELECT project, TOTAL(spent) FILTER (WHERE month >= ?), TOTAL(spent) \
             FROM spent_month GROUP BY project",
        )
        .bind(month)
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
        let row: Option<(Option<u32>, Option<u32>)> = sqlx::query_as(
            "SELECT calls_at_once, calls_per_minute FROM model_limit WHERE project_id = ?",
        )
        .bind(key)
        .fetch_optional(&self.read)
        .await?;
        let (calls_at_once, calls_per_minute) = row.unwrap_or_default();
        Ok(ModelLimits { calls_at_once, calls_per_minute })
    }

    async fn all_model_limits(&self) -> Result<BTreeMap<ProjectId, ModelLimits>, StoreError> {
        let rows: Vec<(String, Option<u32>, Option<u32>)> = sqlx::query_as(
            "SELECT p.public_id, l.calls_at_once, l.calls_per_minute FROM model_limit l \
             JOIN project p ON p.id = l.project_id AND p.deleted_at IS NULL \
             WHERE l.calls_at_once IS NOT NULL OR l.calls_per_minute IS NOT NULL",
        )
        .fetch_all(&self.read)
        .await?;
        let limits = |(id, calls_at_once, calls_per_minute): (String, _, _)| {
            Some((id.parse().ok()?, ModelLimits { calls_at_once, calls_per_minute }))
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
        let key = self.key(project).await?;
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO model_limit (project_id, calls_at_once, calls_per_minute, updated_at) \
             VALUES (?, ?, ?, ?) ON CONFLICT (project_id) DO UPDATE SET \
             calls_at_once = excluded.calls_at_once, \
             calls_per_minute = excluded.calls_per_minute, updated_at = excluded.updated_at",
        )
        .bind(key)
        .bind(limits.calls_at_once)
        .bind(limits.calls_per_minute)
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        tx.commit().await
    }
}

/// Runs that are told to the gateway: those of weeks, in a frame of one MiB or two.
const RUNS_MAX: u32 = 10_000;

/// Runs of late. The newest of each project come first: a machine can make up runs, and would push out
/// those of others.
const RUNS: &str = "SELECT project, session, run, spent FROM (SELECT *, ROW_NUMBER() OVER \
    (PARTITION BY project ORDER BY last_ts DESC) AS place FROM spent_run \
    INDEXED BY spent_run_last WHERE last_ts >= ?) \
    ORDER BY place, last_ts DESC LIMIT ?";

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

fn scope(of: Option<&ProjectId>) -> &str {
    of.map_or("", ProjectId::as_str)
}

#[cfg(test)]
mod tests {
    use super::{super::usage::DAY_MS, *};
    use crate::usage::{UsageEntry, UsageRecords as _, UsageRow};
    use proptest::prelude::*;
    use sqlx::{Connection as _, SqliteConnection, raw_sql};
    use toft_model::time::month_begins;

    const PROJECTS: [&str; 2] = ["aaaaaaaaaaaa", "bbbbbbbbbbbb"];
    const NOW: u64 = 1_796_083_200_000; // 2026-12-01

    fn entries() -> impl Strategy<Value = Vec<UsageEntry>> {
        let sum = || prop::option::of(prop_oneof![0..1_000_u64, Just(1 << 40)]);
        // Around the begin of a month, and a year before.
        let ts = prop_oneof![NOW - 2..NOW + 2, Just(NOW - 365 * DAY_MS)];
        let call = (0..8_u8, 0..3_usize, 0..3_u8, ts, sum(), sum());
        let call = call.prop_map(|(id, project, run, ts, cost, reserved)| UsageRow {
            id: id.to_string(),
            ts,
            project: PROJECTS.get(project).map(|id| (*id).to_owned()),
            session: (run > 0).then(|| "s".to_owned()),
            run: (run > 0).then(|| format!("r{run}")),
            provider: "p".to_owned(),
            cost,
            reserved,
            ..UsageRow::default()
        });
        let entry = (call, 0..5_u8).prop_map(|(row, what)| match what {
            0 => UsageEntry::Restarted,
            1 | 2 => UsageEntry::Granted(row),
            _ => UsageEntry::Ended(row),
        });
        prop::collection::vec(entry, 1..40)
    }

    /// The same as [`UsageRecords::spent`], from all calls.
    async fn added_up(store: &SqliteStore) -> Spent {
        let rows: Vec<(Option<String>, f64, f64)> = sqlx::query_as(
            "SELECT project, TOTAL(CASE WHEN ts >= ? THEN COALESCE(cost, reserved) END), \
             TOTAL(COALESCE(cost, reserved)) FROM usage GROUP BY project",
        )
        .bind(ms(NOW))
        .fetch_all(&store.read)
        .await
        .unwrap();
        let mut spent = Spent { month: month_of(NOW), ..Spent::default() };
        for (project, month, total) in rows {
            spent.team.month += nanos(month);
            spent.team.total += nanos(total);
            if let Some(id) = project {
                let sums = Sums { month: nanos(month), total: nanos(total) };
                spent.projects.insert(id.parse().unwrap(), sums);
            }
        }
        let runs: Vec<(String, String, String, f64)> = sqlx::query_as(
            "SELECT project, session, run, TOTAL(COALESCE(cost, reserved)) FROM usage \
             WHERE project IS NOT NULL AND run IS NOT NULL GROUP BY 1, 2, 3",
        )
        .fetch_all(&store.read)
        .await
        .unwrap();
        spent.runs = runs
            .into_iter()
            .map(|(project, session, run, sum)| RunSum {
                project: project.parse().unwrap(),
                session: session.parse().unwrap(),
                run: run.parse().unwrap(),
                spent: nanos(sum),
            })
            .collect();
        spent
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn what_is_kept_is_what_the_calls_add_up_to(batches in prop::collection::vec(entries(), 1..4)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let dir = tempfile::tempdir().unwrap();
                let store = SqliteStore::open(&dir.path().join("t.db")).await.unwrap();
                for batch in &batches {
                    store.add_usage(batch, 0).await.unwrap();
                    let mut kept = store.spent(NOW, Some(0)).await.unwrap();
                    let key = |run: &RunSum| (run.project.clone(), run.run.clone());
                    kept.runs.sort_by_key(key);
                    assert_eq!(kept, added_up(&store).await);
                }
            });
        }
    }

    #[tokio::test]
    async fn months_are_those_of_the_rest_of_the_system_and_older_calls_are_added_up() {
        let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let steps = |from: i64, to: i64| {
            let all = super::super::MIGRATIONS.iter();
            all.filter(move |step| (from..=to).contains(&step.version))
        };
        for step in steps(1, 14) {
            raw_sql(step.sql.clone()).execute(&mut db).await.unwrap();
        }
        let (begin, last) = (month_begins(2026 * 12 + 11), month_begins(9999 * 12 + 11));
        let moments = [0, begin - 1, begin, last, u64::MAX];
        for (id, ts) in moments.iter().enumerate() {
            sqlx::query(
                "INSERT INTO usage (id, ts, day, project, session, run, provider, cost, reserved, ended) \
                 VALUES (?, ?, 0, 'aaaaaaaaaaaa', 's', 'r', 'p', 10, 3, 1)",
            )
            .bind(id.to_string())
            .bind(ms(*ts))
            .execute(&mut db)
            .await
            .unwrap();
        }
        for step in steps(15, 15) {
            raw_sql(step.sql.clone()).execute(&mut db).await.unwrap();
        }
        let months: Vec<u32> = sqlx::query_scalar("SELECT month FROM usage ORDER BY id")
            .fetch_all(&mut db)
            .await
            .unwrap();
        let want: Vec<u32> = moments.iter().map(|ts| month_of(*ts)).collect();
        assert_eq!(months, want);
        let kept: Vec<(u32, f64)> =
            sqlx::query_as("SELECT month, spent FROM spent_month ORDER BY month")
                .fetch_all(&mut db)
                .await
                .unwrap();
        assert_eq!(kept, [(1970 * 12, 10.0), (want[1], 10.0), (want[2], 10.0), (want[3], 20.0)]);
        let run: (f64, i64) = sqlx::query_as("SELECT spent, last_ts FROM spent_run")
            .fetch_one(&mut db)
            .await
            .unwrap();
        assert_eq!(run, (50.0, i64::MAX));
    }

    #[tokio::test]
    async fn a_machine_that_makes_up_runs_does_not_push_out_those_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("t.db")).await.unwrap();
        let call = |project: usize, run: String, ts| {
            UsageEntry::Granted(UsageRow {
                id: format!("{project}-{run}"),
                ts,
                project: Some(PROJECTS[project].to_owned()),
                session: Some("s".to_owned()),
                run: Some(run),
                provider: "p".to_owned(),
                ..UsageRow::default()
            })
        };
        let mut calls: Vec<_> = (0..u64::from(RUNS_MAX) + 10)
            .map(|n| call(0, format!("made-up-{n}"), NOW + n))
            .collect();
        calls.push(call(1, "real".to_owned(), NOW));
        store.add_usage(&calls, 0).await.unwrap();
        let runs = store.spent(NOW, Some(NOW)).await.unwrap().runs;
        assert_eq!(runs.len(), RUNS_MAX as usize);
        assert!(runs.iter().any(|run| run.run.as_str() == "real"));
    }
}
