//! What Toft keeps of a machine's conversations when its disk goes back: the sessions of the disk that
//! goes are put beside those of the one that comes. Programs inside may have made anything of these
//! folders: no link is followed.

use crate::{
    backend::MachineError,
    error::step,
    inside::{FOLDER, ROOT, open_below, open_disk},
};
use rustix::{
    fs::{
        AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, mkdirat,
        openat, statat, unlinkat,
    },
    io::Errno,
};
use std::{ffi::CStr, fs::File, io, os::fd::OwnedFd, path::Path};
use toft_jail::copy::copy_file;
use toft_model::{checkpoint::SESSIONS_BEFORE, id::ProjectId};

/// Toft's own folder in a machine, from its root.
const OWN: &str = "home/starter";
/// Sessions in it.
const SESSIONS: &str = "sessions";
/// Folders within the folder of sessions: more than Toft makes.
const SESSIONS_DEPTH_MAX: usize = 8;

pub(super) fn refused(project: &ProjectId, what: &'static str, e: io::Error) -> MachineError {
    match e.kind() {
        io::ErrorKind::NotADirectory => {
            MachineError::Unable { what, why: format!("in that copy /{OWN} is no plain folder") }
        }
        _ => step(project, what)(e),
    }
}

/// Toft's own folder of a disk. `NotADirectory`: there is none, or it lies behind a link.
pub(super) fn own_folder(disk: &Path) -> io::Result<OwnedFd> {
    match open_below(open_disk(disk)?, &Path::new(ROOT).join(OWN), FOLDER) {
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => {
            Err(io::ErrorKind::NotADirectory.into())
        }
        folder => Ok(folder?),
    }
}

/// A name in Toft's own folder, from its path in a machine.
pub(super) fn name_in_own(path: &'static str) -> &'static str {
    path.strip_prefix(OWN)
        .and_then(|p| p.strip_prefix('/'))
        .expect("what Toft leaves on a disk lies in its own folder")
}

/// Puts the sessions of `live` beside those of `half`. Also those that an earlier restore left and
/// no bridge has taken up yet. Of two versions of a file the longer stays: traces only grow.
pub(super) fn keep_sessions(live: &Path, half: &Path) -> io::Result<()> {
    let before = name_in_own(SESSIONS_BEFORE);
    let from = match own_folder(live) {
        // What its programs made of it is theirs; nothing of Toft's is left there to keep.
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Ok(()),
        from => from?,
    };
    let to = own_folder(half)?;
    for name in [SESSIONS, before] {
        match open_below(&from, Path::new(name), FOLDER) {
            Ok(sessions) => merge(&sessions, &folder_in(&to, before)?, 0)?,
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// The folder of that name, made if it is not one.
fn folder_in(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match open_below(parent, Path::new(name), FOLDER) {
        Err(Errno::NOENT) => {}
        Err(Errno::LOOP | Errno::NOTDIR) => unlinkat(parent, name, AtFlags::empty())?,
        folder => return Ok(folder?),
    }
    mkdirat(parent, name, Mode::RWXU)?;
    Ok(open_below(parent, Path::new(name), FOLDER)?)
}

/// Copies regular files and folders; nothing else is a session.
fn merge(from: &OwnedFd, to: &OwnedFd, depth: usize) -> io::Result<()> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if depth < SESSIONS_DEPTH_MAX => {
                let source = openat(from, name, FOLDER, Mode::empty())?;
                let target = match openat(to, name, FOLDER, Mode::empty()) {
                    Err(Errno::NOENT) => {
                        mkdirat(to, name, Mode::RWXU)?;
                        openat(to, name, FOLDER, Mode::empty())?
                    }
                    Err(Errno::LOOP | Errno::NOTDIR) => continue,
                    target => target?,
                };
                merge(&source, &target, depth + 1)?;
                own_like(&stat, &target)?;
            }
            FileType::RegularFile => keep_longer(from, to, name)?,
            _ => {}
        }
    }
    Ok(())
}

fn keep_longer(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let source = File::from(openat(from, name, flags, Mode::empty())?);
    let stat = fstat(&source)?;
    match statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
        Ok(there) => match FileType::from_raw_mode(there.st_mode) {
            FileType::Directory => return Ok(()),
            FileType::RegularFile if there.st_size >= stat.st_size => return Ok(()),
            _ => unlinkat(to, name, AtFlags::empty())?,
        },
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target = File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
    copy_file(&source, &target, true)?;
    Ok(own_like(&stat, &target)?)
}

fn own_like(stat: &Stat, to: impl std::os::fd::AsFd) -> rustix::io::Result<()> {
    if rustix::process::geteuid().is_root() {
        fchown(&to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    }
    fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o777))
}
