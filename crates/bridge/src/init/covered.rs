//! Stars in the place of secrets in a file that grows: lengths stay, and what turns out to be one only
//! when its end comes is covered where it lies.

use std::{borrow::Cow, rc::Rc};
use toft_model::mask::Mask;
use zeroize::Zeroizing;

/// See the module.
#[derive(Debug)]
pub(super) struct Covered {
    mask: Rc<Mask>,
    /// The last bytes that were written, one fewer than the longest value has.
    tail: Zeroizing<Vec<u8>>,
}

impl Covered {
    pub(super) fn new(mask: Rc<Mask>) -> Self {
        Self { mask, tail: Zeroizing::default() }
    }

    /// The next bytes as they may lie there, and what is to stand in the place of the last ones before
    /// them.
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> (Cow<'a, [u8]>, Vec<u8>) {
        if self.mask.is_empty() {
            return (Cow::Borrowed(bytes), Vec::new());
        }
        let before = self.tail.len();
        let mut window = Zeroizing::new([&self.tail[..], bytes].concat());
        let keep = self.mask.longest() - 1;
        self.tail = Zeroizing::new(window[window.len().saturating_sub(keep)..].to_vec());
        let places = self.mask.cover(&mut window);
        let seam = places.iter().map(|place| place.start).filter(|start| *start < before).min();
        let over = seam.map_or(Vec::new(), |start| window[start..before].to_vec());
        if places.is_empty() {
            return (Cow::Borrowed(bytes), over);
        }
        (Cow::Owned(window[before..].to_vec()), over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use toft_model::secret::{Environment, SecretText};

    proptest! {
        #[test]
        fn no_value_stays_in_the_file_however_it_came(
            before in "[a-c]{0,12}", after in "[a-c]{0,12}", cut in 1usize..9,
        ) {
            let vars = vec![("K".to_owned(), SecretText::new("abcabcd1"))];
            let mut covered = Covered::new(Rc::new(Mask::of(&Environment { revision: 1, vars })));
            let text = format!("{before}abcabcd1{after}abcabcd1{before}");
            let mut file: Vec<u8> = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                let at = file.len();
                let (bytes, over) = covered.next(piece);
                file.extend_from_slice(&bytes);
                file[at - over.len()..at].copy_from_slice(&over);
            }
            prop_assert_eq!(String::from_utf8(file), Ok(text.replace("abcabcd1", "********")));
        }
    }
}
