//! Whether a disk is small enough to be copied file by file while somebody waits. Counts and sizes
//! only: nothing is read, no link is followed, and the look ends where the answer is known.

use super::Disks;
use crate::{backend::MachineError, error::step};
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat},
    io::Errno,
};
use std::{io, os::fd::OwnedFd, path::Path};
use toft_model::id::ProjectId;

/// A folder, and never what a link points to.
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

impl Disks {
    pub(crate) fn is_small(
        &self,
        project: &ProjectId,
        files_max: u64,
        bytes_max: u64,
    ) -> Result<bool, MachineError> {
        let disk = self.made_disk(project)?;
        let looking = step(project, "looking at the size of the machine's disk");
        within(&disk, files_max, bytes_max).map_err(looking)
    }
}

/// Whether the tree at `top` has at most so many entries below it and bytes in its plain files.
fn within(top: &Path, files_max: u64, bytes_max: u64) -> io::Result<bool> {
    let (mut files, mut bytes) = (0_u64, 0_u64);
    // Every open folder is a descriptor; a chain of them is no deeper than there may be files.
    let mut open: Vec<(OwnedFd, Dir)> = Vec::new();
    let first = openat(CWD, top, FOLDER, Mode::empty())?;
    let list = Dir::read_from(&first)?;
    open.push((first, list));
    while let depth = open.len()
        && let Some((folder, list)) = open.last_mut()
    {
        let Some(entry) = list.next() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = match statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Removed meanwhile: the machine may run.
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        files += 1;
        let below = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                bytes = bytes.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
                None
            }
            FileType::Directory => match openat(&*folder, name, FOLDER, Mode::empty()) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
                // The kernel's own beside a layer is closed to everybody, and holds nothing to copy. Of
                // any other, who may not look cannot tell.
                Err(Errno::ACCESS) => {
                    if depth == 2 && name == c"work" {
                        None
                    } else {
                        return Ok(false);
                    }
                }
                // Deeper than there are descriptors: not small.
                Err(Errno::MFILE | Errno::NFILE) => return Ok(false),
                below => Some(below?),
            },
            _ => None,
        };
        if files > files_max || bytes > bytes_max {
            return Ok(false);
        }
        if let Some(below) = below {
            let list = Dir::read_from(&below)?;
            open.push((below, list));
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_may_not_be_looked_at_is_not_small_but_for_the_kernels_own() {
        if rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let close = |path: &str, mode| {
            fs::create_dir_all(dir.path().join(path)).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(dir.path().join(path), mode).unwrap();
        };
        close("usr-work/work", 0);
        assert!(within(dir.path(), 9, 9).unwrap());
        close("rootfs/closed", 0);
        assert!(!within(dir.path(), 9, 9).unwrap());
    }

    #[test]
    fn entries_and_bytes_are_counted_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), vec![0; 100]).unwrap();
        fs::write(dir.path().join("other"), vec![0; 20]).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("a/link")).unwrap();
        for (files, bytes, small) in [(5, 120, true), (4, 120, false), (5, 119, false)] {
            assert_eq!(within(dir.path(), files, bytes).unwrap(), small, "{files} {bytes}");
        }
        assert!(within(&dir.path().join("none"), 1, 1).is_err());
    }
}
