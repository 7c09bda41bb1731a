//! A database as files, one for each table in PostgreSQL's own form, and an empty database filled from them: with its
//! own streams, no other program. Steps of the schema that came since are made afterwards.

use super::{CONNECT_TIMEOUT, MIGRATIONS, PostgresStore, connect, parse};
use crate::error::StoreError;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, migrate::Migrator, raw_sql,
};
use std::{io, path::Path};
use tokio::{
    fs::{self, File},
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

/// What the files are, in the order in which they are read back: what others refer to first.
const INDEX: &str = "tables.json";
/// Bytes that are read of a file at once.
const PIECE_BYTES: usize = 256 << 10;

#[derive(Serialize, Deserialize)]
struct Index {
    /// The newest step of the schema that they have.
    step: i64,
    tables: Vec<Table>,
}

#[derive(Serialize, Deserialize)]
struct Table {
    name: String,
    columns: Vec<String>,
    /// That one which numbers are given out for.
    numbered: Option<String>,
}

fn kept(error: io::Error) -> StoreError {
    StoreError::from(sqlx::Error::Io(error))
}

/// A name that only we have given: the schema's.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

impl PostgresStore {
    /// Writes all that is committed at one moment to files in a folder.
    pub(super) async fn copy_rows(&self, folder: &Path) -> Result<(), StoreError> {
        let mut tx = self.moment().await?;
        raw_sql("SET LOCAL statement_timeout = 0").execute(&mut *tx).await?;
        let step: i64 =
            sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
                .fetch_one(&mut *tx)
                .await?;
        let tables = tables(tx.unbound()).await?;
        for table in &tables {
            let copy = format!(
                "COPY {} ({}) TO STDOUT (FORMAT binary)",
                quoted(&table.name),
                list(&table.columns)
            );
            let mut file = File::create(folder.join(&table.name)).await.map_err(kept)?;
            let mut rows = tx.unbound().copy_out_raw(&copy).await?;
            while let Some(bytes) = rows.try_next().await? {
                file.write_all(&bytes).await.map_err(kept)?;
            }
            file.flush().await.map_err(kept)?;
        }
        let index = serde_json::to_vec(&Index { step, tables }).expect("names are JSON-able");
        fs::write(folder.join(INDEX), index).await.map_err(kept)
    }

    /// Fills an empty database from files that [`crate::Store::copy_to`] has written, all of it or nothing. Without
    /// `keeps_name` its servers call themselves something else than those it was made from, which may still be there.
    pub async fn fill(url: &str, folder: &Path, keeps_name: bool) -> Result<(), StoreError> {
        let options = parse(url)?.disable_statement_logging();
        let mut db = connect(&options).await?;
        let index = fs::read(folder.join(INDEX)).await.map_err(kept)?;
        let index: Index = serde_json::from_slice(&index).map_err(|e| kept(io::Error::other(e)))?;
        let taken: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema())",
        )
        .fetch_one(&mut db)
        .await?;
        if taken {
            let reason = "it is not empty: name a new database for what is restored".into();
            return Err(StoreError::Address { reason });
        }
        if !MIGRATIONS.iter().any(|step| step.version == index.step) {
            let reason = "the backup was made by a newer Toft: restore it with that one".into();
            return Err(StoreError::Address { reason });
        }
        let steps = MIGRATIONS.iter().filter(|step| step.version <= index.step).cloned().collect();
        Migrator::with_migrations(steps)
            .run_direct(None, &mut db, false)
            .await
            .map_err(StoreError::Migrate)?;
        let mut tx = db.begin().await?;
        // What the steps have put in is in the files, too.
        let all: Vec<String> = index.tables.iter().map(|table| quoted(&table.name)).collect();
        run(&mut tx, format!("TRUNCATE {} CASCADE", all.join(", "))).await?;
        for table in &index.tables {
            fill_one(&mut tx, table, folder).await?;
        }
        if index.tables.iter().any(|table| table.name == "server") {
            // Whoever goes on with it may lie elsewhere than who made it.
            run(&mut tx, "UPDATE server SET seen_at = 0".into()).await?;
        }
        if !keeps_name && index.tables.iter().any(|table| table.name == "installation") {
            run(&mut tx, "DELETE FROM installation".into()).await?;
        }
        tx.commit().await?;
        MIGRATIONS.run_direct(None, &mut db, false).await.map_err(StoreError::Migrate)?;
        let _ = timeout(CONNECT_TIMEOUT, db.close()).await;
        Ok(())
    }
}

