//! Disks as btrfs subvolumes: a copy is a snapshot. On a btrfs that the data folder lies on, or in
//! an image of our own.

use super::Storage;
use std::{io, path::Path};
use toft_jail::{btrfs, tree};

/// See the module.
#[derive(Debug)]
pub(crate) struct Subvolumes {
    /// Whether it is an image of our own.
    pub(crate) image: bool,
}

impl Storage for Subvolumes {
    fn name(&self) -> &'static str {
        if self.image { "btrfs loop image" } else { "btrfs" }
    }

    fn make(&self, path: &Path) -> io::Result<()> {
        btrfs::create(path)
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        btrfs::snapshot(from, to, false)
    }

    fn copies_slowly(&self) -> bool {
        false
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = if btrfs::is_subvolume(path) {
            match btrfs::delete(path) {
                // An ordinary user may not, unless the mount says so; emptying it works always.
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => tree::remove(path),
                other => other,
            }
        } else {
            tree::remove(path)
        };
        match removed {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}
