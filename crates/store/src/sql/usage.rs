//! [`UsageRecords`].

use super::{DbRow, SqlStore, Statement, ms, nanos, raw, raw_of, unsigned};
use crate::{
    error::StoreError,
    usage::{UsageAsk, UsageBy, UsageEntry, UsageRecords, UsageRow, UsageSum},
};
use async_trait::async_trait;
use sqlx::{AssertSqlSafe, FromRow, Row as _};

/// A day.
pub(super) const DAY_MS: u64 = 86_400_000;

/// What the gateway answers with no status for, and this row holds until its record comes.
const GATEWAY_ENDED: &str = "gateway_ended";

/// How far this server has read its journal: that of the one server of before counts until it has its own.
pub(super) const POSITION: &str =
    "SELECT position FROM usage_journal WHERE server IN ($1, '') ORDER BY server DESC LIMIT 1";

/// What a call is told by, for each way to add up; nothing that a caller says is in it.
fn columns(by: UsageBy) -> (&'static str, &'static str) {
    const DEAREST: &str = "cost DESC, calls DESC, 1 NULLS FIRST";
    match by {
        UsageBy::All => ("", "1"),
        UsageBy::Day => ("u.day", "u.day"),
        UsageBy::Project => ("u.project", DEAREST),
        UsageBy::Session => ("u.project, u.session", DEAREST),
        UsageBy::Run => ("u.project, u.session, u.run", DEAREST),
        UsageBy::Model => ("u.provider, u.model", DEAREST),
        UsageBy::Provider => ("u.provider", DEAREST),
    }
}

fn statement(by: UsageBy) -> String {
    let (columns, order) = columns(by);
    let comma = if columns.is_empty() { "" } else { ", " };
    let (group, names, join) = match by {
        UsageBy::All => (String::new(), "", ""),
        UsageBy::Project | UsageBy::Session | UsageBy::Run => (
            format!("GROUP BY {columns}"),
            ", MAX(p.name) AS project_name, CAST(MAX(CASE WHEN p.deleted_at IS NOT NULL THEN 1 ELSE 0 END) \
             AS BIGINT) AS project_deleted",
            "LEFT JOIN project p ON p.public_id = u.project",
        ),
        UsageBy::Day | UsageBy::Model | UsageBy::Provider => {
            (format!("GROUP BY {columns}"), "", "")
        }
    };
    // TOTAL never fails, whatever a provider reported; it is exact up to 2^53.
    let sums = format!(
        "SELECT {columns}{comma} COUNT(*) AS calls, \
         COUNT(*) FILTER (WHERE u.error IS NOT NULL OR u.status >= 400) AS failed, \
         TOTAL(u.input) AS input, TOTAL(u.output) AS output, TOTAL(u.cache_read) AS cache_read, \
         TOTAL(u.cache_write) AS cache_write, TOTAL(u.cost) AS cost, \
         COUNT(*) FILTER (WHERE u.cost IS NULL) AS unpriced{names} \
         FROM usage u {join} WHERE u.ended = 1 AND u.day BETWEEN $1 AND $2 \
         AND ($3 IS NULL OR u.project = $3) {group}"
    );
    match by {
        UsageBy::Run => format!("{} ORDER BY {order} LIMIT $4", of_known_runs(&sums)),
        UsageBy::All
        | UsageBy::Day
        | UsageBy::Project
        | UsageBy::Session
        | UsageBy::Model
        | UsageBy::Provider => format!("{sums} ORDER BY {order} LIMIT $4"),
    }
}

/// A machine says itself which run a call belongs to. One that began with no message of its conversation
/// is none: its calls are its project's. What a deleted project said is gone, and stays as it was told.
fn of_known_runs(sums: &str) -> String {
    let message = |events: &str| {
        format!(
            "EXISTS (SELECT 1 FROM {events} e WHERE e.kind = 'message_end' \
             AND e.session = s.session AND {entry} = {run})",
            entry = indexed_text_in!("e.data", "entryId"),
            run = plain!("s.run")
        )
    };
    let (own, inherited) = (message("bridge_event"), message("inherited_event"));
    format!(
        "SELECT project, session, \
         CASE WHEN project_deleted = 1 OR {own} OR {inherited} THEN run END AS run, \
         CAST(SUM(calls) AS BIGINT) AS calls, CAST(SUM(failed) AS BIGINT) AS failed, \
         TOTAL(input) AS input, TOTAL(output) AS output, TOTAL(cache_read) AS cache_read, \
         TOTAL(cache_write) AS cache_write, TOTAL(cost) AS cost, \
         CAST(SUM(unpriced) AS BIGINT) AS unpriced, MAX(project_name) AS project_name, \
         MAX(project_deleted) AS project_deleted FROM ({sums}) s GROUP BY 1, 2, 3"
    )
}

