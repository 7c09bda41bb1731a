//! Takes a key out of an answer that echoes it. The machine must never see it, and some providers
//! repeat it in error texts. Masked byte for byte, so lengths stay true; an answer without the key
//! passes untouched and is not copied.

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use toft_vault::Secret;
use zeroize::Zeroizing;

/// Keys shorter than this could stand in any text by chance; none that a provider gives out is.
const KEY_BYTES_MIN: usize = 8;

/// Whether a text holds a key that is looked for at all.
pub(crate) fn holds(text: &[u8], key: &Secret) -> bool {
    let key = key.expose().as_bytes();
    key.len() >= KEY_BYTES_MIN && memmem::find(text, key).is_some()
}

/// Watches one answer for one key, also when chunks cut through it: then the part in the last of
/// them is masked.
pub(crate) struct Mask {
    key: Secret,
    /// The last bytes that passed, one fewer than the key has.
    tail: Zeroizing<Vec<u8>>,
}

impl Mask {
    pub(crate) fn new(key: Secret) -> Self {
        Self { key, tail: Zeroizing::default() }
    }

    /// The next bytes, masked where needed, and whether that was needed.
    pub(crate) fn pass(&mut self, data: Bytes) -> (Bytes, bool) {
        let key = self.key.expose().as_bytes();
        if key.len() < KEY_BYTES_MIN || data.is_empty() {
            return (data, false);
        }
        let mut places: Vec<(usize, usize)> =
            memmem::find_iter(&data, key).map(|at| (at, at + key.len())).collect();
        let head = data.len().min(key.len() - 1);
        let seam = Zeroizing::new([&self.tail[..], &data[..head]].concat());
        if let Some(at) = memmem::rfind(&seam, key) {
            // It begins in the tail (the head alone is too short): what lies in this chunk goes.
            places.push((0, at + key.len() - self.tail.len()));
        }
        self.remember(&data);
        if places.is_empty() {
            return (data, false);
        }
        let mut masked = BytesMut::from(&data[..]);
        for (from, to) in places {
            masked[from..to].fill(b'*');
        }
        (masked.freeze(), true)
    }

    fn remember(&mut self, data: &[u8]) {
        let keep = self.key.expose().len() - 1;
        if data.len() >= keep {
            self.tail.clear();
            self.tail.extend_from_slice(&data[data.len() - keep..]);
        } else {
            let drop = (self.tail.len() + data.len()).saturating_sub(keep);
            self.tail.drain(..drop);
            self.tail.extend_from_slice(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "sk-canary-0123";

    fn pass(text: &[u8], cut: usize) -> Vec<u8> {
        let mut mask = Mask::new(Secret::new(KEY));
        text.chunks(cut).flat_map(|c| mask.pass(Bytes::copy_from_slice(c)).0.to_vec()).collect()
    }

    proptest! {
        #[test]
        fn the_whole_key_never_passes_however_it_is_cut(
            before in "[a-z]{0,30}", after in "[a-z]{0,30}", cut in 1usize..50,
        ) {
            let text = format!("{before}{KEY}{after}{KEY}{KEY}");
            let got = pass(text.as_bytes(), cut);
            prop_assert_eq!(got.len(), text.len());
            prop_assert!(memmem::find(&got, KEY.as_bytes()).is_none());
            prop_assert!(got.starts_with(before.as_bytes()));
        }

        #[test]
        fn an_answer_without_the_key_passes_unchanged(
            text in prop::collection::vec(any::<u8>(), 0..300), cut in 1usize..50,
        ) {
            prop_assert_eq!(pass(&text, cut), text);
        }
    }

    #[test]
    fn nothing_is_masked_for_a_key_that_any_text_could_hold() {
        let mut mask = Mask::new(Secret::new("none"));
        let (same, hit) = mask.pass(Bytes::from_static(b"none of it"));
        assert_eq!((&same[..], hit), (&b"none of it"[..], false));
        assert!(holds(format!("a {KEY}").as_bytes(), &Secret::new(KEY)));
        for short in ["none", ""] {
            assert!(!holds(b"none of it", &Secret::new(short)), "{short:?}");
        }
    }
}
