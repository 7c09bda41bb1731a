//! Going back to a checkpoint, and growing a project from another: a new disk is prepared beside
//! and takes its place in one step. A server that is killed at any point leaves the old disk or the
//! new one, and a half in scratch that the next one removes.

use super::{Inner, checkpoints::base_of, ids::IdKind, life::CREATE_FREE_BYTES_MIN};
use crate::{
    backend::MachineError,
    folders::{self, rand_name},
    frozen,
    inside::{FOLDER, ROOT, open_below, open_disk},
    running::step,
    state::State,
    steps,
    still::Still,
};
use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid, fchmod, fchown,
        fstat, mkdirat, openat, renameat_with, statat, unlinkat,
    },
    io::Errno,
};
use std::{
    ffi::CStr,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use toft_jail::copy::copy_file;
use toft_model::{
    checkpoint::{CheckpointId, SESSIONS_BEFORE, TICKET_PATH, Ticket},
    id::ProjectId,
};

/// Toft's own folder in a machine, from its root.
const OWN: &str = "home/starter";
/// Sessions in it.
const SESSIONS: &str = "sessions";
/// Longer than any ticket.
const TICKET_BYTES_MAX: u64 = 64 << 10;
/// A bridge acts on a ticket before it serves anything: milliseconds, or as long as a busy host takes
/// to start it.
const TAKE_UP_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at a ticket.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Folders within the folder of sessions: more than Toft makes.
const SESSIONS_DEPTH_MAX: usize = 8;

impl Inner {
    pub(super) fn restore(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        ticket: &Ticket,
        force: bool,
    ) -> Result<(), MachineError> {
        let restoring = "going back to a checkpoint";
        let kept = self.kept(project, id)?;
        let disk = self.made_disk(project)?;
        if State::read(&self.folders.run(project)).is_some_and(|s| s.hold().is_some()) {
            return Err(MachineError::Unable {
                what: restoring,
                why: "the machine runs; stop it first".to_owned(),
            });
        }
        let was = base_of(&kept).map_err(step(project, restoring))?;
        let now = self.base_for(&kept, project)?.key;
        if was != now && !force {
            return Err(MachineError::BaseChanged { was, now });
        }
        self.room_for_copy(restoring)?;
        let half = self.pool.scratch().join(format!("{project}-{}", rand_name()));
        let prepared = self
            .pool
            .storage
            .copy_back(&kept, &half)
            .inspect(|()| steps::reached("restore.copied"))
            .and_then(|()| keep_sessions(&disk, &half))
            .inspect(|()| steps::reached("restore.sessions"))
            .and_then(|()| write_ticket(&half, ticket))
            .inspect(|()| steps::reached("restore.ticket"))
            .and_then(|()| self.pool.storage.settle(&half))
            .inspect(|()| steps::reached("restore.settled"))
            // Not earlier: a project that has used up its room goes back, too.
            .and_then(|()| self.count(&half, project))
            .inspect(|()| steps::reached("restore.counted"))
            .and_then(|()| Ok(renameat_with(CWD, &half, CWD, &disk, RenameFlags::EXCHANGE)?))
            .inspect(|()| steps::reached("restore.exchanged"));
        // Now the old disk, or a half that nobody needs.
        if let Err(e) = self.remove_tree(&half, project) {
            tracing::warn!(project.id = %project, "a replaced disk stays until the next start: {e}");
        }
        steps::reached("restore.removed");
        prepared.map_err(|e| refused(project, restoring, e))
    }

    pub(super) fn fork(
        &self,
        from: &ProjectId,
        checkpoint: Option<&CheckpointId>,
        to: &ProjectId,
        ticket: &Ticket,
    ) -> Result<(), MachineError> {
        let forking = "forking a project";
        let source = self.kept_or_live(from, checkpoint)?;
        if self.disk(to).exists() {
            return Ok(());
        }
        if self.pool.free_bytes().is_some_and(|free| free < CREATE_FREE_BYTES_MIN) {
            return Err(MachineError::DiskFull { step: forking });
        }
        let awaits = match checkpoint {
            Some(_) => awaits_a_bridge(&source),
            None => self.is_to_be_taken_up(from),
        };
        if awaits.map_err(step(from, forking))? {
            let advice = match checkpoint {
                Some(_) => "fork another checkpoint",
                None => "start it once, then fork it",
            };
            return Err(MachineError::Unable {
                what: forking,
                why: format!(
                    "it had gone back to a checkpoint then, and its conversations were not put \
                     together yet, which its next start does; {advice}"
                ),
            });
        }
        if self.ids == IdKind::Ranges {
            self.slots.base(to).map_err(step(to, "taking an id range"))?;
            steps::reached("fork.slot");
        }
        folders::private(&self.folders.log(to)).map_err(step(to, "making the log folder"))?;
        steps::reached("fork.log");
        let half = self.pool.scratch().join(format!("{to}-{}", rand_name()));
        let still = match checkpoint {
            Some(_) => Still::Stopped,
            None => self.stand_still(from)?,
        };
        let copied = self.pool.storage.copy(&source, &half);
        drop(still);
        copied
            .inspect(|()| steps::reached("fork.copied"))
            .and_then(|()| write_ticket(&half, ticket))
            .inspect(|()| steps::reached("fork.ticket"))
            .and_then(|()| self.pool.storage.settle(&half))
            .inspect(|()| steps::reached("fork.settled"))
            .and_then(|()| self.count(&half, to))
            .inspect(|()| steps::reached("fork.counted"))
            .and_then(|()| fs::rename(&half, self.disk(to)))
            .inspect(|()| steps::reached("fork.placed"))
            .map_err(|e| {
                self.drop_disk(&half);
                refused(to, forking, e)
            })
    }
}

pub(crate) fn refused(project: &ProjectId, what: &'static str, e: io::Error) -> MachineError {
    match e.kind() {
        io::ErrorKind::NotADirectory => {
            MachineError::Unable { what, why: format!("in that copy /{OWN} is no plain folder") }
        }
        _ => step(project, what)(e),
    }
}

/// Toft's own folder of a disk. `NotADirectory`: there is none, or it lies behind a link.
fn own_folder(disk: &Path) -> io::Result<OwnedFd> {
    match open_below(open_disk(disk)?, &Path::new(ROOT).join(OWN), FOLDER) {
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => {
            Err(io::ErrorKind::NotADirectory.into())
        }
        folder => Ok(folder?),
    }
}

/// A name in Toft's own folder, from its path in a machine.
fn name_in_own(path: &'static str) -> &'static str {
    path.strip_prefix(OWN)
        .and_then(|p| p.strip_prefix('/'))
        .expect("what Toft leaves on a disk lies in its own folder")
}

/// Puts the sessions of `live` beside those of `half`. Also those that an earlier restore left and
/// no bridge has taken up yet. Of two versions of a file the longer stays: traces only grow.
pub(crate) fn keep_sessions(live: &Path, half: &Path) -> io::Result<()> {
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

impl Inner {
    pub(super) fn is_to_be_taken_up(&self, project: &ProjectId) -> io::Result<bool> {
        is_to_be_taken_up(&self.disk(project), &self.folders.run(project))
    }
}

/// Whether the disk went back and its next bridge has yet to act on that. One that runs does so in
/// the first moments of its machine and is waited for, and only then: a ticket that stays is one that the
/// machine wrote itself.
pub(crate) fn is_to_be_taken_up(disk: &Path, run: &Path) -> io::Result<bool> {
    let until = Instant::now() + TAKE_UP_TIMEOUT;
    let is_young = |state: &State| {
        let up_to = UNIX_EPOCH + Duration::from_millis(state.started_at) + TAKE_UP_TIMEOUT;
        SystemTime::now() < up_to
    };
    while awaits_a_bridge(disk)? {
        let state = State::read(run).filter(is_young);
        let begins = state.is_some_and(|state| state.hold().is_some());
        if !begins || frozen::is_frozen(run) || Instant::now() > until {
            return Ok(true);
        }
        thread::sleep(LOOK_AGAIN);
    }
    Ok(false)
}

/// Whether a restore of this disk is still to be taken up by a bridge.
pub(crate) fn awaits_a_bridge(disk: &Path) -> io::Result<bool> {
    let own = match own_folder(disk) {
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Ok(false),
        own => own?,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(ticket) = openat(&own, name_in_own(TICKET_PATH), flags, Mode::empty()) else {
        return Ok(false);
    };
    let mut text = Vec::new();
    File::from(ticket).take(TICKET_BYTES_MAX).read_to_end(&mut text)?;
    // What a machine has put there itself is no ticket of ours.
    Ok(matches!(serde_json::from_slice(&text), Ok(Ticket::Restore { .. })))
}

/// Writes the ticket in place of whatever is there.
pub(crate) fn write_ticket(disk: &Path, ticket: &Ticket) -> io::Result<()> {
    let text = serde_json::to_vec(ticket).map_err(io::Error::other)?;
    let (own, name) = (own_folder(disk)?, name_in_own(TICKET_PATH));
    match unlinkat(&own, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(Errno::ISDIR) => {
            // A folder of a copy of ours; removing it follows no link.
            let path = Path::new("/proc/self/fd").join(own.as_raw_fd().to_string()).join(name);
            toft_jail::tree::remove(&path)?;
        }
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(openat(&own, name, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(&text)?;
    // The bridge must not find it empty after a crash of the host.
    file.sync_data()
}
