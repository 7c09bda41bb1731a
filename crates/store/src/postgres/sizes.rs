//! Has the database look at tables that have grown. Its planner knows a table as it was at the last look, and what it
//! planned then is used until the next one; by itself it looks once a minute, and a new server's tables are empty at first.

use super::Lines;
use std::time::Duration;
use tokio::{task::JoinHandle, time::sleep};

/// How often it is asked which have grown: one short question.
const LOOK: Duration = Duration::from_secs(3);

/// Tables with twice the rows of the last look, the smallest left out.
const GROWN: &str = "SELECT format('ANALYZE (SKIP_LOCKED) %I.%I', s.schemaname, s.relname) \
    FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid \
    WHERE s.schemaname = current_schema() AND s.n_mod_since_analyze > 200 + greatest(c.reltuples, 0)";

/// Ends when it is dropped.
pub(super) struct Sizes(JoinHandle<()>);

impl Sizes {
    pub(super) fn start(lines: Lines) -> Self {
        Self(tokio::spawn(async move {
            loop {
                sleep(LOOK).await;
                // What fails is done a moment later, or by the database itself.
                let _ = look(&lines).await;
            }
        }))
    }

    pub(super) fn end(&self) {
        self.0.abort();
    }
}

impl Drop for Sizes {
    fn drop(&mut self) {
        self.end();
    }
}

async fn look(lines: &Lines) -> sqlx::Result<()> {
    let grown: Vec<String> = sqlx::query_scalar(GROWN).fetch_all(lines).await?;
    for statement in grown {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(lines).await?;
    }
    Ok(())
}
