//! Takes a key out of an answer that echoes it. The machine must never see it, and some providers
//! repeat it in error texts. Masked byte for byte, so lengths stay true; an answer without the key
//! passes untouched and is not copied.

use bytes::{Bytes, BytesMut};
use memchr::{memchr_iter, memmem};
use toft_vault::Secret;
use zeroize::Zeroizing;

/// Keys shorter than this could stand in any text by chance; none that a provider gives out is.
const KEY_BYTES_MIN: usize = 8;

/// Whether a text holds a key that is looked for at all.
pub(crate) fn holds(text: &[u8], key: &Secret) -> bool {
    let key = key.expose().as_bytes();
    key.len() >= KEY_BYTES_MIN && memmem::find(text, key).is_some()
}

/// Watches one answer for one key, also when chunks cut through it: bytes that may be its beginning
/// are held back until more of them, or the end, say what they are.
pub(crate) struct Mask {
    key: Secret,
    held: Zeroizing<Vec<u8>>,
}

impl Mask {
    pub(crate) fn new(key: Secret) -> Self {
        Self { key, held: Zeroizing::default() }
    }

    /// The next bytes that may pass, masked where needed, and whether that was needed.
    pub(crate) fn pass(&mut self, data: Bytes) -> (Bytes, bool) {
        let key = self.key.expose().as_bytes();
        if key.len() < KEY_BYTES_MIN {
            return (data, false);
        }
        let mut data = if self.held.is_empty() {
            data
        } else {
            self.held.extend_from_slice(&data);
            Bytes::from(std::mem::take(&mut *self.held))
        };
        let places: Vec<usize> = memmem::find_iter(&data, key).collect();
        let from = places.last().map_or(0, |at| at + key.len());
        let open = open_end(&data[from..], key);
        self.held.extend_from_slice(&data[data.len() - open..]);
        data.truncate(data.len() - open);
        if places.is_empty() {
            return (data, false);
        }
        let mut masked = BytesMut::from(&data[..]);
        for at in places {
            masked[at..at + key.len()].fill(b'*');
        }
        (masked.freeze(), true)
    }

    /// How many bytes are held back.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Those, when no more come: they were no key.
    pub(crate) fn rest(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut *self.held))
    }
}

/// How many bytes at the end are the beginning of the key, and not all of it.
fn open_end(bytes: &[u8], key: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(key.len() - 1)..];
    let begins = |at: &usize| key.starts_with(&tail[*at..]);
    memchr_iter(key[0], tail).find(begins).map_or(0, |at| tail.len() - at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "sk-canary-0123";

    fn pass(text: &[u8], cut: usize) -> Vec<u8> {
        let mut mask = Mask::new(Secret::new(KEY));
        let mut got: Vec<u8> = text
            .chunks(cut)
            .flat_map(|c| mask.pass(Bytes::copy_from_slice(c)).0.to_vec())
            .collect();
        assert!(mask.held() < KEY.len());
        got.extend(mask.rest());
        got
    }

    proptest! {
        #[test]
        fn no_part_of_a_key_passes_however_it_is_cut(
            before in "[a-z]{0,30}", after in "(sk-canary|[a-z]){0,30}", cut in 1usize..50,
        ) {
            let text = format!("{before}{KEY}{after}{KEY}{KEY}{after}");
            let masked = text.replace(KEY, &"*".repeat(KEY.len()));
            prop_assert_eq!(String::from_utf8(pass(text.as_bytes(), cut)).unwrap(), masked);
        }

        #[test]
        fn an_answer_without_the_key_passes_unchanged(
            text in prop::collection::vec(any::<u8>(), 0..300), cut in 1usize..50,
        ) {
            prop_assert_eq!(pass(&text, cut), text);
        }
    }

    #[test]
    fn only_what_may_begin_a_key_is_held_back() {
        let mut mask = Mask::new(Secret::new(KEY));
        for (data, passed, held) in [
            ("data: {}\n\n", "data: {}\n\n", 0),
            ("so is", "so i", 1),
            ("n", "sn", 0),
            ("s", "", 1),
            ("sk-can", "s", 6),
            ("ary-0123", "**************", 0),
            ("sk-canary-012", "", 13),
            ("4", "sk-canary-0124", 0),
        ] {
            let (got, _) = mask.pass(Bytes::from_static(data.as_bytes()));
            assert_eq!((&got[..], mask.held()), (passed.as_bytes(), held), "{data:?}");
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
