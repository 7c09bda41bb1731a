//! Takes values out of bytes that come in pieces, also values that are cut by them.

use super::needles::{Found, Needles};
use bytes::Bytes;
use std::sync::Arc;
use zeroize::Zeroizing;

/// See the module.
pub(super) struct Stream {
    needles: Arc<Needles>,
    /// Whether the length was announced: then what is shown is as long as what it stands for.
    keeps_length: bool,
    held: Zeroizing<Vec<u8>>,
}

impl Stream {
    pub(super) fn new(needles: Arc<Needles>, keeps_length: bool) -> Self {
        Self { needles, keeps_length, held: Zeroizing::default() }
    }

    /// The next piece; what may be the beginning of a value is kept for the one after it.
    pub(super) fn pass(&mut self, piece: Bytes) -> Bytes {
        if self.needles.is_empty() {
            return piece;
        }
        // Nearly always: nothing in it, nothing held, and it passes as it is.
        if self.held.is_empty() && self.needles.first(&piece).is_none() {
            let open = piece.len() - self.needles.open_end(&piece);
            self.held.extend_from_slice(&piece[open..]);
            return piece.slice(..open);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(&piece);
        let mut out = Vec::with_capacity(all.len());
        let mut rest = all.as_slice();
        loop {
            let open = rest.len() - self.needles.open_end(rest);
            // One that begins where the end is open may yet turn out to be a longer one.
            let found = self.needles.first(rest).filter(|found| found.at.start < open);
            let Some(Found { at, shown }) = found else {
                out.extend_from_slice(&rest[..open]);
                self.held.extend_from_slice(&rest[open..]);
                return out.into();
            };
            out.extend_from_slice(&rest[..at.start]);
            self.show(shown, at.len(), &mut out);
            rest = &rest[at.end..];
        }
    }

    /// What was kept, at the end.
    pub(super) fn rest(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        let mut out = Vec::with_capacity(held.len());
        let mut rest = held.as_slice();
        while let Some(Found { at, shown }) = self.needles.first(rest) {
            out.extend_from_slice(&rest[..at.start]);
            self.show(shown, at.len(), &mut out);
            rest = &rest[at.end..];
        }
        out.extend_from_slice(rest);
        out.into()
    }

    fn show(&self, shown: &[u8], length: usize, out: &mut Vec<u8>) {
        if !self.keeps_length {
            return out.extend_from_slice(shown);
        }
        out.extend(shown.iter().copied().chain(std::iter::repeat(b'*')).take(length));
    }
}

#[cfg(test)]
mod tests;
