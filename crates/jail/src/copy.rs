//! Copies a tree that somebody else has filled: folder by folder through open descriptors, never
//! through a link, with owners, modes, times, attributes and hard links. Files that an earlier kept
//! copy holds unchanged become links to that copy's.

mod marks;
#[cfg(test)]
mod tests;

use marks::{Mark, Marks};
use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid,
        XattrFlags, chmodat, chownat, fchmod, fchown, fgetxattr, flistxattr, flistxattr_query,
        fsetxattr, fstat, futimens, ioctl_ficlone, linkat, mkdirat, mknodat, openat, readlinkat,
        seek, statat, symlinkat, utimensat,
    },
    io::Errno,
    process::geteuid,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Folders within folders. Each takes two descriptors, of which a process often has 1,024.
const DEPTH_MAX: usize = 200;
/// Largest attribute of a file, `XATTR_SIZE_MAX` of linux/limits.h.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;
const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A copy to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// A folder that nobody writes to meanwhile.
    pub from: PathBuf,
    /// Does not exist.
    pub to: PathBuf,
    /// Whether blocks are shared where possible.
    pub reflink: bool,
    /// For a copy that is never written to.
    pub keep: Option<Keep>,
    /// For a copy of one that is never written to.
    pub back: Option<Back>,
}

/// What the next kept copy of the copy needs, to share files with the one that it is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Back {
    /// Where it is written how the files of the copy are: in place of the marks of its origin.
    pub marks: PathBuf,
    /// Files that were copied within so many seconds before the end are not marked: they may change
    /// within the same tick of the clock.
    pub recent_s: i64,
}

/// What is needed besides for a copy that shares files with others.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Keep {
    /// An earlier kept copy of the same tree, and its marks: files that are as in it become links to
    /// its own.
    pub before: Option<Before>,
    /// Where the marks of this one are written, for the next one.
    pub marks: Option<PathBuf>,
    /// Files that changed in this second (of Unix time) or later are not marked: they may change
    /// again and show the same time.
    pub second: i64,
}

/// An earlier kept copy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Before {
    /// Its top.
    pub top: PathBuf,
    /// Its marks.
    pub marks: PathBuf,
}

/// Where a copy failed.
#[derive(Debug, thiserror::Error)]
#[error("copying {path}: {source}")]
pub struct Failed {
    /// From the top of the tree; empty for the top itself.
    pub path: String,
    /// Why.
    pub source: io::Error,
}

impl From<Failed> for io::Error {
    fn from(failed: Failed) -> Self {
        Self::new(failed.source.kind(), failed.to_string())
    }
}

/// Makes a copy; answers how many bytes took new room. One that fails leaves what it has made.
pub fn copy(order: &Order) -> Result<u64, Failed> {
    let top = |source: io::Error| Failed { path: String::new(), source };
    let mut copier = Copier::new(order).map_err(top)?;
    let done = copier.all(&order.from);
    done.map_err(|source| Failed {
        path: String::from_utf8_lossy(&copier.path).into_owned(),
        source,
    })?;
    if let Some(Keep { marks: Some(path), .. }) = &order.keep
        && let Some((marks, _)) = &copier.marks
    {
        marks.write(path).map_err(top)?;
    }
    if let (Some(back), Some(mut marks)) = (&order.back, copier.own.take()) {
        marks.only_older_than(now_s() - back.recent_s);
        marks.write(&back.marks).map_err(top)?;
    }
    Ok(copier.copied_bytes)
}

/// What unchanged files are linked to.
#[derive(Debug)]
struct Earlier {
    top: OwnedFd,
    marks: Marks,
}

impl Earlier {
    /// `None`: it cannot be used, and everything is copied.
    fn open(before: &Before) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let top = openat(CWD, &before.top, flags, Mode::empty()).ok()?;
        Some(Self { top, marks: Marks::read(&before.marks)? })
    }
}

