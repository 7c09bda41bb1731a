//! A root file system in the making, whose files come from outside: each path is resolved by the
//! kernel as if the folder were the root (`openat2` with `RESOLVE_IN_ROOT`), so that neither `..`
//! nor a link leads out of it. The last part of a path is never followed. Not for trees that
//! somebody else changes meanwhile.

mod advice;
mod below;

pub(crate) use below::Below;

use crate::inside::FOLDER;
use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps,
        Uid, chownat, fchmod, fchown, fstat, futimens, linkat, mkdirat, openat, openat2,
        readlinkat, statat, symlinkat, unlinkat, utimensat,
    },
    io::Errno,
    process::geteuid,
};
use std::{
    ffi::{CString, OsStr},
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

/// Folders within folders: below what copies of disks may have (200).
const DEPTH_MAX: usize = 160;
/// Links that lead to folders which are not there yet, one after the other; the kernel's own limit.
const LINKS_MAX: usize = 40;
/// Ids that a machine has; others belong to nobody there.
const IDS_END: u64 = 65_536;
/// The id of "nobody".
const NOBODY: u32 = 65_534;

/// See the module.
#[derive(Debug)]
pub(crate) struct Root {
    top: OwnedFd,
    /// Whether owners can be set.
    owners: bool,
}

/// Owner, mode and time of an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {
    /// The lower twelve bits.
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Unix seconds.
    pub(crate) mtime: u64,
}

impl Meta {
    /// Something of root's, made now.
    pub(crate) fn of_root(mode: u32) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self { mode, uid: 0, gid: 0, mtime: now.unwrap_or_default().as_secs() }
    }
}

