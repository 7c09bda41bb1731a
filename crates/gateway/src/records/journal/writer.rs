//! The one writer of a journal. Every record is one `write` of one line, so a killed gateway loses
//! no record that was complete; the disk is told to keep it soon after.

use super::{Name, current_base, reader::prune, segments};
use serde::Serialize;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// From a write to its sync: what a power failure may cost, against one sync per call.
const SYNC_DELAY: Duration = Duration::from_millis(800);

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    name: Name,
    segment_bytes_max: u64,
    current: Mutex<Current>,
    dirty: Notify,
}

#[derive(Debug)]
struct Current {
    file: Arc<File>,
    base: u64,
    len: u64,
}

impl Journal {
    /// Opens a journal; a line that an earlier writer left unfinished is ended.
    pub(crate) fn open(dir: &Path, name: Name) -> io::Result<Self> {
        Self::with_segments(dir, name, name.segment_bytes_max())
    }

    pub(super) fn with_segments(
        dir: &Path,
        name: Name,
        segment_bytes_max: u64,
    ) -> io::Result<Self> {
        let base = current_base(&segments(dir, name)?);
        let mut file = open(&name.current(dir))?;
        let mut len = file.metadata()?.len();
        if len > 0 {
            let mut last = [0];
            file.seek(SeekFrom::Start(len - 1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                len += 1;
            }
        }
        let current = Mutex::new(Current { file: Arc::new(file), base, len });
        let dir = dir.to_owned();
        Ok(Self { dir, name, segment_bytes_max, current, dirty: Notify::new() })
    }

    /// Writes one record. A failure (a full disk) is logged, never told to the call it is about.
    pub(crate) fn append(&self, record: &impl Serialize) {
        let _ = self.try_append(record);
    }

    /// As [`Journal::append`], for what must not go on when it was not written down.
    pub(crate) fn try_append(&self, record: &impl Serialize) -> io::Result<()> {
        let mut line = Vec::with_capacity(512);
        if let Err(e) = serde_json::to_writer(&mut line, record) {
            tracing::error!(error = %e, "a record cannot be written as JSON");
            return Err(e.into());
        }
        line.push(b'\n');
        let mut current = self.lock();
        let written = self.write(&mut current, &line);
        if let Err(e) = &written {
            tracing::error!(error = %e, journal = self.name.stem(), "a record was lost");
            take_back(&mut current);
        }
        drop(current);
        self.dirty.notify_one();
        written
    }

    fn write(&self, current: &mut Current, line: &[u8]) -> io::Result<()> {
        if current.len > 0 && current.len + line.len() as u64 > self.segment_bytes_max {
            self.rotate(current)?;
        }
        (&*current.file).write_all(line)?;
        current.len += line.len() as u64;
        Ok(())
    }

    fn rotate(&self, current: &mut Current) -> io::Result<()> {
        current.file.sync_data()?;
        let place = self.name.current(&self.dir);
        match fs::rename(&place, self.name.full(&self.dir, current.base)) {
            // An earlier turn came so far, and could not open a new one.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        *current =
            Current { file: Arc::new(open(&place)?), base: current.base + current.len, len: 0 };
        if let Err(e) = self.forget_oldest() {
            tracing::error!(error = %e, journal = self.name.stem(), "it was not shortened");
        }
        Ok(())
    }

    fn forget_oldest(&self) -> io::Result<()> {
        let full = segments(&self.dir, self.name)?;
        let first_kept = full.len().checked_sub(self.name.full_segments_max());
        match first_kept.and_then(|at| full.get(at)) {
            Some(oldest_kept) => prune(&self.dir, self.name, oldest_kept.base),
            None => Ok(()),
        }
    }

    /// Writes to another file from here on, and gives the one before back.
    #[cfg(test)]
    pub(crate) fn exchange(&self, file: File) -> File {
        let before = std::mem::replace(&mut self.lock().file, Arc::new(file));
        Arc::into_inner(before).expect("nobody syncs it")
    }

    /// Where it ends.
    pub(crate) fn position(&self) -> u64 {
        let current = self.lock();
        current.base + current.len
    }

    /// Syncs soon after writes, and once more at the end.
    pub(crate) async fn keep_synced(self: Arc<Self>, cancel: CancellationToken) {
        loop {
            tokio::select! {
                () = self.dirty.notified() => {}
                () = cancel.cancelled() => break,
            }
            tokio::select! {
                () = tokio::time::sleep(SYNC_DELAY) => {}
                () = cancel.cancelled() => break,
            }
            let journal = Arc::clone(&self);
            // Its end is all that is awaited; failures are logged inside.
            let _ = tokio::task::spawn_blocking(move || journal.sync()).await;
        }
        self.sync();
    }

    /// Makes the disk keep what was written.
    pub(crate) fn sync(&self) {
        let file = Arc::clone(&self.lock().file);
        if let Err(e) = file.sync_data() {
            tracing::error!(error = %e, journal = self.name.stem(), "the disk did not sync");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the part of a record away that a failed write left behind. Readers take whole lines only, so
/// nobody has read it.
fn take_back(current: &mut Current) {
    let Ok(meta) = current.file.metadata() else { return };
    if meta.len() > current.len && current.file.set_len(current.len).is_err() {
        // Then the next record begins at least on a line of its own.
        let ended = (&*current.file).write_all(b"\n").is_ok();
        current.len = meta.len() + u64::from(ended);
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    #[test]
    fn a_part_of_a_record_is_taken_back_and_the_next_one_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Name::Usage).unwrap();
        journal.append(&1u64);
        {
            let mut current = journal.lock();
            (&*current.file).write_all(b"{\"id\":").unwrap();
            take_back(&mut current);
        }
        journal.append(&2u64);
        assert_eq!(fs::read(dir.path().join("journal.jsonl")).unwrap(), b"1\n2\n");
        assert_eq!(read::<u64>(dir.path(), Name::Usage, 0, 9).unwrap(), (vec![1, 2], 4));
        assert_eq!(journal.position(), 4);
    }

    #[test]
    fn a_rotation_that_stopped_half_way_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_segments(dir.path(), Name::Usage, 20).unwrap();
        (10..16u64).for_each(|n| journal.append(&n));
        // It was renamed, and then no new one could be opened.
        let full = Name::Usage.full(dir.path(), 0);
        fs::rename(Name::Usage.current(dir.path()), full).unwrap();
        for n in 16..30u64 {
            journal.try_append(&n).unwrap();
        }
        let (records, position) = read::<u64>(dir.path(), Name::Usage, 0, 99).unwrap();
        assert_eq!(records, (10..30).collect::<Vec<_>>());
        assert_eq!(position, journal.position());
    }
}
