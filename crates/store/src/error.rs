//! What goes wrong with a database, and what to do. One family for all of them.

use std::path::PathBuf;

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
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// No space.
    #[error("the disk of the data folder is full: free some space, then try again")]
    DiskFull,
    /// Another process holds the write lock.
    #[error("another program holds the database locked: close it, then try again")]
    Busy,
    /// A value that must be unique is taken.
    #[error("{what} is taken: choose another")]
    Taken {
        /// What it is.
        what: &'static str,
    },
    /// No such row.
    #[error("there is no such {what}")]
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

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .and_then(|code| code.parse::<i32>().ok());
        // Extended codes keep the primary one in their low byte.
        match code.map(|code| code & 0xff) {
            Some(SQLITE_FULL) => Self::DiskFull,
            Some(SQLITE_BUSY) => Self::Busy,
            _ => Self::Query(error),
        }
    }
}

impl StoreError {
    /// A unique index said no: names what is taken.
    pub(crate) fn or_taken(error: sqlx::Error, what: &'static str) -> Self {
        match error.as_database_error() {
            Some(e) if e.is_unique_violation() => Self::Taken { what },
            _ => error.into(),
        }
    }
}
