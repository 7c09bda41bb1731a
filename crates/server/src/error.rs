//! Why a server did not start. Failures of requests are in `api_error`.

use std::{io, net::SocketAddr, path::PathBuf};

/// What went wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another program has the port.
    #[error(
        "port {} of {} is in use by another program: stop it, or choose another address with \
         --listen (for example --listen {}:{})", addr.port(), addr.ip(), addr.ip(),
        addr.port().wrapping_add(1)
    )]
    PortInUse {
        /// The address.
        addr: SocketAddr,
    },
    /// It cannot listen there.
    #[error("cannot listen on {addr}: {source}. Choose another address with --listen")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The data folder cannot be used.
    #[error(
        "the data folder {} cannot be used: {source}. {}", path.display(), if is_full(source) {
            "Free some space on its disk (disk_full), then start again"
        } else {
            "Make it writable for this user, or choose another with --data"
        }
    )]
    DataDir {
        /// The folder or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A server runs on the same folder.
    #[error(
        "a server{} already uses the data folder {}: stop it with `toft down`, or choose another \
         folder with --data",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display()
    )]
    Running {
        /// The folder.
        path: PathBuf,
        /// Its process, when it is known.
        pid: Option<u32>,
    },
    /// A host name makes no sense.
    #[error("{what} {value:?} is not usable: {why}")]
    Host {
        /// `--domain` or `--preview-domain`.
        what: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The master key.
    #[error(transparent)]
    Key(#[from] toft_vault::KeyFileError),
    /// The database.
    #[error(transparent)]
    Store(#[from] toft_store::StoreError),
    /// Artifacts cannot be kept where they are to be.
    #[error(transparent)]
    Artifacts(#[from] crate::runs::ArtifactError),
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
