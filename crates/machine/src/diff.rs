//! What differs between two disks, as it is seen inside: folders walked side by side through open
//! descriptors, no link followed. A file is read only where its times cannot tell: within one tick of
//! the kernel's clock it can be kept, change and show the time that it had. Layers over folders of the host count as what they
//! show: a removed file of the host's is one that was there before.

use crate::{
    backend::MachineError,
    error::step,
    inside::{
        FOLDER, ROOT,
        layers::{is_opaque, is_whiteout, kind},
        open_below, open_disk,
    },
};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, lstat, openat, readlinkat, statat},
    io::Errno,
};
use std::{
    collections::BTreeSet,
    ffi::{CString, OsStr},
    fs::{self, File},
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};
use toft_jail::spec::Overlay;
use toft_model::{
    checkpoint::{Change, ChangeKind, Diff},
    id::ProjectId,
};

/// Toft's own: sessions, settings, tickets.
const LEFT_OUT: &str = "/home/starter";
/// Comparisons begun anew because a side was exchanged meanwhile.
const TRIES: usize = 4;
/// Entries looked at: a second or so for each million on a disk that is cached.
const ENTRIES_MAX: usize = 2_000_000;
/// Folders within folders. Each takes up to four descriptors, of which a process often has 1,024.
const DEPTH_MAX: usize = 100;

/// Longest tick of the kernel's clock, and as much again: files that changed no more than so long before
/// they were kept are read.
const TICK_NS: i128 = 20_000_000;
/// Bytes that are read of such files, in all. Programs can set times.
const READ_BYTES_MAX: u64 = 256 << 20;
/// Read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// At most `max` paths that differ between the disks that `sides` names, with the layers over folders of
/// the host. Begun anew when one of them was deleted or exchanged meanwhile: all of it would seem to be gone.
pub(crate) fn of(
    project: &ProjectId,
    max: usize,
    sides: impl Fn() -> Result<(PathBuf, PathBuf, Vec<Overlay>), MachineError>,
) -> Result<Diff, MachineError> {
    let comparing = "comparing with a checkpoint";
    for _ in 0..TRIES {
        let (before, after, overlays) = sides()?;
        let tops = (top(&before), top(&after));
        let found = diff(&before, &after, &overlays, max);
        if tops == (top(&before), top(&after)) {
            return found.map_err(step(project, comparing));
        }
    }
    Err(MachineError::Unable {
        what: comparing,
        why: "the project goes back or forth just now; try again".to_owned(),
    })
}

/// Which folder or subvolume it is.
fn top(disk: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(disk).ok().map(|top| (top.dev(), top.ino()))
}

/// At most `max` paths that differ, in the order of paths.
fn diff(before: &Path, after: &Path, overlays: &[Overlay], max: usize) -> io::Result<Diff> {
    // Made while the machine stood still for the copy.
    let kept_at = fs::symlink_metadata(before.with_extension("base"))
        .ok()
        .map(|about| i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec()));
    let (before, after) = (open_disk(before)?, open_disk(after)?);
    let mut walk = Walk { found: Diff::default(), max, entries: 0, kept_at, read: 0 };
    let side = |disk: &OwnedFd, folder: &str, lower: Option<&Path>| -> io::Result<Side> {
        match open_below(disk, Path::new(folder), FOLDER) {
            Ok(upper) => Ok(Side { upper: Some(upper), lower: lower.map(Path::to_owned) }),
            Err(Errno::NOENT) => Ok(Side { upper: None, lower: lower.map(Path::to_owned) }),
            Err(e) => Err(e.into()),
        }
    };
    let (old, new) = (side(&before, ROOT, None)?, side(&after, ROOT, None)?);
    walk.folder(&old, &new, "", 0)?;
    for overlay in overlays {
        let lower = Some(overlay.lower.as_path());
        let (old, new) =
            (side(&before, &overlay.upper, lower)?, side(&after, &overlay.upper, lower)?);
        walk.folder(&old, &new, &overlay.target, 0)?;
    }
    walk.found.changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.found)
}

