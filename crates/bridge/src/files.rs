//! Files of the machine for people: list, read, write, move, remove. Everything inside the machine
//! may be reached; a request never hangs on a pipe or a device, and a write is whole or not at all.

mod archive;
mod beside;
mod change;
mod content;
mod look;
#[cfg(test)]
mod tests;

use crate::{
    answer::{Failure, Refused},
    asked::{self, Asked},
    body::BODY_BYTES_MAX,
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use serde::Deserialize;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};
use toft_model::files;

/// Bytes of one file that is written (`docs/http-api.md`).
pub(crate) const WRITE_BYTES_MAX: u64 = 64 << 20;

/// Where relative paths start: the project's folder.
#[derive(Clone)]
pub(crate) struct Folder(Arc<Path>);

/// Routes below `/toft`.
pub(crate) fn router(cwd: &Path) -> Router {
    Router::new()
        .route("/files", get(look::look).delete(change::remove))
        .route("/files/content", get(content::read).put(change::write))
        .route("/files/archive.zip", get(archive::archive))
        .route("/files/mkdir", post(change::make_dir))
        .route("/files/move", post(change::rename))
        // Not for a file's content, which is counted as it comes.
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Folder(cwd.into()))
}

/// Query of most routes.
#[derive(Deserialize)]
struct At {
    path: Option<String>,
}

type AtQuery = Asked<At>;

impl Folder {
    /// The path of a query; the project's folder when there is none.
    fn at(&self, command: &'static str, query: AtQuery) -> Result<PathBuf, Refused> {
        let at = asked::query(query).map_err(|failure| failure.of(command))?;
        self.resolve(command, at.path.as_deref().unwrap_or(""))
    }

    /// An absolute path without `.` and `..`, as a person would read it. Links are followed by the
    /// system, not here.
    fn resolve(&self, command: &'static str, path: &str) -> Result<PathBuf, Refused> {
        files::resolve(&self.0, path).map_err(|why| Failure::invalid(why).of(command))
    }
}

/// Runs what may block on a disk.
async fn blocking<T: Send + 'static>(
    command: &'static str,
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let ran = tokio::task::spawn_blocking(work).await;
    ran.map_err(|err| Failure::io("the work", &io::Error::other(err)).of(command))?
}

/// Unix milliseconds of a file's last change.
fn modified_ms(meta: &std::fs::Metadata) -> u64 {
    let since = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
