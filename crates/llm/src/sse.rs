//! Server-sent events: splits the body of a provider's answer into them, wherever it was cut, and
//! writes them for programs. It knows nothing of what they say, of `id`, `retry` or reconnecting.
//!
//! Format: WHATWG HTML, "Server-sent events". Lines end with LF, CR or CRLF.

use crate::framing::{EVENT_BYTES_MAX, Event, Framing, Unframed};
use serde::Serialize;
use std::fmt::Write as _;

/// Consumed bytes are moved out once there are this many, so that moving stays rare and cheap.
const COMPACT_AT_BYTES: usize = 64 << 10;

/// Writes one event of this data.
pub(crate) fn data(out: &mut String, data: &impl Serialize) {
    let json = serde_json::to_string(data).expect("answers hold only JSON-able data");
    let _ = write!(out, "data: {json}\n\n");
}

/// Writes one event with a name.
pub(crate) fn named(out: &mut String, name: &str, value: &impl Serialize) {
    let _ = writeln!(out, "event: {name}");
    data(out, value);
}

/// See the module.
#[derive(Debug)]
pub struct Splitter {
    buf: Vec<u8>,
    /// Everything before was taken.
    at: usize,
    /// No line end lies between `at` and here.
    scanned: usize,
    /// The last line ended with CR: a LF that follows belongs to it.
    after_cr: bool,
    /// No line was taken yet: a byte order mark may come.
    fresh: bool,
    event: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The event in `event` and `data` was handed out.
    handed_out: bool,
    bytes_max: usize,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::with_limit(EVENT_BYTES_MAX)
    }
}

impl Splitter {
    /// With another limit than [`EVENT_BYTES_MAX`].
    pub fn with_limit(bytes_max: usize) -> Self {
        Self {
            buf: Vec::new(),
            at: 0,
            scanned: 0,
            after_cr: false,
            fresh: true,
            event: Vec::new(),
            data: Vec::new(),
            has_data: false,
            handed_out: false,
            bytes_max,
        }
    }

    /// Start and end of the next whole line in `buf`, without its end.
    fn take_line(&mut self) -> Option<(usize, usize)> {
        if self.after_cr && self.at < self.buf.len() {
            self.after_cr = false;
            if self.buf[self.at] == b'\n' {
                self.at += 1;
                self.scanned = self.scanned.max(self.at);
            }
        }
        let from = self.scanned.max(self.at);
        let Some(found) = self.buf[from..].iter().position(|b| *b == b'\n' || *b == b'\r') else {
            self.scanned = self.buf.len();
            return None;
        };
        let end = from + found;
        let mut start = self.at;
        if self.fresh {
            self.fresh = false;
            if self.buf[start..end].starts_with(b"\xEF\xBB\xBF") {
                start += 3;
            }
        }
        self.after_cr = self.buf[end] == b'\r';
        self.at = end + 1;
        self.scanned = self.at;
        Some((start, end))
    }
}

