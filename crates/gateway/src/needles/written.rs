//! The ways in which programs write one character other than as it is: in URLs, JSON, HTML, mails and
//! source code, once or twice over; and as hex.

use std::sync::LazyLock;

/// Bytes of the longest of them.
pub(super) const LONGEST: usize = 12;

/// What each of them begins with, but for hex.
pub(super) const ESCAPES: &[u8] = b"%\\&=+";

const ASCII: u8 = 128;

/// By character. Letters are small in them, and may be big where they are looked for.
pub(super) static ESCAPED: LazyLock<Vec<Vec<Vec<u8>>>> = LazyLock::new(|| {
    (0..ASCII)
        .map(|c| {
            let once = once(c);
            let twice = once.iter().flat_map(|way| again(way));
            tidy(once.iter().cloned().chain(twice))
        })
        .collect()
});

/// All of them, to be read.
pub(super) static WAYS: LazyLock<Ways> = LazyLock::new(|| {
    let mut ways = Ways(vec![Node::default()]);
    for (c, written) in (0..ASCII).zip(&*ESCAPED) {
        for way in written {
            ways.add(way, c);
        }
    }
    ways
});

/// A tree of them, by their bytes.
pub(super) struct Ways(Vec<Node>);

#[derive(Default)]
struct Node {
    next: Vec<(u8, usize)>,
    /// The characters that are written so.
    chars: Vec<u8>,
}

impl Ways {
    fn add(&mut self, way: &[u8], c: u8) {
        let mut node = 0;
        for &byte in way {
            let known = self.0[node].next.iter().find(|(next, _)| *next == byte);
            node = if let Some(&(_, next)) = known {
                next
            } else {
                let next = self.0.len();
                self.0.push(Node::default());
                self.0[node].next.push((byte, next));
                next
            };
        }
        self.0[node].chars.push(c);
    }

    /// Tells which characters are written here, and in how many bytes.
    pub(super) fn read(&self, bytes: &[u8], mut each: impl FnMut(u8, usize)) {
        let mut node = &self.0[0];
        for (at, byte) in bytes.iter().enumerate() {
            let byte = byte.to_ascii_lowercase();
            let Some((_, next)) = node.next.iter().find(|(next, _)| *next == byte) else { return };
            node = &self.0[*next];
            node.chars.iter().for_each(|c| each(*c, at + 1));
        }
    }
}

/// By byte, with what may stand before it if it is not the first one. The first way is without.
pub(super) static HEX: LazyLock<Vec<Vec<Vec<u8>>>> = LazyLock::new(|| {
    const BEFORE: [&str; 14] =
        ["", ":", " ", "-", "_", ",", ", ", "\\x", "\\\\x", "0x", " 0x", ",0x", ", 0x", "="];
    (0..ASCII)
        .map(|c| BEFORE.iter().map(|before| format!("{before}{c:02x}").into_bytes()).collect())
        .collect()
});

fn once(c: u8) -> Vec<String> {
    let mut ways = vec![
        format!("%{c:02x}"),
        format!("={c:02x}"),
        format!("\\x{c:02x}"),
        format!("\\u{c:04x}"),
        format!("\\u{{{c:x}}}"),
        format!("&#{c};"),
        format!("&#{c:03};"),
        format!("&#x{c:x};"),
        format!("&#x{c:04x};"),
    ];
    let c = char::from(c);
    if c.is_ascii_punctuation() {
        ways.push(format!("\\{c}"));
    }
    let more: &[&str] = match c {
        ' ' => &["+"],
        '&' => &["&amp;"],
        '<' => &["&lt;"],
        '>' => &["&gt;"],
        '"' => &["&quot;"],
        '\'' => &["&apos;"],
        _ => &[],
    };
    ways.extend(more.iter().map(|&way| way.to_owned()));
    ways
}

/// The same in a URL, in JSON (two ways), in HTML.
fn again(way: &str) -> [String; 4] {
    let each = |escape: &dyn Fn(char) -> Option<String>| {
        way.chars().map(|c| escape(c).unwrap_or_else(|| c.into())).collect::<String>()
    };
    [
        each(&|c| (!c.is_ascii_alphanumeric()).then(|| format!("%{:02x}", u32::from(c)))),
        each(&|c| matches!(c, '\\' | '"').then(|| format!("\\{c}"))),
        each(&|c| matches!(c, '\\' | '"' | '&').then(|| format!("\\u{:04x}", u32::from(c)))),
        each(&|c| match c {
            '&' => Some("&amp;".to_owned()),
            '"' => Some("&quot;".to_owned()),
            _ => None,
        }),
    ]
}

fn tidy(ways: impl Iterator<Item = String>) -> Vec<Vec<u8>> {
    let lower = |way: String| way.to_ascii_lowercase().into_bytes();
    let mut all: Vec<Vec<u8>> = ways.map(lower).filter(|way| way.len() <= LONGEST).collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_begins_as_is_said_and_is_short() {
        for (c, ways) in (0..ASCII).zip(&*ESCAPED) {
            for way in ways {
                assert!(ESCAPES.contains(&way[0]) && way.len() <= LONGEST, "{c} {way:?}");
            }
        }
        assert!(HEX.iter().flatten().all(|way| way.len() <= LONGEST));
    }
}
