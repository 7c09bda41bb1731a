//! What the statements say in PostgreSQL's own way. The same names mean the same in `sqlite/dialect.rs`. Its `TEXT`
//! holds no NUL: columns with texts from inside a machine are `BYTEA`, and are read as UTF-8 here.

use super::{DbRow, SqlStore};
use crate::{
    error::StoreError,
    events::{Head, NewEvent},
};
use sqlx::{ColumnIndex, Row as _};
use toft_model::id::ProjectId;

/// Whether nobody else writes to this database: what was written last is then known.
pub(super) const ALONE: bool = false;

/// How often a write that met another one is done again.
pub(super) const RETRIES_MAX: u32 = 5;

/// A text from inside a machine, which may hold any character.
pub(super) fn raw(text: &str) -> &[u8] {
    text.as_bytes()
}

/// Such a text of a row.
pub(super) fn raw_at(row: &DbRow, column: impl ColumnIndex<DbRow>) -> sqlx::Result<String> {
    utf8(row.try_get(column)?)
}

/// Such a text of a row, if there is one.
pub(super) fn raw_of(row: &DbRow, column: impl ColumnIndex<DbRow>) -> sqlx::Result<Option<String>> {
    row.try_get::<Option<Vec<u8>>, _>(column)?.map(utf8).transpose()
}

fn utf8(bytes: Vec<u8>) -> sqlx::Result<String> {
    String::from_utf8(bytes).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// A list to bind for `among!`.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A column is one of a list.
macro_rules! among {
    ($column:literal, $list:literal) => {
        concat!($column, " = ANY(", $list, ")")
    };
}

/// A column is none of a list.
macro_rules! not_among {
    ($column:literal, $list:literal) => {
        concat!($column, " <> ALL(", $list, ")")
    };
}

/// Two words are the same but for the case of ASCII letters.
macro_rules! same_word {
    ($column:literal, $word:literal) => {
        concat!("lower(", $column, ") = lower(", $word, " COLLATE \"C\")")
    };
}

/// A text within JSON from inside, as indexes have it; NULL in what is no JSON.
macro_rules! indexed_text_in {
    ($json:literal, $path:literal) => {
        concat!("json_name(", $json, ", '", $path, "') COLLATE \"C\"")
    };
}

/// The JSON of an event in statements that begin with it `opened!`.
macro_rules! doc {
    ($event:literal) => {
        concat!($event, "_doc")
    };
}

/// Reads the JSON of an event once for the whole statement.
macro_rules! opened {
    ($event:literal) => {
        concat!(" CROSS JOIN LATERAL json_doc(", $event, ".data) AS ", $event, "_doc")
    };
}

/// A text within JSON.
macro_rules! text_in {
    ($json:expr, $path:literal) => {
        concat!("(", $json, " #>> string_to_array('", $path, "', '.'))")
    };
}

/// A whole number within JSON.
macro_rules! int_in {
    ($json:expr, $path:literal) => {
        concat!("json_int(", $json, " -> '", $path, "')")
    };
}

/// The items of a list within JSON, as rows with `value`.
macro_rules! items_in {
    ($json:expr, $path:literal) => {
        concat!("json_items(", $json, " -> '", $path, "')")
    };
}

/// A ceiling of egress, said to be inherited.
macro_rules! as_inherited {
    ($json:literal) => {
        concat!("jsonb_set(", $json, "::jsonb, '{inherited}', 'true')::text")
    };
}

/// The text of a column as it is.
macro_rules! plain {
    ($column:literal) => {
        $column
    };
}

/// What a bound JSON list holds, as rows with `value`.
macro_rules! rows {
    ($list:literal, $name:literal) => {
        concat!("jsonb_array_elements(CAST(", $list, " AS jsonb)) AS ", $name, "(value)")
    };
}

/// A text as columns of texts from inside a machine have it.
macro_rules! raw_text {
    ($text:literal) => {
        concat!("convert_to(", $text, ", 'UTF8')")
    };
}

/// The time that leases are measured by, in Unix milliseconds: the database's, whatever each server's own clock says.
macro_rules! clock {
    ($now:literal) => {
        concat!(
            "(CASE WHEN ",
            $now,
            " IS NULL THEN 0 ELSE CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) END)"
        )
    };
}

/// Leaves out rows that others hold, and holds the others.
macro_rules! skip_held {
    ($of:literal) => {
        concat!(" FOR NO KEY UPDATE OF ", $of, " SKIP LOCKED")
    };
}

/// Which index reads a table: PostgreSQL finds that out.
macro_rules! by_index {
    ($index:literal) => {
        ""
    };
}

/// Holds rows that were read until the transaction ends, not against those that only refer to them.
macro_rules! held {
    () => {
        " FOR NO KEY UPDATE"
    };
}

/// Does a write again when it met another one: the database has taken all of it back.
macro_rules! retried {
    ($write:expr) => {{
        let mut tries = 0;
        loop {
            match $write {
                Err(crate::error::StoreError::Conflict)
                    if tries < super::super::dialect::RETRIES_MAX =>
                {
                    tries += 1;
                    super::super::pause(tries).await;
                }
                done => break done,
            }
        }
    }};
}

/// Adds the event after the last one. False: the last one is no longer that. One statement finds the project, and
/// the last event as it is known here: another server may have added some, or this database lost what it had not yet
/// written to its disk.
pub(super) async fn append_next(
    store: &SqlStore,
    project: &ProjectId,
    head: &Head,
    event: &NewEvent,
    hash: &[u8; 32],
) -> Result<bool, StoreError> {
    let added = sqlx::query(
        "INSERT INTO bridge_event (project_id, seq, ts, session, kind, data, hash) \
         SELECT p.id, $2, $3, $4, $5, $6, $7 FROM project p \
         WHERE p.public_id = $1 AND p.deleted_at IS NULL AND COALESCE(p.host, $10) = $10 AND ($8 = 0 OR EXISTS \
         (SELECT 1 FROM bridge_event e WHERE e.project_id = p.id AND e.seq = $8 AND e.hash = $9)) \
         ON CONFLICT DO NOTHING",
    )
    .bind(project.as_str())
    .bind(i64::try_from(event.seq).unwrap_or(i64::MAX))
    .bind(i64::try_from(event.ts).unwrap_or(i64::MAX))
    .bind(event.session.as_deref())
    .bind(event.kind.as_str())
    .bind(raw(&event.data))
    .bind(hash.as_slice())
    .bind(i64::try_from(head.seq).unwrap_or(i64::MAX))
    .bind(head.hash.as_slice())
    .bind(store.me.get().map_or("", String::as_str))
    .execute(&store.relaxed)
    .await?;
    Ok(added.rows_affected() == 1)
}
