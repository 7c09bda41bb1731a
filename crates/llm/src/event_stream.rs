//! Amazon's binary event streams (`application/vnd.amazon.eventstream`): splits the body of a
//! provider's answer into messages, wherever it was cut, and checks both of their checksums. It knows
//! nothing of what they say.
//!
//! Format, all numbers big-endian: total length (4 bytes), length of the headers (4), CRC-32 of these
//! eight bytes (4), headers, payload, CRC-32 of everything before (4). A header: length of its name
//! (1 byte), name, type (1), value. Smithy, "Amazon Event Stream specification".

use crate::framing::{EVENT_BYTES_MAX, Event, Framing, Unframed};

/// Total length, length of the headers, and their checksum.
const PRELUDE_BYTES: usize = 12;

/// The checksum at the end.
const CRC_BYTES: usize = 4;

/// Headers of one message at most, as the specification has it.
const HEADER_BYTES_MAX: usize = 128 << 10;

/// Consumed bytes are moved out once there are this many, so that moving stays rare and cheap.
const COMPACT_AT_BYTES: usize = 64 << 10;

/// Headers that say what a message is.
const MESSAGE_TYPE: &str = ":message-type";
const EVENT_TYPE: &str = ":event-type";
const EXCEPTION_TYPE: &str = ":exception-type";
const ERROR_CODE: &str = ":error-code";
const ERROR_MESSAGE: &str = ":error-message";

/// See the module.
#[derive(Debug)]
pub struct Splitter {
    buf: Vec<u8>,
    /// Everything before was taken.
    at: usize,
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
        Self { buf: Vec::new(), at: 0, bytes_max }
    }
}

impl Framing for Splitter {
    fn push(&mut self, bytes: &[u8]) {
        if self.at == self.buf.len() {
            self.buf.clear();
            self.at = 0;
        } else if self.at >= COMPACT_AT_BYTES {
            self.buf.drain(..self.at);
            self.at = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    fn next_event(&mut self) -> Result<Option<Event<'_>>, Unframed> {
        let rest = &self.buf[self.at..];
        let Some(prelude) = rest.get(..PRELUDE_BYTES) else { return Ok(None) };
        // Before the lengths are believed: without it a wrong one would be waited for.
        if crc32fast::hash(&prelude[..8]) != number(&prelude[8..]) {
            return Err(Unframed::Broken("a checksum of lengths is wrong"));
        }
        let (total, headers) = (number(prelude) as usize, number(&prelude[4..]) as usize);
        if total > self.bytes_max {
            return Err(Unframed::TooLong(self.bytes_max));
        }
        if headers > HEADER_BYTES_MAX || total < PRELUDE_BYTES + headers + CRC_BYTES {
            return Err(Unframed::Broken("its lengths contradict each other"));
        }
        let Some(message) = rest.get(..total) else { return Ok(None) };
        let (checked, crc) = message.split_at(total - CRC_BYTES);
        if crc32fast::hash(checked) != number(crc) {
            return Err(Unframed::Broken("a message's checksum is wrong"));
        }
        self.at += total;
        let (headers, payload) = checked[PRELUDE_BYTES..].split_at(headers);
        event(headers, payload).map(Some)
    }
}

/// The first four bytes.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |n, byte| n << 8 | u32::from(*byte))
}

fn event<'a>(headers: &'a [u8], payload: &'a [u8]) -> Result<Event<'a>, Unframed> {
    let [mut kind, mut name, mut exception, mut code, mut words] = [b"".as_slice(); 5];
    let mut rest = headers;
    while !rest.is_empty() {
        let Some((key, value, after)) = header(rest) else {
            return Err(Unframed::Broken("a header does not end where it should"));
        };
        rest = after;
        let place = match key {
            k if k == MESSAGE_TYPE.as_bytes() => &mut kind,
            k if k == EVENT_TYPE.as_bytes() => &mut name,
            k if k == EXCEPTION_TYPE.as_bytes() => &mut exception,
            k if k == ERROR_CODE.as_bytes() => &mut code,
            k if k == ERROR_MESSAGE.as_bytes() => &mut words,
            _ => continue,
        };
        *place = value;
    }
    let (name, data, failed) = match kind {
        b"exception" => (exception, payload, true),
        // Has no payload.
        b"error" => (code, words, true),
        _ => (name, payload, false),
    };
    Ok(Event { name: String::from_utf8_lossy(name), data: String::from_utf8_lossy(data), failed })
}

/// Name and value of the first header, and what comes after it. Values that are no text come as they
/// are.
fn header(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let (length, rest) = match kind {
        // True and false are types of their own.
        0 | 1 => (0, rest),
        2 => (1, rest),
        3 => (2, rest),
        4 => (4, rest),
        // A number or a time.
        5 | 8 => (8, rest),
        // Bytes or text, which say how long they are.
        6 | 7 => {
            let (length, rest) = rest.split_at_checked(2)?;
            (usize::from(length[0]) << 8 | usize::from(length[1]), rest)
        }
        // An id.
        9 => (16, rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((name, value, rest))
}

/// Writes messages, for tests.
#[cfg(any(test, fuzzing))]
pub(crate) mod write {
    use super::{CRC_BYTES, PRELUDE_BYTES};

    /// One message with headers of text.
    pub(crate) fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut head = Vec::new();
        for (name, value) in headers {
            head.push(u8::try_from(name.len()).expect("names are short"));
            head.extend_from_slice(name.as_bytes());
            head.push(7);
            head.extend_from_slice(
                &u16::try_from(value.len()).expect("values are short").to_be_bytes(),
            );
            head.extend_from_slice(value.as_bytes());
        }
        framed(&head, payload)
    }

    /// One message with these headers as they are.
    pub(crate) fn framed(head: &[u8], payload: &[u8]) -> Vec<u8> {
        let total = PRELUDE_BYTES + head.len() + payload.len() + CRC_BYTES;
        let mut out = prelude(total, head.len());
        out.extend_from_slice(head);
        out.extend_from_slice(payload);
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out
    }

    /// What a message of these lengths begins with.
    pub(crate) fn prelude(total: usize, head: usize) -> Vec<u8> {
        let mut out = u32::try_from(total).expect("messages are small").to_be_bytes().to_vec();
        out.extend_from_slice(&u32::try_from(head).expect("heads are small").to_be_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests;