impl Root {
    /// `path` is a folder of ours.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let top = openat(CWD, path, FOLDER, Mode::empty())?;
        Ok(Self { top, owners: geteuid().is_root() })
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.top, path, flags | OFlags::CLOEXEC, Mode::empty(), how)
    }

    /// Opens a folder, which must be there; links on the way lead to where they do inside.
    fn existing(&self, folder: &Below) -> rustix::io::Result<OwnedFd> {
        self.resolve(&folder.path(folder.0.len()), OFlags::PATH | OFlags::DIRECTORY)
    }

    /// The same; what is missing of it is made.
    fn made(&self, folder: &Below, links: usize) -> io::Result<OwnedFd> {
        match self.existing(folder) {
            Err(Errno::NOENT) => {}
            found => return Ok(found?),
        }
        if links > LINKS_MAX || folder.0.len() > DEPTH_MAX {
            return Err(Errno::LOOP.into());
        }
        let mut at = self.resolve(Path::new("."), OFlags::PATH | OFlags::DIRECTORY)?;
        for (index, name) in folder.0.iter().enumerate() {
            let path = folder.path(index + 1);
            at = match self.resolve(&path, OFlags::PATH | OFlags::DIRECTORY) {
                Err(Errno::NOENT) => match mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) => self.resolve(&path, OFlags::PATH | OFlags::DIRECTORY)?,
                    // A link to a folder that an archive brings later, or never.
                    Err(Errno::EXIST) => {
                        let link = readlinkat(&at, name, Vec::new())?;
                        let from = Self::joined(&folder.0[..index], link.to_bytes())?;
                        self.made(&from, links + 1)?
                    }
                    Err(e) => return Err(e.into()),
                },
                found => found?,
            };
        }
        Ok(at)
    }

    /// Where a link in `folder` leads, read as text. Only says what is made; the kernel decides
    /// where.
    fn joined(folder: &[CString], link: &[u8]) -> io::Result<Below> {
        let mut names = if link.starts_with(b"/") { Vec::new() } else { folder.to_vec() };
        for name in link.split(|b| *b == b'/') {
            match name {
                b"" | b"." => {}
                b".." => drop(names.pop()),
                name => names.push(CString::new(name).map_err(io::Error::other)?),
            }
        }
        Ok(Below(names))
    }

    fn place<'a>(&self, path: &'a Below) -> io::Result<(OwnedFd, &'a CString)> {
        let Some((name, _)) = path.0.split_last() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the root itself is given as something other than a folder",
            ));
        };
        let folder = Below(path.0[..path.0.len() - 1].to_vec());
        Ok((self.made(&folder, 0)?, name))
    }

    /// A folder with these rights; one that is there keeps what is in it, anything else makes way.
    /// Answers its inode.
    pub(crate) fn put_folder(&self, path: &Below, meta: Meta) -> io::Result<u64> {
        let folder = if path.0.is_empty() {
            openat(&self.top, c".", FOLDER, Mode::empty())?
        } else {
            let (parent, name) = self.place(path)?;
            match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) if is_folder(&there) => {}
                Ok(_) => {
                    unlinkat(&parent, name, AtFlags::empty())?;
                    mkdirat(&parent, name, Mode::RWXU)?;
                }
                Err(Errno::NOENT) => mkdirat(&parent, name, Mode::RWXU)?,
                Err(e) => return Err(e.into()),
            }
            openat(&parent, name, FOLDER, Mode::empty())?
        };
        // An ordinary user must be able to fill it, and to copy it later.
        self.own(&folder, meta, 0o700)?;
        Ok(fstat(&folder)?.st_ino)
    }

    /// A new, empty file in place of whatever is there, to be given its rights by
    /// [`Root::finish_file`].
    pub(crate) fn new_file(&self, path: &Below) -> io::Result<File> {
        let (parent, name) = self.place(path)?;
        clear(&parent, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(File::from(openat(&parent, name, flags | OFlags::CLOEXEC, mode)?))
    }

    /// Answers its inode.
    pub(crate) fn finish_file(&self, file: &File, meta: Meta) -> io::Result<u64> {
        self.own(file, meta, 0o600)?;
        futimens(file, &times(meta))?;
        Ok(fstat(file)?.st_ino)
    }

    /// A whole file.
    pub(crate) fn put(&self, path: &Below, bytes: &[u8], mode: u32) -> io::Result<()> {
        let mut file = self.new_file(path)?;
        file.write_all(bytes)?;
        self.finish_file(&file, Meta::of_root(mode)).map(|_| ())
    }

    /// A symbolic link in place of whatever is there. What it says is not looked at: only a machine
    /// follows it. Answers its inode.
    pub(crate) fn put_link(&self, path: &Below, target: &[u8], meta: Meta) -> io::Result<u64> {
        if target.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is a link to nothing"));
        }
        let (parent, name) = self.place(path)?;
        clear(&parent, name)?;
        symlinkat(target, &parent, name)?;
        if self.owners {
            let (uid, gid) = ids(meta);
            chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        utimensat(&parent, name, &times(meta), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?.st_ino)
    }

    /// Another name for a file of this root. Answers its inode.
    pub(crate) fn put_hard_link(&self, path: &Below, target: &Below) -> io::Result<u64> {
        let missing = || {
            let shown = target.path(target.0.len());
            let shown = shown.strip_prefix(".").unwrap_or(&shown).display().to_string();
            let told = format!(
                "a hard link names `{}`, which is not there: in an image only files of its own can be linked",
                shown.escape_debug()
            );
            io::Error::new(io::ErrorKind::InvalidData, told)
        };
        let (folder, file) = target.split().ok_or_else(missing)?;
        let from = match self.existing(&folder) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(missing()),
            from => from?,
        };
        let there = match statat(&from, file, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Err(missing()),
            there => there?,
        };
        if is_folder(&there) {
            return Err(missing());
        }
        let (parent, name) = self.place(path)?;
        let same = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|s| (s.st_dev, s.st_ino) == (there.st_dev, there.st_ino));
        if !same {
            clear(&parent, name)?;
            linkat(&from, file, &parent, name, AtFlags::empty())?;
        }
        Ok(there.st_ino)
    }

    /// Removes what is there, with all below it. Not there: done.
    pub(crate) fn remove(&self, path: &Below) -> io::Result<()> {
        let Some((folder, name)) = path.split() else { return Ok(()) };
        match self.existing(&folder) {
            Ok(parent) => clear(&parent, name),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes what an earlier layer put into a folder: all but the inodes in `kept`, and in
    /// folders of these likewise.
    pub(crate) fn remove_all_but(
        &self,
        folder: &Below,
        kept: &std::collections::HashSet<u64>,
    ) -> io::Result<()> {
        match self.resolve(&folder.path(folder.0.len()), OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(top) => thin(&top, kept, 0),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// The inode of what is there.
    pub(crate) fn inode(&self, path: &Below) -> Option<u64> {
        self.look(path).map(|stat| stat.st_ino)
    }

    fn look(&self, path: &Below) -> Option<Stat> {
        let (folder, name) = path.split()?;
        let parent = self.existing(&folder).ok()?;
        statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    /// Whether a file is there that may be run, by whatever links lead to it.
    pub(crate) fn has_program(&self, path: &Below) -> bool {
        self.resolve(&path.path(path.0.len()), OFlags::PATH).and_then(fstat).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && stat.st_mode & 0o111 != 0
        })
    }

    /// Whether something of that kind is there, by whatever links lead to it.
    pub(crate) fn has_folder(&self, path: &Below) -> bool {
        self.existing(path).is_ok()
    }

    /// A regular file, by whatever links lead to it.
    pub(crate) fn open_file(&self, path: &Below) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(self.resolve(&path.path(path.0.len()), flags)?);
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no plain file"));
        }
        Ok(file)
    }

    /// The same, all of it, when it has at most `max` bytes.
    pub(crate) fn read(&self, path: &Below, max: u64) -> Option<Vec<u8>> {
        let file = self.open_file(path).ok()?;
        let mut bytes = Vec::new();
        file.take(max + 1).read_to_end(&mut bytes).ok()?;
        u64::try_from(bytes.len()).is_ok_and(|len| len <= max).then_some(bytes)
    }

    fn own(&self, file: impl AsFd, meta: Meta, needed: u32) -> io::Result<()> {
        let mut mode = meta.mode & 0o7777;
        if self.owners {
            let (uid, gid) = ids(meta);
            fchown(&file, Some(uid), Some(gid))?;
        } else {
            mode |= needed;
        }
        // After the owner: changing that takes set-uid bits away.
        Ok(fchmod(&file, Mode::from_raw_mode(mode))?)
    }
}

