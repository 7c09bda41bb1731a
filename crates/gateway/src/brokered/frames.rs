//! What a host says in a WebSocket (RFC 6455 §5), message by message without values. A message keeps its
//! length; where it is cut into frames may change, as the protocol lets everybody between do who knows
//! of no extension. What the machine says is not read.

use crate::needles::{Look, Stream};
use zeroize::Zeroizing;

/// A frame up to this is read whole, so that ordinary messages stay in one piece.
const WHOLE_BYTES_MAX: u64 = 64 << 10;
/// Two bytes, and the longest length.
const HEAD_BYTES_MAX: usize = 10;
/// Of a frame that controls (§5.5).
const CONTROL_BYTES_MAX: u64 = 125;

const CONTINUATION: u8 = 0;
const CLOSE: u8 = 8;
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;

/// Why what a host says is no WebSocket that can be looked through.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Odd {
    /// Of an extension: compressed, most likely.
    #[error("a frame is of an extension that was not asked for")]
    Extension,
    /// Hosts must not mask.
    #[error("a frame is masked")]
    Masked,
    /// Not a kind of frame, or not here.
    #[error("a frame is not of a kind that may come here")]
    Kind,
    /// Longer than there are lengths.
    #[error("a frame has no length")]
    Length,
}

/// Says that the host broke the protocol (RFC 6455 §7.4.1).
const PROTOCOL_ERROR: u16 = 1002;

impl Odd {
    /// The frame that tells the machine so.
    pub(crate) fn told(&self) -> Vec<u8> {
        let why = format!("Toft cannot look through what the host says: {self}.");
        let mut out = Vec::new();
        write(true, CLOSE, &[&PROTOCOL_ERROR.to_be_bytes(), why.as_bytes()].concat(), &mut out);
        out
    }
}

/// See the module.
pub(crate) struct Frames {
    look: Look,
    head: Vec<u8>,
    /// The frame that is coming.
    frame: Option<Frame>,
    /// What has come of it, where it is read whole.
    whole: Zeroizing<Vec<u8>>,
    /// The message that is coming.
    message: Option<Message>,
}

#[derive(Clone, Copy)]
struct Frame {
    fin: bool,
    opcode: u8,
    left: u64,
    is_whole: bool,
}

struct Message {
    stream: Stream,
    /// Of its next frame.
    opcode: u8,
}

impl Frames {
    pub(crate) fn new(look: Look) -> Self {
        let (head, whole) = (Vec::with_capacity(HEAD_BYTES_MAX), Zeroizing::default());
        Self { look, head, frame: None, whole, message: None }
    }

    /// Takes bytes as they come; adds to `out` what may be passed on.
    pub(crate) fn pass(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Odd> {
        while !bytes.is_empty() {
            let Some(frame) = &mut self.frame else {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                let Some(frame) = Frame::of(&self.head)? else { continue };
                self.head.clear();
                self.begin(frame)?;
                if frame.left == 0 {
                    self.payload(frame, &[], out);
                }
                continue;
            };
            let left = usize::try_from(frame.left).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(left.min(bytes.len()));
            bytes = rest;
            frame.left -= piece.len() as u64;
            let frame = *frame;
            self.payload(frame, piece, out);
        }
        Ok(())
    }

    /// A frame begins, if it may here.
    fn begin(&mut self, frame: Frame) -> Result<(), Odd> {
        match (frame.opcode, &self.message) {
            (CLOSE.., _) | (CONTINUATION, Some(_)) => {}
            (CONTINUATION, None) | (_, Some(_)) => return Err(Odd::Kind),
            (opcode, None) => {
                let stream = Stream::new(self.look.clone(), true);
                self.message = Some(Message { stream, opcode });
            }
        }
        self.frame = Some(frame);
        Ok(())
    }

    /// A piece of a frame; of its end, when nothing is left of it.
    fn payload(&mut self, frame: Frame, piece: &[u8], out: &mut Vec<u8>) {
        let ends = frame.left == 0;
        if frame.is_whole {
            self.whole.extend_from_slice(piece);
            if !ends {
                return;
            }
        }
        if ends {
            self.frame = None;
        }
        let whole = std::mem::take(&mut self.whole);
        let payload = if frame.is_whole { &*whole } else { piece };
        if frame.opcode >= CLOSE {
            let masked = self.look.replaced(payload, true);
            return write(true, frame.opcode, masked.as_deref().unwrap_or(payload), out);
        }
        let Some(message) = &mut self.message else { return };
        let mut shown = message.stream.pass(bytes::Bytes::copy_from_slice(payload));
        let fin = ends && frame.fin;
        if fin {
            let rest = message.stream.rest();
            if !rest.is_empty() {
                shown = [shown, rest].concat().into();
            }
        }
        if fin || !shown.is_empty() {
            write(fin, message.opcode, &shown, out);
            message.opcode = CONTINUATION;
        }
        if fin {
            self.message = None;
        }
    }
}

impl Frame {
    /// What a head says, once all of it has come.
    fn of(head: &[u8]) -> Result<Option<Self>, Odd> {
        let [kind, rest @ ..] = head else { return Ok(None) };
        if kind & RESERVED != 0 {
            return Err(Odd::Extension);
        }
        let (fin, opcode) = (kind & FIN != 0, kind & OPCODE);
        if !matches!(opcode, 0..=2 | 8..=10) || (opcode >= CLOSE && !fin) {
            return Err(Odd::Kind);
        }
        let [length, rest @ ..] = rest else { return Ok(None) };
        if length & MASKED != 0 {
            return Err(Odd::Masked);
        }
        let left = match (*length, rest) {
            (short @ 0..=125, []) => u64::from(short),
            (126, &[a, b]) => u64::from(u16::from_be_bytes([a, b])),
            (127, rest) if rest.len() == 8 => {
                rest.iter().fold(0, |length, byte| length << 8 | u64::from(*byte))
            }
            _ => return Ok(None),
        };
        if left >> 63 != 0 || (opcode >= CLOSE && left > CONTROL_BYTES_MAX) {
            return Err(Odd::Length);
        }
        Ok(Some(Self { fin, opcode, left, is_whole: left <= WHOLE_BYTES_MAX }))
    }
}

/// Adds a frame.
fn write(fin: bool, opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(if fin { FIN | opcode } else { opcode });
    let length = payload.len() as u64;
    if let Ok(short) = u8::try_from(length)
        && short < 126
    {
        out.push(short);
    } else if let Ok(middle) = u16::try_from(length) {
        out.push(126);
        out.extend_from_slice(&middle.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&length.to_be_bytes());
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests;