impl Framing for Splitter {
    fn push(&mut self, bytes: &[u8]) {
        if self.at == self.buf.len() {
            self.buf.clear();
            self.at = 0;
            self.scanned = 0;
        } else if self.at >= COMPACT_AT_BYTES {
            self.buf.drain(..self.at);
            self.scanned -= self.at;
            self.at = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    fn next_event(&mut self) -> Result<Option<Event<'_>>, Unframed> {
        if self.handed_out {
            self.event.clear();
            self.data.clear();
            self.has_data = false;
            self.handed_out = false;
        }
        while let Some((start, end)) = self.take_line() {
            if start == end {
                if self.has_data {
                    self.handed_out = true;
                    return Ok(Some(Event {
                        name: String::from_utf8_lossy(&self.event),
                        data: String::from_utf8_lossy(&self.data),
                        failed: false,
                    }));
                }
                self.event.clear();
                continue;
            }
            let line = &self.buf[start..end];
            let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
            let (name, value) = line.split_at(colon);
            let value = value.strip_prefix(b":").unwrap_or(value);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match name {
                b"data" => {
                    if self.has_data {
                        self.data.push(b'\n');
                    }
                    self.has_data = true;
                    self.data.extend_from_slice(value);
                }
                b"event" => {
                    self.event.clear();
                    self.event.extend_from_slice(value);
                }
                _ => {}
            }
            if self.data.len() > self.bytes_max {
                return Err(Unframed::TooLong(self.bytes_max));
            }
        }
        if self.data.len() + self.buf.len() - self.at > self.bytes_max {
            return Err(Unframed::TooLong(self.bytes_max));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(chunks: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<(String, String)> {
        let mut splitter = Splitter::default();
        let mut events = Vec::new();
        for chunk in chunks {
            splitter.push(chunk.as_ref());
            while let Some(event) = splitter.next_event().unwrap() {
                events.push((event.name.into_owned(), event.data.into_owned()));
            }
        }
        events
    }

    fn check(body: &str, expected: &[(&str, &str)]) {
        let expected: Vec<(String, String)> =
            expected.iter().map(|(e, d)| ((*e).to_owned(), (*d).to_owned())).collect();
        assert_eq!(split([body]), expected, "{body:?} whole");
        assert_eq!(split(body.as_bytes().chunks(1)), expected, "{body:?} byte by byte");
    }

    #[test]
    fn events_are_split_as_the_standard_says() {
        check("data: a\n\n", &[("", "a")]);
        check("data: a\r\n\r\n", &[("", "a")]);
        check("data: a\r\rdata:b\r\r", &[("", "a"), ("", "b")]);
        check("event: x\ndata: a\ndata: b\n\n", &[("x", "a\nb")]);
        check(": ping\n\ndata: a\n\n", &[("", "a")]);
        check("event: lonely\n\ndata: a\n\n", &[("", "a")]);
        check("data\n\n", &[("", "")]);
        check("data:  two\nid: 1\nretry: 2\nfoo: bar\n\n", &[("", " two")]);
        check("\u{feff}data: a\n\n", &[("", "a")]);
        check("data: no end", &[]);
        check("data: no blank line\n", &[]);
        check("", &[]);
    }

    #[test]
    fn bytes_that_are_no_text_do_not_end_the_stream() {
        assert_eq!(split([b"data: a\xFFb\n\n".as_slice()]), [(String::new(), "a\u{fffd}b".into())]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut one_line = Splitter::with_limit(100);
        one_line.push(&[b'x'; 101]);
        assert_eq!(one_line.next_event(), Err(Unframed::TooLong(100)));
        let mut many_lines = Splitter::with_limit(100);
        many_lines.push("data: 0123456789\n".repeat(11).as_bytes());
        assert_eq!(many_lines.next_event(), Err(Unframed::TooLong(100)));
    }

    #[test]
    fn a_large_event_in_small_pieces_is_whole() {
        let text = "0123456789".repeat(200_000);
        let body = format!("data: {text}\n\ndata: next\n\n");
        let events = split(body.as_bytes().chunks(1_400));
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].1, text);
    }

    proptest! {
        #[test]
        fn the_cut_never_matters(
            body in "(data: [a-zé🎈]{0,6}|event: [a-z]{1,3}|: c|id: 1|)((\r\n|\n|\r){1,3}(data: ?[a-zé🎈]{0,6}|event: [a-z]{1,3}|:c|)){0,12}(\n\n|)",
            cuts in prop::collection::vec(1usize..9, 1..40),
        ) {
            let whole = split([body.as_str()]);
            let mut rest = body.as_bytes();
            let mut chunks = Vec::new();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                chunks.push(head);
                rest = tail;
            }
            prop_assert_eq!(split(chunks), whole);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 1usize..50) {
            let mut splitter = Splitter::with_limit(64);
            for chunk in bytes.chunks(cut) {
                splitter.push(chunk);
                while let Ok(Some(_)) = splitter.next_event() {}
            }
        }
    }
}
