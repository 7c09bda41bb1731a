//! The envelopes of a Connect stream in JSON: a byte of flags, four of length, a message. Parsing only, of
//! bytes from outside.

use bytes::{Buf as _, Bytes, BytesMut};
use serde::Deserialize;

/// The stream's last envelope.
const LAST: u8 = 0b10;
/// Compressed: never asked for.
const COMPRESSED: u8 = 0b01;
const HEAD_BYTES: usize = 5;
/// Longest message: the daemon reads output in pieces of 32 KiB, which base64 makes a third longer.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Puts a message into an envelope.
pub(crate) fn seal(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut out = vec![0];
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    out
}

/// What comes out of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    Message(Bytes),
    /// How the stream ended: the error's code and words.
    End(Option<Said>),
}

/// An error of Connect's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Said {
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
}

#[derive(Deserialize)]
struct Trailer {
    #[serde(default)]
    error: Option<Said>,
}

/// Takes bytes as they come.
#[derive(Debug, Default)]
pub(crate) struct Envelopes(BytesMut);

impl Envelopes {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole envelope.
    pub(crate) fn next(&mut self) -> Result<Option<Opened>, &'static str> {
        let Some((head, _)) = self.0.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let [flags, length @ ..] = *head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MESSAGE_BYTES_MAX {
            return Err("an envelope is too long");
        }
        if flags & COMPRESSED != 0 {
            return Err("an envelope is compressed, which nobody asked for");
        }
        if self.0.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.0.advance(HEAD_BYTES);
        let message = self.0.split_to(length).freeze();
        if flags & LAST == 0 {
            return Ok(Some(Opened::Message(message)));
        }
        let trailer: Trailer =
            serde_json::from_slice(&message).map_err(|_| "the end of a stream cannot be read")?;
        Ok(Some(Opened::End(trailer.error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_come_out_however_they_are_cut() {
        let mut line = seal(br#"{"a":1}"#);
        line.extend(seal(b""));
        line.extend([LAST, 0, 0, 0, 2]);
        line.extend(b"{}");
        for cut in 1..line.len() {
            let mut envelopes = Envelopes::default();
            let mut seen = Vec::new();
            for piece in line.chunks(cut) {
                envelopes.push(piece);
                while let Some(opened) = envelopes.next().unwrap() {
                    seen.push(opened);
                }
            }
            let message = |bytes: &'static [u8]| Opened::Message(Bytes::from_static(bytes));
            assert_eq!(seen, [message(br#"{"a":1}"#), message(b""), Opened::End(None)], "{cut}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for bytes in
            [&[0, 0xff, 0xff, 0xff, 0xff][..], &[COMPRESSED, 0, 0, 0, 0], &[LAST, 0, 0, 0, 1, b'x']]
        {
            let mut envelopes = Envelopes::default();
            envelopes.push(bytes);
            assert!(envelopes.next().is_err(), "{bytes:?}");
        }
        let mut envelopes = Envelopes::default();
        let mut end = seal(br#"{"error":{"code":"not_found","message":"no such binary"}}"#);
        end[0] = LAST;
        envelopes.push(&end);
        let Opened::End(Some(said)) = envelopes.next().unwrap().unwrap() else { panic!("no end") };
        assert_eq!((&*said.code, &*said.message), ("not_found", "no such binary"));
    }
}
