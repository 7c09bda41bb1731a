//! Backups: one file with all that a data folder and its database hold, encrypted with a passphrase in the format
//! of age, made while the server works (`gather`); and a data folder made of one (`restore`). What is in the file and
//! in which order, is said in `format`.
//!
//! The database comes first, then each project's log, then its disk: each may know more than what came before it,
//! as after a crash, and never less.

mod archive;
mod format;
mod gather;
mod known;
mod restore;

pub use format::About;
pub(crate) use format::UNRESTORED;
pub(crate) use gather::{left_out, make};
pub(crate) use known::way_back;
pub use known::{KnownBackup, remember_backup};
pub use restore::{As, Disks, RestoreError, restore};
