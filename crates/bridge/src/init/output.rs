//! What a program printed: the first part on disk, the last part in memory, and the byte count of
//! all of it. Readers ask for bytes by position. On disk stars stand for the values of secrets. Knows
//! no sockets and no processes.

use super::covered::Covered;
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    rc::Rc,
};
use toft_model::mask::Mask;

/// Last bytes kept in memory: what a terminal shows again on attach (`docs/http-api.md`).
pub(super) const RING_BYTES: usize = 256 << 10;

/// Bytes kept on disk when a request names no other number (`ExecSpec::spill_bytes_max`).
pub(super) const SPILL_BYTES_DEFAULT: u64 = 64 << 20;

/// Changes between the two outputs that are remembered; older ones are replayed as standard
/// output. Each costs 16 bytes.
const TURNS_MAX: usize = 4_096;

/// Which of a program's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output, both merged, or the terminal.
    Out,
    /// Standard error.
    Err,
}

/// Answer of [`OutputLog::read`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// This many bytes were appended to the buffer.
    Bytes(Stream, usize),
    /// Nothing is kept before this position; go on there.
    Gap(u64),
    /// Nothing is there yet.
    Nothing,
}

/// Output of one program.
#[derive(Debug)]
pub(super) struct OutputLog {
    total: u64,
    ring: VecDeque<u8>,
    spill: Spill,
    /// Positions where the output changes, oldest first.
    turns: VecDeque<(u64, Stream)>,
}

/// The part on disk: always a prefix of the output.
#[derive(Debug)]
struct Spill {
    /// `None`: this output is not kept on disk.
    path: Option<PathBuf>,
    /// How the others in the machine find it, if otherwise.
    shown: Option<PathBuf>,
    /// Made with the first byte.
    file: Option<File>,
    bytes: u64,
    bytes_max: u64,
    covered: Covered,
}

impl OutputLog {
    /// Keeps the first `bytes_max` bytes in `path`, if there is one; it is made with the first
    /// byte, replacing what an earlier program left there.
    pub(super) fn new(path: Option<PathBuf>, bytes_max: u64, mask: Rc<Mask>) -> Self {
        let bytes_max = match (&path, bytes_max) {
            (None, _) => 0,
            (Some(_), 0) => SPILL_BYTES_DEFAULT,
            (Some(_), n) => n,
        };
        Self {
            total: 0,
            ring: VecDeque::new(),
            spill: Spill {
                path,
                shown: None,
                file: None,
                bytes: 0,
                bytes_max,
                covered: Covered::new(mask),
            },
            turns: VecDeque::new(),
        }
    }

    /// The file is told by this path.
    pub(super) fn shown_as(mut self, path: Option<PathBuf>) -> Self {
        self.spill.shown = path;
        self
    }

    /// Bytes printed so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Whether the disk holds less than all of it.
    pub(super) fn truncated(&self) -> bool {
        self.spill.path.is_some() && self.spill.bytes < self.total
    }

    /// The file with the first part, if anything was written.
    pub(super) fn path(&self) -> Option<&Path> {
        let told = self.spill.shown.as_ref().or(self.spill.path.as_ref());
        self.spill.file.as_ref().and(told.map(PathBuf::as_path))
    }

    /// Takes what was printed. A disk that is full ends the part on disk and nothing else.
    pub(super) fn append(&mut self, stream: Stream, bytes: &[u8]) {
        if self.turns.back().map_or(Stream::Out, |(_, s)| *s) != stream {
            if self.turns.len() == TURNS_MAX {
                self.turns.pop_front();
            }
            self.turns.push_back((self.total, stream));
        }
        if self.spill.bytes == self.total {
            self.spill.append(bytes);
        }
        self.total += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(RING_BYTES)..];
        let over = (self.ring.len() + kept.len()).saturating_sub(RING_BYTES);
        self.ring.drain(..over);
        self.ring.extend(kept);
    }

    /// Appends up to `max` bytes from position `from` on to `out`, all of one stream.
    pub(super) fn read(&self, from: u64, max: usize, out: &mut Vec<u8>) -> Piece {
        if from >= self.total {
            return Piece::Nothing;
        }
        let (stream, until) = self.stream_at(from);
        let max = max.min(to_len(until - from));
        let ring_start = self.ring_start();
        if from < ring_start {
            let max = max.min(to_len(self.spill.bytes.saturating_sub(from)));
            return match self.spill.read(from, max, out) {
                Ok(n) if n > 0 => Piece::Bytes(stream, n),
                Ok(_) | Err(_) => Piece::Gap(ring_start),
            };
        }
        let skip = to_len(from - ring_start);
        let (a, b) = self.ring.as_slices();
        let part = if skip < a.len() { &a[skip..] } else { &b[skip - a.len()..] };
        let part = &part[..part.len().min(max)];
        out.extend_from_slice(part);
        Piece::Bytes(stream, part.len())
    }

    /// Whether a reader at `at` would miss something if `more` bytes were printed now.
    pub(super) fn would_lose(&self, at: u64, more: u64) -> bool {
        let total = self.total + more;
        let on_disk = if self.spill.bytes == self.total {
            total.min(self.spill.bytes_max)
        } else {
            self.spill.bytes
        };
        at.max(on_disk) < total.saturating_sub(RING_BYTES as u64)
    }

    /// Gives memory back after the end: the last bytes too when they are on disk.
    pub(super) fn settle(&mut self) {
        if self.spill.path.is_some() && !self.truncated() {
            self.drop_memory();
        }
    }

    /// Gives up the last bytes in memory.
    pub(super) fn drop_memory(&mut self) {
        self.ring = VecDeque::new();
    }

    /// Whether last bytes are in memory only.
    pub(super) fn holds_memory(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Removes the file; what is printed from now on is only counted.
    pub(super) fn discard(&mut self) {
        if let (Some(_), Some(path)) = (self.spill.file.take(), self.spill.path.take()) {
            let _ = std::fs::remove_file(path);
        }
        self.spill.bytes_max = 0;
        self.drop_memory();
    }

    fn ring_start(&self) -> u64 {
        self.total - self.ring.len() as u64
    }

    /// The stream of the byte at `at`, and where that stream's run ends.
    fn stream_at(&self, at: u64) -> (Stream, u64) {
        let next = self.turns.partition_point(|(start, _)| *start <= at);
        let stream = if next == 0 { Stream::Out } else { self.turns[next - 1].1 };
        let until = self.turns.get(next).map_or(self.total, |(start, _)| *start);
        (stream, until)
    }
}

