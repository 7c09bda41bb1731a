//! Finds the port that a server announces in what a program prints. Text in, ports out.
//!
//! An announcement says that a server is up (`Listening on port 3000`,
//! `Local: http://localhost:5173/`). Any other local address is only mentioned: it may be an
//! example in a manual.

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A server said that it serves here.
    Announced(u16),
    /// An address of this machine stands there.
    Mentioned(u16),
}

/// The last line may be cut in the middle; this much of it is kept for the next piece.
const TAIL_BYTES_MAX: usize = 1_024;

/// Words of servers that are up, lower case. Vite and Next.js `local:`, Streamlit `local url:`,
/// Flask and uvicorn `running on`, Django `server at`, gunicorn and puma `listening`, Python
/// `serving http`, PHP `development server`, Next.js 12 `started server`.
const ANNOUNCES: [&str; 14] = [
    "listening",
    "local:",
    "local url:",
    "running on",
    "running at",
    "serving",
    "server at",
    "server on",
    "server started",
    "started server",
    "development server",
    "started on",
    "started at",
    "available at",
];

/// Words of lines that speak of a port without serving on it.
const DENIES: [&str; 9] = [
    "in use",
    "eaddrinuse",
    "econnrefused",
    "refused",
    "failed",
    "cannot",
    "can't",
    "could not",
    "not listening",
];

/// Ports of databases, debuggers and other protocols: never an app that speaks plain HTTP. Those of Toft's
/// gateway are not among them: programs may listen there, too.
const NEVER: [u16; 10] = [22, 25, 53, 443, 3306, 5432, 6379, 9229, 11211, 27017];

/// Hosts that mean this machine.
const LOCAL_HOSTS: [&str; 6] = ["localhost", "127.0.0.1", "0.0.0.0", "[::1]", "[::]", "[::0]"];

/// Reads output in pieces.
#[derive(Debug, Default)]
pub(super) struct Reader {
    tail: String,
}

impl Reader {
    /// What the piece adds. A last line without an end is looked at when it goes on.
    pub(super) fn read(&mut self, piece: &str) -> Vec<Found> {
        let mut found = Vec::new();
        let Some(last) = piece.rfind(['\n', '\r']) else {
            self.keep(piece);
            return found;
        };
        let (whole, rest) = piece.split_at(last);
        let first = std::mem::take(&mut self.tail);
        for (n, line) in whole.split(['\n', '\r']).enumerate() {
            if n == 0 && !first.is_empty() {
                found.extend(in_line(&(first.clone() + line)));
            } else {
                found.extend(in_line(line));
            }
        }
        self.keep(&rest[1..]);
        found
    }

    fn keep(&mut self, rest: &str) {
        // A line that long is no announcement; its start is what counts.
        let room = TAIL_BYTES_MAX.saturating_sub(self.tail.len());
        let mut end = rest.len().min(room);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        self.tail.push_str(&rest[..end]);
    }
}

/// What one line says.
fn in_line(line: &str) -> Option<Found> {
    // Cheap refusal first: most lines hold nothing of interest.
    if line.len() > 4 * TAIL_BYTES_MAX || !line.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    let line = plain(line).to_ascii_lowercase();
    if DENIES.iter().any(|word| line.contains(word)) {
        return None;
    }
    let announces = ANNOUNCES.iter().any(|word| line.contains(word));
    if let Some(port) = in_url(&line) {
        return Some(if announces { Found::Announced(port) } else { Found::Mentioned(port) });
    }
    if !announces {
        return None;
    }
    after_word(&line).map(Found::Announced)
}

/// Port of the first local URL.
fn in_url(line: &str) -> Option<u16> {
    line.match_indices("http").find_map(|(at, _)| {
        let rest = &line[at + "http".len()..];
        let rest = rest.strip_prefix("s://").or_else(|| rest.strip_prefix("://"))?;
        port_of_host(rest)
    })
}

/// Port behind a local host at the start of `text`.
fn port_of_host(text: &str) -> Option<u16> {
    LOCAL_HOSTS.iter().find_map(|host| number(text.strip_prefix(host)?.strip_prefix(':')?))
}

/// Port in `listening on port 3000`, `on :3000`, `on *:3000`, `on 0.0.0.0:3000`, `on 3000`.
fn after_word(line: &str) -> Option<u16> {
    let mut words = line
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | '(' | ')' | '"' | '\'' | '`'))
        .filter(|word| !word.is_empty())
        .peekable();
    while let Some(word) = words.next() {
        let word = word.trim_end_matches(['.', '!', ';']);
        if let Some(port) = port_of_host(word)
            .or_else(|| number(word.strip_prefix(":::")?))
            .or_else(|| number(word.strip_prefix("*:")?))
            .or_else(|| number(word.strip_prefix(':')?))
            .or_else(|| number(word.strip_prefix("port:").or(word.strip_prefix("port="))?))
        {
            return Some(port);
        }
        let next = words.peek().map(|next| next.trim_end_matches(['.', '!', ';']));
        let introduces = matches!(word, "port" | "port:" | "on" | "at");
        if let Some(port) = next.filter(|_| introduces).and_then(number) {
            return Some(port);
        }
    }
    None
}

