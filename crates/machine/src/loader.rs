//! A copy of the host's dynamic loader for init and bridge. The host's own reads
//! `/etc/ld.so.preload` and `/etc/ld.so.cache`, which are the machine's there: so a project could
//! have its own code in both. In the copy these paths are empty, and no file has an empty name.

use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Below the data folder, with each copy in a folder named after what it was made of.
const FOLDER: &str = "run/loader";
/// What a machine could bring its own code in by. The first is not in every C library: then the
/// loader is used as it is.
const PRELOAD: &[u8] = b"/etc/ld.so.preload\0";
/// Libraries are all named by where they lie; this is only where others would be looked for.
const CACHE: &[u8] = b"/etc/ld.so.cache\0";
/// A loader has some 200 KiB.
const LOADER_BYTES_MAX: u64 = 16 << 20;

/// Which file this is, and in which state: another one after an update of the host.
pub(crate) type Version = (u64, u64, i64, i64);

pub(crate) fn version(loader: &Path) -> io::Result<Version> {
    let about = fs::metadata(loader)?;
    Ok((about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
}

/// The copy of `loader` that reads nothing of a machine's, below the data folder. `None`: it has no list of
/// libraries that we know how to keep it from.
pub(crate) fn deaf(data: &Path, loader: &Path) -> io::Result<Option<PathBuf>> {
    let (file, bytes, second, nanosecond) = version(loader)?;
    if bytes > LOADER_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let Some(content) = emptied(fs::read(loader)?) else { return Ok(None) };
    let folder = data.join(FOLDER);
    crate::folders::private(&folder)?;
    // Two starts after an update of the host, or a repair beside a server.
    let lock = File::open(&folder)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let name = loader.file_name().unwrap_or_default();
    let home = folder.join(format!("{file}-{bytes}-{second}.{nanosecond}"));
    let path = home.join(name);
    if fs::read(&path).is_ok_and(|there| there == content) {
        return Ok(Some(path));
    }
    let half = folder.join("half");
    // Machines that run hold what they have, but one that just starts may still look for the copy of the
    // loader before this one.
    let mut old = Vec::new();
    for entry in fs::read_dir(&folder)?.flatten() {
        let is_whole = entry.path() != home && entry.path() != half;
        old.push((is_whole, entry.metadata()?.modified()?, entry.path()));
    }
    old.sort_unstable();
    if old.last().is_some_and(|(is_whole, ..)| *is_whole) {
        old.pop();
    }
    for (.., path) in old {
        fs::remove_dir_all(path)?;
    }
    fs::create_dir(&half)?;
    let mut copy = File::create_new(half.join(name))?;
    copy.write_all(&content)?;
    copy.set_permissions(fs::Permissions::from_mode(0o555))?;
    copy.sync_all()?;
    // While it is open for writing, nobody can run it.
    drop(copy);
    fs::rename(&half, &home)?;
    Ok(Some(path))
}

/// With the paths emptied; `None` when there is no list of libraries in it.
fn emptied(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let preload = places(&bytes, PRELOAD);
    if preload.is_empty() {
        return None;
    }
    for at in preload.into_iter().chain(places(&bytes, CACHE)) {
        bytes[at] = 0;
    }
    Some(bytes)
}

/// Where these bytes begin.
fn places(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let at = bytes.windows(wanted.len()).enumerate();
    at.filter(|(_, window)| *window == wanted).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        process::Command,
        time::{Duration, UNIX_EPOCH},
    };

    #[test]
    fn the_paths_of_a_machines_own_files_are_emptied_and_nothing_else() {
        let loader = b"\x7fELF /etc/ld.so.cache\0a\0/etc/ld.so.preload\0/etc/ld.so.cache.d\0";
        let expected = b"\x7fELF \0etc/ld.so.cache\0a\0\0etc/ld.so.preload\0/etc/ld.so.cache.d\0";
        assert_eq!(emptied(loader.to_vec()).unwrap(), expected);
        assert!(emptied(b"/etc/ld.so.cache\0 of another C library".to_vec()).is_none());
    }

    #[test]
    fn a_copy_is_made_once_runs_and_leaves_only_that_of_the_loader_before() {
        let Some(loader) = toft_jail::loader::own().unwrap() else { return };
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("run")).unwrap();
        let copy = deaf(data.path(), &loader).unwrap().unwrap();
        assert_eq!(copy.file_name(), loader.file_name());
        let about = fs::metadata(&copy).unwrap();
        assert_eq!(about.mode() & 0o7777, 0o555);
        let ran = Command::new(&copy).args(["/bin/echo", "ran"]).output().unwrap();
        assert_eq!(ran.stdout, b"ran\n", "{ran:?}");
        assert_eq!(deaf(data.path(), &loader).unwrap().unwrap(), copy);
        assert_eq!(fs::metadata(&copy).unwrap().ino(), about.ino(), "it is the same");
        // One that was cut, half of one, and those of two other loaders.
        fs::remove_file(&copy).unwrap();
        fs::write(&copy, "half").unwrap();
        let made = |name: &str, second| {
            let folder = data.path().join("run/loader").join(name);
            fs::create_dir(&folder).unwrap();
            let at = UNIX_EPOCH + Duration::from_secs(second);
            File::open(&folder).unwrap().set_modified(at).unwrap();
            folder
        };
        let (before, earlier) = (made("1-before", 2), made("2-earlier", 1));
        made("half", 1 << 32);
        assert_eq!(deaf(data.path(), &loader).unwrap().unwrap(), copy);
        assert_eq!(fs::metadata(&copy).unwrap().len(), about.len());
        assert_eq!((before.exists(), earlier.exists()), (true, false));
        assert_eq!(fs::read_dir(data.path().join("run/loader")).unwrap().count(), 2);
    }
}