impl FromRow<'_, DbRow> for UsageSum {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        // A column that was not asked for is not there.
        let text = |name: &str| row.try_get::<Option<String>, _>(name).ok().flatten();
        let inside = |name: &str| raw_of(row, name).ok().flatten();
        let count = |name: &str| row.try_get::<i64, _>(name).map(unsigned);
        let sum = |name: &str| row.try_get::<f64, _>(name).map(nanos);
        Ok(Self {
            day: row.try_get::<i64, _>("day").ok().map(unsigned),
            project: text("project"),
            project_name: text("project_name"),
            project_deleted: row
                .try_get::<i64, _>("project_deleted")
                .is_ok_and(|deleted| deleted != 0),
            session: text("session"),
            run: text("run"),
            provider: inside("provider"),
            model: inside("model"),
            calls: count("calls")?,
            failed: count("failed")?,
            input: sum("input")?,
            output: sum("output")?,
            cache_read: sum("cache_read")?,
            cache_write: sum("cache_write")?,
            cost: sum("cost")?,
            unpriced: count("unpriced")?,
        })
    }
}

/// A granted call whose end is known stays as it is.
const GRANT: &str = "INSERT INTO usage (id, ts, day, project, session, run, provider, reserved, server, \
    ended) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0) ON CONFLICT (id) DO NOTHING";

/// The record has the last word, also over what was concluded from a gateway's end.
const END: &str = "INSERT INTO usage (id, ts, day, project, session, run, provider, reserved, server, \
    model, status, input, output, cache_read, cache_write, cost, duration_ms, first_byte_ms, error, \
    ended) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, 1) ON CONFLICT (id) DO UPDATE SET \
    model = excluded.model, status = excluded.status, input = excluded.input, \
    output = excluded.output, cache_read = excluded.cache_read, cache_write = excluded.cache_write, \
    cost = excluded.cost, reserved = COALESCE(excluded.reserved, usage.reserved), duration_ms = excluded.duration_ms, \
    first_byte_ms = excluded.first_byte_ms, error = excluded.error, ended = 1";

#[async_trait]
impl UsageRecords for SqlStore {
    async fn usage_position(&self) -> Result<u64, StoreError> {
        let position: Option<i64> = sqlx::query_scalar(POSITION)
            .bind(self.me.get().map_or("", String::as_str))
            .fetch_optional(&self.read)
            .await?;
        Ok(position.map_or(0, unsigned))
    }

    async fn add_usage(&self, entries: &[UsageEntry], position: u64) -> Result<(), StoreError> {
        // What the power takes is read again: the position goes with it.
        let mut tx = self.begin_relaxed().await?;
        let me = self.me.get().map_or("", String::as_str);
        // First: who adds calls holds it against others who do.
        sqlx::query(
            "INSERT INTO usage_journal (server, position) VALUES ($1, $2) \
             ON CONFLICT (server) DO UPDATE SET position = excluded.position",
        )
        .bind(me)
        .bind(ms(position))
        .execute(tx.on())
        .await?;
        for entry in entries {
            match entry {
                UsageEntry::Granted(row) => {
                    first(sqlx::query(GRANT), row, me).execute(tx.on()).await?;
                }
                UsageEntry::Ended(row) => {
                    first(sqlx::query(END), row, me)
                        .bind(row.model.as_deref().map(raw))
                        .bind(row.status.map(i64::from))
                        .bind(row.input.map(ms))
                        .bind(row.output.map(ms))
                        .bind(row.cache_read.map(ms))
                        .bind(row.cache_write.map(ms))
                        .bind(row.cost.map(ms))
                        .bind(row.duration_ms.map(ms))
                        .bind(row.first_byte_ms.map(ms))
                        .bind(row.error.as_deref().map(raw))
                        .execute(tx.on())
                        .await?;
                }
                UsageEntry::Restarted => {
                    sqlx::query("UPDATE usage SET ended = 1, error = $1 WHERE ended = 0 AND COALESCE(server, $2) = $2")
                        .bind(raw(GATEWAY_ENDED))
                        .bind(me)
                        .execute(tx.on())
                        .await?;
                }
            }
        }
        tx.commit().await
    }

    async fn usage(&self, ask: &UsageAsk<'_>) -> Result<Vec<UsageSum>, StoreError> {
        Ok(sqlx::query_as(AssertSqlSafe(statement(ask.by)))
            .bind(ms(ask.from_day))
            .bind(ms(ask.to_day))
            .bind(ask.project)
            .bind(i64::from(ask.limit))
            .fetch_all(&self.read)
            .await?)
    }
}

/// What a granted call and an ended one begin with.
fn first<'a>(statement: Statement<'a>, row: &'a UsageRow, server: &'a str) -> Statement<'a> {
    statement
        .bind(&row.id)
        .bind(ms(row.ts))
        .bind(ms(row.ts / DAY_MS))
        .bind(&row.project)
        .bind(&row.session)
        .bind(&row.run)
        .bind(raw(&row.provider))
        .bind(row.reserved.map(ms))
        .bind(server)
}
