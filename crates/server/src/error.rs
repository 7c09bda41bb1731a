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
    /// A restore was cut.
    #[error(
        "the data folder {} is a part of a backup that was not restored to its end: empty it, and restore the \
         backup again", path.display()
    )]
    Unrestored {
        /// The folder.
        path: PathBuf,
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
    /// What the database holds was sealed with another master key.
    #[error(
        "what this database holds was sealed with another master key than {}: copy master.key from the data \
         folder of a server that works on it{} to there, readable by its owner only, and start again", path.display(),
        if servers.is_empty() { String::new() } else { format!(" ({})", servers.join(", ")) }
    )]
    OtherMasterKey {
        /// Where this server's is.
        path: PathBuf,
        /// Addresses of servers that answer.
        servers: Vec<String>,
    },
    /// Another server has this one's id.
    #[error(
        "the server at {url} works under the same id as this one: a data folder is one server's. If this one is a \
         copy, delete {} and start again; if that server was just moved here, wait a quarter of a minute", path.display()
    )]
    SameServer {
        /// The file that holds the id.
        path: PathBuf,
        /// Where the other one is.
        url: String,
    },
    /// Keys of programs would open one server and not another.
    #[error(
        "AGENT_API_KEY is not the same as that of the server at {url}: set it to the same value on all servers of \
         one database, or on none"
    )]
    OtherAgentKey {
        /// Where the other one is.
        url: String,
    },
    /// The database is not whole.
    #[error("{source}. {way_back}")]
    DatabaseLost {
        /// What is wrong with it.
        source: toft_store::StoreError,
        /// What to do.
        way_back: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] toft_store::StoreError),
    /// Artifacts cannot be kept where they are to be.
    #[error(transparent)]
    Artifacts(#[from] crate::runs::artifacts::ArtifactError),
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
