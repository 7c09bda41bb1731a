//! Frames of the init protocol: `u32` big-endian length of the rest, one kind byte, payload.
//! Encoding and decoding only; sockets belong to the callers.

/// Largest frame: an exec request with a big environment fits, a mistake does not fill memory.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A JSON request or reply.
    Json,
    /// Bytes for standard input.
    Stdin,
    /// Bytes of standard output, or of the terminal.
    Stdout,
    /// Bytes of standard error.
    Stderr,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Json),
            1 => Some(Self::Stdin),
            2 => Some(Self::Stdout),
            3 => Some(Self::Stderr),
            _ => None,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Json => 0,
            Self::Stdin => 1,
            Self::Stdout => 2,
            Self::Stderr => 3,
        }
    }
}

/// Bytes that are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`FRAME_BYTES_MAX`].
    #[error("frame of {0} bytes is longer than the limit")]
    TooLong(usize),
    /// No such kind.
    #[error("frame kind {0} is unknown")]
    UnknownKind(u8),
    /// A frame without a kind.
    #[error("frame is empty")]
    Empty,
}

/// One frame as bytes.
pub fn encode(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len() + 1).expect("frames are far below 4 GiB");
    let mut out = Vec::with_capacity(payload.len() + 5);
    out.extend_from_slice(&len.to_be_bytes());
    out.push(kind.byte());
    out.extend_from_slice(payload);
    out
}

/// Splits a byte stream into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buf: Vec<u8>,
    at: usize,
}

impl Decoder {
    /// Adds bytes that were read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.buf.drain(..self.at);
            self.at = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    pub fn next_frame(&mut self) -> Result<Option<(FrameKind, Vec<u8>)>, FrameError> {
        let rest = &self.buf[self.at..];
        let Some(head) = rest.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_be_bytes(*head) as usize;
        if len == 0 {
            return Err(FrameError::Empty);
        }
        if len > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong(len));
        }
        if rest.len() < 4 + len {
            return Ok(None);
        }
        let kind = FrameKind::from_byte(rest[4]).ok_or(FrameError::UnknownKind(rest[4]))?;
        let payload = rest[5..4 + len].to_vec();
        self.at += 4 + len;
        Ok(Some((kind, payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_survive_any_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
            cut in 1usize..64,
        ) {
            let bytes: Vec<u8> =
                payloads.iter().flat_map(|p| encode(FrameKind::Stdout, p)).collect();
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for chunk in bytes.chunks(cut) {
                decoder.push(chunk);
                while let Some((kind, payload)) = decoder.next_frame().unwrap() {
                    prop_assert_eq!(kind, FrameKind::Stdout);
                    got.push(payload);
                }
            }
            prop_assert_eq!(got, payloads);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_frame() {}
        }
    }
}
