//! What is looked for in answers: each value as it is, and as programs write it (base64, hex, in a URL,
//! in JSON or HTML). What a host makes of a value otherwise cannot be known; so a value goes only to
//! hosts that a person trusts with it.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use std::{fmt::Write as _, ops::Range};

/// Bits of a character of base64.
const BASE64_BITS: usize = 6;
/// What stands in base64 for a part of a value: stars, as it is read.
const BASE64_STARS: &[u8; 4] = b"Kioq";

/// Bytes of all forms up to which they are looked for with the fastest table, which takes half a KiB for
/// each: a hundred times as much as the other.
const FAST_BYTES_MAX: usize = 16 << 10;

/// See the module.
#[derive(Default)]
pub(crate) struct Needles {
    /// None: there is nothing to look for.
    finder: Option<AhoCorasick>,
    all: Vec<Needle>,
    longest: usize,
}

struct Needle {
    text: Vec<u8>,
    shown: Vec<u8>,
}

/// One that was found.
pub(super) struct Found<'a> {
    pub(super) at: Range<usize>,
    pub(super) shown: &'a [u8],
}

impl Needles {
    /// For values, each with what is shown in its place.
    pub(crate) fn new<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut all: Vec<Needle> = Vec::new();
        for (value, shown) in pairs {
            for (text, shown) in forms(value, shown) {
                if !all.iter().any(|known| known.text == text) {
                    all.push(Needle { text, shown });
                }
            }
        }
        if all.is_empty() {
            return Self::default();
        }
        let bytes: usize = all.iter().map(|needle| needle.text.len()).sum();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind((bytes > FAST_BYTES_MAX).then_some(AhoCorasickKind::ContiguousNFA))
            .build(all.iter().map(|needle| &needle.text))
            .expect("they are few and short");
        let longest = all.iter().map(|needle| needle.text.len()).max().unwrap_or(0);
        Self { finder: Some(finder), all, longest }
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The one that begins first, the longest of those.
    pub(super) fn first(&self, bytes: &[u8]) -> Option<Found<'_>> {
        let found = self.finder.as_ref()?.find(bytes)?;
        Some(Found { at: found.range(), shown: &self.all[found.pattern()].shown })
    }

    /// How many bytes at the end may be the beginning of one. Whether they look like it does not matter:
    /// else a program that makes a host say guesses back would see by the pieces of the answer how much of
    /// one is right. No value, in no form, has an end of line in it, so lines pass as they come.
    pub(super) fn open_end(&self, bytes: &[u8]) -> usize {
        let end = &bytes[bytes.len().saturating_sub(self.longest.saturating_sub(1))..];
        memchr::memrchr(b'\n', end).map_or(end.len(), |at| end.len() - at - 1)
    }

    /// The whole of it, with placeholders.
    pub(super) fn replaced(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out: Option<Vec<u8>> = None;
        let mut rest = bytes;
        while let Some(Found { at, shown }) = self.first(rest) {
            let out = out.get_or_insert_with(|| Vec::with_capacity(bytes.len()));
            out.extend_from_slice(&rest[..at.start]);
            out.extend_from_slice(shown);
            rest = &rest[at.end..];
        }
        if let Some(out) = &mut out {
            out.extend_from_slice(rest);
        }
        out
    }
}

/// The ways to write a value, each with what is shown for it.
fn forms(value: &str, shown: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut forms: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut plain = |text: String| forms.push((text.into_bytes(), shown.as_bytes().to_vec()));
    plain(value.to_owned());
    for percent in percent_forms(value) {
        plain(percent);
    }
    for text in escaped_forms(value) {
        plain(text);
    }
    for (lower, text) in [(true, value), (false, value)] {
        let hex = |text: &str| {
            text.bytes().fold(String::new(), |mut out, b| {
                let _ = if lower { write!(out, "{b:02x}") } else { write!(out, "{b:02X}") };
                out
            })
        };
        forms.push((hex(text).into_bytes(), hex(shown).into_bytes()));
    }
    for before in 0..3 {
        forms.extend(base64_forms(value, before));
    }
    forms
}

/// As in URLs and forms: what need not be escaped differs.
fn percent_forms(value: &str) -> Vec<String> {
    let escape = |kept: &[u8], plus: bool, lower: bool| {
        value.bytes().fold(String::new(), |mut out, b| {
            let _ = match b {
                b' ' if plus => out.write_char('+'),
                b if b.is_ascii_alphanumeric() || kept.contains(&b) => out.write_char(b.into()),
                b if lower => write!(out, "%{b:02x}"),
                b => write!(out, "%{b:02X}"),
            };
            out
        })
    };
    let mut forms = Vec::new();
    for lower in [false, true] {
        // RFC 3986's unreserved; JavaScript's encodeURIComponent; forms; paths.
        forms.push(escape(b"-._~", false, lower));
        forms.push(escape(b"-._~!'()*", false, lower));
        forms.push(escape(b"*-._", true, lower));
        forms.push(escape(b"-._~!$&'()*+,;=:@/", false, lower));
    }
    forms
}

/// As in JSON and in HTML.
fn escaped_forms(value: &str) -> Vec<String> {
    let json = value.replace('\\', "\\\\").replace('"', "\\\"");
    let html = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let unicode = |text: &str| {
        ["<", ">", "&", "'", "+", "="].iter().fold(text.to_owned(), |text, odd| {
            text.replace(odd, &format!("\\u{:04x}", u32::from(odd.as_bytes()[0])))
        })
    };
    // For scripts in pages; Go's and PHP's.
    let go = ["<", ">", "&"].iter().fold(json.clone(), |text, odd| {
        text.replace(odd, &format!("\\u{:04x}", u32::from(odd.as_bytes()[0])))
    });
    vec![
        json.replace('/', "\\/"),
        unicode(&json),
        go,
        html.replace('"', "&quot;").replace('\'', "&#39;"),
        html.replace('"', "&#34;").replace('\'', "&#39;"),
        html.replace('"', "&quot;").replace('\'', "&#x27;"),
        html,
        json,
    ]
}

/// Inside of a longer base64 text, `before` bytes (modulo three) after its beginning. The characters at
/// the ends that hold bits of neighbours are left out: at most four bits of the first and the last byte.
fn base64_forms(value: &str, before: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = [&[0u8; 2][..before], value.as_bytes()].concat();
    let (first, end) = ((before * 8).div_ceil(BASE64_BITS), bytes.len() * 8 / BASE64_BITS);
    let stars: Vec<u8> = (first..end).map(|at| BASE64_STARS[at % BASE64_STARS.len()]).collect();
    [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)]
        .into_iter()
        .map(|text| (text.as_bytes()[first..end].to_vec(), stars.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_takes_little_memory_however_long_the_values_are() {
        let value = |first: char| format!("{first}{}", "<&\"+/=\\ %Az9".repeat(341));
        let values: Vec<String> = ('a'..'d').map(value).collect();
        let needles = Needles::new(values.iter().map(|value| (value.as_str(), "shown")));
        assert!(needles.finder.as_ref().unwrap().memory_usage() < 32 << 20);
        for value in &values {
            assert_eq!(needles.replaced(value.as_bytes()).unwrap(), b"shown");
        }
    }
}
