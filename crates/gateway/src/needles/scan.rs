//! Where something may begin that is looked for: by pairs of bytes, most of which need not be looked at.

/// Bytes of anything that is looked for, at least.
pub(super) const BYTES_MIN: usize = 8;

/// A set of pairs of bytes.
pub(super) struct Pairs(Box<[u64; 1 << 10]>);

impl Default for Pairs {
    fn default() -> Self {
        Self(Box::new([0; 1 << 10]))
    }
}

impl Pairs {
    pub(super) fn add(&mut self, first: u8, second: u8) {
        let pair = u16::from_le_bytes([first, second]);
        self.0[usize::from(pair >> 6)] |= 1 << (pair & 63);
    }

    fn has(&self, first: u8, second: u8) -> bool {
        let pair = u16::from_le_bytes([first, second]);
        self.0[usize::from(pair >> 6)] >> (pair & 63) & 1 == 1
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Scan {
    /// What something may begin with.
    pub(super) first: Pairs,
    /// What may stand anywhere in its first [`BYTES_MIN`] bytes.
    pub(super) early: Pairs,
}

impl Scan {
    /// The next place, at `from` or after it, where something may begin.
    pub(super) fn next(&self, bytes: &[u8], from: usize) -> Option<usize> {
        const STEP: usize = BYTES_MIN - 1;
        let mut at = from;
        while let Some(&[.., first, second]) = bytes.get(at..at + BYTES_MIN) {
            // All that begins before the second of them has both in its first bytes.
            if self.early.has(first, second) {
                let begins = |at: &usize| self.first.has(bytes[*at], bytes[*at + 1]);
                if let Some(found) = (at..at + STEP).find(begins) {
                    return Some(found);
                }
            }
            at += STEP;
        }
        None
    }
}
