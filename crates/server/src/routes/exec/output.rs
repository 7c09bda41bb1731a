//! What is kept of a program's output, and how its bytes become text. Not where it comes from.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Of each output, half of this from the start and half from the end.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// The first and the last part of an output.
#[derive(Default)]
pub(super) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    pub(super) dropped: u64,
}

impl Kept {
    const PART: usize = OUTPUT_BYTES_MAX / 2;

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        let room = Self::PART - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        bytes = rest;
        if bytes.len() > Self::PART {
            let over = bytes.len() - Self::PART;
            self.dropped += over as u64;
            bytes = &bytes[over..];
        }
        let over = (self.tail.len() + bytes.len()).saturating_sub(Self::PART);
        self.tail.drain(..over);
        self.dropped += over as u64;
        self.tail.extend(bytes);
    }

    pub(super) fn text(mut self) -> String {
        if self.dropped > 0 {
            let note = format!("\n… {} bytes left out …\n", self.dropped);
            self.head.extend_from_slice(note.as_bytes());
        }
        self.head.extend(self.tail);
        String::from_utf8(self.head)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }
}

/// How a stream carries output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    /// `{text}`: what is no UTF-8 becomes U+FFFD.
    #[default]
    Text,
    /// `{base64}`: every byte as it is.
    Base64,
}

/// One output on its way into a stream.
pub(super) enum Piece {
    Text(Utf8),
    Base64,
}

impl Piece {
    pub(super) fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Text => Self::Text(Utf8::default()),
            Encoding::Base64 => Self::Base64,
        }
    }

    /// Data of one event; nothing while a character is unfinished.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<Value> {
        match self {
            Self::Text(utf8) => text(&utf8.push(bytes)),
            Self::Base64 => Some(json!({"base64": STANDARD.encode(bytes)})),
        }
    }

    /// What is left at the end.
    pub(super) fn rest(&mut self) -> Option<Value> {
        match self {
            Self::Text(utf8) => text(&utf8.rest()),
            Self::Base64 => None,
        }
    }
}

fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({"text": text}))
}

/// Bytes into text, however they are cut: an unfinished character waits for its rest.
#[derive(Default)]
pub(super) struct Utf8 {
    pending: Vec<u8>,
}

impl Utf8 {
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let unfinished = match std::str::from_utf8(&self.pending) {
            Ok(_) => 0,
            Err(_) => unfinished_len(&self.pending),
        };
        let rest = self.pending.split_off(self.pending.len() - unfinished);
        let whole = std::mem::replace(&mut self.pending, rest);
        String::from_utf8(whole)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    pub(super) fn rest(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// Bytes at the end that begin a character and do not finish it.
fn unfinished_len(bytes: &[u8]) -> usize {
    let end = &bytes[bytes.len().saturating_sub(3)..];
    for (at, byte) in end.iter().enumerate().rev() {
        let want = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => return 0,
        };
        let have = end.len() - at;
        return if have < want { have } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn head_and_tail_are_kept_of_any_amount() {
        let mut kept = Kept::default();
        for n in 0..40_000u32 {
            kept.push(format!("{n:099}\n").as_bytes());
        }
        assert_eq!(kept.dropped, 4_000_000 - OUTPUT_BYTES_MAX as u64);
        let text = kept.text();
        assert!(text.starts_with(&format!("{:099}\n{:099}\n", 0, 1)));
        assert!(text.ends_with(&format!("{:099}\n", 39_999)));
        assert!(text.contains("bytes left out"));
    }

    proptest! {
        #[test]
        fn text_survives_any_cut(text in "\\PC{0,60}", cut in 1usize..5) {
            let mut utf8 = Utf8::default();
            let mut got = String::new();
            for chunk in text.as_bytes().chunks(cut) {
                got.push_str(&utf8.push(chunk));
            }
            got.push_str(&utf8.rest());
            prop_assert_eq!(got, text);
        }

        #[test]
        fn bytes_that_are_no_text_are_never_held_back_for_long(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut utf8 = Utf8::default();
            for byte in &bytes {
                utf8.push(&[*byte]);
                prop_assert!(utf8.pending.len() < 4);
            }
        }
    }
}
