//! Copies a tree that somebody else has filled: folder by folder through open descriptors, never
//! through a link, with owners, modes, times and attributes. Files that an earlier kept copy holds
//! unchanged become links to that copy's. Hard links within the tree become files of their own.

use super::marks::{Mark, Marks};
use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid,
        XattrFlags, chownat, fchmod, fchown, fgetxattr, flistxattr, flistxattr_query, fsetxattr,
        fstat, futimens, ioctl_ficlone, linkat, mkdirat, mknodat, openat, readlinkat, seek, statat,
        symlinkat, utimensat,
    },
    io::Errno,
    process::geteuid,
};
use std::{
    ffi::{CStr, CString},
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// Folders within folders. Each takes two descriptors, of which a process often has 1,024.
const DEPTH_MAX: usize = 200;
/// Largest attribute of a file, `XATTR_SIZE_MAX` of linux/limits.h.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;
const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What unchanged files are linked to.
#[derive(Debug)]
pub(super) struct Before {
    /// An earlier kept copy.
    pub(super) top: OwnedFd,
    /// Its marks.
    pub(super) marks: Marks,
}

/// One copy of a tree.
#[derive(Debug)]
pub(super) struct Copier {
    /// Whether blocks are shared where possible.
    reflink: bool,
    /// Whether owners can be set.
    owners: bool,
    before: Option<Before>,
    /// Marks of this copy, with the second before which files must have changed last.
    marks: Option<(Marks, i64)>,
    copied_bytes: u64,
    path: Vec<u8>,
}

impl Copier {
    pub(super) fn new(reflink: bool) -> Self {
        Self {
            reflink,
            owners: geteuid().is_root(),
            before: None,
            marks: None,
            copied_bytes: 0,
            path: Vec::new(),
        }
    }

    /// A copy to be kept: files that are as in `before` become links to that copy's, and files that
    /// last changed before `second` are marked for the next one.
    pub(super) fn keeping(self, before: Option<Before>, second: i64) -> Self {
        Self { before, marks: Some((Marks::default(), second)), ..self }
    }

    /// Copies the folder `from` to `to`, which does not exist. Answers how many bytes were copied,
    /// and the marks.
    pub(super) fn copy(mut self, from: &Path, to: &Path) -> io::Result<(u64, Option<Marks>)> {
        let source = openat(CWD, from, FOLDER, Mode::empty())?;
        mkdirat(CWD, to, Mode::RWXU)?;
        let target = openat(CWD, to, FOLDER, Mode::empty())?;
        self.folder(&source, &target, 0).map_err(|e| {
            let path = String::from_utf8_lossy(&self.path).into_owned();
            io::Error::new(e.kind(), format!("copying {path}: {e}"))
        })?;
        Ok((self.copied_bytes, self.marks.map(|(marks, _)| marks)))
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
            // Sockets, pipes and devices belong to processes that do not run in a copy.
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
        let mark = Mark::of(&stat);
        if let Some((marks, second)) = &mut self.marks
            && mark.is_older_than(*second)
        {
            marks.put(&self.path, mark);
        }
        if let Some(before) = &self.before
            && before.marks.has(&self.path, mark)
            && let Ok(path) = CString::new(self.path.as_slice())
            // Too many links, or too long a path: a copy is as good.
            && linkat(&before.top, &path, to, name, AtFlags::empty()).is_ok()
        {
            return Ok(());
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let target = File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
        self.copied_bytes += copy_file(&source, &target, self.reflink)?;
        self.attributes(&stat, &source, &target)
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
pub(crate) fn copy_file(from: &File, to: &File, reflink: bool) -> io::Result<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Seek as _, SeekFrom as From, Write as _},
        os::unix::fs::MetadataExt as _,
    };

    #[test]
    fn a_copy_has_the_bytes_and_the_holes_of_its_origin() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        let mut origin = File::create_new(path("origin")).unwrap();
        origin.write_all(b"first").unwrap();
        origin.seek(From::Start(1 << 30)).unwrap();
        origin.write_all(b"later").unwrap();
        origin.set_len(1 << 40).unwrap();
        let origin = File::open(path("origin")).unwrap();
        let copy = File::create_new(path("copy")).unwrap();
        let took = copy_file(&origin, &copy, false).unwrap();
        let (was, is) = (origin.metadata().unwrap(), copy.metadata().unwrap());
        assert_eq!(is.len(), 1 << 40);
        if was.blocks() * 512 > 1 << 30 {
            // This file system knows of no holes.
            return;
        }
        assert!(took < 1 << 20 && is.blocks() * 512 < 1 << 20, "{took} {}", is.blocks());
        let mut read = vec![0; 5];
        std::os::unix::fs::FileExt::read_exact_at(
            &File::open(path("copy")).unwrap(),
            &mut read,
            1 << 30,
        )
        .unwrap();
        assert_eq!(read, b"later");
    }
}
