//! Where the disks of machines lie: the storage ladder. Every step gives the same: make a folder,
//! copy one, keep one as it is, remove one. Says nothing of what is on a disk.

mod held;
mod lent;
mod loop_image;
mod mounted;
mod plain;
mod pool;
mod seed;
mod space;
mod subvolume;

pub(crate) use held::shared_bytes;
pub(crate) use lent::Lent;
pub(crate) use loop_image::IMAGE_BYTES_MIN;
pub(crate) use mounted::{Mount, mount_points};
pub(crate) use pool::Pool;
pub(crate) use space::{Bound, Space, mib};

use std::{fmt, io, path::Path, sync::Arc};
use toft_jail::copy::Order;

/// One way to keep disks.
pub(crate) trait Storage: Send + Sync + fmt::Debug {
    /// What people read: `btrfs`, `btrfs loop image`, `reflink copy`, `plain copy`.
    fn name(&self) -> &'static str;
    /// Makes an empty disk.
    fn make(&self, path: &Path) -> io::Result<()>;
    /// Makes `to` a copy of `from`; later changes of either do not show in the other.
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// [`Storage::copy`] of a kept disk, to take the place of the one that it was made of: where copies
    /// cost, what is kept of it next shares with this one what has not changed since.
    fn copy_back(&self, kept: &Path, to: &Path) -> io::Result<()> {
        self.copy(kept, to)
    }
    /// Whether a copy takes so long that one is kept ready.
    fn copies_slowly(&self) -> bool;
    /// Whether [`Storage::keep`] may be done while somebody writes: all that was synced before is in
    /// the copy, and each file's latest data up to some moment. Otherwise nobody may write
    /// meanwhile.
    fn keeps_live(&self) -> bool;
    /// Makes `kept.to` a copy of `from` that is never written to, all of it or nothing. Answers
    /// how many bytes were copied, where copies cost any.
    fn keep(&self, from: &Path, kept: Keep<'_>) -> io::Result<Option<u64>>;
    /// Sees to it that a copy outlives a power cut, before it takes the place of another.
    fn settle(&self, path: &Path) -> io::Result<()>;
    /// Who makes the copies from now on, where files are copied one by one.
    fn copy_by(&self, _other: Arc<dyn Copies>) {}
    /// Removes a disk, or a folder of kept ones. Not there: done.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a kept disk, by way of `scratch` if that takes time: it is there whole or not at
    /// all. Not there: done.
    fn discard(&self, path: &Path, scratch: &Path) -> io::Result<()>;
}

/// Somebody with more rights over the files of machines than an ordinary user has: theirs may belong
/// to other ids, or be closed to their own owner.
pub(crate) trait Copies: Send + Sync + fmt::Debug {
    /// As [`toft_jail::copy::copy`].
    fn copy(&self, order: &Order) -> io::Result<u64>;
}

/// Where a copy is to be kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep<'a> {
    /// Its place; the folder exists.
    pub(crate) to: &'a Path,
    /// A path that does not exist, for what is half made.
    pub(crate) scratch: &'a Path,
    /// An earlier kept copy of the same disk: where copies cost, what has not changed since is
    /// shared with it.
    pub(crate) before: Option<&'a Path>,
}

/// What lies beside a kept disk and belongs to it: how each file was when it was copied.
pub(crate) fn marks_of(kept: &Path) -> std::path::PathBuf {
    kept.with_extension("marks")
}
