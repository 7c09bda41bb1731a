//! A file that people write while it is in use: it is read again when it is another one.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Where it is, and as what it was read last.
#[derive(Debug)]
pub struct WatchedFile {
    path: PathBuf,
    read: Option<Stamp>,
    /// At the last look.
    seen: Option<Stamp>,
}

/// What is another one after each change; the time of change too, so that a mended mode is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl WatchedFile {
    /// Reads nothing yet. The file need not be there.
    pub fn new(path: PathBuf) -> Self {
        Self { path, read: None, seen: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it, whatever was read before.
    pub fn read<T>(&mut self, read: impl FnOnce(&Path) -> T) -> T {
        self.read = self.stamp();
        self.seen = self.read;
        read(&self.path)
    }

    /// Reads it if it is not what was read last. Whoever writes it anew may not be done when it is seen: it
    /// is read once two looks have found the same.
    pub fn again<T>(&mut self, read: impl FnOnce(&Path) -> T) -> Option<T> {
        let now = self.stamp();
        let before = std::mem::replace(&mut self.seen, now);
        if now == self.read || now != before {
            return None;
        }
        let read = read(&self.path);
        self.seen = self.stamp();
        if self.seen != now {
            return None;
        }
        self.read = now;
        Some(read)
    }

    /// `None` when it is not there, or out of reach.
    fn stamp(&self) -> Option<Stamp> {
        let meta = fs::metadata(&self.path).ok()?;
        Some(Stamp {
            file: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}
