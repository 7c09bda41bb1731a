//! Which server a machine listens to: the one with the largest number that ever came. A tunnel has the machine for as
//! long as it holds a lock, so that two never speak to it at once; one with a smaller number than the largest ends by
//! itself, or does not begin. The numbers are given out by the database of the servers.

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// File with the largest number.
const NUMBER: &str = "fence";
/// Locked by who changes that file.
const TURN: &str = "fence.turn";
/// Locked by the tunnel that has the machine.
const HOLDER: &str = "fence.holder";
/// How long one with a smaller number, or an earlier one of the same server, may take to end: it looks twice a second.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// The machine is this tunnel's, until this is dropped or a larger number comes.
#[derive(Debug)]
pub(super) struct Fence {
    number: u64,
    folder: PathBuf,
    _held: File,
}

impl Fence {
    /// Takes the machine. `None`: it listens to another server. Blocks.
    pub(super) fn take(folder: &Path, number: u64) -> io::Result<Option<Self>> {
        if !raise(folder, number)? {
            return Ok(None);
        }
        let held = open(folder, HOLDER)?;
        let until = Instant::now() + END_TIMEOUT;
        loop {
            match flock(&held, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(LOOK),
                Err(Errno::WOULDBLOCK) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            }
        }
        let fence = Self { number, folder: folder.to_owned(), _held: held };
        // One that came while it waited.
        Ok(fence.holds()?.then_some(fence))
    }

    /// Whether no larger number has come since. Blocks for the time of a small read.
    pub(super) fn holds(&self) -> io::Result<bool> {
        Ok(largest(&self.folder)? <= self.number)
    }
}

/// Writes the number down if no larger one is there. False: one is.
fn raise(folder: &Path, number: u64) -> io::Result<bool> {
    let turn = open(folder, TURN)?;
    flock(&turn, FlockOperation::LockExclusive)?;
    let known = largest(folder)?;
    if known < number {
        let new = folder.join("fence.new");
        fs::write(&new, number.to_string())?;
        File::open(&new)?.sync_all()?;
        fs::rename(new, folder.join(NUMBER))?;
    }
    Ok(known <= number)
}

fn largest(folder: &Path) -> io::Result<u64> {
    match fs::read_to_string(folder.join(NUMBER)) {
        // What is no number was not written by us: the next server writes its own.
        Ok(text) => Ok(text.trim().parse().unwrap_or(0)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn open(folder: &Path, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_number_never_has_the_machine_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = Fence::take(dir.path(), 1).unwrap().unwrap();
        assert!(first.holds().unwrap());
        // The next server waits until the one before has seen it.
        let (at, from) = (dir.path().to_owned(), Instant::now());
        let second = std::thread::spawn(move || Fence::take(&at, 2));
        while first.holds().unwrap() {
            assert!(from.elapsed() < END_TIMEOUT, "it is not told");
            std::thread::sleep(LOOK);
        }
        assert!(!second.is_finished(), "both have it");
        drop(first);
        let second = second.join().unwrap().unwrap().unwrap();
        assert!(second.holds().unwrap());
        for stale in [0, 1] {
            assert!(Fence::take(dir.path(), stale).unwrap().is_none(), "{stale}");
        }
        assert!(second.holds().unwrap());
        // The same server again, after its line broke.
        drop(second);
        assert!(Fence::take(dir.path(), 2).unwrap().is_some());
    }

    #[test]
    fn a_file_that_is_no_number_keeps_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NUMBER), "what").unwrap();
        assert!(Fence::take(dir.path(), 1).unwrap().is_some());
        assert_eq!(largest(dir.path()).unwrap(), 1);
    }
}
