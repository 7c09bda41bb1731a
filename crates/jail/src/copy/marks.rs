//! How each file was when a checkpoint copied it: by that the next one knows what has not changed.
//! A file of lengths and bytes, for this program only; one that cannot be read costs a full copy.

use rustix::fs::Stat;
use std::{
    collections::HashMap,
    fs,
    io::{self, Write as _},
    path::Path,
};

/// First bytes; the number changes with the layout.
const HEAD: &[u8; 8] = b"TOFTMRK1";
/// Inode, change time, its nanoseconds, size, length of the path.
const FIXED: usize = 8 + 8 + 4 + 8 + 4;

/// What changes whenever a file does. The change time is the kernel's own: programs cannot set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    inode: u64,
    changed_s: i64,
    changed_ns: u32,
    size: u64,
}

impl Mark {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            changed_s: stat.st_ctime,
            changed_ns: u32::try_from(stat.st_ctime_nsec).unwrap_or_default(),
            size: u64::try_from(stat.st_size).unwrap_or_default(),
        }
    }

    /// Whether it last changed before that second: within one tick of the kernel's clock a file can
    /// change twice and show one time.
    pub(super) fn is_older_than(self, second: i64) -> bool {
        self.changed_s < second
    }
}

/// Marks by path from the disk's top.
#[derive(Debug, Default)]
pub(super) struct Marks(HashMap<Vec<u8>, Mark>);

impl Marks {
    pub(super) fn put(&mut self, path: &[u8], mark: Mark) {
        self.0.insert(path.to_vec(), mark);
    }

    /// Forgets those that changed in that second or later.
    pub(super) fn only_older_than(&mut self, second: i64) {
        self.0.retain(|_, mark| mark.is_older_than(second));
    }

    pub(super) fn has(&self, path: &[u8], mark: Mark) -> bool {
        self.0.get(path) == Some(&mark)
    }

    pub(super) fn write(&self, file: &Path) -> io::Result<()> {
        let mut out = io::BufWriter::new(fs::File::create(file)?);
        out.write_all(HEAD)?;
        for (path, mark) in &self.0 {
            let Ok(len) = u32::try_from(path.len()) else { continue };
            out.write_all(&mark.inode.to_le_bytes())?;
            out.write_all(&mark.changed_s.to_le_bytes())?;
            out.write_all(&mark.changed_ns.to_le_bytes())?;
            out.write_all(&mark.size.to_le_bytes())?;
            out.write_all(&len.to_le_bytes())?;
            out.write_all(path)?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()
    }

    /// `None`: there is no such file, or it is damaged.
    pub(super) fn read(file: &Path) -> Option<Self> {
        let bytes = fs::read(file).ok()?;
        let mut rest = bytes.strip_prefix(HEAD)?;
        let mut marks = HashMap::new();
        while !rest.is_empty() {
            let (fixed, after) = rest.split_at_checked(FIXED)?;
            let mark = Mark {
                inode: u64::from_le_bytes(fixed[..8].try_into().ok()?),
                changed_s: i64::from_le_bytes(fixed[8..16].try_into().ok()?),
                changed_ns: u32::from_le_bytes(fixed[16..20].try_into().ok()?),
                size: u64::from_le_bytes(fixed[20..28].try_into().ok()?),
            };
            let len = u32::from_le_bytes(fixed[28..].try_into().ok()?);
            let (path, after) = after.split_at_checked(usize::try_from(len).ok()?)?;
            marks.insert(path.to_vec(), mark);
            rest = after;
        }
        Some(Self(marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back_and_damaged_ones_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("one.marks");
        let mark = Mark::of(&rustix::fs::lstat(dir.path()).unwrap());
        let mut marks = Marks::default();
        marks.put(b"rootfs/\xff", mark);
        marks.write(&file).unwrap();
        let read = Marks::read(&file).unwrap();
        assert!(read.has(b"rootfs/\xff", mark));
        assert!(!read.has(b"rootfs/\xff", Mark { changed_ns: mark.changed_ns ^ 1, ..mark }));
        assert!(!read.has(b"rootfs", mark));
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert!(Marks::read(&file).is_none());
        assert!(Marks::read(dir.path()).is_none());
    }
}
