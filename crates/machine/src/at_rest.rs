//! Files of a machine for people, read on the host while nobody inside can be asked: it is cold or
//! frozen, or just on its way there. The answers are those of its bridge ([`toft_model::files`]).
//! Wakes nothing, writes nothing, and waits for no pipe or device.

use crate::{
    inside::{
        layers,
        tree::{End, Part, Source, Stop, Tree, top},
    },
    places::Places,
    slots::SLOT_IDS,
};
use rustix::{
    fs::{FileType, Stat, fstat},
    io::Errno,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};
use toft_model::files::{self, ENTRIES_MAX, Entry, FileKind, Looked};

/// Places that a system has only while it runs.
const ONLY_RUNNING: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// As inside: there is no such path, it is no folder, it may not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no regular file.
    #[error("it has no content")]
    NoContent {
        /// Whether it is a folder.
        is_folder: bool,
    },
    /// It can be read only while the machine runs; the text is for people.
    #[error("{0}")]
    NotAtRest(String),
}

/// A regular file, opened.
#[derive(Debug)]
pub struct Opened {
    /// For reading.
    pub file: File,
    /// Bytes.
    pub size: u64,
    /// Unix milliseconds.
    pub modified_ms: u64,
}

/// The files of one machine, as its disk is at the moment; see the module.
#[derive(Debug)]
pub struct Files {
    tree: Tree,
    /// Where the disk lies.
    disk: PathBuf,
    /// As seen inside: where relative paths start.
    folder: PathBuf,
    /// Why some places are not there.
    absent: &'static str,
}

impl Files {
    /// Those of a disk which machines see as a system of their own. `None`: there is no such disk.
    /// `parts` come beside those that every such machine has.
    pub(crate) fn of_system(
        disk: &Path,
        root: &str,
        log: &Path,
        parts: impl FnOnce() -> io::Result<Vec<Part>>,
    ) -> io::Result<Option<Self>> {
        let Some(opened) = top(disk)? else { return Ok(None) };
        let places = Places::confined(Vec::new());
        let part = |target: &str, source| Part { target: target.into(), source };
        let mut all = vec![part("/", Source::Disk(root.into()))];
        all.extend(parts()?);
        all.push(part(&places.log, Source::Beside(log.to_owned())));
        all.extend(ONLY_RUNNING.map(|target| part(target, Source::Absent)));
        Ok(Some(Self {
            tree: Tree { disk: opened, parts: all },
            disk: disk.to_owned(),
            folder: places.cwd.into(),
            absent: "is there only while the machine runs, and not on its disk: wake or start the \
                     machine to see it",
        }))
    }

    /// Those of a folder of the host, seen where it lies. `None`: there is no such folder.
    pub fn of_folder(folder: &Path) -> io::Result<Option<Self>> {
        let Some(opened) = top(folder)? else { return Ok(None) };
        let own = Part { target: folder.to_owned(), source: Source::Disk(PathBuf::new()) };
        Ok(Some(Self {
            tree: Tree { disk: opened, parts: vec![own] },
            disk: folder.to_owned(),
            folder: folder.to_owned(),
            absent: "lies outside of the project's folder, and is shown only while the machine \
                     runs: wake or start it to see it",
        }))
    }

    /// Where relative paths start, as seen inside.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What an absolute path is, and what a folder holds. Blocks.
    pub fn look(&self, path: &Path) -> Result<Looked, FilesError> {
        let (end, place) = self.walk(path)?;
        let (stat, entries, truncated) = match &end {
            End::Folder(folder) => {
                let (entries, truncated) =
                    folder.entries(ENTRIES_MAX).map_err(|error| failed(path, error))?;
                (folder.stat().copied(), Some(self.told(&place, entries)), truncated)
            }
            End::Other(found) => (Some(found.stat), None, false),
        };
        let stat = stat.ok_or_else(|| failed(path, Errno::NOENT))?;
        Ok(Looked {
            path: path.to_string_lossy().into_owned(),
            kind: if entries.is_some() { FileKind::Dir } else { FileKind::File },
            size: size(&stat),
            modified_at: modified_ms(&stat),
            mode: stat.st_mode & 0o7777,
            entries,
            truncated,
        })
    }

