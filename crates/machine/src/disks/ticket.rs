//! The ticket on a disk that went back or was forked: it tells the next bridge what became of the
//! project. A disk that still carries one of a restore has conversations that are not put together.

use super::sessions::{name_in_own, own_folder};
use crate::{frozen, state::State};
use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, unlinkat},
    io::Errno,
};
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::AsRawFd as _,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use toft_model::checkpoint::{TICKET_PATH, Ticket};

/// Longer than any ticket.
const TICKET_BYTES_MAX: u64 = 64 << 10;
/// A bridge acts on a ticket before it serves anything: milliseconds, or as long as a busy host takes
/// to start it.
const TAKE_UP_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at a ticket.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Whether the disk went back and its next bridge has yet to act on that. One that runs does so in
/// the first moments of its machine and is waited for, and only then: a ticket that stays is one that the
/// machine wrote itself.
pub(super) fn is_to_be_taken_up(disk: &Path, run: &Path) -> io::Result<bool> {
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
pub(super) fn awaits_a_bridge(disk: &Path) -> io::Result<bool> {
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
pub(super) fn write_ticket(disk: &Path, ticket: &Ticket) -> io::Result<()> {
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
