//! Makes and reads the three tables. Reads what is there by name and takes every value as text, so
//! that extra, missing and oddly typed columns do no harm.

use super::declared::{Faults, TEXT_CHARS_MAX, command, environment, port, restart, status};
use sqlx::{
    Connection as _, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteRow},
};
use std::{
    fs::{self, Metadata},
    path::Path,
    time::{Duration, Instant, SystemTime},
};
use toft_model::inspect::{Asset, Inspect, Integration, Service};

/// All rows, as they stand there.
pub(super) type Rows = Inspect;

/// Rows of one table that are shown; a sidebar holds a few dozen.
const ROWS_MAX: usize = 1_000;

/// How long a writer may hold the database before the rows of before are shown.
const LOCKED_TIMEOUT: Duration = Duration::from_secs(2);

/// A table may be a view that never ends.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// Database steps between two looks at the clock.
const STEPS_PER_LOOK: i32 = 10_000;

/// The schema of the Starter document.
const SCHEMA: &str = "
BEGIN;
CREATE TABLE IF NOT EXISTS integrations (
  id          TEXT PRIMARY KEY,
  name        TEXT NOT NULL,
  status      TEXT NOT NULL,
  secrets     TEXT,
  description TEXT,
  created_at  TEXT NOT NULL DEFAULT (datetime('now')),
  updated_at  TEXT NOT NULL DEFAULT (datetime('now'))
);
CREATE TABLE IF NOT EXISTS services (
  id          TEXT PRIMARY KEY,
  name        TEXT NOT NULL,
  type        TEXT NOT NULL,
  port        INTEGER,
  schedule    TEXT,
  status      TEXT NOT NULL,
  description TEXT,
  created_at  TEXT NOT NULL DEFAULT (datetime('now')),
  updated_at  TEXT NOT NULL DEFAULT (datetime('now')),
  command     TEXT,
  cwd         TEXT,
  env         TEXT,
  restart     TEXT
);
CREATE TABLE IF NOT EXISTS assets (
  id          TEXT PRIMARY KEY,
  name        TEXT NOT NULL,
  type        TEXT NOT NULL,
  path        TEXT NOT NULL,
  description TEXT,
  created_at  TEXT NOT NULL DEFAULT (datetime('now')),
  updated_at  TEXT NOT NULL DEFAULT (datetime('now'))
);
COMMIT;
";

/// Columns of services that came after the Starter document's, each nullable. Added to tables that
/// are older, and to those that an agent made by heart.
const SERVICE_COLUMNS: [(&str, &str); 4] = [
    ("command", "ALTER TABLE services ADD COLUMN command TEXT"),
    ("cwd", "ALTER TABLE services ADD COLUMN cwd TEXT"),
    ("env", "ALTER TABLE services ADD COLUMN env TEXT"),
    ("restart", "ALTER TABLE services ADD COLUMN restart TEXT"),
];

/// Changes when the database was written: its file's and its write-ahead log's time and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version(Stamp, Option<Stamp>);

type Stamp = (Option<SystemTime>, u64, u64);

impl Version {
    /// `None`: there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let stamp = |meta: Metadata| {
            use std::os::unix::fs::MetadataExt as _;
            (meta.modified().ok(), meta.len(), meta.ino())
        };
        let database = fs::metadata(path).ok().filter(Metadata::is_file)?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        // Reading makes an empty one by itself.
        let log = fs::metadata(log).ok().filter(|meta| meta.len() > 0);
        Some(Self(stamp(database), log.map(stamp)))
    }
}

pub(super) async fn make_tables(path: &Path) -> Result<(), sqlx::Error> {
    let mut db = open(path, true).await?;
    // Empty tables need no disk sync: lost ones are made again.
    sqlx::raw_sql("PRAGMA synchronous = OFF").execute(&mut db).await?;
    sqlx::raw_sql(SCHEMA).execute(&mut db).await?;
    add_columns(&mut db).await?;
    db.close().await
}

