//! What a client says on a WebSocket, told from the heads of its frames (RFC 6455 §5.2) wherever they are
//! cut. Their content is not looked at.

/// Longest head: two bytes, eight of length, four of mask.
const HEAD_BYTES_MAX: usize = 14;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// From here on: close, ping, pong.
const CONTROL: u8 = 8;
const PONG: u8 = 10;

/// Follows the frames of one direction.
#[derive(Debug)]
pub(super) struct Frames {
    /// Whether text counts, too.
    text: bool,
    head: [u8; HEAD_BYTES_MAX],
    head_len: usize,
    /// Bytes of the frame's content that are still to come.
    left: u64,
    /// Whether the frame counts, and the message that a continuation belongs to.
    counts: bool,
    message_counts: bool,
    /// What comes is no WebSocket: then all of it counts.
    is_other: bool,
}

impl Frames {
    /// Of an app: its data is what a person says. What browsers send by themselves (close, pong) is not.
    pub(super) fn of_app() -> Self {
        Self {
            text: true,
            head: [0; HEAD_BYTES_MAX],
            head_len: 0,
            left: 0,
            counts: false,
            message_counts: false,
            is_other: false,
        }
    }

    /// Of a terminal: what is typed is binary, its size is text.
    pub(super) fn of_terminal() -> Self {
        Self { text: false, ..Self::of_app() }
    }

    /// Whether anything is said in what came.
    pub(super) fn says(&mut self, mut bytes: &[u8]) -> bool {
        let mut says = false;
        while let Some(first) = bytes.first() {
            if self.is_other {
                return true;
            }
            if self.left > 0 {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= here as u64;
                says |= self.counts;
                bytes = &bytes[here..];
                continue;
            }
            self.head[self.head_len] = *first;
            self.head_len += 1;
            bytes = &bytes[1..];
            if let Some(left) = self.begun() {
                self.head_len = 0;
                self.left = left;
                says |= self.counts;
            }
        }
        says
    }

    /// The length of the content, once the head is whole.
    fn begun(&mut self) -> Option<u64> {
        let head = &self.head[..self.head_len];
        let [first, second, rest @ ..] = head else { return None };
        // Clients mask what they send.
        if second & 0x80 == 0 {
            self.is_other = true;
            return Some(0);
        }
        let (wide, length) = match second & 0x7f {
            126 => (2, None),
            127 => (8, None),
            short => (0, Some(u64::from(short))),
        };
        if rest.len() < wide + 4 {
            return None;
        }
        let length = length.unwrap_or_else(|| {
            rest[..wide].iter().fold(0, |length, byte| length << 8 | u64::from(*byte))
        });
        match first & 0x0f {
            CONTINUATION => self.counts = self.message_counts,
            data @ (TEXT | BINARY) => {
                self.message_counts = data == BINARY || self.text;
                self.counts = self.message_counts;
            }
            CONTROL..=PONG => self.counts = false,
            _ => self.is_other = true,
        }
        Some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            126..0x1_0000 => {
                frame.push(0x80 | 0x7e);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // A mask, and content that looks like heads.
        frame.extend([9, 9, 9, 9]);
        frame.extend(std::iter::repeat_n(0x82, length));
        frame
    }

    fn check(frames: &[Vec<u8>], app: bool, terminal: bool) {
        let bytes = frames.concat();
        for cut in [1, 2, 3, 5, 100, bytes.len().max(1)] {
            for (mut follow, want) in [(Frames::of_app(), app), (Frames::of_terminal(), terminal)] {
                // Each piece is to be asked.
                let said = bytes.chunks(cut).filter(|piece| follow.says(piece)).count();
                assert_eq!(said > 0, want, "{:?} cut {cut}", &bytes[..bytes.len().min(20)]);
            }
        }
    }

    #[test]
    fn what_is_typed_counts_and_what_browsers_send_by_themselves_does_not() {
        let [text, binary, close, ping, pong] = [0x81, 0x82, 0x88, 0x89, 0x8a];
        check(&[frame(close, 2)], false, false);
        check(&[frame(ping, 0), frame(pong, 125)], false, false);
        check(&[frame(text, 40)], true, false);
        check(&[frame(binary, 1)], true, true);
        check(&[frame(text, 300), frame(pong, 4), frame(binary, 70_000)], true, true);
        check(&[frame(pong, 125), frame(text, 70_000), frame(close, 0)], true, false);
        // In pieces, with a control frame between.
        check(&[frame(0x01, 10), frame(pong, 3), frame(0x80, 200)], true, false);
        check(&[frame(0x02, 0), frame(0x80, 200)], true, true);
        // Not masked, or of no known kind: no WebSocket.
        check(&[vec![0x88, 0x02, 0, 0]], true, true);
        check(&[frame(0x83, 1)], true, true);
    }
}
