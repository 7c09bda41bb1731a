//! What a folder takes on disk that somebody hostile may write to: blocks that are allocated, not
//! lengths that are told, and folders among them. No link is followed, nothing is opened but folders,
//! and what is too much to look at is told as that. Counts no file that was removed and is still open.

use crate::inside::{FOLDER, open_disk};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, Stat, openat, statat},
    io::Errno,
};
use std::{io, os::fd::OwnedFd, path::Path};

/// Names that are looked at: about 20 ms of a processor. A log folder has a thousand when all of 128
/// services print, and one for each long output that is kept.
const ENTRIES_MAX: usize = 20_000;
/// Folders within folders, each an open descriptor. A log folder has one within another.
const DEPTH_MAX: usize = 8;
/// Unit of `st_blocks`, whatever the file system's own (stat(2)).
const BLOCK_BYTES: u64 = 512;

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Bytes on disk, as far as it was looked.
    pub bytes: u64,
    /// Whether everything was seen: not with more than 20,000 names, nor below eight folders within each
    /// other or in one that cannot be read.
    pub is_whole: bool,
}

/// Looks through a folder. Not there: nothing is taken. What comes and goes meanwhile may be counted
/// or not. Blocks.
pub fn look(folder: &Path) -> io::Result<Taken> {
    let top = match open_disk(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Ok(Taken { bytes: 0, is_whole: true });
        }
        opened => opened?,
    };
    let mut looking = Looking { bytes: 0, left: ENTRIES_MAX };
    let is_whole = looking.through(&top, DEPTH_MAX)?;
    Ok(Taken { bytes: looking.bytes, is_whole })
}

struct Looking {
    bytes: u64,
    left: usize,
}

impl Looking {
    /// Whether all below was seen.
    fn through(&mut self, folder: &OwnedFd, depth: usize) -> io::Result<bool> {
        let mut is_whole = true;
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if [c".", c".."].contains(&name) {
                continue;
            }
            if self.left == 0 {
                return Ok(false);
            }
            self.left -= 1;
            let Some(stat) = gone(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))? else {
                continue;
            };
            self.bytes = self.bytes.saturating_add(allocated(&stat));
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                continue;
            }
            let below = match (depth, openat(folder, name, FOLDER, Mode::empty())) {
                (1.., Ok(below)) => self.through(&below, depth - 1)?,
                (0, _) | (_, Err(Errno::ACCESS | Errno::PERM)) => false,
                // Removed, or another thing by now.
                (_, Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => true,
                (_, Err(e)) => return Err(e.into()),
            };
            is_whole &= below;
        }
        Ok(is_whole)
    }
}

fn allocated(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES)
}

fn gone<T>(seen: rustix::io::Result<T>) -> io::Result<Option<T>> {
    match seen {
        Err(Errno::NOENT) => Ok(None),
        seen => Ok(Some(seen?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::{self, File},
        os::unix::fs::symlink,
    };

    const MIB: usize = 1 << 20;

    fn taken(folder: &Path) -> (u64, bool) {
        let Taken { bytes, is_whole } = look(folder).unwrap();
        (bytes / MIB as u64, is_whole)
    }

    fn fill(path: &Path, bytes: usize) {
        fs::write(path, vec![7; bytes]).unwrap();
        // Some file systems allocate when they write.
        File::open(path).unwrap().sync_all().unwrap();
    }

    #[test]
    fn blocks_count_and_neither_lengths_nor_what_links_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        let (log, outside) = (dir.path().join("log"), dir.path().join("outside"));
        assert_eq!(taken(&log), (0, true));
        fs::create_dir_all(log.join("services")).unwrap();
        fs::create_dir(&outside).unwrap();
        fill(&outside.join("big"), 8 * MIB);
        symlink(outside.join("big"), log.join("file")).unwrap();
        symlink(&outside, log.join("folder")).unwrap();
        symlink("/proc/self/fd", log.join("services/fds")).unwrap();
        // A hole of a terabyte.
        File::create(log.join("hole")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(taken(&log), (0, true));
        fill(&log.join("services/a"), 3 * MIB);
        fill(&log.join("events.jsonl"), 2 * MIB);
        assert_eq!(taken(&log), (5, true));
        symlink(&log, dir.path().join("way")).unwrap();
        assert!(look(&dir.path().join("way")).is_err());
    }

    #[test]
    fn what_is_too_much_to_look_at_is_told_as_that() {
        let dir = tempfile::tempdir().unwrap();
        let deep: std::path::PathBuf = (0..=DEPTH_MAX).map(|_| "d").collect();
        fs::create_dir_all(dir.path().join(&deep).parent().unwrap()).unwrap();
        assert!(look(dir.path()).unwrap().is_whole);
        fs::create_dir(dir.path().join(&deep)).unwrap();
        assert!(!look(dir.path()).unwrap().is_whole);
        fs::remove_dir_all(dir.path().join("d")).unwrap();
        let first = dir.path().join("0");
        File::create(&first).unwrap();
        for name in 1..ENTRIES_MAX {
            fs::hard_link(&first, dir.path().join(name.to_string())).unwrap();
        }
        assert!(look(dir.path()).unwrap().is_whole);
        fs::hard_link(&first, dir.path().join("one more")).unwrap();
        assert!(!look(dir.path()).unwrap().is_whole);
    }
}
