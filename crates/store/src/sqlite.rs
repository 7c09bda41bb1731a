//! SQLite behind the store: opening it safely, one writer, many readers, a copy of it. Statements are in `sql`.

#[macro_use]
mod dialect;
#[path = "sql/families.rs"]
#[expect(clippy::duplicate_mod, reason = "one text, compiled for each database with its types")]
mod sql;
#[cfg(test)]
mod steps;
mod whole;

use crate::{
    checkpoints::Durable,
    error::StoreError,
    heads::Heads,
    signals::{Listener, Near, Signal, Signals},
    store::Store,
};
use async_trait::async_trait;
use sqlx::{
    ConnectOptions as _, Sqlite, SqlitePool, Transaction,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    collections::HashMap,
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use toft_model::id::ProjectId;
use tokio::{sync::MutexGuard, time::timeout};
use whole::Mark;

/// First SQLite without the WAL-reset bug, which can damage a database (sqlite.org/wal.html).
const SQLITE_VERSION_MIN: (u32, u32, u32) = (3, 51, 3);
/// Readers at once. Two cores; a reader is one thread and up to 2 MiB of page cache.
const READERS_MAX: u32 = 4;
/// How long a foreign process may hold the write lock before a call fails with `Busy`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The write-ahead log is cut back to this after a checkpoint.
const WAL_BYTES_KEPT: &str = "16777216";
/// Pages of 4 KiB in it, as many, after which there is one: it waits for the disk, and whoever writes a flood of
/// events waits with it.
const WAL_PAGES: &str = "4096";
/// Projects whose key is kept in memory.
const CACHED_PROJECTS_MAX: usize = 4096;

/// The steps to this version's shape.
static MIGRATIONS: Migrator = sqlx::migrate!("src/sqlite/migrations");

/// Name of a copy in a folder of copies.
const COPY: &str = "toft.db";

type Db = Sqlite;
type DbConnection = sqlx::SqliteConnection;
type DbRow = sqlx::sqlite::SqliteRow;
type DbArguments = sqlx::sqlite::SqliteArguments;
type SqlStore = SqliteStore;

/// The store on one SQLite file.
///
/// Two connections write, one after the other under `write_turn`: `full` syncs the disk at every
/// commit; `relaxed` leaves that to the next checkpoint and takes only what can be read again
/// from a machine. Readers never wait for them.
pub struct SqliteStore {
    full: SqlitePool,
    relaxed: SqlitePool,
    read: SqlitePool,
    write_turn: tokio::sync::Mutex<()>,
    /// Whether a foreign process had the write lock when it was last asked for.
    is_locked: AtomicBool,
    mark: Mark,
    keys: Mutex<HashMap<ProjectId, i64>>,
    heads: Heads,
    near: Near,
    version: String,
    /// Id of the server that uses it, once that has said which it is.
    me: OnceLock<String>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.mark.let_go();
    }
}