/// One copy of a tree.
#[derive(Debug)]
struct Copier {
    reflink: bool,
    /// Whether owners can be set.
    owners: bool,
    to: OwnedFd,
    before: Option<Earlier>,
    /// Marks of this copy, with the second before which files must have changed last.
    marks: Option<(Marks, i64)>,
    /// How the files of the copy are.
    own: Option<Marks>,
    /// Of files with several names, by their number: the path of the first one.
    links: HashMap<u64, CString>,
    copied_bytes: u64,
    path: Vec<u8>,
}

impl Copier {
    fn new(order: &Order) -> io::Result<Self> {
        mkdirat(CWD, &order.to, Mode::RWXU)?;
        Ok(Self {
            reflink: order.reflink,
            owners: geteuid().is_root(),
            to: openat(CWD, &order.to, FOLDER, Mode::empty())?,
            before: order.keep.as_ref().and_then(|keep| Earlier::open(keep.before.as_ref()?)),
            marks: order.keep.as_ref().map(|keep| (Marks::default(), keep.second)),
            own: order.back.as_ref().map(|_| Marks::default()),
            links: HashMap::new(),
            copied_bytes: 0,
            path: Vec::new(),
        })
    }

    fn all(&mut self, from: &Path) -> io::Result<()> {
        let source = openat(CWD, from, FOLDER, Mode::empty())?;
        let target = self.to.try_clone()?;
        self.folder(&source, &target, 0)
    }

