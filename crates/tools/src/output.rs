//! Keeps what goes to the model within bounds: the head of a text, or its tail as it streams by.

/// Lines that a tool returns at most (Pi: 2,000).
pub(crate) const LINES_MAX: usize = 2_000;

/// Bytes that a tool returns at most (Pi: 50 KB).
pub(crate) const BYTES_MAX: usize = 50 * 1024;

/// The largest cut of a text that does not split a character.
pub(crate) fn cut_at_char(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Lines until one of the limits is reached.
pub(crate) struct Limited {
    /// The lines that fit, joined.
    pub(crate) text: String,
    /// How many.
    pub(crate) lines: usize,
    /// Which limit was reached, in words.
    pub(crate) limit: Option<&'static str>,
}

/// Takes lines from the front while they fit.
pub(crate) fn head<'a>(lines: impl Iterator<Item = &'a str>, lines_max: usize) -> Limited {
    let mut out = Limited { text: String::new(), lines: 0, limit: None };
    for line in lines {
        if out.lines == lines_max {
            out.limit = Some("lines");
            break;
        }
        if out.text.len() + usize::from(out.lines > 0) + line.len() > BYTES_MAX {
            out.limit = Some("50 KB");
            break;
        }
        if out.lines > 0 {
            out.text.push('\n');
        }
        out.text.push_str(line);
        out.lines += 1;
    }
    out
}

/// The last part of an output of any length, in bounded memory.
#[derive(Default)]
pub(crate) struct Tail {
    buf: Vec<u8>,
    bytes: u64,
    newlines: u64,
    ends_with_newline: bool,
}

impl Tail {
    /// Takes what came.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        #[expect(clippy::naive_bytecount, reason = "compiles to vector code; not worth a crate")]
        let newlines = bytes.iter().filter(|b| **b == b'\n').count();
        self.newlines += newlines as u64;
        if let Some(last) = bytes.last() {
            self.ends_with_newline = *last == b'\n';
        }
        let keep = &bytes[bytes.len().saturating_sub(BYTES_MAX)..];
        self.buf.extend_from_slice(keep);
        // Moving costs as much as what is kept, so it waits for as much.
        if self.buf.len() > 2 * BYTES_MAX {
            let drop = self.buf.len() - BYTES_MAX;
            self.buf.drain(..drop);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether a whole line came.
    pub(crate) fn has_line(&self) -> bool {
        self.newlines > 0
    }

    /// Bytes in all.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn lines(&self) -> u64 {
        self.newlines + u64::from(self.bytes > 0 && !self.ends_with_newline)
    }

    /// The last lines within both limits, and when that is not all: what was left out.
    pub(crate) fn text(&self) -> (String, Option<String>) {
        let last = &self.buf[self.buf.len().saturating_sub(BYTES_MAX)..];
        let text = String::from_utf8_lossy(last);
        // What is no text is longer as text.
        let from = text.ceil_char_boundary(text.len().saturating_sub(BYTES_MAX));
        let mut kept: &str = text[from..].trim_end_matches('\n');
        let whole = self.bytes <= BYTES_MAX as u64 && from == 0;
        let mut partial_line = false;
        if !whole {
            // The first line is most likely not whole.
            match kept.split_once('\n') {
                Some((_, rest)) => kept = rest,
                None => partial_line = true,
            }
        }
        let count = kept.split('\n').count();
        if count > LINES_MAX {
            let skip = count - LINES_MAX;
            kept = kept.splitn(skip + 1, '\n').last().unwrap_or_default();
        }
        if whole && count <= LINES_MAX {
            return (kept.to_owned(), None);
        }
        let total = self.lines();
        let shown = kept.split('\n').count() as u64;
        let note = if partial_line {
            format!("Showing the last {} bytes of line {total}", kept.len())
        } else {
            format!("Showing lines {}-{total} of {total}", total - shown + 1)
        };
        (kept.to_owned(), Some(note))
    }
}

/// Text in pieces from bytes in pieces: a character that is cut waits for its rest.
#[derive(Default)]
pub(crate) struct Utf8Pieces {
    rest: Vec<u8>,
}

impl Utf8Pieces {
    /// The text of what came, but for a cut character at its end.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let whole = match self.rest.utf8_chunks().last() {
            // At most three bytes of a character that has not ended; all others are just wrong.
            Some(last) if !last.invalid().is_empty() => {
                let invalid = last.invalid().len();
                let tail = &self.rest[self.rest.len() - invalid..];
                let cut = std::str::from_utf8(tail).is_err_and(|e| e.error_len().is_none());
                self.rest.len() - if cut { invalid } else { 0 }
            }
            Some(_) | None => self.rest.len(),
        };
        let text = String::from_utf8_lossy(&self.rest[..whole]).into_owned();
        self.rest.drain(..whole);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tail(text: &str) -> (String, Option<String>) {
        let mut tail = Tail::default();
        for piece in text.as_bytes().chunks(7_919) {
            tail.push(piece);
        }
        tail.text()
    }

    #[test]
    fn a_short_output_is_whole() {
        assert_eq!(tail("a\nb\n"), ("a\nb".into(), None));
        assert_eq!(tail(""), (String::new(), None));
    }

    #[test]
    fn a_long_output_keeps_its_end() {
        let many: Vec<String> = (1..=5_000).map(|i| format!("{i}\n")).collect();
        let (text, note) = tail(&many.concat());
        assert!(text.starts_with("3001\n") && text.ends_with("\n5000"));
        assert_eq!(note.unwrap(), "Showing lines 3001-5000 of 5000");
        let wide: Vec<String> = (1..=1_000).map(|i| format!("{i} {}\n", "x".repeat(200))).collect();
        let (text, note) = tail(&wide.concat());
        assert!(text.len() <= BYTES_MAX && text.ends_with('x'));
        assert!(note.unwrap().ends_with("-1000 of 1000"));
        let (text, note) = tail(&"y".repeat(200_000));
        assert_eq!(
            (text.len(), note.unwrap().as_str()),
            (BYTES_MAX, "Showing the last 51200 bytes of line 1")
        );
    }

    #[test]
    fn what_is_no_text_keeps_within_the_limit_as_well() {
        let mut tail = Tail::default();
        tail.push(&vec![0xff; BYTES_MAX]);
        let (text, note) = tail.text();
        assert!(text.len() <= BYTES_MAX && note.is_some());
    }

    #[test]
    fn the_head_ends_at_a_limit() {
        let just = "x".repeat(BYTES_MAX);
        let limited = head([just.as_str(), "y"].into_iter(), 10);
        assert_eq!((limited.lines, limited.limit), (1, Some("50 KB")));
        let limited = head("a\nb\nc".split('\n'), 2);
        assert_eq!((limited.text.as_str(), limited.limit), ("a\nb", Some("lines")));
        let wide = "x".repeat(30_000);
        let limited = head([wide.as_str(), wide.as_str()].into_iter(), 10);
        assert_eq!((limited.lines, limited.limit), (1, Some("50 KB")));
    }

    proptest! {
        #[test]
        fn characters_survive_any_cut(text in "[aé🎈\n]{0,40}", cut in 1usize..5) {
            let mut pieces = Utf8Pieces::default();
            let got: String = text.as_bytes().chunks(cut).map(|c| pieces.push(c)).collect();
            prop_assert_eq!(got, text);
        }
    }
}
