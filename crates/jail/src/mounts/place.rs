//! Taking mounts from a path and putting them at one.

use crate::{
    failure::{Failure, step},
    sys,
};
use rustix::{
    fs::CWD,
    io::Errno,
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
};
use std::{
    fs, io,
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
};

/// A mount that is not yet anywhere.
pub(crate) struct Source {
    pub(crate) mount: OwnedFd,
    pub(crate) mapped: bool,
}

/// A private, detached copy of the mount at a path.
pub(super) fn detached(
    path: &Path,
    writable: bool,
    map: Option<BorrowedFd<'_>>,
) -> io::Result<Source> {
    let fd = copy(path)?;
    let attributes =
        sys::ATTR_NOSUID | sys::ATTR_NODEV | if writable { 0 } else { sys::ATTR_RDONLY };
    if map.is_some() && sys::set_mount_attributes(&fd, attributes, map).is_ok() {
        return Ok(Source { mount: fd, mapped: true });
    }
    // The file system cannot map owners, or need not.
    sys::set_mount_attributes(&fd, attributes, None)?;
    Ok(Source { mount: fd, mapped: false })
}

/// A detached copy of what was mounted on the stage.
pub(super) fn off_stage(path: &str) -> Result<OwnedFd, Failure> {
    copy(Path::new(path)).map_err(step("take a mount off the stage"))
}

/// A detached copy of a mount, without those below it where that is allowed: in a user namespace
/// the host's are locked together, all or nothing.
fn copy(path: &Path) -> io::Result<OwnedFd> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match open_tree(CWD, path, clone) {
        Err(Errno::INVAL) => Ok(open_tree(CWD, path, clone | OpenTreeFlags::AT_RECURSIVE)?),
        other => Ok(other?),
    }
}

/// Attaches a mount at a new folder of the stage.
pub(super) fn place(source: &OwnedFd, path: &str) -> Result<(), Failure> {
    fs::create_dir(path).map_err(step("make a folder to mount on"))?;
    attach(source, path)
}

pub(super) fn attach(source: &OwnedFd, path: &str) -> Result<(), Failure> {
    move_mount(source, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(step("attach a mount"))
}

pub(super) fn make_folder(path: &str) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(step("make a folder to mount on"))
}

/// Makes a folder or an empty file to attach `source` to.
pub(super) fn make_place(source: &OwnedFd, path: &str) -> Result<(), Failure> {
    let kind = rustix::fs::fstat(source).map_err(step("look at a mount"))?;
    if rustix::fs::FileType::from_raw_mode(kind.st_mode) == rustix::fs::FileType::Directory {
        return make_folder(path);
    }
    if let Some(parent) = Path::new(path).parent() {
        fs::create_dir_all(parent).map_err(step("make a folder to mount on"))?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(step("make a file to mount on")(e))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_source_says_so_and_opens_nothing() {
        let error = detached(Path::new("/no/such/folder"), false, None).map(|_| ()).unwrap_err();
        // An ordinary user is refused before the path is looked at.
        let refused =
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
        assert!(refused, "{error}");
        let failure = step("open a file or folder of the host")(error);
        assert!(failure.to_string().starts_with("could not open a file or folder of the host: "));
    }
}
