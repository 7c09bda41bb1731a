//! What the statements say in SQLite's own way. The same names mean the same in `postgres/dialect.rs`.

use super::{DbRow, SqlStore};
use crate::{
    error::StoreError,
    events::{Head, NewEvent},
};
use sqlx::{ColumnIndex, Row as _};
use toft_model::id::ProjectId;

/// Whether nobody else writes to this database: what was written last is then known.
pub(super) const ALONE: bool = true;

/// A text from inside a machine, which may hold any character.
pub(super) fn raw(text: &str) -> &str {
    text
}

/// Such a text of a row.
pub(super) fn raw_at(row: &DbRow, column: impl ColumnIndex<DbRow>) -> sqlx::Result<String> {
    row.try_get(column)
}

/// Such a text of a row, if there is one.
pub(super) fn raw_of(row: &DbRow, column: impl ColumnIndex<DbRow>) -> sqlx::Result<Option<String>> {
    row.try_get(column)
}

/// A list to bind for `among!`.
pub(super) fn words(words: &[&str]) -> String {
    serde_json::to_string(words).expect("words are JSON-able")
}

/// A column is one of a list.
macro_rules! among {
    ($column:literal, $list:literal) => {
        concat!($column, " IN (SELECT value FROM json_each(", $list, "))")
    };
}

/// A column is none of a list.
macro_rules! not_among {
    ($column:literal, $list:literal) => {
        concat!($column, " NOT IN (SELECT value FROM json_each(", $list, "))")
    };
}

/// Two words are the same but for the case of ASCII letters.
macro_rules! same_word {
    ($column:literal, $word:literal) => {
        concat!($column, " = ", $word, " COLLATE NOCASE")
    };
}

/// A text within JSON from inside, as indexes have it; NULL in what is no JSON.
macro_rules! indexed_text_in {
    ($json:literal, $path:literal) => {
        concat!(
            "CASE WHEN json_valid(",
            $json,
            ") THEN json_extract(",
            $json,
            ", '$.",
            $path,
            "') END"
        )
    };
}

/// The JSON of an event in statements that begin with it `opened!`.
macro_rules! doc {
    ($event:literal) => {
        concat!($event, ".data")
    };
}

/// Reads the JSON of an event once for the whole statement, as SQLite does by itself.
macro_rules! opened {
    ($event:literal) => {
        ""
    };
}

/// A text within JSON.
macro_rules! text_in {
    ($json:expr, $path:literal) => {
        concat!("CAST(json_extract(", $json, ", '$.", $path, "') AS TEXT)")
    };
}

/// A whole number within JSON.
macro_rules! int_in {
    ($json:expr, $path:literal) => {
        concat!("CAST(json_extract(", $json, ", '$.", $path, "') AS INTEGER)")
    };
}

/// The items of a list within JSON, as rows with `value`.
macro_rules! items_in {
    ($json:expr, $path:literal) => {
        concat!("json_each(", $json, ", '$.", $path, "')")
    };
}

/// A ceiling of egress, said to be inherited.
macro_rules! as_inherited {
    ($json:literal) => {
        concat!("json_set(", $json, ", '$.inherited', json('true'))")
    };
}

/// The text of a column without what SQLite would do to the other side of `=` (its affinity), so that an index over
/// an expression is used.
macro_rules! plain {
    ($column:literal) => {
        concat!("+", $column)
    };
}

/// What a bound JSON list holds, as rows with `value`.
macro_rules! rows {
    ($list:literal, $name:literal) => {
        concat!("json_each(", $list, ") AS ", $name)
    };
}

/// A text as columns of texts from inside a machine have it.
macro_rules! raw_text {
    ($text:literal) => {
        $text
    };
}

/// The time that leases are measured by, in Unix milliseconds: that of the only process.
macro_rules! clock {
    ($now:literal) => {
        $now
    };
}

/// Leaves out rows that others hold, and holds the others. There is one writer.
macro_rules! skip_held {
    ($of:literal) => {
        ""
    };
}

/// Which index reads a table.
macro_rules! by_index {
    ($index:literal) => {
        concat!(" INDEXED BY ", $index)
    };
}

/// Holds rows that were read until the transaction ends. There is one writer.
macro_rules! held {
    () => {
        ""
    };
}

/// Does a write again when it met another one. There is one writer.
macro_rules! retried {
    ($write:expr) => {
        $write
    };
}

/// Adds the event after the last one. False: the last one is no longer that.
pub(super) async fn append_next(
    store: &SqlStore,
    project: &ProjectId,
    _: &Head,
    event: &NewEvent,
    hash: &[u8; 32],
) -> Result<bool, StoreError> {
    let key = store.key(project).await?;
    let _turn = store.turn().await?;
    // One statement is a transaction.
    let added = sqlx::query(
        "INSERT INTO bridge_event (project_id, seq, ts, session, kind, data, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(key)
    .bind(i64::try_from(event.seq).unwrap_or(i64::MAX))
    .bind(i64::try_from(event.ts).unwrap_or(i64::MAX))
    .bind(event.session.as_deref())
    .bind(event.kind.as_str())
    .bind(event.data.as_str())
    .bind(hash.as_slice())
    .execute(&store.relaxed)
    .await;
    store.unlocked(added)?;
    Ok(true)
}