async fn add_columns(db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let there =
        sqlx::query("SELECT name FROM pragma_table_info('services')").fetch_all(&mut *db).await?;
    let there: Vec<String> = there.iter().filter_map(|row| text(row, "name")).collect();
    for (name, add) in SERVICE_COLUMNS {
        if there.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        match sqlx::raw_sql(add).execute(&mut *db).await {
            Ok(_) => {}
            // Added by another process meanwhile, or no plain table: then it stays as it is.
            Err(err) if is_about_the_table(&err) => {}
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

/// Writes what is wanted of a service.
pub(super) async fn set_status(path: &Path, id: &str, status: &str) -> Result<(), sqlx::Error> {
    let mut db = open(path, false).await?;
    let sql = "UPDATE services SET status = ?1, updated_at = datetime('now') \
               WHERE (id = ?2 OR (id IS NULL AND name = ?2)) AND status IS NOT ?1";
    sqlx::query(sql).bind(status).bind(id).execute(&mut db).await?;
    db.close().await
}

/// Runs statements, one after the other.
pub(super) async fn execute(path: &Path, sql: String) -> Result<(), sqlx::Error> {
    let mut db = open(path, false).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut db).await?;
    db.close().await
}

/// Reads all three tables. Fails only when the database as a whole cannot be read.
pub(super) async fn rows(path: &Path) -> Result<Rows, sqlx::Error> {
    let mut db = open(path, false).await?;
    let rows = Rows {
        integrations: table(&mut db, "integrations", integration).await?,
        services: table(&mut db, "services", service).await?,
        assets: table(&mut db, "assets", asset).await?,
    };
    db.close().await?;
    Ok(rows)
}

async fn open(path: &Path, create: bool) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .busy_timeout(LOCKED_TIMEOUT)
        // Programs can write anything into the file: its schema reaches nothing but itself, and pages are
        // judged before they are used.
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON");
    let mut db = SqliteConnection::connect_with(&options).await?;
    let until = Instant::now() + LOCKED_TIMEOUT + QUERY_TIMEOUT;
    db.lock_handle().await?.set_progress_handler(STEPS_PER_LOOK, move || Instant::now() < until);
    Ok(db)
}

/// Rows of one table, newest first. A table that is missing or wrong is empty; a database that is
/// locked or broken is an error.
async fn table<T: Dated>(
    db: &mut SqliteConnection,
    name: &'static str,
    row: fn(&SqliteRow) -> Option<T>,
) -> Result<Vec<T>, sqlx::Error> {
    let newest = match name {
        "integrations" => "SELECT * FROM integrations ORDER BY rowid DESC LIMIT 1000",
        "services" => "SELECT * FROM services ORDER BY rowid DESC LIMIT 1000",
        _ => "SELECT * FROM assets ORDER BY rowid DESC LIMIT 1000",
    };
    let rows = match sqlx::query(newest).fetch_all(db).await {
        Ok(rows) => rows,
        Err(err) if is_about_the_table(&err) => {
            tracing::debug!(error = %err, table = name, "a table of the inspect database is not readable");
            return Ok(Vec::new());
        }
        Err(err) => return Err(err),
    };
    let mut items: Vec<T> = rows.iter().filter_map(row).take(ROWS_MAX).collect();
    items.sort_by(|a, b| b.created_at().cmp(a.created_at()));
    Ok(items)
}

/// `SQLITE_ERROR` (no such table or column) and `SQLITE_INTERRUPT` (it took too long).
fn is_about_the_table(err: &sqlx::Error) -> bool {
    let code = err.as_database_error().and_then(|e| e.code().map(std::borrow::Cow::into_owned));
    matches!(code.as_deref(), Some("1" | "9"))
}

trait Dated {
    fn created_at(&self) -> &str;
}

macro_rules! dated {
    ($($row:ty),*) => {
        $(impl Dated for $row {
            fn created_at(&self) -> &str {
                &self.created_at
            }
        })*
    };
}

dated!(Integration, Service, Asset);

fn integration(row: &SqliteRow) -> Option<Integration> {
    Some(Integration {
        id: id(row)?,
        name: name(row),
        status: text(row, "status").unwrap_or_default(),
        secrets: secrets(text(row, "secrets").as_deref()),
        description: text(row, "description"),
        created_at: text(row, "created_at").unwrap_or_default(),
        updated_at: text(row, "updated_at").unwrap_or_default(),
    })
}

fn service(row: &SqliteRow) -> Option<Service> {
    let mut faults = Faults::default();
    let command = command(whole(row, "command"), &mut faults);
    let env = environment(whole(row, "env").as_deref(), &mut faults);
    let port = port(text(row, "port").as_deref(), &mut faults);
    let wanted = text(row, "status").unwrap_or_default();
    let rule = text(row, "restart");
    if command.is_some() {
        status(&wanted, &mut faults);
    }
    Some(Service {
        id: id(row)?,
        name: name(row),
        kind: text(row, "type").unwrap_or_default(),
        port,
        schedule: text(row, "schedule"),
        status: wanted,
        description: text(row, "description"),
        command,
        cwd: text(row, "cwd").filter(|cwd| !cwd.is_empty()),
        env,
        restart: rule.as_deref().and_then(|rule| restart(rule, &mut faults)),
        problem: faults.told(),
        process: None,
        created_at: text(row, "created_at").unwrap_or_default(),
        updated_at: text(row, "updated_at").unwrap_or_default(),
    })
}

fn asset(row: &SqliteRow) -> Option<Asset> {
    Some(Asset {
        id: id(row)?,
        name: name(row),
        kind: text(row, "type").unwrap_or_default(),
        path: text(row, "path").filter(|path| !path.is_empty())?,
        description: text(row, "description"),
        created_at: text(row, "created_at").unwrap_or_default(),
        updated_at: text(row, "updated_at").unwrap_or_default(),
    })
}

/// A row without an id has only its name to be told by.
fn id(row: &SqliteRow) -> Option<String> {
    text(row, "id").or_else(|| text(row, "name")).filter(|id| !id.is_empty())
}

fn name(row: &SqliteRow) -> String {
    text(row, "name").or_else(|| text(row, "id")).unwrap_or_default()
}

/// A value as text, whatever its type; `None` for NULL, for what is no text, and without a column.
fn whole(row: &SqliteRow, column: &str) -> Option<String> {
    row.try_get_unchecked::<Option<String>, _>(column).ok()?
}

/// The same, cut where it is too long to be shown.
fn text(row: &SqliteRow, column: &str) -> Option<String> {
    let mut value = whole(row, column)?;
    if let Some((end, _)) = value.char_indices().nth(TEXT_CHARS_MAX) {
        value.truncate(end);
    }
    Some(value)
}

/// Names in a JSON array. Agents also write `A, B`, or one bare name.
fn secrets(text: Option<&str>) -> Vec<String> {
    let text = text.unwrap_or_default().trim();
    if text.starts_with('[') {
        let values: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
        return values.into_iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
    }
    let name = |part: &str| {
        let part = part.trim();
        let is_name = !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        is_name.then(|| part.to_owned())
    };
    text.split(',').map(name).collect::<Option<_>>().unwrap_or_default()
}