/// One of the two versions of a folder.
#[derive(Debug, Default)]
struct Side {
    /// The machine's own layer, or all of it where there are no layers.
    upper: Option<OwnedFd>,
    /// The folder of the host below it.
    lower: Option<PathBuf>,
}

/// What one side shows under a name.
struct Entry {
    stat: Stat,
    is_upper: bool,
}

impl Side {
    fn names(&self, into: &mut BTreeSet<CString>) -> io::Result<()> {
        let Some(upper) = &self.upper else { return Ok(()) };
        for entry in Dir::read_from(upper)? {
            let entry = entry?;
            if entry.file_name() != c"." && entry.file_name() != c".." {
                into.insert(entry.file_name().to_owned());
            }
        }
        Ok(())
    }

    fn look(&self, name: &CString) -> io::Result<Option<Entry>> {
        if let Some(upper) = &self.upper {
            match statat(upper, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if self.lower.is_some() && is_whiteout(&stat) => return Ok(None),
                Ok(stat) => return Ok(Some(Entry { stat, is_upper: true })),
                Err(Errno::NOENT) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let Some(lower) = self.below(name) else { return Ok(None) };
        Ok(lstat(&lower).ok().map(|stat| Entry { stat, is_upper: false }))
    }

    fn below(&self, name: &CString) -> Option<PathBuf> {
        Some(self.lower.as_ref()?.join(OsStr::from_bytes(name.to_bytes())))
    }

    fn enter(&self, name: &CString, entry: Option<&Entry>) -> rustix::io::Result<Self> {
        let Some(entry) = entry.filter(|e| kind(&e.stat) == FileType::Directory) else {
            return Ok(Self::default());
        };
        let mut side = Self { upper: None, lower: self.below(name) };
        if let Some(upper) = self.upper.as_ref().filter(|_| entry.is_upper) {
            match openat(upper, name, FOLDER, Mode::empty()) {
                Ok(folder) => {
                    // Made anew where the host's was removed: nothing of that shows any more.
                    if is_opaque(&folder) {
                        side.lower = None;
                    }
                    side.upper = Some(folder);
                }
                // Gone, or something else by now.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(side)
    }

    /// A regular file of the machine's own; one of the host's below is the same on both sides.
    fn open(&self, name: &CString, entry: &Entry) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let upper = self.upper.as_ref().filter(|_| entry.is_upper)?;
        let file = File::from(openat(upper, name, flags, Mode::empty()).ok()?);
        file.metadata().ok().filter(fs::Metadata::is_file).map(|_| file)
    }

    fn target(&self, name: &CString, entry: &Entry) -> Option<CString> {
        match (&self.upper, self.below(name)) {
            (Some(upper), _) if entry.is_upper => readlinkat(upper, name, Vec::new()).ok(),
            (_, Some(lower)) => rustix::fs::readlink(lower, Vec::new()).ok(),
            _ => None,
        }
    }
}

struct Walk {
    found: Diff,
    max: usize,
    entries: usize,
    /// When the older side was kept, in nanoseconds since 1970.
    kept_at: Option<i128>,
    /// Bytes that were read to tell two files apart.
    read: u64,
}

impl Walk {
    fn folder(&mut self, old: &Side, new: &Side, at: &str, depth: usize) -> io::Result<()> {
        let mut names = BTreeSet::new();
        old.names(&mut names)?;
        new.names(&mut names)?;
        for name in names {
            self.entries += 1;
            let full = self.found.changes.len() >= self.max || self.entries > ENTRIES_MAX;
            if full && self.found.truncated {
                return Ok(());
            }
            let path = format!("{at}/{}", name.to_string_lossy());
            if path == LEFT_OUT {
                continue;
            }
            let (was, is) = (old.look(&name)?, new.look(&name)?);
            let sides = ((old, was.as_ref()), (new, is.as_ref()));
            if let Some(change) = self.change(&path, sides.0, sides.1, &name) {
                if full {
                    self.found.truncated = true;
                    return Ok(());
                }
                self.found.changes.push(change);
            } else if self.entries > ENTRIES_MAX {
                self.found.truncated = true;
                return Ok(());
            }
            if [&was, &is].into_iter().flatten().all(|e| kind(&e.stat) != FileType::Directory) {
                continue;
            }
            if depth == DEPTH_MAX {
                self.found.truncated = true;
                continue;
            }
            match (old.enter(&name, was.as_ref()), new.enter(&name, is.as_ref())) {
                (Ok(old), Ok(new)) => self.folder(&old, &new, &path, depth + 1)?,
                // An ordinary user may not look into every folder of the machine's others.
                (Err(Errno::ACCESS), _) | (_, Err(Errno::ACCESS)) => self.found.truncated = true,
                (Err(e), _) | (_, Err(e)) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn change(
        &mut self,
        path: &str,
        (old, was): (&Side, Option<&Entry>),
        (new, is): (&Side, Option<&Entry>),
        name: &CString,
    ) -> Option<Change> {
        let kind_of_change = match (was, is) {
            (None, None) => return None,
            (None, Some(_)) => ChangeKind::Added,
            (Some(_), None) => ChangeKind::Removed,
            (Some(was), Some(is)) if kind(&was.stat) != kind(&is.stat) => ChangeKind::Replaced,
            (Some(was), Some(is)) => {
                let (a, b) = (&was.stat, &is.stat);
                let same = a.st_mode == b.st_mode
                    && match kind(a) {
                        FileType::Directory => true,
                        FileType::Symlink => old.target(name, was) == new.target(name, is),
                        _ => {
                            (a.st_size, a.st_mtime, a.st_mtime_nsec)
                                == (b.st_size, b.st_mtime, b.st_mtime_nsec)
                                && !(self.is_doubtful(a)
                                    && self.differ((old, was), (new, is), name))
                        }
                    };
                if same {
                    return None;
                }
                ChangeKind::Modified
            }
        };
        let size = |entry: Option<&Entry>| {
            let stat = &entry?.stat;
            (kind(stat) == FileType::RegularFile).then(|| u64::try_from(stat.st_size).unwrap_or(0))
        };
        Some(Change {
            path: path.to_owned(),
            kind: kind_of_change,
            size_before: size(was),
            size_after: size(is),
        })
    }

    /// Whether a file may have changed after it was kept without a new time.
    fn is_doubtful(&self, stat: &Stat) -> bool {
        let changed = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        kind(stat) == FileType::RegularFile
            && self.kept_at.is_some_and(|kept_at| (changed - kept_at).abs() <= TICK_NS)
    }

    /// Whether what is in two files of one length differs. Those that cannot be read do not.
    fn differ(&mut self, old: (&Side, &Entry), new: (&Side, &Entry), name: &CString) -> bool {
        let len = u64::try_from(old.1.stat.st_size).unwrap_or(0);
        let (true, Some(old), Some(new)) =
            (self.read + len <= READ_BYTES_MAX, old.0.open(name, old.1), new.0.open(name, new.1))
        else {
            return false;
        };
        self.read += len;
        let (mut old, mut new) = (old.take(len), new.take(len));
        let (mut one, mut other) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
        loop {
            match (fill(&mut old, &mut one), fill(&mut new, &mut other)) {
                (Ok(0), Ok(0)) | (Err(_), _) | (_, Err(_)) => return false,
                (Ok(a), Ok(b)) if one[..a] != other[..b] => return true,
                (Ok(_), Ok(_)) => {}
            }
        }
    }
}

/// As many bytes as there are, up to the length of `into`.
fn fill(from: &mut impl io::Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn put(path: &Path, text: &str, mtime_s: u64) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(mtime_s);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn told(diff: &Diff) -> Vec<(&str, ChangeKind, Option<u64>, Option<u64>)> {
        let told = diff.changes.iter();
        told.map(|c| (c.path.as_str(), c.kind, c.size_before, c.size_after)).collect()
    }

    #[test]
    fn what_changed_in_the_tick_in_which_it_was_kept_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        for (disk, text) in [(&a, "one"), (&b, "two")] {
            put(&disk.join("rootfs/f"), text, 1_000);
            put(&disk.join("rootfs/same"), "same", 1_000);
        }
        // Nothing says when it was kept, and then that it was long after.
        assert_eq!(told(&diff(&a, &b, &[], 9).unwrap()), []);
        put(&dir.path().join("a.base"), "", 1_001);
        assert_eq!(told(&diff(&a, &b, &[], 9).unwrap()), []);
        put(&dir.path().join("a.base"), "", 1_000);
        let found = diff(&a, &b, &[], 9).unwrap();
        assert_eq!(told(&found), [("/f", ChangeKind::Modified, Some(3), Some(3))]);
    }

    #[test]
    fn every_kind_of_change_is_told_and_the_rest_is_not() {
        use ChangeKind::{Added, Modified, Removed, Replaced};
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        for disk in [&a, &b] {
            put(&disk.join("rootfs/home/project/same"), "same", 1);
            put(&disk.join("rootfs/home/starter/sessions/x"), &disk.to_string_lossy(), 1);
            symlink(dir.path(), disk.join("rootfs/out")).unwrap();
        }
        let home = |disk: &Path, name: &str| disk.join("rootfs/home/project").join(name);
        put(&home(&a, "gone/deep"), "12", 1);
        put(&home(&b, "new"), "123", 1);
        put(&home(&a, "touched"), "12", 1);
        put(&home(&b, "touched"), "21", 2);
        put(&home(&a, "turned"), "1", 1);
        fs::create_dir(home(&b, "turned")).unwrap();
        symlink("x", home(&a, "link")).unwrap();
        symlink("y", home(&b, "link")).unwrap();
        put(&dir.path().join("host/bin/tool"), "1", 1);
        put(&dir.path().join("host/bin/other"), "1", 1);
        put(&b.join("usr-upper/bin/tool"), "12", 2);
        put(&b.join("usr-upper/bin/mine"), "1", 2);
        fs::create_dir_all(a.join("usr-upper")).unwrap();
        let mode = fs::metadata(dir.path().join("host/bin")).unwrap().permissions();
        fs::set_permissions(b.join("usr-upper/bin"), mode).unwrap();
        let usr = Overlay {
            lower: dir.path().join("host"),
            upper: "usr-upper".to_owned(),
            work: "usr-work".to_owned(),
            target: "/usr".to_owned(),
        };
        let overlays = [usr];
        let all = diff(&a, &b, &overlays, 100).unwrap();
        let expected = [
            ("/home/project/gone", Removed, None, None),
            ("/home/project/gone/deep", Removed, Some(2), None),
            ("/home/project/link", Modified, None, None),
            ("/home/project/new", Added, None, Some(3)),
            ("/home/project/touched", Modified, Some(2), Some(2)),
            ("/home/project/turned", Replaced, Some(1), None),
            ("/usr/bin/mine", Added, None, Some(1)),
            ("/usr/bin/tool", Modified, Some(1), Some(2)),
        ];
        assert_eq!(told(&all), expected);
        assert!(!all.truncated);
        assert_eq!(diff(&a, &a, &overlays, 100).unwrap(), Diff::default());
        let some = diff(&a, &b, &overlays, 3).unwrap();
        assert_eq!((some.changes.len(), some.truncated), (3, true));
        assert!(!diff(&a, &b, &overlays, expected.len()).unwrap().truncated);
        // A file of the host's that the machine removed.
        let other = b.join("usr-upper/bin/other");
        let whiteout = FileType::CharacterDevice;
        rustix::fs::mknodat(rustix::fs::CWD, &other, whiteout, Mode::empty(), 0).unwrap();
        let all = diff(&a, &b, &overlays, 100).unwrap();
        assert!(told(&all).contains(&("/usr/bin/other", Removed, Some(1), None)), "{all:?}");
        let back = diff(&b, &a, &overlays, 100).unwrap();
        assert!(told(&back).contains(&("/usr/bin/other", Added, None, Some(1))), "{back:?}");
    }
}
