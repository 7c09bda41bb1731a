//! The part `toft inspect DATABASE SQL`: writes the inspect database in a machine that has no program
//! for SQLite. It shows no rows: people see them in the dashboard.

use super::read;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// Arguments are missing, or the statements are no text.
    #[error("say which database and what to do: `toft inspect DATABASE SQL`")]
    Usage,
    /// The runtime did not start.
    #[error("starting: {0}")]
    Start(#[from] std::io::Error),
    /// What SQLite says.
    #[error("{path}: {source}")]
    Sql {
        /// The database.
        path: PathBuf,
        /// SQLite's own words.
        source: sqlx::Error,
    },
}

/// Runs the statements that `argv` names on its database. Blocks.
///
/// # Errors
/// See [`SqlError`]; statements before the one that failed may have been done.
pub fn main(mut argv: impl Iterator<Item = OsString>) -> Result<(), SqlError> {
    let path = PathBuf::from(argv.next().ok_or(SqlError::Usage)?);
    let sql = argv.next().and_then(|sql| sql.into_string().ok()).ok_or(SqlError::Usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&path, sql)).map_err(|source| SqlError::Sql { path, source })
}

async fn run(path: &Path, sql: String) -> Result<(), sqlx::Error> {
    read::make_tables(path).await?;
    read::execute(path, sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(path: &Path, sql: &str) -> Result<(), SqlError> {
        main([path.into(), sql.into()].into_iter())
    }

    #[test]
    fn rows_are_written_without_any_other_program() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inspect.db");
        let insert = "INSERT INTO services(id, name, type, status) VALUES('a', 'It''s', 'app', 'running'); \
                      UPDATE services SET port = 3000";
        inspect(&path, insert).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rows = runtime.block_on(read::rows(&path)).unwrap();
        assert_eq!((rows.services[0].name.as_str(), rows.services[0].port), ("It's", Some(3000)));
        let wrong = inspect(&path, "INSERT INTO nothing VALUES(1)").unwrap_err().to_string();
        assert!(wrong.contains("nothing"), "{wrong}");
        assert!(matches!(main([path.into()].into_iter()), Err(SqlError::Usage)));
    }
}
