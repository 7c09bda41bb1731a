//! What differs between two disks, as it is seen inside: folders walked side by side through open
//! descriptors, no link followed, no file read. Layers over folders of the host count as what they
//! show: a removed file of the host's is one that was there before.

use crate::inside::{FOLDER, ROOT, open_below, open_disk};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, Stat, fgetxattr, lstat, openat, readlinkat, statat},
    io::Errno,
};
use std::{
    collections::BTreeSet,
    ffi::{CString, OsStr},
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};
use toft_jail::spec::Overlay;
use toft_model::checkpoint::{Change, ChangeKind, Diff};

/// Toft's own: sessions, settings, tickets.
const LEFT_OUT: &str = "/home/starter";
/// Entries looked at: a second or so for each million on a disk that is cached.
const ENTRIES_MAX: usize = 2_000_000;
/// Folders within folders. Each takes up to four descriptors, of which a process often has 1,024.
const DEPTH_MAX: usize = 100;

/// At most `max` paths that differ, in the order of paths.
pub(crate) fn diff(
    before: &Path,
    after: &Path,
    overlays: &[Overlay],
    max: usize,
) -> io::Result<Diff> {
    let (before, after) = (open_disk(before)?, open_disk(after)?);
    let mut walk = Walk { found: Diff::default(), max, entries: 0 };
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
                    let mut value = [0u8; 1];
                    if fgetxattr(&folder, "user.overlay.opaque", &mut value[..]).is_ok() {
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
            if let Some(change) = change(&path, (old, was.as_ref()), (new, is.as_ref()), &name) {
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
}

fn change(
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

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

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