impl SqliteStore {
    /// Opens (or makes) the database and brings it to this version's shape. Never backwards.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let open = |error| StoreError::opening(path, error);
        let mark = Mark::of(path)?;
        let base = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("journal_size_limit", WAL_BYTES_KEPT)
            .pragma("wal_autocheckpoint", WAL_PAGES)
            .disable_statement_logging();
        let writer = base.clone().create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        let full = pool(1)
            .connect_with(writer.clone().synchronous(SqliteSynchronous::Full))
            .await
            .map_err(open)?;
        let (version,): (String,) =
            sqlx::query_as("SELECT sqlite_version()").fetch_one(&full).await.map_err(open)?;
        if parse_version(&version) < SQLITE_VERSION_MIN {
            return Err(StoreError::TooOld { found: version });
        }
        whole::check(&full, path, &mark).await?;
        MIGRATIONS.run(&full).await.map_err(|error| StoreError::migrating(path, error))?;
        mark.set().await.map_err(|error| open(error.into()))?;
        let relaxed = pool(1).connect_lazy_with(writer.synchronous(SqliteSynchronous::Normal));
        let read = pool(READERS_MAX).connect_lazy_with(base.read_only(true));
        Ok(Self {
            full,
            relaxed,
            read,
            write_turn: tokio::sync::Mutex::default(),
            is_locked: AtomicBool::new(false),
            mark,
            keys: Mutex::default(),
            heads: Heads::default(),
            near: Near::new(),
            version,
            me: OnceLock::new(),
        })
    }

    /// A write transaction that is on disk when it is committed.
    async fn begin(&self) -> Result<Write<'_>, StoreError> {
        self.begin_on(&self.full).await
    }

    /// The same, for one claim at a time, as all writes here.
    async fn begin_claim(&self) -> Result<Write<'_>, StoreError> {
        self.begin().await
    }

    /// A write transaction that may be lost with the power, not with the process.
    async fn begin_relaxed(&self) -> Result<Write<'_>, StoreError> {
        self.begin_on(&self.relaxed).await
    }

    /// A write transaction on what belongs to a project that is not deleted, and its internal key.
    async fn begin_in(
        &self,
        id: &ProjectId,
        durable: Durable,
    ) -> Result<(Write<'_>, i64), StoreError> {
        let key = self.key(id).await?;
        let write = match durable {
            Durable::Now => self.begin().await?,
            Durable::Soon => self.begin_relaxed().await?,
        };
        Ok((write, key))
    }

    /// A transaction that reads one moment.
    async fn moment(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.read.begin().await?)
    }

    /// A deleted project has no key and no head.
    fn forget(&self, id: &ProjectId) {
        self.keys.lock().expect("never poisoned").remove(id);
        self.heads.take(id);
    }

    async fn begin_on(&self, pool: &SqlitePool) -> Result<Write<'_>, StoreError> {
        let turn = self.turn().await?;
        let begun = match pool.begin_with(BEGIN).await {
            // SQLite has rolled a transaction back by itself (the disk was full), and sqlx still
            // counts it as open. Only a new connection counts from zero.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                pool.acquire().await?.close().await?;
                pool.begin_with(BEGIN).await
            }
            begun => begun,
        };
        Ok(Write { tx: self.unlocked(begun)?, _turn: turn })
    }

    /// The turn to write. While a foreign process has the database locked, each of those that wait waits for as long as
    /// one does, and not for all that came before.
    async fn turn(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let mut turn = pin!(self.write_turn.lock());
        loop {
            match timeout(BUSY_TIMEOUT, &mut turn).await {
                Ok(turn) => return Ok(turn),
                Err(_) if self.is_locked.load(Ordering::Relaxed) => return Err(StoreError::Busy),
                // Others write, one after the other.
                Err(_) => {}
            }
        }
    }

    /// Remembers whether the write lock was to be had.
    fn unlocked<T>(&self, written: sqlx::Result<T>) -> Result<T, StoreError> {
        let written = written.map_err(StoreError::from);
        let is_locked = matches!(written, Err(StoreError::Busy));
        self.is_locked.store(is_locked, Ordering::Relaxed);
        written
    }

    /// Writes a copy of all that is committed, whole and on disk when this returns, to a file that is not there yet
    /// or is replaced. Nobody waits for it but who asked.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::Backup { path: to.to_owned(), source };
        let beside = beside(to);
        // One that was cut is in the way.
        let left = tokio::fs::remove_file(&beside).await;
        left.or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })
            .map_err(|e| failed(e.into()))?;
        let name = beside.to_str().ok_or_else(|| failed(no_text()))?;
        let mut conn = self.read.acquire().await?;
        let copied = sqlx::query("VACUUM INTO $1").bind(name).execute(&mut *conn).await;
        drop(conn);
        let done = match copied {
            Ok(_) => publish(beside.clone(), to.to_owned()).await.map_err(sqlx::Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            let _ = tokio::fs::remove_file(&beside).await;
            return Err(match StoreError::from(error) {
                StoreError::Query(error) => failed(error),
                told => told,
            });
        }
        Ok(())
    }

    /// The internal key of a project that is not deleted.
    async fn key(&self, id: &ProjectId) -> Result<i64, StoreError> {
        if let Some(key) = self.keys.lock().expect("never poisoned").get(id) {
            return Ok(*key);
        }
        let row: Option<(i64,)> =
            sqlx::query_as("SELECT id FROM project WHERE public_id = $1 AND deleted_at IS NULL")
                .bind(id.as_str())
                .fetch_optional(&self.read)
                .await?;
        let (key,) = row.ok_or(StoreError::Missing { what: "project" })?;
        let mut keys = self.keys.lock().expect("never poisoned");
        if keys.len() >= CACHED_PROJECTS_MAX {
            keys.clear();
        }
        keys.insert(id.clone(), key);
        Ok(key)
    }
}

