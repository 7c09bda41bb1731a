//! Paths inside a machine, resolved on the host: below a given folder, never through a link. The
//! tree may be hostile (`/home` a link to the host's root). Not for machines' programs, which see
//! their own root. `tree` puts together what those see, and follows links in it.

pub(crate) mod layers;
pub(crate) mod tree;

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2},
    io::Errno,
};
use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path},
};
use toft_jail::spec::Overlay;

/// Folder on a disk that machines see as `/`.
pub(crate) const ROOT: &str = "rootfs";
/// Flags for folders.
pub(crate) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Renames by others while a path is resolved make the kernel ask to try again.
const OPEN_TRIES: usize = 16;

/// Opens the top folder of a disk, whose path is the host's own.
pub(crate) fn open_disk(disk: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, disk, FOLDER, Mode::empty())?)
}

/// Opens what lies below a folder.
pub(crate) fn open_below(
    top: impl AsFd,
    path: &Path,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        match openat2(&top, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(Errno::AGAIN) if tries < OPEN_TRIES => tries += 1,
            other => return other,
        }
    }
}

/// A regular file of a disk by its path inside. `None`: there is none. `FileTooLarge`: it has more
/// than `max` bytes.
pub(crate) fn read(
    disk: &Path,
    overlays: &[Overlay],
    path: &str,
    max: u64,
) -> io::Result<Option<Vec<u8>>> {
    let Ok(path) = Path::new(path).strip_prefix("/") else { return Ok(None) };
    if !path.components().all(|c| matches!(c, Component::Normal(_))) {
        return Ok(None);
    }
    let layer = overlays.iter().find_map(|o| {
        let below = path.strip_prefix(o.target.trim_start_matches('/')).ok()?;
        Some(Path::new(&o.upper).join(below))
    });
    let place = layer.unwrap_or_else(|| Path::new(ROOT).join(path));
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match open_below(open_disk(disk)?, &place, flags) {
        Ok(file) => File::from(file),
        // Not there, through a link, through a file, a socket, a device.
        Err(
            Errno::NOENT
            | Errno::LOOP
            | Errno::NOTDIR
            | Errno::NXIO
            | Errno::XDEV
            | Errno::NODEV
            | Errno::NAMETOOLONG
            | Errno::INVAL,
        ) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > max) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn files_are_read_by_their_path_inside_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join(ROOT);
        fs::create_dir_all(root.join("home/project")).unwrap();
        fs::create_dir_all(dir.path().join("usr-upper/bin")).unwrap();
        fs::write(root.join("home/project/a"), "one").unwrap();
        fs::write(dir.path().join("usr-upper/bin/tool"), "two").unwrap();
        symlink("/etc", root.join("etc")).unwrap();
        symlink("a", root.join("home/project/link")).unwrap();
        let usr = Overlay {
            lower: "/usr".into(),
            upper: "usr-upper".to_owned(),
            work: "usr-work".to_owned(),
            target: "/usr".to_owned(),
        };
        let read = |path: &str, max| read(dir.path(), std::slice::from_ref(&usr), path, max);
        assert_eq!(read("/home/project/a", 3).unwrap().unwrap(), b"one");
        assert_eq!(read("/home/project/a", 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read("/usr/bin/tool", 9).unwrap().unwrap(), b"two");
        for path in [
            "/home/project/link",
            "/etc/passwd",
            "/home",
            "/none",
            "home/project/a",
            "/../rootfs/home/project/a",
            "/home/project/../project/a",
            "/usr/../usr-upper/bin/tool",
            "/home/project/a/b",
        ] {
            assert_eq!(read(path, 9).unwrap(), None, "{path}");
        }
    }
}
