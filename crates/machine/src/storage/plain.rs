//! Disks as ordinary folders: a copy copies every file, sharing blocks where the file system can
//! (reflink). Works everywhere.

use super::Storage;
use rustix::{
    fs::{AtFlags, CWD, Gid, Timespec, Timestamps, Uid, chownat, ioctl_ficlone, utimensat},
    process::geteuid,
};
use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Plain {
    /// Whether blocks are shared.
    pub(crate) reflink: bool,
}

impl Plain {
    /// Tries in `folder` whether blocks can be shared.
    pub(crate) fn probe(folder: &Path) -> Self {
        let (from, to) = (folder.join(".reflink-from"), folder.join(".reflink-to"));
        let tried = (|| -> io::Result<()> {
            fs::write(&from, b"x")?;
            Ok(ioctl_ficlone(fs::File::create(&to)?, fs::File::open(&from)?)?)
        })();
        for path in [from, to] {
            // Left behind it would be an empty file that the next probe overwrites.
            let _ = fs::remove_file(path);
        }
        Self { reflink: tried.is_ok() }
    }

    fn copy_entry(&self, from: &Path, to: &Path, owners: bool) -> io::Result<()> {
        let meta = fs::symlink_metadata(from)?;
        let kind = meta.file_type();
        if kind.is_symlink() {
            symlink(fs::read_link(from)?, to)?;
        } else if kind.is_dir() {
            fs::create_dir(to)?;
            for entry in fs::read_dir(from)? {
                let name = entry?.file_name();
                self.copy_entry(&from.join(&name), &to.join(&name), owners)?;
            }
        } else if kind.is_file() {
            self.copy_file(from, to)?;
        } else {
            // Sockets, pipes and devices belong to processes that do not run in a copy.
            return Ok(());
        }
        if owners {
            let (uid, gid) = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
            chownat(CWD, to, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !kind.is_symlink() {
            fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
        }
        let time = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn copy_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.reflink {
            let (source, target) = (fs::File::open(from)?, fs::File::create_new(to)?);
            if ioctl_ficlone(&target, &source).is_ok() {
                return Ok(());
            }
        }
        fs::copy(from, to).map(|_| ())
    }
}

impl Storage for Plain {
    fn name(&self) -> &'static str {
        if self.reflink { "reflink copy" } else { "plain copy" }
    }

    fn make(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.copy_entry(from, to, geteuid().is_root())
    }

    fn copies_slowly(&self) -> bool {
        true
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        toft_jail::tree::remove(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_modes_links_and_contents_and_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(a.join("sub")).unwrap();
        fs::write(a.join("sub/run"), "one").unwrap();
        fs::set_permissions(a.join("sub/run"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("../elsewhere", a.join("sub/link")).unwrap();
        let storage = Plain::probe(dir.path());
        storage.copy(&a, &b).unwrap();
        fs::write(a.join("sub/run"), "two").unwrap();
        assert_eq!(fs::read_to_string(b.join("sub/run")).unwrap(), "one");
        assert_eq!(fs::metadata(b.join("sub/run")).unwrap().mode() & 0o7777, 0o750);
        assert_eq!(fs::read_link(b.join("sub/link")).unwrap(), Path::new("../elsewhere"));
        storage.remove(&b).unwrap();
        storage.remove(&b).unwrap();
        assert!(!b.exists() && a.exists());
    }
}