/// A write transaction and its turn; dropped without commit it is rolled back.
struct Write<'a> {
    tx: Transaction<'static, Sqlite>,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Write<'_> {
    fn on(&mut self) -> &mut sqlx::SqliteConnection {
        &mut self.tx
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await.map_err(StoreError::from)
    }
}

/// A deferred transaction that turns into a writer fails with a code that no timeout retries.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// Connections live as long as the store: opening one costs more than any statement.
fn pool(size: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(size)
        .min_connections(0)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Where a copy is written until it is whole: in the same folder, so that it can be renamed.
fn beside(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    to.with_file_name(name)
}

/// The folder that a file lies in.
fn open_folder(file: &Path) -> std::io::Result<File> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
}

fn no_text() -> sqlx::Error {
    sqlx::Error::Configuration("SQLite takes only paths that are UTF-8".into())
}

/// Gives a whole copy its name, once all of it is on disk.
async fn publish(from: PathBuf, to: PathBuf) -> std::io::Result<()> {
    let done = tokio::task::spawn_blocking(move || {
        File::open(&from)?.sync_all()?;
        std::fs::rename(&from, &to)?;
        open_folder(&to)?.sync_all()
    });
    done.await.map_err(std::io::Error::other)?
}

fn parse_version(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split('.').map(|p| p.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

#[async_trait]
impl Store for SqliteStore {
    async fn close(&self) {
        let _turn = self.write_turn.lock().await;
        self.read.close().await;
        self.relaxed.close().await;
        // Where another process reads it, its log stays, and the mark with it.
        let emptied: Result<(i64, i64, i64), _> =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.full).await;
        if matches!(emptied, Ok((0, ..))) {
            // One that stays only makes the next start look closer.
            let _ = self.mark.clear().await;
        }
        self.full.close().await;
    }

    async fn copy_to(&self, folder: &Path) -> Result<(), StoreError> {
        self.backup(&folder.join(COPY)).await
    }

    fn describe(&self) -> String {
        format!("SQLite {}", self.version)
    }
}

#[async_trait]
impl Signals for SqliteStore {
    async fn notify(&self, topic: &str) -> Result<(), StoreError> {
        // All who wait are in this process.
        self.near.tell(Signal::Topic(topic.to_owned()));
        Ok(())
    }

    fn listen(&self) -> Listener {
        self.near.listen()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings as _;

    #[tokio::test]
    async fn a_full_disk_fails_one_write_and_not_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("t.db")).await.unwrap();
        // As full as a disk can be for this connection.
        for pragma in ["PRAGMA max_page_count = 1", "PRAGMA cache_size = 1"] {
            sqlx::query(pragma).execute(&store.full).await.unwrap();
        }
        let long = "x".repeat(1 << 20);
        let user = crate::people::SYSTEM_USER;
        let refused = store.put_setting(user, "key", Some(&long)).await;
        assert!(matches!(refused, Err(StoreError::DiskFull)), "{refused:?}");
        // The limit goes with the connection, as if room had been made.
        sqlx::query("PRAGMA max_page_count = 1000000").execute(&store.full).await.unwrap();
        store.put_setting(user, "key", Some("short")).await.unwrap();
        assert_eq!(store.settings(user).await.unwrap(), [("key".to_owned(), "short".to_owned())]);
    }

    #[tokio::test]
    async fn a_disk_too_full_for_the_schema_is_told_as_such_with_what_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let full = pool(1).connect_with(options).await.unwrap();
        sqlx::query("PRAGMA max_page_count = 3").execute(&full).await.unwrap();
        let error = MIGRATIONS.run(&full).await.unwrap_err();
        let error = StoreError::migrating(&path, error);
        assert!(matches!(error, StoreError::NoRoom { free_bytes: 1.., .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("disk_full") && said.contains("t.db"), "{said}");
        assert!(!said.contains("newer"), "{said}");
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(parse_version("3.51.3") >= SQLITE_VERSION_MIN);
        assert!(parse_version("3.100.0") >= SQLITE_VERSION_MIN);
        assert!(parse_version("3.51.2") < SQLITE_VERSION_MIN);
        assert!(parse_version("3.9.9") < SQLITE_VERSION_MIN);
    }
}
