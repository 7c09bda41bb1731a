//! Lines of a text, a part at a time, in bounded memory.

use crate::{
    outcome::{STOPPED, ToolOutcome},
    output::{BYTES_MAX, LINES_MAX, head},
    seen::Fingerprint,
};
use serde_json::json;
use std::{
    fmt::Write as _,
    io::{self, BufRead, Read as _},
};
use tokio_util::sync::CancellationToken;

/// Bytes of a file that are read through to count its lines; beyond that the count is left out.
const COUNT_BYTES_MAX: u64 = 64 << 20;

/// Which lines are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// From 1.
    pub(super) first: usize,
    pub(super) limit: Option<usize>,
}

/// What was found.
#[derive(Default)]
pub(super) struct Lines {
    wanted: Vec<String>,
    /// Lines that were passed.
    count: usize,
    /// Whether that is all of them.
    is_all: bool,
    /// A wanted line that is too long for all limits: its number and bytes.
    long: Option<(usize, u64)>,
    stopped: bool,
    /// Of the content, if all of it was seen.
    pub(super) content: Option<u64>,
}

/// Reads up to the wanted lines, and on to the end if that is near.
pub(super) fn lines(
    source: &mut impl BufRead,
    wanted: Wanted,
    cancel: &CancellationToken,
) -> io::Result<Lines> {
    let wanted_max = wanted.limit.unwrap_or(LINES_MAX).min(LINES_MAX);
    let mut found = Lines::default();
    let mut content = Fingerprint::default();
    let (mut kept_bytes, mut seen_bytes) = (0usize, 0u64);
    let mut line = Vec::new();
    loop {
        if cancel.is_cancelled() {
            found.stopped = true;
            return Ok(found);
        }
        line.clear();
        // A line of gigabytes must not fill the memory.
        let got = source.by_ref().take(BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if got == 0 {
            found.is_all = true;
            found.content = Some(content.value());
            return Ok(found);
        }
        content.add(&line);
        let mut long = got > BYTES_MAX && line.last() != Some(&b'\n');
        let mut whole = got as u64;
        if long {
            whole += skip_line(source, &mut content, cancel)?;
        }
        seen_bytes += whole;
        found.count += 1;
        let is_wanted = found.count >= wanted.first && found.wanted.len() < wanted_max;
        if is_wanted && kept_bytes <= BYTES_MAX {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches('\n').trim_end_matches('\r');
            long |= text.len() > BYTES_MAX;
            if long && found.wanted.is_empty() {
                found.long = Some((found.count, whole));
                return Ok(found);
            }
            kept_bytes += text.len() + 1;
            found.wanted.push(text.to_owned());
        } else if seen_bytes > COUNT_BYTES_MAX && found.count >= wanted.first {
            return Ok(found);
        }
    }
}

/// Skips to the end of the line; how many bytes.
fn skip_line(
    source: &mut impl BufRead,
    content: &mut Fingerprint,
    cancel: &CancellationToken,
) -> io::Result<u64> {
    let mut skipped = 0;
    while !cancel.is_cancelled() {
        let buf = source.fill_buf()?;
        if buf.is_empty() {
            break;
        }
        let end = memchr::memchr(b'\n', buf);
        let used = end.map_or(buf.len(), |at| at + 1);
        content.add(&buf[..used]);
        source.consume(used);
        skipped += used as u64;
        if end.is_some() {
            break;
        }
    }
    Ok(skipped)
}

impl Lines {
    /// What the model is told of them.
    pub(super) fn told(&self, name: &str, wanted: Wanted, bytes: u64) -> ToolOutcome {
        let (first, lines) = (wanted.first, self.count);
        if self.stopped {
            return ToolOutcome::cancelled(STOPPED);
        }
        if let Some((number, whole)) = self.long {
            return ToolOutcome::error(format!(
                "Line {number} of {name} has {whole} bytes, more than the {BYTES_MAX} that fit. Use \
                 bash: sed -n '{number}p' {name} | cut -c 1-2000"
            ));
        }
        if lines == 0 {
            return ToolOutcome::text(format!("({name} is empty)"));
        }
        if first > lines {
            return ToolOutcome::error(format!(
                "{name} has {lines} lines; offset {first} is behind its end."
            ));
        }
        let limited = head(self.wanted.iter().map(String::as_str), LINES_MAX);
        let last = first + limited.lines - 1;
        let mut out = limited.text;
        let total = if self.is_all { lines.to_string() } else { "many".into() };
        if last < lines || !self.is_all {
            let why = match limited.limit {
                Some("50 KB") => " (50 KB limit)",
                Some(_) | None => "",
            };
            let _ = write!(
                out,
                "\n\n[Showing lines {first}-{last} of {total}{why}. Go on with offset={}.]",
                last + 1
            );
        }
        let details = json!({
            "path": name, "firstLine": first, "lastLine": last,
            "totalLines": self.is_all.then_some(lines), "bytes": bytes
        });
        ToolOutcome::text(out).details(details)
    }
}
