//! Removing a folder that somebody else has filled: however deep it is, whatever its names are, and
//! never through a link. The standard library's way takes a stack frame and a descriptor for each
//! level, so that a project with deep folders could end the server that deletes it. Not for
//! folders that are still in use.

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, chmod, fchmod, fstat, openat,
        renameat_with, unlinkat,
    },
    io::Errno,
    path::Arg,
};
use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    path::Path,
};

/// Removes `path` and all below it. Not there: done. A link is removed itself.
pub fn remove(path: &Path) -> io::Result<()> {
    let top = match open(CWD, path) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => return Ok(unlinkat(CWD, path, AtFlags::empty())?),
        Err(e) => return Err(e.into()),
    };
    let mut flat = Flat { top, waiting: Vec::new(), number: 0 };
    flat.empty(None)?;
    while let Some(name) = flat.waiting.pop() {
        flat.empty(Some(&name))?;
        unlinkat(&flat.top, &name, AtFlags::REMOVEDIR)?;
    }
    drop(flat);
    Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A tree that becomes flat while it is removed: folders that are not empty move up to the top.
struct Flat {
    top: OwnedFd,
    /// Folders in `top` that are still to be emptied.
    waiting: Vec<CString>,
    /// Numbers the moved ones.
    number: u64,
}

impl Flat {
    /// Empties `top`, or a folder in it.
    fn empty(&mut self, name: Option<&CStr>) -> io::Result<()> {
        let folder = match name {
            Some(name) => open(&self.top, name)?,
            None => open(&self.top, c".")?,
        };
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let child = entry.file_name();
            if child == c"." || child == c".." {
                continue;
            }
            // Removing a folder that is not empty fails, and takes as long as what is below it is
            // large: it is not even tried.
            if entry.file_type() != FileType::Directory {
                match unlinkat(&folder, child, AtFlags::empty()) {
                    Ok(()) => continue,
                    // The file system did not say that it is a folder.
                    Err(Errno::ISDIR | Errno::PERM) if entry.file_type() == FileType::Unknown => {}
                    Err(e) => return Err(e.into()),
                }
            }
            match name {
                None => self.waiting.push(child.to_owned()),
                Some(_) => self.move_up(&folder, child)?,
            }
        }
        Ok(())
    }

    fn move_up(&mut self, folder: &OwnedFd, child: &CStr) -> io::Result<()> {
        let mut opened = false;
        loop {
            self.number += 1;
            let name = CString::new(format!("toft-gone-{}", self.number))
                .expect("digits hold no NUL byte");
            match renameat_with(folder, child, &self.top, &name, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    self.waiting.push(name);
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                // Its entry for the folder above changes, which is to write to it.
                Err(Errno::ACCESS) if !opened => {
                    open(folder, child)?;
                    opened = true;
                }
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// Opens a folder and makes it one that its owner may empty: programs protect theirs (caches of
/// packages are read-only, the kernel's own work folders closed), which binds everybody but root.
fn open(at: impl AsFd, name: impl Arg + Copy) -> rustix::io::Result<OwnedFd> {
    let opened = match openat(&at, name, FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let path = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let closed = openat(&at, name, path, Mode::empty())?;
            chmod(format!("/proc/self/fd/{}", closed.as_raw_fd()), Mode::RWXU)?;
            openat(&at, name, FOLDER, Mode::empty())?
        }
        opened => opened?,
    };
    if !Mode::from_raw_mode(fstat(&opened)?.st_mode).contains(Mode::RWXU) {
        // Somebody else's stays as it is: then the step that needs more says so.
        let _ = fchmod(&opened, Mode::RWXU);
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    /// As root it shows little; the story of the ordinary user removes such a project too.
    #[test]
    fn folders_that_their_owner_closed_go_too() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::write(tree.join("a/b/f"), "").unwrap();
        for (path, mode) in [("a/b/c", 0o000), ("a/b", 0o555), ("a", 0o500), ("", 0o400)] {
            fs::set_permissions(tree.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn folders_of_any_depth_go_and_what_links_lead_to_stays() {
        // In memory where there is such a place: disks take their time with so many folders.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (tree, kept) = (dir.path().join("tree"), dir.path().join("kept"));
        fs::write(&kept, "x").unwrap();
        fs::create_dir_all(tree.join("toft-gone-1/b")).unwrap();
        fs::write(tree.join("toft-gone-1/b/f"), "").unwrap();
        symlink(&kept, tree.join("toft-gone-1/link")).unwrap();
        symlink(dir.path(), tree.join("up")).unwrap();
        // Deeper than any path, any thread's stack and any table of descriptors.
        let mut at = openat(CWD, &tree, FOLDER, Mode::empty()).unwrap();
        for _ in 0..30_000 {
            rustix::fs::mkdirat(&at, c"a", Mode::RWXU).unwrap();
            at = openat(&at, c"a", FOLDER, Mode::empty()).unwrap();
        }
        drop(at);
        remove(&tree).unwrap();
        assert!(!tree.exists());
        assert_eq!(fs::read_to_string(&kept).unwrap(), "x");
        remove(&tree).unwrap();
        symlink(&kept, &tree).unwrap();
        remove(&tree).unwrap();
        assert!(kept.exists() && !tree.is_symlink());
    }
}
