//! Disks as ordinary folders: a copy copies every file, sharing blocks where the file system can
//! (reflink). Kept copies share files that did not change: they are never written to, so a link is
//! as good as a copy. Works everywhere.

use super::{Copies, Keep, Storage, marks_of};
use rustix::fs::{CWD, Mode, OFlags, ioctl_ficlone, openat, syncfs};
use std::{
    fs, io,
    path::Path,
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};
use toft_jail::copy::{self, Back, Before, Order};

/// Files that changed within so many seconds are copied again next time: the kernel's clock ticks
/// in milliseconds, other clocks in network file systems in up to two seconds.
const RECENT_S: i64 = 3;

/// See the module.
#[derive(Debug)]
pub(crate) struct Plain {
    /// Whether blocks are shared.
    reflink: bool,
    other: OnceLock<Arc<dyn Copies>>,
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
        Self { reflink: tried.is_ok(), other: OnceLock::new() }
    }

    fn order(&self, from: &Path, to: &Path) -> Order {
        let (from, to) = (from.to_owned(), to.to_owned());
        Order { from, to, reflink: self.reflink, keep: None, back: None }
    }

    /// Makes a copy; answers how many bytes took new room. By somebody with more rights where there
    /// is one: that a file may not be looked at shows only when others are copied already.
    fn make_copy(&self, order: &Order) -> io::Result<u64> {
        match self.other.get() {
            Some(other) => other.copy(order),
            None => Ok(copy::copy(order)?),
        }
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
        self.make_copy(&self.order(from, to)).map(|_| ())
    }

    fn copy_back(&self, kept: &Path, to: &Path) -> io::Result<()> {
        let back = Some(Back { marks: marks_of(kept), recent_s: RECENT_S });
        self.make_copy(&Order { back, ..self.order(kept, to) }).map(|_| ())
    }

    fn copies_slowly(&self) -> bool {
        true
    }

    fn keeps_live(&self) -> bool {
        false
    }

    fn keep(&self, from: &Path, kept: Keep<'_>) -> io::Result<Option<u64>> {
        // Only from clean pages on does a write through a mapping change a file's time.
        let clean = openat(CWD, from, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(syncfs)
            .is_ok();
        let before = kept.before.filter(|_| clean);
        let before = before.map(|top| Before { top: top.to_owned(), marks: marks_of(top) });
        let marks = clean.then(|| marks_of(kept.to));
        let keep = Some(copy::Keep { before, marks, second: now_s() - RECENT_S });
        let bytes = self.make_copy(&Order { keep, ..self.order(from, kept.scratch) })?;
        self.settle(kept.scratch)?;
        fs::rename(kept.scratch, kept.to)?;
        Ok(Some(bytes))
    }

    fn settle(&self, path: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(syncfs(openat(CWD, path, flags, Mode::empty())?)?)
    }

    fn copy_by(&self, other: Arc<dyn Copies>) {
        // Set already: it stays.
        let _ = self.other.set(other);
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        toft_jail::tree::remove(path)
    }

    fn discard(&self, path: &Path, scratch: &Path) -> io::Result<()> {
        match fs::rename(path, scratch) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
            Ok(()) => self.remove(scratch),
        }
    }
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    #[test]
    fn a_copy_has_modes_links_and_contents_and_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(a.join("sub")).unwrap();
        fs::write(a.join("sub/run"), "one").unwrap();
        fs::set_permissions(a.join("sub/run"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("../elsewhere", a.join("sub/link")).unwrap();
        // What a layer over the host's folders says of them.
        let removed = a.join("sub/removed");
        let whiteout = rustix::fs::FileType::CharacterDevice;
        rustix::fs::mknodat(CWD, &removed, whiteout, Mode::empty(), 0).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        let hides = rustix::fs::setxattr(a.join("sub"), "user.overlay.opaque", b"y", flags).is_ok();
        let storage = Plain::probe(dir.path());
        storage.copy(&a, &b).unwrap();
        assert_eq!(fs::symlink_metadata(b.join("sub/removed")).unwrap().rdev(), 0);
        if hides {
            let mut value = [0u8; 1];
            let name = "user.overlay.opaque";
            assert_eq!(rustix::fs::getxattr(b.join("sub"), name, &mut value[..]), Ok(1));
        } else {
            println!("not tried: this file system has no attributes of users");
        }
        fs::write(a.join("sub/run"), "two").unwrap();
        assert_eq!(fs::read_to_string(b.join("sub/run")).unwrap(), "one");
        assert_eq!(fs::metadata(b.join("sub/run")).unwrap().mode() & 0o7777, 0o750);
        assert_eq!(fs::read_link(b.join("sub/link")).unwrap(), Path::new("../elsewhere"));
        storage.remove(&b).unwrap();
        storage.remove(&b).unwrap();
        assert!(!b.exists() && a.exists());
    }
}
