//! One folder as a machine sees it: its own, the host's, or a layer of its own over the host's. Read
//! through open descriptors, one name at a time and no link followed, so that nothing in a hostile
//! tree leads elsewhere. How folders make up a tree is in `tree`.

use super::{FOLDER, open_below};
use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, Stat, fgetxattr, fstat, openat, readlinkat, statat,
    },
    io::Errno,
};
use std::{
    ffi::{CStr, OsStr, OsString},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::Path,
};

/// A name for looking only: opens no device and waits for no pipe.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW);
/// Entries looked at in one folder of a layer, hidden ones too: a fraction of a second.
const LOOKS_MAX: usize = 100_000;
/// What everybody needs to read a file or list a folder.
const READ: u32 = 0o004;
/// What everybody needs to find something in a folder.
const SEARCH: u32 = 0o001;

/// Whether a file of a layer hides the one of the same name below.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether a folder of a layer hides the one of the same name below: it was made anew where the
/// host's was removed.
pub(crate) fn is_opaque(folder: impl AsFd) -> bool {
    let mut value = [0u8; 1];
    fgetxattr(folder, "user.overlay.opaque", &mut value[..]).is_ok() && value == *b"y"
}

pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Something found in a folder, opened for looking only.
#[derive(Debug)]
pub(crate) struct Found {
    fd: OwnedFd,
    pub(crate) stat: Stat,
    /// Of the host's, and which ids of it are the machine's root's.
    hosts: Option<u32>,
}

impl Found {
    /// The machine's own.
    pub(crate) fn own(fd: OwnedFd) -> rustix::io::Result<Self> {
        Ok(Self { stat: fstat(&fd)?, fd, hosts: None })
    }

    /// The host's. The machine's root may what files of ids below `ids` allow their owner; of all
    /// others it gets what everybody gets.
    pub(crate) fn hosts(fd: OwnedFd, ids: u32) -> rustix::io::Result<Self> {
        Ok(Self { stat: fstat(&fd)?, fd, hosts: Some(ids) })
    }

    pub(crate) fn kind(&self) -> FileType {
        kind(&self.stat)
    }

    pub(crate) fn target(&self) -> rustix::io::Result<OsString> {
        Ok(OsString::from_vec(readlinkat(&self.fd, c"", Vec::new())?.into_bytes()))
    }

    /// Opens what was looked at, and nothing else, for reading. For regular files.
    pub(crate) fn open(&self) -> rustix::io::Result<OwnedFd> {
        self.may(READ)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::open(through(&self.fd), flags, Mode::empty())
    }

    fn may(&self, bits: u32) -> rustix::io::Result<()> {
        let Some(ids) = self.hosts else { return Ok(()) };
        let is_roots = self.stat.st_uid < ids && self.stat.st_gid < ids;
        if is_roots || self.stat.st_mode & bits == bits { Ok(()) } else { Err(Errno::ACCESS) }
    }
}

/// The path of a descriptor of this process.
fn through(fd: &OwnedFd) -> String {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// A folder; see the module.
#[derive(Debug)]
pub(crate) struct Folder {
    own: Option<Found>,
    below: Option<Found>,
    /// Whether the machine's own is a layer: then it can hide what is below, also what is not there.
    is_layer: bool,
}

impl Folder {
    /// One without layers.
    pub(crate) fn plain(found: Found) -> Self {
        let (own, below) =
            if found.hosts.is_none() { (Some(found), None) } else { (None, Some(found)) };
        Self { own, below, is_layer: false }
    }

    /// A layer over a folder of the host's. Nothing there yet: what is below shows.
    pub(crate) fn layered(own: Option<Found>, below: Found) -> Self {
        Self { own, below: Some(below), is_layer: true }
    }

    /// Size, time and mode.
    pub(crate) fn stat(&self) -> Option<&Stat> {
        Some(&self.own.as_ref().or(self.below.as_ref())?.stat)
    }

    /// What shows under a name.
    pub(crate) fn find(&self, name: &OsStr) -> rustix::io::Result<Found> {
        if let Some(own) = &self.own {
            match open_below(&own.fd, Path::new(name), LOOK).and_then(Found::own) {
                Ok(found) if self.is_layer && is_whiteout(&found.stat) => return Err(Errno::NOENT),
                Err(Errno::NOENT) => {}
                found => return found,
            }
        }
        let Some(below) = &self.below else { return Err(Errno::NOENT) };
        below.may(SEARCH)?;
        let fd = open_below(&below.fd, Path::new(name), LOOK)?;
        Found::hosts(fd, below.hosts.unwrap_or_default())
    }

    /// The folder that was found under a name.
    pub(crate) fn enter(&self, name: &OsStr, found: Found) -> rustix::io::Result<Self> {
        if !self.is_layer {
            return Ok(Self::plain(found));
        }
        if found.hosts.is_some() {
            return Ok(Self { own: None, below: Some(found), is_layer: true });
        }
        let below = match &self.below {
            // Where nothing may be found below, nothing of it shows.
            Some(below)
                if below.may(SEARCH).is_ok()
                    && !is_opaque(openat(&found.fd, c".", FOLDER, Mode::empty())?) =>
            {
                // A file that a folder took the place of does not show.
                let fd = open_below(&below.fd, Path::new(name), LOOK | OFlags::DIRECTORY).ok();
                fd.map(|fd| Found::hosts(fd, below.hosts.unwrap_or_default())).transpose()?
            }
            _ => None,
        };
        Ok(Self { own: Some(found), below, is_layer: true })
    }

    /// At most `max` of what it shows, and whether there is more.
    pub(crate) fn entries(&self, max: usize) -> rustix::io::Result<(Vec<(OsString, Stat)>, bool)> {
        let mut all = Vec::new();
        let mut looks = 0;
        for part in [&self.own, &self.below].into_iter().flatten() {
            part.may(READ)?;
            let folder = openat(&part.fd, c".", FOLDER, Mode::empty())?;
            for entry in Dir::read_from(&folder)? {
                let entry = entry?;
                let name = entry.file_name();
                if name == c"." || name == c".." {
                    continue;
                }
                looks += 1;
                if looks > LOOKS_MAX.max(max) {
                    return Ok((all, true));
                }
                if part.hosts.is_some() && self.hides(name) {
                    continue;
                }
                // It may be gone by now: then it is not told.
                let Ok(stat) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
                if self.is_layer && part.hosts.is_none() && is_whiteout(&stat) {
                    continue;
                }
                if all.len() == max {
                    return Ok((all, true));
                }
                all.push((OsStr::from_bytes(name.to_bytes()).to_owned(), stat));
            }
        }
        Ok((all, false))
    }

    /// Whether the machine's own layer has this name: then what is below it does not show.
    fn hides(&self, name: &CStr) -> bool {
        let own = self.own.as_ref();
        own.is_some_and(|own| statat(&own.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
    }
}
