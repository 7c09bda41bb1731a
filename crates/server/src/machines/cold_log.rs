//! Catching up from the event log of a machine that does not run. The file comes from inside: it is
//! opened without following links, must be a plain file, and its lines are bounded.

use super::{
    Machine,
    intake::{self, Taken},
    sse::EVENT_BYTES_MAX,
};
use crate::state::App;
use serde::Deserialize;
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};
use toft_store::NewEvent;
use tokio::sync::mpsc;

/// Name of the log in a machine's log folder.
const LOG: &str = "events.jsonl";
/// First look at the end of the file; doubles until a known line is in it.
const WINDOW_BYTES: u64 = 256 << 10;
/// Longest stretch without the end of a line that is read over. The bridge writes no line longer
/// than an event; what a machine puts there instead may be a hole of any size.
const STRETCH_BYTES_MAX: u64 = 4 * EVENT_BYTES_MAX as u64;
/// Events handed over at once.
const BATCH_EVENTS_MAX: usize = 256;
/// Batches in flight: the disk reads ahead by one while one is stored.
const BATCHES_QUEUED: usize = 2;

/// Takes in what the log holds beyond the copy.
pub(crate) async fn catch_up(app: &App, machine: &Machine) {
    let head = match app.store.head(&machine.id).await {
        Ok(head) => head.seq,
        Err(error) => {
            tracing::warn!(project.id = %machine.id, %error, "the copy cannot be read");
            return;
        }
    };
    let path = app.backend.log_dir(&machine.id).join(LOG);
    let (batches, mut queue) = mpsc::channel(BATCHES_QUEUED);
    let reading = tokio::task::spawn_blocking(move || read_after(&path, head, &batches));
    while let Some(batch) = queue.recv().await {
        let batch: Vec<NewEvent> = batch;
        if intake::take(app, machine, &batch).await != Taken::All {
            break;
        }
    }
    drop(queue);
    match reading.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(Err(error)) => {
            tracing::warn!(project.id = %machine.id, %error, "the event log cannot be read");
        }
        Err(error) => tracing::error!(project.id = %machine.id, %error, "reading the log failed"),
    }
}

fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    // Non-blocking, so that a pipe in the log's place cannot hold us.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no plain file"));
    }
    Ok(file)
}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// Sends the events with numbers beyond `head`, in order.
fn read_after(path: &Path, head: u64, out: &mpsc::Sender<Vec<NewEvent>>) -> io::Result<()> {
    let mut file = open(path)?;
    let size = file.metadata()?.len();
    let mut reader = BufReader::new(start_near(&mut file, size, head)?);
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut line = Vec::new();
    while next_line(&mut reader, &mut line)? {
        let Some(event) = intake::from_line(&line).filter(|e| e.seq > head) else { continue };
        bytes += event.data.len();
        batch.push(event);
        if batch.len() >= BATCH_EVENTS_MAX || bytes >= EVENT_BYTES_MAX {
            bytes = 0;
            if out.blocking_send(std::mem::take(&mut batch)).is_err() {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        // Nobody waiting means that the project is gone.
        let _ = out.blocking_send(batch);
    }
    Ok(())
}

/// Puts the file at the start of a line that is not beyond `head + 1`, near its end.
fn start_near(file: &mut File, size: u64, head: u64) -> io::Result<&mut File> {
    let mut window = WINDOW_BYTES;
    while window < size {
        file.seek(SeekFrom::Start(size - window))?;
        let mut reader = BufReader::new(&mut *file);
        // The first line is cut somewhere; the next is whole.
        skip_line(&mut reader)?;
        let at = reader.stream_position()?;
        let mut line = Vec::new();
        next_line(&mut reader, &mut line)?;
        let known = serde_json::from_slice::<Numbered>(&line).is_ok_and(|n| n.seq <= head + 1);
        if known {
            file.seek(SeekFrom::Start(at))?;
            return Ok(file);
        }
        window = window.saturating_mul(2);
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// The next line without its end. A line without one is cut off (a crash), and one that is too
/// long comes out empty: both are no events. False at the end of the file, and before a stretch that
/// cannot be a log.
fn next_line(reader: &mut impl io::BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let limit = EVENT_BYTES_MAX as u64 + 4096;
    if reader.by_ref().take(limit).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.pop_if(|b| *b == b'\n').is_some() {
        return Ok(true);
    }
    let at_end = line.len() as u64 != limit;
    line.clear();
    if at_end {
        return Ok(false);
    }
    skip_line(reader)
}

/// Reads over the rest of a line; false when it does not end within a stretch.
fn skip_line(reader: &mut impl io::BufRead) -> io::Result<bool> {
    let mut rest = reader.by_ref().take(STRETCH_BYTES_MAX);
    rest.skip_until(b'\n')?;
    Ok(rest.limit() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn log(dir: &Path, seqs: std::ops::RangeInclusive<u64>, padding: usize) -> std::path::PathBuf {
        let path = dir.join(LOG);
        let mut file = File::create(&path).unwrap();
        let text = "x".repeat(padding);
        for seq in seqs {
            let line = serde_json::json!({"seq":seq,"ts":1,"kind":"notify","data":{"m":text}});
            writeln!(file, "{line}").unwrap();
        }
        path
    }

    fn read(path: &Path, head: u64) -> io::Result<Vec<u64>> {
        let (tx, mut rx) = mpsc::channel(1000);
        read_after(path, head, &tx)?;
        drop(tx);
        let mut out = Vec::new();
        while let Ok(batch) = rx.try_recv() {
            out.extend(batch.into_iter().map(|e: NewEvent| e.seq));
        }
        Ok(out)
    }

    #[test]
    fn only_what_the_copy_lacks_is_read_however_long_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = log(dir.path(), 1..=3000, 900);
        for head in [0, 1, 17, 1500, 2990, 2999, 3000, 4000] {
            let want: Vec<u64> = (head + 1..=3000).collect();
            assert_eq!(read(&path, head).unwrap(), want, "head {head}");
        }
    }

    #[test]
    fn a_cut_line_and_garbage_are_no_events() {
        let dir = tempfile::tempdir().unwrap();
        let path = log(dir.path(), 1..=3, 1);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(
            b"garbage\n\n{\"seq\":4,\"ts\":1,\"kind\":\"notify\",\"data\":{}}\n{\"seq\":5,",
        )
        .unwrap();
        assert_eq!(read(&path, 1).unwrap(), [2, 3, 4]);
    }

    #[test]
    fn a_hole_of_a_terabyte_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = log(dir.path(), 1..=3, 1);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        // Reading it all would take minutes; file systems that hold no such file are let off.
        if file.set_len(1 << 40).is_ok() {
            assert_eq!(read(&path, 0).unwrap(), [1, 2, 3]);
            assert_eq!(read(&path, 2).unwrap(), [3]);
        }
    }

    #[test]
    fn a_link_a_folder_and_a_pipe_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOG);
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(read(&path, 0).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(read(&path, 0).is_err());
        std::fs::remove_dir(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        assert!(read(&path, 0).is_err());
        assert_eq!(read(&dir.path().join("none"), 0).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