async fn run(db: &mut PgConnection, statement: String) -> Result<(), StoreError> {
    raw_sql(AssertSqlSafe(statement)).execute(db).await?;
    Ok(())
}

async fn fill_one(db: &mut PgConnection, table: &Table, folder: &Path) -> Result<(), StoreError> {
    let name = quoted(&table.name);
    // What they would add up is in the files.
    run(db, format!("ALTER TABLE {name} DISABLE TRIGGER USER")).await?;
    let mut file = File::open(folder.join(&table.name)).await.map_err(kept)?;
    let copy = format!("COPY {name} ({}) FROM STDIN (FORMAT binary)", list(&table.columns));
    let mut rows = db.copy_in_raw(&copy).await?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece).await.map_err(kept)?;
        if read == 0 {
            break;
        }
        rows.send(&piece[..read]).await?;
    }
    rows.finish().await?;
    run(db, format!("ALTER TABLE {name} ENABLE TRIGGER USER")).await?;
    if let Some(column) = &table.numbered {
        let next = format!(
            "SELECT setval(pg_get_serial_sequence('{name}', '{column}'), \
             GREATEST((SELECT COALESCE(max({column}), 0) FROM {name}) + 1, \
             nextval(pg_get_serial_sequence('{name}', '{column}'))), false)",
            column = column.replace('\'', "''"),
        );
        run(db, next).await?;
    }
    Ok(())
}

/// All tables, those that others refer to first.
async fn tables(db: &mut PgConnection) -> Result<Vec<Table>, StoreError> {
    let columns: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT c.table_name::text, c.column_name::text, c.is_identity = 'YES' FROM information_schema.columns c \
         JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
         WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER' \
         AND c.table_name <> '_sqlx_migrations' ORDER BY c.table_name, c.ordinal_position",
    )
    .fetch_all(&mut *db)
    .await?;
    let refer: Vec<(String, String)> = sqlx::query_as(
        "SELECT a.relname::text, b.relname::text FROM pg_constraint c JOIN pg_class a ON a.oid = c.conrelid \
         JOIN pg_class b ON b.oid = c.confrelid WHERE c.contype = 'f' AND a.oid <> b.oid",
    )
    .fetch_all(&mut *db)
    .await?;
    let mut waiting: Vec<Table> = Vec::new();
    for (table, column, is_numbered) in columns {
        if waiting.last().is_none_or(|last| last.name != table) {
            waiting.push(Table { name: table, columns: Vec::new(), numbered: None });
        }
        let last = waiting.last_mut().expect("one was just added");
        if is_numbered {
            last.numbered = Some(column.clone());
        }
        last.columns.push(column);
    }
    let mut ordered: Vec<Table> = Vec::new();
    while !waiting.is_empty() {
        let is_free = |table: &Table| {
            refer.iter().all(|(from, to)| {
                *from != table.name || ordered.iter().any(|done| done.name == *to)
            })
        };
        let (free, rest): (Vec<Table>, Vec<Table>) = waiting.into_iter().partition(is_free);
        if free.is_empty() {
            // Ours never do.
            let reason = "its tables refer to each other in a circle".into();
            return Err(StoreError::Address { reason });
        }
        ordered.extend(free);
        waiting = rest;
    }
    Ok(ordered)
}