fn ids(meta: Meta) -> (Uid, Gid) {
    let known =
        |id: u64| u32::try_from(id).ok().filter(|id| u64::from(*id) < IDS_END).unwrap_or(NOBODY);
    (Uid::from_raw(known(meta.uid)), Gid::from_raw(known(meta.gid)))
}

fn times(meta: Meta) -> Timestamps {
    let time = Timespec { tv_sec: i64::try_from(meta.mtime).unwrap_or_default(), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Removes an entry with all below it. Not there: done.
fn clear(parent: &OwnedFd, name: &CString) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => {
            let path = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string());
            toft_jail::tree::remove(&path.join(OsStr::from_bytes(name.to_bytes())))
        }
        Err(e) => Err(e.into()),
    }
}

fn thin(folder: &OwnedFd, kept: &std::collections::HashSet<u64>, depth: usize) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(Errno::LOOP.into());
    }
    let names = Dir::read_from(folder)?
        .map(|entry| Ok(entry?.file_name().to_owned()))
        .collect::<io::Result<Vec<CString>>>()?;
    for name in names.iter().filter(|n| n.as_c_str() != c"." && n.as_c_str() != c"..") {
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if !kept.contains(&stat.st_ino) {
            clear(folder, name)?;
        } else if is_folder(&stat) {
            thin(&openat(folder, name, FOLDER, Mode::empty())?, kept, depth + 1)?;
        }
    }
    Ok(())
}
