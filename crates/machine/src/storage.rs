//! Where the disks of machines lie: the storage ladder. Every step gives the same three things:
//! make a folder, copy one, remove one. Says nothing of what is on a disk.

mod mounted;
mod plain;
mod pool;
mod seed;
mod subvolume;

pub(crate) use mounted::mount_points;
pub(crate) use pool::Pool;

use std::{fmt, io, path::Path};

/// One way to keep disks.
pub(crate) trait Storage: Send + Sync + fmt::Debug {
    /// What people read: `btrfs`, `btrfs loop image`, `reflink copy`, `plain copy`.
    fn name(&self) -> &'static str;
    /// Makes an empty disk.
    fn make(&self, path: &Path) -> io::Result<()>;
    /// Makes `to` a copy of `from`; later changes of either do not show in the other.
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Whether a copy takes so long that one is kept ready.
    fn copies_slowly(&self) -> bool;
    /// Removes a disk. Not there: done.
    fn remove(&self, path: &Path) -> io::Result<()>;
}
