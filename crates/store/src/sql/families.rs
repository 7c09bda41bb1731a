//! The statements of every family, one text for both databases: compiled once with each one's own types, so neither
//! pays for the other. What they say differently is in each one's `dialect`. Opening and transactions are in
//! `sqlite` and `postgres`.

mod api_keys;
mod checkpoints;
mod comparisons;
mod events;
mod fallbacks;
mod firings;
mod forks;
mod history;
mod images;
mod machine_settings;
mod people;
mod preview_ports;
mod prices;
mod projects;
mod queue;
mod runs;
mod schedules;
mod secrets;
mod servers;
mod settings;
mod spending;
mod takeover;
mod traces;
mod usage;
mod webhooks;

use super::{
    Db, DbArguments, DbConnection, DbRow, SqlStore, Write,
    dialect::{ALONE, append_next, raw, raw_at, raw_of, words},
};
use crate::{checkpoints::Durable, commits, error::StoreError};
use sqlx::Row as _;
use std::{collections::HashMap, error::Error, str::FromStr};

type Statement<'a> = sqlx::query::Query<'a, Db, DbArguments>;

/// Unix milliseconds, and all other numbers, as the databases' signed integers.
fn ms(unix_ms: u64) -> i64 {
    i64::try_from(unix_ms).unwrap_or(i64::MAX)
}

/// The other way.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A number of 32 bits; what is larger was not written by us.
fn small<T: TryFrom<i64> + Default>(value: i64) -> T {
    T::try_from(value).unwrap_or_default()
}

/// An id of ours.
fn id<T: FromStr<Err: Error + Send + Sync + 'static>>(text: &str) -> sqlx::Result<T> {
    text.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

/// A yes or no, which is 1 or 0 in both databases.
fn flag(row: &DbRow, column: &str) -> sqlx::Result<bool> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}

/// A sum that is added up as a float, which cannot overflow.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sums of what is not negative, saturating"
)]
fn nanos(sum: f64) -> u64 {
    sum as u64
}

impl Write<'_> {
    /// Internal keys of these projects, of those that are not deleted. Nobody else changes them until this ends. Held in
    /// one order, or two that hold several wait for each other.
    async fn hold(&mut self, projects: &[&str]) -> Result<HashMap<String, i64>, StoreError> {
        let held: Vec<(String, i64)> = sqlx::query_as(concat!(
            "SELECT public_id, id FROM project WHERE ",
            among!("public_id", "$1"),
            " AND deleted_at IS NULL ORDER BY id",
            held!()
        ))
        .bind(words(projects))
        .fetch_all(self.on())
        .await?;
        Ok(held.into_iter().collect())
    }

    /// Commits something about runs; `name` is one of [`commits::ALL`].
    async fn commit_as(self, name: &'static str) -> Result<(), StoreError> {
        commits::reached(name, false);
        self.commit().await?;
        commits::reached(name, true);
        Ok(())
    }
}
