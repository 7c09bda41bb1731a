//! Disks as btrfs subvolumes: a copy is a snapshot. On a btrfs that the data folder lies on, or in
//! an image of our own.

use super::{Keep, Storage};
use std::{fs, io, path::Path};
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

    fn keeps_live(&self) -> bool {
        true
    }

    fn keep(&self, from: &Path, kept: Keep<'_>) -> io::Result<Option<u64>> {
        btrfs::snapshot(from, kept.to, true).map(|()| None)
    }

    fn settle(&self, _path: &Path) -> io::Result<()> {
        // A copy shares what is on disk already, and takes its place in one transaction or a later
        // one than it was made in.
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = if btrfs::is_subvolume(path) {
            delete(path)
        } else {
            delete_in(path).and_then(|()| tree::remove(path))
        };
        gone(removed)
    }

    fn discard(&self, path: &Path, scratch: &Path) -> io::Result<()> {
        match btrfs::delete(path) {
            // See `delete`. What can be written to can be moved, too.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                btrfs::make_writable(path)?;
                fs::rename(path, scratch)?;
                tree::remove(scratch)
            }
            other => gone(other),
        }
    }
}

fn delete(path: &Path) -> io::Result<()> {
    match btrfs::delete(path) {
        // An ordinary user may not, unless the mount says so; emptying it works always.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            btrfs::make_writable(path)?;
            tree::remove(path)
        }
        other => other,
    }
}

/// Deletes the subvolumes of a folder of ours: kept ones cannot be emptied file by file.
fn delete_in(folder: &Path) -> io::Result<()> {
    let is_folder = fs::symlink_metadata(folder)?.is_dir();
    for entry in is_folder.then(|| fs::read_dir(folder)).transpose()?.into_iter().flatten() {
        let path = entry?.path();
        if btrfs::is_subvolume(&path) {
            delete(&path)?;
        }
    }
    Ok(())
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
