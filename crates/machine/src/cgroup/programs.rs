//! A group for each program of a machine, below the group that limits its work. The host makes
//! them; the machine's root may join one, kill what is in it and keep it from forking, and may
//! neither make nor remove any.

use rustix::fs::{AtFlags, CWD, Uid, chownat};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use toft_jail::spec::PROGRAM_GROUP;

/// Below the limited group: the group of all programs, with one for each of them below it.
pub(super) const PROGRAMS: &str = "programs";
/// Groups for single programs. More programs than this at one time share the group above; they are
/// found by their marks then. Each costs the kernel a few KiB and a start some 40 us.
pub(super) const PROGRAM_GROUPS: usize = 32;
/// Of these, made before a machine starts; the others while its init does.
const PROGRAM_GROUPS_FIRST: usize = 4;

/// The group below which each program has one of its own.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(super) folder: PathBuf,
    door: &'static str,
    owner: Option<u32>,
}

impl Programs {
    /// Makes the group of all programs and the first ones below it. `door` is the file by which a
    /// group is joined.
    pub(super) fn begin(
        folder: PathBuf,
        door: &'static str,
        owner: Option<u32>,
    ) -> io::Result<Self> {
        make_folder(&folder)?;
        give(&folder.join(door), owner)?;
        let programs = Self { folder, door, owner };
        (0..PROGRAM_GROUPS_FIRST).try_for_each(|n| programs.make(n))?;
        Ok(programs)
    }

    /// Makes those that a start did not wait for.
    pub(crate) fn make_rest(&self) {
        let rest = (PROGRAM_GROUPS_FIRST..PROGRAM_GROUPS).try_for_each(|n| self.make(n));
        if let Err(e) = rest {
            // Gone already, or the host's own limit: programs share a group then.
            tracing::debug!(group = %self.folder.display(), "fewer groups for programs: {e}");
        }
    }

    /// The machine's root may join it, kill it, and keep it from forking; it may not make groups.
    fn make(&self, number: usize) -> io::Result<()> {
        let group = self.folder.join(format!("{PROGRAM_GROUP}{number:02}"));
        make_folder(&group)?;
        give(&group.join(self.door), self.owner)?;
        for file in ["cgroup.kill", "pids.max"] {
            match give(&group.join(file), self.owner) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Makes a group, or takes the one that is there.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        // Left by a machine that is gone: the group is empty, or it would have been swept.
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

/// Makes a file the machine's own, when its root is not us.
pub(super) fn give(file: &Path, owner: Option<u32>) -> io::Result<()> {
    let Some(owner) = owner else { return Ok(()) };
    Ok(chownat(CWD, file, Some(Uid::from_raw(owner)), None, AtFlags::empty())?)
}
