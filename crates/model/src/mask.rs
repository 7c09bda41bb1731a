//! Takes the values of secrets out of what programs print, so that a stray `env` does not hand them to
//! a model or write them into a conversation or a log. A guard against accidents: a program can still
//! disguise what it prints.

use crate::secret::{COUNT_MAX, Environment, SecretText, TOTAL_BYTES_MAX};
use memchr::memmem;
use std::{borrow::Cow, ops::Range};

/// Shorter values stand in ordinary text by chance (`true`, `8080`, `admin`).
const VALUE_BYTES_MIN: usize = 6;
/// Lines of a longer value (a key in PEM form) are looked for by themselves from this length on.
const LINE_BYTES_MIN: usize = 16;

/// What is looked for, the longest first. Empty when there are no secrets.
#[derive(Default)]
pub struct Mask(Vec<Needle>);

struct Needle {
    value: zeroize::Zeroizing<String>,
    shown: String,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask(…)")
    }
}

impl Mask {
    /// For these secrets.
    pub fn of(environment: &Environment) -> Self {
        Self::of_values(&environment.vars)
    }

    fn of_values(values: &[(String, SecretText)]) -> Self {
        let mut needles = Vec::new();
        for (name, value) in values {
            let value = value.expose();
            let shown = format!("[secret {name}]");
            let whole = [value.trim()].into_iter().filter(|v| v.len() >= VALUE_BYTES_MIN);
            let lines = value.lines().map(str::trim);
            let lines = lines.filter(|line| line.len() >= LINE_BYTES_MIN && *line != value.trim());
            // The first and last lines of such a key say only what it is.
            let lines = lines.filter(|line| !line.starts_with("-----"));
            needles.extend(whole.chain(lines).map(|text| Needle {
                value: zeroize::Zeroizing::new(text.to_owned()),
                shown: shown.clone(),
            }));
        }
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.value.len()));
        Self(needles)
    }

    /// The text, with names in the place of values.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for Needle { value, shown } in &self.0 {
            if memmem::find(text.as_bytes(), value.as_bytes()).is_some() {
                text = Cow::Owned(text.replace(value.as_str(), shown));
            }
        }
        text
    }

    /// Every text in a JSON value.
    pub fn json(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        match value {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.text(text) {
                    *text = masked;
                }
            }
            Value::Array(all) => all.iter_mut().for_each(|one| self.json(one)),
            Value::Object(all) => all.values_mut().for_each(|one| self.json(one)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of the longest value.
    pub fn longest(&self) -> usize {
        self.0.first().map_or(0, |needle| needle.value.len())
    }

    /// Puts stars in the place of values, byte for byte; says where.
    pub fn cover(&self, bytes: &mut [u8]) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        for Needle { value, .. } in &self.0 {
            let found = memmem::find_iter(bytes, value.as_bytes());
            places.extend(found.map(|at| at..at + value.len()));
        }
        for place in &places {
            bytes[place.clone()].fill(b'*');
        }
        places
    }

    /// The value that begins first, the longest of those that begin there.
    fn first(&self, bytes: &[u8]) -> Option<(usize, &Needle)> {
        let places = self
            .0
            .iter()
            .filter_map(|needle| Some((memmem::find(bytes, needle.value.as_bytes())?, needle)));
        places.min_by_key(|(at, _)| *at)
    }

    /// How many bytes at the end may be the beginning of a value.
    fn open_end(&self, bytes: &[u8]) -> usize {
        let begins = |needle: &Needle| {
            let value = needle.value.as_bytes();
            let most = bytes.len().min(value.len() - 1);
            (1..=most).rev().find(|n| value.starts_with(&bytes[bytes.len() - n..]))
        };
        self.0.iter().filter_map(begins).max().unwrap_or(0)
    }
}

/// Values that are kept in mind: all of a project, each replaced three times where they are short.
const HEARD_MAX: usize = 4 * COUNT_MAX;
const HEARD_BYTES_MAX: usize = 2 * TOTAL_BYTES_MAX;

/// All values that somebody has heard of, newest last: one that was replaced is secret for as long as
/// nobody has revoked it, and programs that run still have it.
#[derive(Debug, Default)]
pub struct Heard(Vec<(String, SecretText)>);

impl Heard {
    /// These hold now. The oldest ones are forgotten when they become too many.
    pub fn take(&mut self, values: &[(String, SecretText)]) {
        self.0.retain(|known| !values.contains(known));
        self.0.extend(values.iter().cloned());
        let mut bytes = 0;
        let fits = self.0.iter().rev().take(HEARD_MAX).take_while(|(_, value)| {
            bytes += value.expose().len();
            bytes <= HEARD_BYTES_MAX
        });
        let kept = fits.count();
        self.0.drain(..self.0.len() - kept);
    }

    /// Those that are not among these: they held before.
    pub fn before(&self, now: &[(String, SecretText)]) -> Vec<(String, SecretText)> {
        self.0.iter().filter(|known| !now.contains(known)).cloned().collect()
    }

    /// Takes all of them out of what is shown.
    pub fn mask(&self) -> Mask {
        Mask::of_values(&self.0)
    }
}

/// Masks text that comes in pieces, also values that are cut by them.
#[derive(Debug, Default)]
pub struct Pieces {
    held: zeroize::Zeroizing<String>,
}

