//! A session's file read as a whole: its lines, what is torn at its end, and parsing that does not keep a
//! person waiting. What the entries make of each other is [`super::Session`]'s.

use super::line;

/// Files up to this size are read by one thread: starting others costs as much as they would win.
const ALONE_BYTES_MAX: usize = 1 << 20;

/// Threads that read a file: more would wait for memory.
const THREADS_MAX: usize = 4;

/// Whole lines, without their newlines.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', bytes).map(move |end| {
        let line = &bytes[start..end];
        start = end + 1;
        line
    })
}

/// Reads lines, long files with several threads: what it takes is parsing, and people wait for it.
pub(super) fn read_all(lines: &[&[u8]], bytes: usize) -> Vec<Option<line::Read>> {
    let read = |line: &&[u8]| line::read(std::str::from_utf8(line).ok()?);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    if threads == 1 || bytes < ALONE_BYTES_MAX {
        return lines.iter().map(read).collect();
    }
    let parts = lines.chunks(lines.len().div_ceil(threads).max(1));
    std::thread::scope(|scope| {
        let parts: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().map(read).collect::<Vec<_>>()))
            .collect();
        let joined = parts.into_iter().map(std::thread::ScopedJoinHandle::join);
        // A panic goes on in the thread that asked.
        joined.flat_map(|part| part.unwrap_or_else(|why| std::panic::resume_unwind(why))).collect()
    })
}

/// Length of the whole, readable lines: what follows the last newline is torn, and so are lines of
/// zeroes that a power cut can leave.
pub(super) fn whole_end(bytes: &[u8]) -> usize {
    let mut end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    while end > 0 {
        let start = bytes[..end - 1].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let line = &bytes[start..end];
        if !line.contains(&0) {
            break;
        }
        end = start;
    }
    end
}
