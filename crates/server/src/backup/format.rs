//! What is in a backup, by its names.

use serde::{Deserialize, Serialize};

/// The first entry: what it is.
pub(super) const ABOUT: &str = "toft-backup.json";
/// The last entry: without it, something is missing.
pub(super) const END: &str = "end.json";
/// Below it: the database's own files.
pub(super) const DATABASE: &str = "database";
/// Below it: files of the data folder.
pub(super) const DATA: &str = "data";
/// Below it: archives of disks, one for each project.
pub(super) const DISKS: &str = "disks";
/// Version of all this.
pub(super) const FORMAT: u32 = 1;
/// In a data folder: files on their way into a backup, or out of one.
pub(super) const SCRATCH: &str = "backup.part";
/// In a data folder: by which name sandboxes at E2B are known for its, where that is the server's own backend and where
/// it is another.
pub(super) const E2B_IDENTITIES: [&str; 2] =
    ["store/e2b-identity", "backends/e2b/store/e2b-identity"];
/// In a data folder: it is just being made of a backup.
pub(crate) const UNRESTORED: &str = "restore.part";
/// Bytes of one entry. Longer files are several entries of one name, one after the other.
pub(super) const PIECE_BYTES: usize = 4 << 20;

/// What a backup says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    pub(super) format: u32,
    /// Of the binary that made it.
    pub version: String,
    /// Unix milliseconds.
    pub made_at: u64,
    /// `sqlite` or `postgres`.
    pub database: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct End {
    pub(super) entries: u64,
}