    /// Opens the regular file at an absolute path. Blocks, but for nobody in the machine.
    pub fn open(&self, path: &Path) -> Result<Opened, FilesError> {
        let (end, _) = self.walk(path)?;
        let End::Other(found) = end else { return Err(FilesError::NoContent { is_folder: true }) };
        if found.kind() != FileType::RegularFile {
            return Err(FilesError::NoContent { is_folder: false });
        }
        let file = found.open().map_err(|error| failed(path, error))?;
        let stat = fstat(&file).map_err(|error| failed(path, error))?;
        Ok(Opened { file: file.into(), size: size(&stat), modified_ms: modified_ms(&stat) })
    }

    /// Whether this is still the machine's disk. One that was put back to a checkpoint meanwhile is
    /// removed bit by bit: what was looked at then is nothing that ever was. An opened file is
    /// whole as long as this was so after it was opened.
    pub fn is_current(&self) -> bool {
        let Ok(stat) = fstat(&self.tree.disk) else { return false };
        fs::symlink_metadata(&self.disk)
            .is_ok_and(|now| (now.dev(), now.ino()) == (stat.st_dev, stat.st_ino))
    }

    fn walk(&self, path: &Path) -> Result<(End, PathBuf), FilesError> {
        self.tree.walk(path).map_err(|stop| match stop {
            Stop::Absent => FilesError::NotAtRest(format!("{} {}", path.display(), self.absent)),
            Stop::Failed(error) => failed(path, error),
        })
    }

    /// Entries for people: those of a folder, and what is shown in it.
    fn told(&self, place: &Path, entries: Vec<(std::ffi::OsString, Stat)>) -> Vec<Entry> {
        let mut entries = entries;
        for (name, part) in self.tree.parts_in(place) {
            let Ok(Some(end)) = self.tree.open(part) else { continue };
            let stat = match &end {
                End::Folder(folder) => folder.stat().copied(),
                End::Other(found) => Some(found.stat),
            };
            let Some(stat) = stat else { continue };
            match entries.iter_mut().find(|(known, _)| known == name) {
                Some(known) => known.1 = stat,
                None => entries.push((name.to_owned(), stat)),
            }
        }
        let mut told: Vec<Entry> = entries
            .into_iter()
            .map(|(name, stat)| Entry {
                name: name.to_string_lossy().into_owned(),
                kind: kind(&stat),
                size: size(&stat),
                modified_at: modified_ms(&stat),
            })
            .collect();
        files::sort(&mut told);
        told
    }
}

fn failed(path: &Path, error: Errno) -> FilesError {
    // Files of other ids than the server's own: the machine's root may.
    if error == Errno::ACCESS && !rustix::process::geteuid().is_root() {
        let why =
            "can be read by the machine's own users only: wake or start the machine to see it";
        return FilesError::NotAtRest(format!("{} {why}", path.display()));
    }
    FilesError::Io(error.into())
}

/// Which ids of the host's files are those of a machine's root, where they show. `mapped`: the kernel
/// maps owners.
pub(crate) fn roots_ids(mapped: bool) -> u32 {
    match (rustix::process::geteuid().is_root(), mapped) {
        // The kernel lets us read what it lets the machine's root read: we are it.
        (false, _) => u32::MAX,
        (true, true) => SLOT_IDS,
        (true, false) => 0,
    }
}

fn kind(stat: &Stat) -> FileKind {
    match layers::kind(stat) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Dir,
        FileType::Symlink => FileKind::Link,
        _ => FileKind::Other,
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Unix milliseconds; of times before 1970: 0.
fn modified_ms(stat: &Stat) -> u64 {
    let nanos = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
    u64::try_from(nanos / 1_000_000).unwrap_or(0)
}

#[cfg(test)]
mod tests;
