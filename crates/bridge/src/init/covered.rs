//! Stars in the place of secrets in a file that grows: lengths stay, and what turns out to be one only
//! when its end comes is covered where it lies.

use std::{borrow::Cow, rc::Rc};
use toft_model::mask::Mask;
use zeroize::Zeroizing;

/// See the module.
#[derive(Debug)]
pub(super) struct Covered {
    mask: Rc<Mask>,
    /// The last bytes that came, one fewer than the longest value has.
    tail: Zeroizing<Vec<u8>>,
    /// The same as they lie in the file: stars that stand there stay, also those of a value whose
    /// beginning is no longer held.
    shown: Vec<u8>,
}

impl Covered {
    pub(super) fn new(mask: Rc<Mask>) -> Self {
        Self { mask, tail: Zeroizing::default(), shown: Vec::new() }
    }

    /// The next bytes as they may lie there, and what is to stand in the place of the last ones before
    /// them.
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> (Cow<'a, [u8]>, Vec<u8>) {
        if self.mask.is_empty() {
            return (Cow::Borrowed(bytes), Vec::new());
        }
        let before = self.tail.len();
        let mut window = Zeroizing::new([&self.tail[..], bytes].concat());
        let mut shown = [&self.shown[..], bytes].concat();
        let from = window.len().saturating_sub(self.mask.longest() - 1);
        self.tail = Zeroizing::new(window[from..].to_vec());
        // What came is searched, so that a value is found whole although one inside it was covered
        // before its end came.
        for place in self.mask.cover(&mut window) {
            shown[place].fill(b'*');
        }
        let seam = (0..before).find(|at| shown[*at] != self.shown[*at]);
        let over = seam.map_or(Vec::new(), |start| shown[start..before].to_vec());
        self.shown = shown[from..].to_vec();
        if shown[before..] == *bytes {
            return (Cow::Borrowed(bytes), over);
        }
        (Cow::Owned(shown[before..].to_vec()), over)
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
            let mut covered = Covered::new(Rc::new(Mask::of(&Environment { vars, ..Environment::default() })));
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

        #[test]
        fn one_value_inside_another_or_across_it_uncovers_nothing(
            parts in prop::collection::vec(0usize..8, 1..12), cut in 1usize..24,
        ) {
            let values = ["xx-abcdef-ghijkl-yy", "abcdef", "ghijkl-yy", "f-ghij", "yy12345"];
            let texts = [values[0], values[1], values[2], values[3], values[4], " ", "xx-", "-yy"];
            let vars = values.iter().map(|v| ((*v).to_owned(), SecretText::new(*v))).collect();
            let mut covered = Covered::new(Rc::new(Mask::of(&Environment { vars, ..Environment::default() })));
            let text: String = parts.iter().map(|part| texts[*part]).collect();
            let mut wanted = text.clone().into_bytes();
            for value in values {
                for (at, _) in text.match_indices(value) {
                    wanted[at..at + value.len()].fill(b'*');
                }
            }
            let mut file: Vec<u8> = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                let at = file.len();
                let (bytes, over) = covered.next(piece);
                file.extend_from_slice(&bytes);
                file[at - over.len()..at].copy_from_slice(&over);
            }
            prop_assert_eq!(String::from_utf8(file), String::from_utf8(wanted));
        }
    }
}
