//! What goes wrong with a database, and what to do. One family for all of them.

use sqlx::{migrate::MigrateError, postgres::PgDatabaseError};
use std::path::{Path, PathBuf};

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be opened.
    #[error(
        "the database {} could not be opened: {source}. Is the folder writable, \
         and is the file a Toft database?", path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// Its pages are no database any more.
    #[error("the database {} is damaged: {what}. Nothing was written to it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        what: String,
    },
    /// A file of it is not there, and it was in use.
    #[error(
        "{} is gone: the server before did not end in order, and what it wrote last was in there. Nothing was \
         changed. Put the file back; or, if another program (sqlite3) has opened and closed the database since, \
         all is in the database and {} can be deleted", path.display(), mark.display()
    )]
    Gone {
        /// The file.
        path: PathBuf,
        /// What says that it was in use.
        mark: PathBuf,
    },
    /// A linked SQLite with the WAL-reset bug (3.7.0 to 3.51.2).
    #[error("SQLite {found} can damage a database in WAL mode: build with 3.51.3 or newer")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// The schema is newer, or a step failed.
    #[error(
        "the database could not be brought to this version's shape: {0}. If a newer Toft made \
         it, use that one"
    )]
    Migrate(#[source] MigrateError),
    /// The address of a PostgreSQL database says nothing that can be used.
    #[error(
        "the address of the database cannot be used: {reason}. It looks like \
         postgres://USER:PASSWORD@HOST:5432/DATABASE"
    )]
    Address {
        /// Why; never with the password.
        reason: String,
    },
    /// A database that does not answer, or no longer.
    #[error(
        "the database does not answer: {reason}. Is it running, and can it be reached from this host?"
    )]
    Unreachable {
        /// Why; never with the password.
        reason: String,
    },
    /// PostgreSQL lets this user not in.
    #[error(
        "the database at {at} refuses to let this user in: {reason}. Check user, password and \
         database of its address, and what its pg_hba.conf allows"
    )]
    Refused {
        /// Host, port and database.
        at: String,
        /// What it said.
        reason: String,
    },
    /// PostgreSQL before 15.
    #[error("PostgreSQL {found} is too old: use 15 or newer")]
    ServerTooOld {
        /// Its version.
        found: String,
    },
    /// No space for what every start writes.
    #[error(
        "the disk of the data folder is full (disk_full): {} KiB are free for the database {}. Free \
         some space, then start again", free_bytes / 1024, path.display()
    )]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// What is left to this user.
        free_bytes: u64,
    },
    /// No space.
    #[error("the disk of the data folder is full: free some space, then try again")]
    DiskFull,
    /// Another process holds the write lock.
    #[error("another program holds the database locked: close it, then try again")]
    Busy,
    /// Others changed the same all the time.
    #[error("others change the same in the database just now: try again")]
    Conflict,
    /// A text that PostgreSQL cannot keep where a person or a program sets it.
    #[error("a text holds a NUL character, which cannot be kept: leave it out")]
    Character,
    /// A copy of the database could not be written.
    #[error(
        "the copy {} could not be written: {source}. Is its folder there and writable?", path.display()
    )]
    Backup {
        /// Where to.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// A value that must be unique is taken.
    #[error("{what} is taken: choose another")]
    Taken {
        /// What it is.
        what: &'static str,
    },
    /// No such row.
    #[error(
        "there is no such {what} any more: it was deleted meanwhile. List what there is, then choose another"
    )]
    Missing {
        /// What it is.
        what: &'static str,
    },
    /// A statement failed.
    #[error("the database failed: {0}")]
    Query(sqlx::Error),
}

/// SQLite's primary result codes that we tell apart (`sqlite3.h`).
const SQLITE_BUSY: i32 = 5;
const SQLITE_FULL: i32 = 13;

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let error = error.as_database_error()?;
    error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    // Extended codes keep the primary one in their low byte.
    error.code()?.parse::<i32>().ok().map(|code| code & 0xff)
}

/// What PostgreSQL says with a code of five characters (its manual, appendix A).
fn of_postgres(error: &PgDatabaseError) -> Option<StoreError> {
    let reason = || error.message().to_owned();
    Some(match error.code() {
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => StoreError::Conflict,
        // disk_full
        "53100" => StoreError::DiskFull,
        // too_many_connections, lock_not_available, query_canceled (it took too long)
        "53300" | "55P03" | "57014" => StoreError::Busy,
        // character_not_in_repertoire, untranslatable_character
        "22021" | "22P05" => StoreError::Character,
        // admin_shutdown, crash_shutdown, cannot_connect_now, idle_in_transaction_session_timeout,
        // read_only_sql_transaction (a standby)
        "57P01" | "57P02" | "57P03" | "25P03" | "25006" => {
            StoreError::Unreachable { reason: reason() }
        }
        code if code.starts_with("08") => StoreError::Unreachable { reason: reason() },
        _ => return None,
    })
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(told) = &error
            && let Some(told) = told.try_downcast_ref().and_then(of_postgres)
        {
            return told;
        }
        match primary_code(&error) {
            Some(SQLITE_FULL) => Self::DiskFull,
            Some(SQLITE_BUSY) => Self::Busy,
            _ => match error {
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Tls(_) => {
                    Self::Unreachable { reason: error.to_string() }
                }
                error => Self::Query(error),
            },
        }
    }
}

/// Primary codes with which SQLite also tells of a full disk: it could not make the file of the
/// memory that its users share, or the database itself.
const SQLITE_IOERR: i32 = 10;
const SQLITE_CANTOPEN: i32 = 14;
/// With less than this free such a failure is the full disk's: the shared memory takes 32 KiB, the
/// schema twice some 150 KiB, and file systems keep some blocks to themselves.
const START_BYTES_MIN: u64 = 1 << 20;

impl StoreError {
    /// The database at `path` could not be opened.
    pub(crate) fn opening(path: &Path, error: sqlx::Error) -> Self {
        Self::no_room(path, &error)
            .unwrap_or_else(|| Self::Open { path: path.to_owned(), source: error })
    }

    /// Its schema could not be brought up to date.
    pub(crate) fn migrating(path: &Path, error: MigrateError) -> Self {
        match &error {
            MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => {
                Self::no_room(path, cause)
            }
            // Foreign and open to additions: all others are about the steps, not the disk.
            _ => None,
        }
        .unwrap_or_else(|| Self::Migrate(error))
    }

    fn no_room(path: &Path, error: &sqlx::Error) -> Option<Self> {
        let code = primary_code(error)?;
        let disk = path.parent().and_then(|folder| rustix::fs::statvfs(folder).ok());
        let free_bytes =
            disk.as_ref().map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let is_full = match code {
            SQLITE_FULL => true,
            SQLITE_IOERR | SQLITE_CANTOPEN => disk.is_some() && free_bytes < START_BYTES_MIN,
            _ => false,
        };
        is_full.then(|| Self::NoRoom { path: path.to_owned(), free_bytes })
    }

    /// A unique index said no: names what is taken.
    pub(crate) fn or_taken(error: sqlx::Error, what: &'static str) -> Self {
        match error.as_database_error() {
            Some(e) if e.is_unique_violation() => Self::Taken { what },
            _ => error.into(),
        }
    }

    /// A unique index said no because somebody else was faster: doing it again finds what is there now.
    pub(crate) fn or_conflict(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(e) if e.is_unique_violation() => Self::Conflict,
            _ => error.into(),
        }
    }
}