impl Pieces {
    /// The next piece; what may be the beginning of a value is kept for the one after it.
    pub fn pass(&mut self, mask: &Mask, piece: String) -> String {
        if mask.0.is_empty() && self.held.is_empty() {
            return piece;
        }
        let mut all = std::mem::take(&mut self.held);
        all.push_str(&piece);
        let (mut rest, mut masked) = (all.as_str(), String::with_capacity(all.len()));
        loop {
            let open = rest.len() - mask.open_end(rest.as_bytes());
            // One that begins where the end is open may yet turn out to be a longer one.
            let Some((at, needle)) = mask.first(rest.as_bytes()).filter(|(at, _)| *at < open)
            else {
                masked.push_str(&rest[..open]);
                self.held.push_str(&rest[open..]);
                return masked;
            };
            masked.push_str(&rest[..at]);
            masked.push_str(&needle.shown);
            rest = &rest[at + needle.value.len()..];
        }
    }

    /// What was kept, at the end.
    pub fn rest(&mut self, mask: &Mask) -> String {
        let held = std::mem::take(&mut self.held);
        mask.text(&held).into_owned()
    }
}

/// Puts stars in the place of values in bytes that come in pieces: lengths stay, so positions in a log
/// are those of what was printed.
#[derive(Debug, Default)]
pub struct Stars {
    held: zeroize::Zeroizing<Vec<u8>>,
}

impl Stars {
    /// The next piece; what may be the beginning of a value is kept for the one after it.
    pub fn pass(&mut self, mask: &Mask, piece: &[u8]) -> Vec<u8> {
        if mask.is_empty() && self.held.is_empty() {
            return piece.to_vec();
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let open = all.len() - mask.open_end(&all[at..]);
            let Some((first, needle)) =
                mask.first(&all[at..]).filter(|(first, _)| at + first < open)
            else {
                self.held.extend_from_slice(&all[open..]);
                return all[..open].to_vec();
            };
            let end = at + first + needle.value.len();
            all[at + first..end].fill(b'*');
            at = end;
        }
    }

    /// What was kept, at the end.
    pub fn rest(&mut self, mask: &Mask) -> Vec<u8> {
        let mut held = std::mem::take(&mut self.held);
        mask.cover(&mut held);
        held.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mask(vars: &[(&str, &str)]) -> Mask {
        let vars = vars.iter().map(|(n, v)| ((*n).to_owned(), SecretText::new(*v))).collect();
        Mask::of(&Environment { vars, ..Environment::default() })
    }

    #[test]
    fn what_was_replaced_stays_masked_until_it_is_too_much() {
        let one = |value: &str| vec![("A".to_owned(), SecretText::new(value))];
        let mut heard = Heard::default();
        heard.take(&one("first-value"));
        heard.take(&one("second-value"));
        assert_eq!(heard.mask().text("first-value second-value"), "[secret A] [secret A]");
        assert_eq!(heard.before(&one("second-value")), one("first-value"));
        for n in 0..1_000 {
            heard.take(&one(&format!("value-{n}")));
        }
        assert_eq!(heard.before(&[]).len(), HEARD_MAX);
        assert_eq!(heard.mask().text("value-999"), "[secret A]");
        for letter in ["x", "y", "z"] {
            heard.take(&one(&letter.repeat(TOTAL_BYTES_MAX)));
        }
        assert_eq!(heard.before(&[]).len(), 2);
    }

    #[test]
    fn names_stand_for_values_and_short_values_stay() {
        let mask = mask(&[("KEY", "sk-canary-1"), ("LONG", "sk-canary-12"), ("ON", "true")]);
        let said = mask.text("a sk-canary-12 b sk-canary-1 true");
        assert_eq!(said, "a [secret LONG] b [secret KEY] true");
        let mut value = serde_json::json!({"a": ["x sk-canary-1"], "b": 1});
        mask.json(&mut value);
        assert_eq!(value["a"][0], "x [secret KEY]");
    }

    #[test]
    fn lines_of_a_key_are_masked_one_by_one() {
        let pem = "-----BEGIN KEY-----\nAAAABBBBCCCCDDDD\nshort\n-----END KEY-----\n";
        let mask = mask(&[("PEM", pem)]);
        assert_eq!(mask.text("AAAABBBBCCCCDDDD"), "[secret PEM]");
        assert_eq!(mask.text(pem.trim()), "[secret PEM]");
        assert_eq!(mask.text("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
    }

    proptest! {
        #[test]
        fn a_value_never_passes_however_it_is_cut(
            before in "[a-c]{0,12}", after in "[a-c]{0,12}", cuts in prop::collection::vec(1usize..5, 1..40),
        ) {
            let value = "abcabcä1";
            let mask = mask(&[("K", value)]);
            let text: Vec<char> = format!("{before}{value}{after}{value}").chars().collect();
            let (mut pieces, mut at, mut said) = (Pieces::default(), 0, String::new());
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(text.len());
                said.push_str(&pieces.pass(&mask, text[at..end].iter().collect()));
                at = end;
                if at == text.len() {
                    break;
                }
            }
            said.push_str(&pieces.rest(&mask));
            prop_assert_eq!(said, format!("{before}[secret K]{after}[secret K]"));
        }

        #[test]
        fn stars_are_as_long_as_what_they_stand_for(
            before in "[a-c]{0,12}", after in "[a-c]{0,12}", cut in 1usize..9,
        ) {
            let value = "abcabcd1";
            let mask = mask(&[("K", value), ("L", "abcabcd12")]);
            let text = format!("{before}{value}{after}{value}");
            let mut stars = Stars::default();
            let mut said: Vec<u8> =
                text.as_bytes().chunks(cut).flat_map(|c| stars.pass(&mask, c)).collect();
            said.extend(stars.rest(&mask));
            prop_assert_eq!(String::from_utf8(said), Ok(text.replace(value, "********")));
            let mut whole = text.clone().into_bytes();
            mask.cover(&mut whole);
            prop_assert_eq!(String::from_utf8(whole), Ok(text.replace(value, "********")));
        }
    }
}
