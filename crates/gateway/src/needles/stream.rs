//! Takes values out of bytes that come in pieces, also values that are cut by them.

use super::look::Look;
use bytes::Bytes;
use zeroize::Zeroizing;

/// See the module.
pub(crate) struct Stream {
    look: Look,
    /// Whether the length was announced: then what is shown is as long as what it stands for.
    keeps_length: bool,
    held: Zeroizing<Vec<u8>>,
}

impl Stream {
    pub(crate) fn new(look: Look, keeps_length: bool) -> Self {
        Self { look, keeps_length, held: Zeroizing::default() }
    }

    /// The next piece; what may be the beginning of a value is kept for the one after it.
    pub(crate) fn pass(&mut self, piece: Bytes) -> Bytes {
        if self.look.is_empty() {
            return piece;
        }
        // Nearly always: nothing in it, nothing held, and it passes as it is.
        if self.held.is_empty() && self.look.first(&piece).is_none() {
            let open = piece.len() - self.look.open_end(&piece);
            self.held.extend_from_slice(&piece[open..]);
            return piece.slice(..open);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(&piece);
        let mut out = Vec::with_capacity(all.len());
        let mut rest = all.as_slice();
        loop {
            let open = rest.len() - self.look.open_end(rest);
            // One that begins where the end is open may yet turn out to be a longer one.
            let found = self.look.first(rest).filter(|found| found.at.start < open);
            let Some(found) = found else {
                out.extend_from_slice(&rest[..open]);
                self.held.extend_from_slice(&rest[open..]);
                return out.into();
            };
            out.extend_from_slice(&rest[..found.at.start]);
            self.look.take(&found, self.keeps_length, &mut out);
            rest = &rest[found.at.end..];
        }
    }

    /// Whether nothing is kept.
    pub(crate) fn is_open(&self) -> bool {
        self.held.is_empty()
    }

    /// How much is kept.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// What was kept, at the end. Where that may be no end but a break it must not be asked for.
    pub(crate) fn rest(&mut self) -> Bytes {
        let mut held = std::mem::take(&mut self.held);
        match self.look.replaced(&held, self.keeps_length) {
            Some(replaced) => replaced.into(),
            None => std::mem::take(&mut *held).into(),
        }
    }
}

#[cfg(test)]
mod tests;