    fn folder(&mut self, from: &OwnedFd, to: &OwnedFd, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!("folders lie deeper than {DEPTH_MAX}")));
        }
        // Read to the end first: else each level would hold one descriptor more.
        let names = Dir::read_from(from)?
            .map(|entry| Ok(entry?.file_name().to_owned()))
            .collect::<io::Result<Vec<CString>>>()?;
        for name in &names {
            if name.as_c_str() == c"." || name.as_c_str() == c".." {
                continue;
            }
            let whole = self.path.len();
            if whole > 0 {
                self.path.push(b'/');
            }
            self.path.extend(name.to_bytes());
            self.entry(from, to, name, depth)?;
            self.path.truncate(whole);
        }
        let stat = fstat(from)?;
        self.attributes(&stat, from, to)
    }

    fn entry(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: usize) -> io::Result<()> {
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        self.may(&stat)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let source = match openat(from, name, FOLDER, Mode::empty()) {
                    // The kernel's own, closed to all: it makes and empties them itself.
                    Err(Errno::ACCESS) if depth == 1 && self.path.ends_with(b"-work/work") => {
                        return Ok(());
                    }
                    other => other?,
                };
                mkdirat(to, name, Mode::RWXU)?;
                let target = openat(to, name, FOLDER, Mode::empty())?;
                self.folder(&source, &target, depth + 1)
            }
            FileType::RegularFile => self.file(from, to, name),
            FileType::Symlink => {
                let link = readlinkat(from, name, Vec::new())?;
                symlinkat(&link, to, name)?;
                self.attributes_at(&stat, to, name)
            }
            // A file of the layer below that was removed.
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                mknodat(to, name, FileType::CharacterDevice, Mode::empty(), 0)?;
                self.attributes_at(&stat, to, name)
            }
            kind @ (FileType::Fifo | FileType::Socket) => {
                mknodat(to, name, kind, Mode::RUSR | Mode::WUSR, 0)?;
                self.attributes_at(&stat, to, name)?;
                // After the owner; nobody else has this tree, so the name means what was made.
                Ok(chmodat(to, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?)
            }
            // Machines cannot make devices.
            _ => Ok(()),
        }
    }

    /// An ordinary user cannot give files away: better no copy than one with other owners.
    fn may(&self, stat: &Stat) -> io::Result<()> {
        if self.owners || stat.st_uid == geteuid().as_raw() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it belongs to another user of the machine, which only root can copy",
        ))
    }

    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr) -> io::Result<()> {
        // Not blocking: it may have become a pipe meanwhile.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source = File::from(openat(from, name, flags, Mode::empty())?);
        let stat = fstat(&source)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it changes while it is copied"));
        }
        let mark = self.mark(&stat);
        // Too many links, or too long a path: a copy is as good. So below.
        if stat.st_nlink > 1
            && let Some(first) = self.links.get(&stat.st_ino)
            && linkat(&self.to, first, to, name, AtFlags::empty()).is_ok()
        {
            return Ok(());
        }
        if let Some(before) = &self.before
            && before.marks.has(&self.path, mark)
            && let Ok(path) = CString::new(self.path.as_slice())
            && linkat(&before.top, &path, to, name, AtFlags::empty()).is_ok()
        {
            self.first_of(&stat);
            return Ok(());
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let target = File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
        self.first_of(&stat);
        self.copied_bytes += copy_file(&source, &target, self.reflink)?;
        self.attributes(&stat, &source, &target)?;
        if let Some(own) = &mut self.own {
            own.put(&self.path, Mark::of(&fstat(&target)?));
        }
        Ok(())
    }

    /// For the next copy.
    fn mark(&mut self, stat: &Stat) -> Mark {
        let mark = Mark::of(stat);
        if let Some((marks, second)) = &mut self.marks
            && mark.is_older_than(*second)
        {
            marks.put(&self.path, mark);
        }
        mark
    }

    /// Of a file that may have other names: they become links to this one.
    fn first_of(&mut self, stat: &Stat) {
        if stat.st_nlink > 1
            && let Ok(path) = CString::new(self.path.as_slice())
        {
            self.links.insert(stat.st_ino, path);
        }
    }

    fn attributes(&self, stat: &Stat, from: impl AsFd, to: impl AsFd) -> io::Result<()> {
        if self.owners {
            fchown(&to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
        }
        copy_attributes(&from, &to)?;
        // After the owner: changing that takes set-uid bits away.
        fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        Ok(futimens(&to, &times(stat))?)
    }

    fn attributes_at(&self, stat: &Stat, to: &OwnedFd, name: &CStr) -> io::Result<()> {
        if self.owners {
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// Copies what is in a file; answers how many bytes took new room.
pub fn copy_file(from: &File, to: &File, reflink: bool) -> io::Result<u64> {
    if reflink && ioctl_ficlone(to, from).is_ok() {
        return Ok(0);
    }
    copy_written(from, to)
}

/// Copies what was written and leaves holes as they are: a file of four terabytes may hold nothing.
fn copy_written(from: &File, mut to: &File) -> io::Result<u64> {
    let len = from.metadata()?.len();
    let (mut at, mut copied) = (0, 0);
    while at < len {
        let data = match seek(from, SeekFrom::Data(at)) {
            Ok(data) => data,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            // A file system that knows of no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            Err(e) => return Err(e.into()),
        };
        let end = match seek(from, SeekFrom::Hole(data)) {
            Ok(end) => end,
            Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => len,
            Err(e) => return Err(e.into()),
        };
        seek(from, SeekFrom::Start(data))?;
        seek(to, SeekFrom::Start(data))?;
        let part = io::copy(&mut from.take(end.saturating_sub(data)), &mut to)?;
        copied += part;
        if part == 0 {
            // It was cut short meanwhile.
            break;
        }
        at = data + part;
    }
    to.set_len(len)?;
    Ok(copied)
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or_default(),
    };
    Timestamps { last_access: time, last_modification: time }
}

/// Attributes of programs and layers (`user.*`), and the rights that a program carries.
fn copy_attributes(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    let mut names = match flistxattr_query(&from) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(()),
        len => vec![0u8; len?],
    };
    let len = flistxattr(&from, names.as_mut_slice())?;
    let mut value = vec![0u8; ATTRIBUTE_BYTES_MAX];
    for name in names[..len].split(|b| *b == 0) {
        if !(name.starts_with(b"user.") || name == b"security.capability") {
            continue;
        }
        let len = match fgetxattr(&from, name, value.as_mut_slice()) {
            Err(Errno::NODATA) => continue,
            len => len?,
        };
        fsetxattr(&to, name, &value[..len], XattrFlags::empty())?;
    }
    Ok(())
}
