//! Backups: one file with all that a data folder and its database hold, encrypted with a passphrase in the format
//! of age, made while the server works (`gather`); and a data folder made of one (`restore`). What is in the file and
//! in which order, is said here.
//!
//! The database comes first, then each project's log, then its disk: each may know more than what came before it,
//! as after a crash, and never less.

mod archive;
mod gather;
mod known;
mod restore;

pub(crate) use gather::make;
pub(crate) use known::way_back;
pub use known::{KnownBackup, remember_backup};
pub use restore::{Disks, RestoreError, restore};

use serde::{Deserialize, Serialize};

/// The first entry: what it is.
const ABOUT: &str = "toft-backup.json";
/// The last entry: without it, something is missing.
const END: &str = "end.json";
/// Below it: the database's own files.
const DATABASE: &str = "database";
/// Below it: files of the data folder.
const DATA: &str = "data";
/// Below it: archives of disks, one for each project.
const DISKS: &str = "disks";
/// Version of all this.
const FORMAT: u32 = 1;
/// In a data folder: files on their way into a backup, or out of one.
const SCRATCH: &str = "backup.part";
/// In a data folder: it is just being made of a backup.
pub(crate) const UNRESTORED: &str = "restore.part";
/// Bytes of one entry. Longer files are several entries of one name, one after the other.
const PIECE_BYTES: usize = 4 << 20;

/// What a backup says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    format: u32,
    /// Of the binary that made it.
    pub version: String,
    /// Unix milliseconds.
    pub made_at: u64,
    /// `sqlite` or `postgres`.
    pub database: String,
}

#[derive(Serialize, Deserialize)]
struct End {
    entries: u64,
}
