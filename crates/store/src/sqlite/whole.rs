//! Whether a database is whole before anything is written to it: its pages, and the log of what was written last, which
//! is a file of its own until a server ends in order. What is not whole is refused, never mended: a mended database has
//! forgotten something, and nobody knows what.

use super::{File, open_folder};
use crate::error::StoreError;
use sqlx::{SqlitePool, sqlite::SqliteError};
use std::{
    io,
    path::{Path, PathBuf},
};
use tokio::task::spawn_blocking;

/// Up to here all pages are read at each start; beyond, only after a server that did not end in order. About a second of
/// a fast disk.
const CHECKED_BYTES_MAX: u64 = 1 << 30;
/// `sqlite3.h`: SQLITE_CORRUPT. Extended codes keep it in their low byte.
const SQLITE_CORRUPT: i32 = 11;

/// A file beside a database while somebody works with it. Left behind: the last one did not end in order, and the log has
/// to be there.
#[derive(Debug)]
pub(super) struct Mark(PathBuf);

fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

impl Mark {
    /// Looks at the files, before SQLite does: it takes a log that is gone for one that was never there.
    pub(super) fn of(database: &Path) -> Result<Self, StoreError> {
        let mark = Self(beside(database, "-open"));
        if mark.0.exists() {
            let log = beside(database, "-wal");
            for gone in [&log, database] {
                if !gone.exists() {
                    return Err(StoreError::Gone { path: gone.to_owned(), mark: mark.0 });
                }
            }
        }
        Ok(mark)
    }

    fn is_set(&self) -> bool {
        self.0.exists()
    }

    /// From here on somebody works with it, and it has a log.
    pub(super) async fn set(&self) -> io::Result<()> {
        self.change(|path| File::create(path)?.sync_all()).await
    }

    /// All of the log is in the database.
    pub(super) async fn clear(&self) -> io::Result<()> {
        self.change(|path| std::fs::remove_file(path)).await
    }

    /// The same, of one that is let go of and not closed: SQLite empties the log when its last user goes. A process that
    /// is killed lets go of nothing.
    pub(super) fn let_go(&self) {
        let _ = std::fs::remove_file(&self.0);
    }

    async fn change(&self, change: fn(&Path) -> io::Result<()>) -> io::Result<()> {
        let path = self.0.clone();
        let done = spawn_blocking(move || {
            change(&path)?;
            open_folder(&path)?.sync_all()
        });
        done.await.map_err(io::Error::other)?
    }
}

/// Reads all pages, where that takes no time or may be needed.
pub(super) async fn check(
    pool: &SqlitePool,
    database: &Path,
    mark: &Mark,
) -> Result<(), StoreError> {
    let bytes = tokio::fs::metadata(database).await.map_or(0, |file| file.len());
    if bytes > CHECKED_BYTES_MAX && !mark.is_set() {
        return Ok(());
    }
    let damaged = |what: String| StoreError::Damaged { path: database.to_owned(), what };
    let said: Result<String, _> = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(pool).await;
    match said {
        Ok(said) if said == "ok" => Ok(()),
        Ok(said) => Err(damaged(said)),
        Err(error) if is_damage(&error) => Err(damaged(error.to_string())),
        Err(error) => Err(StoreError::opening(database, error)),
    }
}

/// Whether SQLite says that a page is none.
pub(super) fn is_damage(error: &sqlx::Error) -> bool {
    let Some(told) = error.as_database_error() else { return false };
    let code = told.code().and_then(|code| code.parse::<i32>().ok());
    told.try_downcast_ref::<SqliteError>().is_some()
        && code.is_some_and(|code| code & 0xff == SQLITE_CORRUPT)
}
