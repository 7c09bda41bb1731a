//! Reads server-sent events from a bridge, cut anywhere. What is inside is not judged here. Uses nothing of this crate, so
//! that the fuzzer reads the same text.

/// Data of one event: a message with images fits; more than that is not copied.
pub(crate) const EVENT_BYTES_MAX: usize = 8 << 20;

/// One event as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SseEvent {
    pub(crate) id: Option<u64>,
    pub(crate) kind: String,
    pub(crate) data: String,
    /// The data was longer than [`EVENT_BYTES_MAX`] and is not there.
    pub(crate) omitted: bool,
}

/// Collects bytes into events.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    line: Vec<u8>,
    /// The rest of this line is dropped.
    skipping: bool,
    event: SseEvent,
    has_data: bool,
}

impl SseParser {
    /// Takes bytes in and appends the events that they complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<SseEvent>) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            if self.line.is_empty() && !self.skipping {
                self.end_of_line(&bytes[..end], out);
            } else {
                self.keep(&bytes[..end]);
                let line = std::mem::take(&mut self.line);
                self.end_of_line(&line, out);
                self.line = line;
                self.line.clear();
                self.skipping = false;
            }
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        // Room for the field's name beside the data.
        if self.line.len() + bytes.len() > EVENT_BYTES_MAX + 16 {
            self.skipping = true;
            self.event.omitted = true;
            self.has_data = true;
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_of_line(&mut self, line: &[u8], out: &mut Vec<SseEvent>) {
        if self.skipping {
            return;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                out.push(event);
            }
            return;
        }
        let (name, value) = match line.iter().position(|b| *b == b':') {
            Some(at) => (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..])),
            None => (line, &[][..]),
        };
        let text = || String::from_utf8_lossy(value);
        match name {
            b"event" => self.event.kind = text().into_owned(),
            b"id" => self.event.id = text().parse().ok(),
            b"data" => self.add_data(&text()),
            // Comments (an empty name), `retry` and what we do not know.
            _ => {}
        }
    }

    fn add_data(&mut self, text: &str) {
        if self.event.omitted {
            return;
        }
        if self.event.data.len() + text.len() + 1 > EVENT_BYTES_MAX {
            self.event.omitted = true;
            self.event.data = String::new();
        } else if self.has_data {
            self.event.data.push('\n');
            self.event.data.push_str(text);
        } else {
            text.clone_into(&mut self.event.data);
        }
        self.has_data = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8], cut: usize) -> Vec<SseEvent> {
        let mut parser = SseParser::default();
        let mut out = Vec::new();
        for chunk in bytes.chunks(cut) {
            parser.push(chunk, &mut out);
        }
        out
    }

    fn event(id: Option<u64>, kind: &str, data: &str) -> SseEvent {
        SseEvent { id, kind: kind.into(), data: data.into(), omitted: false }
    }

    #[test]
    fn frames_are_read_wherever_they_are_cut() {
        let text = "event: hello\ndata: {\"seq\":1}\n\n: ping\n\nevent: notify\r\nid: 7\r\n\
                    data: {\"ä\":1}\r\n\r\nid: 8\nevent:x\ndata:a\ndata: b\n\nevent: cut\ndata: no";
        let want = [
            event(None, "hello", "{\"seq\":1}"),
            event(Some(7), "notify", "{\"ä\":1}"),
            event(Some(8), "x", "a\nb"),
        ];
        for cut in 1..text.len() {
            assert_eq!(parse(text.as_bytes(), cut), want, "cut {cut}");
        }
    }

    #[test]
    fn an_event_that_is_too_long_is_counted_and_not_kept() {
        let mut text = b"event: tool_end\nid: 3\ndata: ".to_vec();
        text.extend(std::iter::repeat_n(b'x', EVENT_BYTES_MAX + 100));
        text.extend_from_slice(b"\n\nevent: next\nid: 4\ndata: {}\n\n");
        let got = parse(&text, 65_536);
        assert_eq!(got.len(), 2);
        assert_eq!((got[0].id, got[0].omitted, got[0].data.len()), (Some(3), true, 0));
        assert_eq!(got[1], event(Some(4), "next", "{}"));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600), cut in 1usize..40) {
            parse(&bytes, cut);
        }
    }
}