/// The number at the start of `text`, if it is a port that an app could have.
fn number(text: &str) -> Option<u16> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let rest = &text[end..];
    // `3.5`, `10:30`, `3000ms` are other things.
    if rest.starts_with(|c: char| c.is_alphanumeric() || c == ':')
        || (rest.starts_with('.') && rest[1..].starts_with(|c: char| c.is_ascii_digit()))
    {
        return None;
    }
    let port: u16 = text[..end].parse().ok()?;
    (port >= 80 && !NEVER.contains(&port)).then_some(port)
}

/// The text without terminal control sequences (ECMA-48 CSI and OSC).
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c != '\x1b' {
            if !c.is_control() || c == '\t' {
                out.push(c);
            }
            continue;
        }
        match chars.next() {
            Some('[') => {
                chars.by_ref().find(|c| ('@'..='~').contains(c));
            }
            Some(']') => {
                chars.by_ref().find(|c| matches!(c, '\x07' | '\x1b'));
            }
            Some(_) | None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use Found::{Announced, Mentioned};
    use proptest::prelude::*;

    #[test]
    fn servers_are_understood_as_they_print() {
        let table: &[(&str, Option<Found>)] = &[
            ("  ➜  Local:   http://localhost:5173/", Some(Announced(5173))),
            (
                "  \x1b[32m➜\x1b[39m  \x1b[1mLocal\x1b[22m:   \x1b[36mhttp://localhost:\x1b[1m5174\x1b[22m/\x1b[39m",
                Some(Announced(5174)),
            ),
            ("  ➜  Network: http://192.168.1.4:5173/", None),
            ("   - Local:        http://localhost:3000", Some(Announced(3000))),
            (
                "ready - started server on 0.0.0.0:3001, url: http://localhost:3001",
                Some(Announced(3001)),
            ),
            (" * Running on http://127.0.0.1:5000", Some(Announced(5000))),
            (" * Running on all addresses (0.0.0.0)", None),
            ("Starting development server at http://127.0.0.1:8000/", Some(Announced(8000))),
            (
                "INFO:     Uvicorn running on http://127.0.0.1:8001 (Press CTRL+C to quit)",
                Some(Announced(8001)),
            ),
            ("Serving HTTP on 0.0.0.0 port 8002 (http://0.0.0.0:8002/) ...", Some(Announced(8002))),
            ("Serving HTTP on :: port 8003 (http://[::]:8003/) ...", Some(Announced(8003))),
            (
                "[2026-01-01 10:00:00 +0000] [7] [INFO] Listening at: http://0.0.0.0:8004 (7)",
                Some(Announced(8004)),
            ),
            ("* Listening on http://127.0.0.1:3002", Some(Announced(3002))),
            ("PHP 8.2.7 Development Server (http://localhost:8005) started", Some(Announced(8005))),
            ("  Local URL: http://localhost:8501", Some(Announced(8501))),
            ("Listening on port 3003", Some(Announced(3003))),
            ("App listening on port 3004!", Some(Announced(3004))),
            ("server listening on :9090", Some(Announced(9090))),
            ("Listening and serving HTTP on :9091", Some(Announced(9091))),
            ("listening on *:9092", Some(Announced(9092))),
            ("Listening on 3005", Some(Announced(3005))),
            ("Listening on http://0.0.0.0:80/", Some(Announced(80))),
            ("Listening on port 443", None),
            ("Server running on port: 3006", Some(Announced(3006))),
            (
                "{\"level\":\"info\",\"msg\":\"listening\",\"addr\":\"0.0.0.0:3007\"}",
                Some(Announced(3007)),
            ),
            ("Open http://localhost:4321 in your browser", Some(Mentioned(4321))),
            ("curl http://127.0.0.1:4322/health", Some(Mentioned(4322))),
            ("https://example.com:8443/", None),
            ("Port 5173 is in use, trying another one...", None),
            ("Error: listen EADDRINUSE: address already in use :::3000", None),
            ("curl: (7) Failed to connect to localhost port 3000: Connection refused", None),
            ("LOG:  listening on IPv4 address \"127.0.0.1\", port 5432", None),
            ("Debugger listening on ws://127.0.0.1:9229/0a1b", None),
            ("Listening for 3000ms", None),
            ("serving took 12.5 s at 10:30", None),
            ("listening on port 99999", None),
            ("nothing here", None),
            ("", None),
        ];
        for (line, want) in table {
            assert_eq!(in_line(line), *want, "{line:?}");
        }
    }

    #[test]
    fn a_carriage_return_ends_a_line_too() {
        let mut reader = Reader::default();
        assert_eq!(reader.read("Listening on port 3000\r\n"), vec![Announced(3000)]);
    }

    proptest! {
        #[test]
        fn any_cut_finds_the_same(cut in 0usize..60) {
            let text = "x ➜\r\n  Local: http://localhost:5173/\nListening on port 3000\n";
            let mut at = cut.min(text.len());
            while !text.is_char_boundary(at) { at -= 1; }
            let mut reader = Reader::default();
            let mut found = reader.read(&text[..at]);
            found.extend(reader.read(&text[at..]));
            prop_assert_eq!(found, vec![Announced(5173), Announced(3000)]);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,80}", more in "[\x1b\\[\\]0-9a-z:/ .\n]{0,80}") {
            let mut reader = Reader::default();
            reader.read(&text);
            reader.read(&more);
        }
    }
}
