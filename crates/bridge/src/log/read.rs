//! Reading the log from disk: mending its tail, finding a number, whole lines from an offset.
//! Numbers rise by one per line, so a number is found by bisecting offsets; no index is kept.

use serde::Deserialize;
use std::{fs::File, io, os::unix::fs::FileExt as _, sync::Arc};
use toft_model::event::{Event, EventBody};

/// Read at once; a few hundred events.
const CHUNK_BYTES: usize = 128 * 1024;

/// Bisecting stops at a span that one read covers.
const BISECT_BYTES_MIN: u64 = 32 * 1024;

/// Where the usable log ends.
pub(super) struct Tail {
    pub(super) end: u64,
    pub(super) last_seq: u64,
}

#[derive(Deserialize)]
struct Head {
    seq: u64,
}

/// Cuts off what follows the last whole line and finds its number, reading backwards.
pub(super) fn repair(file: &File) -> io::Result<Tail> {
    let length = file.metadata()?.len();
    let mut end = length;
    let tail = loop {
        // `end` is the end of a candidate line, its newline included.
        let Some(line_end) = rfind_newline(file, end)? else {
            break Tail { end: 0, last_seq: 0 };
        };
        let start = rfind_newline(file, line_end)?.map_or(0, |newline| newline + 1);
        let line = read_span(file, start, line_end)?;
        // A power cut can leave a line of zeroes that has its newline.
        if let Ok(head) = serde_json::from_slice::<Head>(&line) {
            break Tail { end: line_end + 1, last_seq: head.seq };
        }
        end = start;
    };
    if tail.end < length {
        tracing::warn!(bytes = length - tail.end, "the event log's torn end was cut off");
        file.set_len(tail.end)?;
    }
    Ok(tail)
}

/// Offset of the last newline before `end`.
fn rfind_newline(file: &File, mut end: u64) -> io::Result<Option<u64>> {
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES as u64);
        let bytes = read_span(file, start, end)?;
        if let Some(at) = bytes.iter().rposition(|b| *b == b'\n') {
            return Ok(Some(start + at as u64));
        }
        end = start;
    }
    Ok(None)
}

fn read_span(file: &File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(end.saturating_sub(start)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}

/// Whole lines of the log.
#[derive(Clone)]
pub(super) struct Lines {
    file: Arc<File>,
}

impl Lines {
    pub(super) fn new(file: Arc<File>) -> Self {
        Self { file }
    }

    /// Offset of the first event with a number above `after`, or `end`.
    pub(super) fn offset_after(&self, after: u64, end: u64) -> io::Result<u64> {
        // Invariant: `low` starts a line that is not wanted (or is 0), `high` one that is (or is `end`).
        let (mut low, mut high) = (0, end);
        while high - low > BISECT_BYTES_MIN {
            let middle = low + (high - low) / 2;
            let probe = match self.line_start_after(middle, high)? {
                Some(start) => start,
                // One long line fills the upper half: its own start is the next to look at.
                None => rfind_newline(&self.file, middle)?.map_or(0, |n| n + 1),
            };
            if probe <= low {
                break;
            }
            if self.seq_at(probe, end)? > after {
                high = probe;
            } else {
                low = probe;
            }
        }
        let mut offset = low;
        while offset < end {
            if self.seq_at(offset, end)? > after {
                return Ok(offset);
            }
            offset = self.line_start_after(offset, end)?.unwrap_or(end);
        }
        Ok(end)
    }

    /// Start of the first line that begins after `from` and before `end`.
    fn line_start_after(&self, from: u64, end: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        while at < end {
            let to = (at + 16 * 1024).min(end);
            let bytes = read_span(&self.file, at, to)?;
            if let Some(found) = bytes.iter().position(|b| *b == b'\n') {
                let start = at + found as u64 + 1;
                return Ok((start < end).then_some(start));
            }
            at = to;
        }
        Ok(None)
    }

    fn seq_at(&self, start: u64, end: u64) -> io::Result<u64> {
        let bytes = read_span(&self.file, start, (start + 64).min(end))?;
        if let Some(seq) = leading_seq(&bytes) {
            return Ok(seq);
        }
        // Not written by us in this form: read the line.
        let line_end = self.line_start_after(start, end)?.unwrap_or(end);
        let line = read_span(&self.file, start, line_end)?;
        serde_json::from_slice::<Head>(&line).map(|h| h.seq).map_err(io::Error::other)
    }

    /// Whole lines from `offset`, about one chunk of them, none beyond `end`. Returns them with
    /// the offset behind the last.
    pub(super) fn chunk(&self, offset: u64, end: u64) -> io::Result<(Vec<u8>, u64)> {
        let mut length = CHUNK_BYTES as u64;
        loop {
            let to = (offset + length).min(end);
            let mut bytes = read_span(&self.file, offset, to)?;
            if let Some(last) = bytes.iter().rposition(|b| *b == b'\n') {
                bytes.truncate(last + 1);
                return Ok((bytes, offset + last as u64 + 1));
            }
            if to == end {
                return Ok((Vec::new(), end));
            }
            length *= 4;
        }
    }

    /// See [`super::EventLog::visit`].
    pub(super) fn visit(
        &self,
        after: u64,
        end: u64,
        mut each: impl FnMut(Event),
    ) -> io::Result<()> {
        let mut offset = self.offset_after(after, end)?;
        while offset < end {
            let (bytes, next) = self.chunk(offset, end)?;
            for line in bytes.split_inclusive(|b| *b == b'\n') {
                match kind_of(line) {
                    Some(b"message_update" | b"tool_update") => {}
                    Some(_) | None => {
                        if let Ok(event) = serde_json::from_slice::<Event>(line) {
                            each(event);
                        }
                    }
                }
            }
            offset = next;
        }
        Ok(())
    }
}

/// `N` of a line that begins `{"seq":N,`.
fn leading_seq(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"seq\":")?;
    let end = digits.iter().position(|b| !b.is_ascii_digit())?;
    (digits[end] == b',').then_some(())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// The kind, found without parsing: it stands before any free text, so the first match is it.
fn kind_of(line: &[u8]) -> Option<&[u8]> {
    const MARK: &[u8] = b"\"kind\":\"";
    // seq, ts and a session id of at most 80 characters come before it.
    let head = &line[..line.len().min(256)];
    let at = head.windows(MARK.len()).position(|w| w == MARK)? + MARK.len();
    let end = head[at..].iter().position(|b| *b == b'"')?;
    Some(&head[at..at + end])
}

/// Reads one line; what cannot be read (a newer version's kind, a damaged sector) keeps its number
/// as an `error` event, so that a reader's count stays whole.
pub(super) fn event_of(line: &[u8], expected_seq: u64) -> Event {
    serde_json::from_slice(line).unwrap_or_else(|_| Event {
        seq: leading_seq(line).unwrap_or(expected_seq),
        ts: 0,
        session: None,
        body: EventBody::Error {
            code: "unreadable_event".into(),
            message: "This line of the event log cannot be read by this version of Toft; \
                      messages are complete in their session."
                .into(),
        },
    })
}