impl Spill {
    fn append(&mut self, bytes: &[u8]) {
        let room = to_len(self.bytes_max.saturating_sub(self.bytes)).min(bytes.len());
        if room == 0 {
            return;
        }
        match self.write(&bytes[..room]) {
            Ok(()) => self.bytes += room as u64,
            Err(err) => {
                tracing::warn!(error = %err, "output is no longer kept on disk");
                self.bytes_max = self.bytes;
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            let path = self.path.as_ref().ok_or(io::ErrorKind::NotFound)?;
            // A link or a pipe that something else left at this name is never written through.
            let _ = std::fs::remove_file(path);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let file =
                File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
            self.file = Some(file);
        }
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let (bytes, before) = self.covered.next(bytes);
        file.write_all(&bytes)?;
        if !before.is_empty() {
            file.write_all_at(&before, self.bytes - before.len() as u64)?;
        }
        Ok(())
    }

    fn read(&self, from: u64, max: usize, out: &mut Vec<u8>) -> io::Result<usize> {
        let Some(file) = self.file.as_ref().filter(|_| max > 0) else { return Ok(0) };
        let start = out.len();
        out.resize(start + max, 0);
        let read = file.read_at(&mut out[start..], from);
        out.truncate(start + read.as_ref().copied().unwrap_or(0));
        read
    }
}

/// A length in memory: what does not fit is cut by the caller's own limit.
fn to_len(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything from `from` on, with gaps as `None`.
    fn replay(log: &OutputLog, from: u64) -> Vec<Option<(Stream, Vec<u8>)>> {
        let (mut at, mut got) = (from, Vec::new());
        loop {
            let mut out = Vec::new();
            match log.read(at, 64 << 10, &mut out) {
                Piece::Bytes(stream, n) => {
                    at += n as u64;
                    got.push(Some((stream, out)));
                }
                Piece::Gap(to) => {
                    at = to;
                    got.push(None);
                }
                Piece::Nothing => return got,
            }
        }
    }

    fn bytes(log: &OutputLog, from: u64) -> Vec<u8> {
        replay(log, from).into_iter().flatten().flat_map(|(_, b)| b).collect()
    }

    #[test]
    fn each_byte_keeps_the_stream_it_came_from() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = OutputLog::new(Some(dir.path().join("a.out")), 0, Rc::default());
        log.append(Stream::Out, b"one");
        log.append(Stream::Err, b"two");
        log.append(Stream::Out, b"three");
        let want = vec![
            Some((Stream::Out, b"one".to_vec())),
            Some((Stream::Err, b"two".to_vec())),
            Some((Stream::Out, b"three".to_vec())),
        ];
        assert_eq!(replay(&log, 0), want);
        assert_eq!(bytes(&log, 4), b"wothree");
        log.settle();
        assert_eq!(replay(&log, 0), want, "from disk as from memory");
    }

    #[test]
    fn the_middle_of_long_output_is_a_gap_and_both_ends_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = OutputLog::new(Some(dir.path().join("a.out")), 1_000, Rc::default());
        let all: Vec<u8> = (0..RING_BYTES * 2).map(|i| u8::try_from(i % 251).unwrap()).collect();
        for piece in all.chunks(10_007) {
            log.append(Stream::Out, piece);
        }
        assert!(log.truncated());
        let got = replay(&log, 0);
        assert!(got.contains(&None));
        let kept = bytes(&log, 0);
        assert_eq!(kept[..1_000], all[..1_000]);
        assert_eq!(kept[1_000..], all[all.len() - RING_BYTES..]);
    }

    #[test]
    fn a_reader_is_waited_for_only_when_it_would_lose_something() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = OutputLog::new(Some(dir.path().join("a.out")), 1 << 20, Rc::default());
        log.append(Stream::Out, &vec![0; 1 << 20]);
        assert!(!log.would_lose(0, RING_BYTES as u64), "all is on disk or in memory");
        assert!(log.would_lose(0, RING_BYTES as u64 + 1));
        assert!(!log.would_lose((1 << 20) + 1, RING_BYTES as u64 + 1), "it has read that far");
    }

    #[test]
    fn a_disk_that_cannot_be_written_loses_only_the_file() {
        let mut log = OutputLog::new(Some("/proc/no/such/folder".into()), 0, Rc::default());
        log.append(Stream::Out, b"hello");
        assert_eq!(bytes(&log, 0), b"hello");
        assert!(log.truncated());
        assert_eq!(log.path(), None);
    }

    #[test]
    fn a_link_at_the_files_name_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "keep").unwrap();
        let path = dir.path().join("a.out");
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let mut log = OutputLog::new(Some(path.clone()), 0, Rc::default());
        log.append(Stream::Out, b"hello");
        assert_eq!(std::fs::read(&victim).unwrap(), b"keep");
        assert_eq!(std::fs::read(&path).unwrap(), b"hello");
        log.discard();
        assert!(!path.exists());
    }
}
