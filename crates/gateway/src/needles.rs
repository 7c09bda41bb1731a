//! What is looked for in answers: values that programs must not see, as they are and as programs write
//! them. Each value stands for a few texts (itself, in base64, as hex), and each character of a text for the
//! ways in which it may be escaped, also twice over and each in another way. What a host makes of a value
//! otherwise cannot be known.

mod look;
mod scan;
mod stream;
mod written;

pub(crate) use look::Look;
pub(crate) use stream::Stream;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use scan::{BYTES_MIN, Scan};
use std::ops::Range;
use toft_model::id::hex;
use written::{ESCAPED, ESCAPES, HEX, WAYS};
use zeroize::Zeroizing;

/// Bits of a character of base64.
const BASE64_BITS: usize = 6;
/// What stands in base64 for a part of a value: stars, as it is read.
const BASE64_STARS: &[u8; 4] = b"Kioq";

/// Shorter values are looked for only as they are: in big or small letters they could be words.
const CASED_BYTES_MIN: usize = 16;

/// Places in which reading a text may have come to: more than one where a value itself looks escaped.
const PLACES_MAX: usize = 8;

/// Characters of a key that are known to everybody, and a few that are tried quickly (`sk_live_` and four).
const PUBLIC_CHARS: usize = 12;

/// How many characters are compared for each byte of an answer before a part of a value counts as the
/// whole: a host can be made to say what begins like a value over and over.
const EFFORT: usize = 32;
/// What such a part is at least.
const PART_CHARS_MIN: usize = 64;

/// See the module.
#[derive(Default)]
pub(crate) struct Needles {
    texts: Vec<Text>,
    /// By the two bytes that they may begin with if their first character is not escaped, in order.
    begins: Vec<([u8; 2], usize)>,
    /// By that character, in order, if it may be.
    escaped: Vec<(u8, usize)>,
    scan: Scan,
    longest: usize,
}

/// One way of writing a value, before it is escaped.
struct Text {
    chars: Zeroizing<Vec<u8>>,
    kind: Kind,
    /// What is shown in its place; the other when it was found in UTF-16, or in big hex.
    shown: [Vec<u8>; 2],
    /// Which of the values it is.
    of: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Only what is neither letter nor digit is escaped.
    Base64,
    /// Each character is a pair of digits.
    Hex,
}

/// One that was found.
pub(crate) struct Found<'a> {
    pub(crate) at: Range<usize>,
    pub(crate) shown: &'a [u8],
    /// Which of the values, counted from nothing.
    pub(crate) of: usize,
}

impl Needles {
    /// For values, each with what is shown in its place. Those of less than 8 bytes could stand in any text
    /// by chance, and are not looked for.
    pub(crate) fn new<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut needles = Self::default();
        for (of, (value, shown)) in pairs.enumerate() {
            if value.len() >= BYTES_MIN && value.is_ascii() {
                for text in texts(value, shown, of) {
                    needles.add(text);
                }
            }
        }
        needles.begins.sort_unstable();
        needles.begins.dedup();
        needles.escaped.sort_unstable();
        needles
    }

    fn add(&mut self, text: Text) {
        let same = |known: &Text| known.kind == text.kind && known.chars == text.chars;
        if self.texts.iter().any(same) {
            return;
        }
        self.longest = self.longest.max(text.longest());
        for nth in 0..BYTES_MIN {
            let next = text.begins(nth + 1);
            let mut add = |first: u8, second: u8| {
                self.scan.early.add(first, second);
            };
            let mut ends = Vec::new();
            for way in text.ways(nth) {
                for pair in way.windows(2) {
                    cases(pair[0], |first| cases(pair[1], |second| add(first, second)));
                }
                cases(way[way.len() - 1], |end| ends.push(end));
            }
            if text.kind != Kind::Hex {
                ends.push(text.chars[nth]);
            }
            ends.sort_unstable();
            ends.dedup();
            for &end in &ends {
                for &next in &next {
                    add(end, next);
                }
            }
            // In UTF-16.
            next.iter().filter(|&&next| next != 0).for_each(|&next| add(0, next));
        }
        let place = self.texts.len();
        let first = text.chars[0];
        if text.kind == Kind::Hex {
            for way in text.ways(0) {
                cases(way[0], |a| cases(way[1], |b| self.begins.push(([a, b], place))));
            }
        } else {
            text.begins(1).iter().for_each(|&next| self.begins.push(([first, next], place)));
            self.escaped.extend((!text.ways(0).is_empty()).then_some((first, place)));
        }
        for (pair, _) in &self.begins {
            self.scan.first.add(pair[0], pair[1]);
        }
        for way in text.ways(0) {
            match way[..] {
                [a] => text.begins(1).iter().for_each(|&next| self.scan.first.add(a, next)),
                [a, b, ..] => cases(a, |a| cases(b, |b| self.scan.first.add(a, b))),
                [] => {}
            }
        }
        self.texts.push(text);
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The one that begins first, the longest of those.
    pub(crate) fn first(&self, bytes: &[u8]) -> Option<Found<'_>> {
        self.find(bytes, false)
    }

    /// The same, in what nothing follows: then it may also be a value whose end is missing. Less than
    /// half of one is left as it is: else a program that makes a host say guesses back could try a value
    /// character by character. Half of one nobody guesses at once.
    pub(crate) fn first_of_end(&self, bytes: &[u8]) -> Option<Found<'_>> {
        self.find(bytes, true)
    }

    fn find(&self, bytes: &[u8], is_end: bool) -> Option<Found<'_>> {
        let (mut from, mut effort) = (0, 0);
        while let Some(at) = self.scan.next(bytes, from) {
            let mut best: Option<(usize, &Text)> = None;
            let mut look = |place: usize| {
                let text = &self.texts[place];
                let read = text.read(bytes, at);
                effort += read.chars;
                let counts = match read.stops {
                    Stops::Whole => true,
                    Stops::End => is_end && read.chars >= PUBLIC_CHARS.max(text.chars.len() / 2),
                    Stops::Differs => false,
                };
                let is_much = read.chars >= PART_CHARS_MIN && effort / EFFORT > at + PART_CHARS_MIN;
                if (counts || is_much) && best.is_none_or(|(end, _)| end < read.end) {
                    best = Some((read.end, text));
                }
            };
            let pair = [bytes[at], bytes[at + 1]];
            with(&self.begins, &pair).for_each(&mut look);
            if ESCAPES.contains(&bytes[at]) {
                WAYS.read(&bytes[at..], |c, _| with(&self.escaped, &c).for_each(&mut look));
            }
            if let Some((end, text)) = best {
                let shown = text.shown(&bytes[at..end]);
                return Some(Found { at: at..end, shown, of: text.of });
            }
            from = at + 1;
        }
        None
    }

    /// How many bytes at the end may be the beginning of one. Whether they look like it does not matter:
    /// else a program that makes a host say guesses back would see by the pieces of the answer how much of
    /// one is right. No value, in no form, has an end of line in it, so lines pass as they come.
    pub(crate) fn open_end(&self, bytes: &[u8]) -> usize {
        let end = &bytes[bytes.len().saturating_sub(self.longest.saturating_sub(1))..];
        memchr::memrchr(b'\n', end).map_or(end.len(), |at| end.len() - at - 1)
    }
}

/// How far a text was read.
struct Read {
    chars: usize,
    end: usize,
    stops: Stops,
}

enum Stops {
    /// All of it is there.
    Whole,
    /// The bytes end before it does.
    End,
    /// It is something else.
    Differs,
}

impl Text {
    /// How a character may be written other than as it is.
    fn ways(&self, nth: usize) -> &'static [Vec<u8>] {
        let c = self.chars[nth];
        match self.kind {
            Kind::Hex if nth == 0 => &HEX[usize::from(c)][..1],
            Kind::Hex => &HEX[usize::from(c)],
            Kind::Base64 if c.is_ascii_alphanumeric() => &[],
            Kind::Base64 | Kind::Plain => &ESCAPED[usize::from(c)],
        }
    }

    /// What a character, and what may stand before it, may begin with.
    fn begins(&self, nth: usize) -> Vec<u8> {
        let mut begins = Vec::new();
        if nth < self.chars.len() {
            self.ways(nth).iter().for_each(|way| cases(way[0], |first| begins.push(first)));
            if self.kind != Kind::Hex {
                begins.extend([self.chars[nth], 0]);
            }
        }
        begins.sort_unstable();
        begins.dedup();
        begins
    }

    /// Bytes that it may take.
    fn longest(&self) -> usize {
        let of = |nth| self.ways(nth).iter().map(Vec::len).max().unwrap_or(1).max(2);
        (0..self.chars.len()).map(of).sum()
    }

    fn shown(&self, found: &[u8]) -> &[u8] {
        let is_other = match self.kind {
            Kind::Plain => found.contains(&0),
            Kind::Hex => found.iter().any(u8::is_ascii_uppercase),
            Kind::Base64 => false,
        };
        &self.shown[usize::from(is_other)]
    }

    /// Reads it from this place on, as far as it is there.
    fn read(&self, bytes: &[u8], at: usize) -> Read {
        let mut now = Places::default();
        now.add(at);
        for nth in 0..self.chars.len() {
            let mut next = Places::default();
            for &at in now.all() {
                self.step(nth, bytes, at, |end| next.add(end));
            }
            if next.all().is_empty() {
                let ends = now.all().iter().any(|&at| self.may_go_on(nth, &bytes[at..]));
                let stops = if ends { Stops::End } else { Stops::Differs };
                let end = if ends { bytes.len() } else { now.last() };
                return Read { chars: nth, end, stops };
            }
            now = next;
        }
        Read { chars: self.chars.len(), end: now.last(), stops: Stops::Whole }
    }

    /// Tells where one character of it ends.
    fn step(&self, nth: usize, bytes: &[u8], at: usize, mut ends: impl FnMut(usize)) {
        let c = self.chars[nth];
        let Some(&first) = bytes.get(at) else { return };
        if self.kind == Kind::Hex {
            for way in self.ways(nth) {
                let there = bytes[at..].get(..way.len());
                if there.is_some_and(|there| there.eq_ignore_ascii_case(way)) {
                    ends(at + way.len());
                }
            }
            return;
        }
        if ESCAPES.contains(&first) && !self.ways(nth).is_empty() {
            WAYS.read(&bytes[at..], |found, long| {
                if found == c {
                    ends(at + long);
                }
            });
        }
        if first == c {
            ends(at + 1);
        } else if first == 0 && nth > 0 && bytes.get(at + 1) == Some(&c) {
            ends(at + 2);
        }
    }

    /// Whether these last bytes may be the beginning of this character.
    fn may_go_on(&self, nth: usize, rest: &[u8]) -> bool {
        let begins =
            |way: &Vec<u8>| rest.len() < way.len() && rest.eq_ignore_ascii_case(&way[..rest.len()]);
        rest.is_empty() || rest == [0] || self.ways(nth).iter().any(begins)
    }
}

/// Where reading may have come to.
#[derive(Default)]
struct Places {
    all: [usize; PLACES_MAX],
    count: usize,
}

impl Places {
    fn all(&self) -> &[usize] {
        &self.all[..self.count]
    }

    fn last(&self) -> usize {
        self.all().iter().copied().max().unwrap_or_default()
    }

    fn add(&mut self, place: usize) {
        if self.count < PLACES_MAX && !self.all().contains(&place) {
            self.all[self.count] = place;
            self.count += 1;
        }
    }
}

/// What stands in an ordered list under this.
fn with<K: Ord>(list: &[(K, usize)], key: &K) -> impl Iterator<Item = usize> {
    let first = list.partition_point(|(before, _)| before < key);
    list[first..].iter().take_while(move |(same, _)| same == key).map(|(_, place)| *place)
}

/// A byte of a way, as a letter in both cases.
fn cases(byte: u8, mut each: impl FnMut(u8)) {
    each(byte);
    if byte.is_ascii_lowercase() {
        each(byte.to_ascii_uppercase());
    }
}

/// The texts of a value.
fn texts(value: &str, shown: &str, of: usize) -> Vec<Text> {
    let text = |chars: Vec<u8>, kind, shown| Text { chars: chars.into(), kind, shown, of };
    let wide: Vec<u8> = shown.bytes().flat_map(|b| [b, 0]).collect();
    let wide = wide[..wide.len().saturating_sub(1)].to_vec();
    let as_is = |chars: &str| {
        text(chars.as_bytes().to_vec(), Kind::Plain, [shown.as_bytes().to_vec(), wide.clone()])
    };
    let mut all = vec![as_is(value)];
    if value.len() >= CASED_BYTES_MIN {
        all.push(as_is(&value.to_ascii_lowercase()));
        all.push(as_is(&value.to_ascii_uppercase()));
    }
    let digits = hex(shown.as_bytes());
    let big = digits.to_ascii_uppercase().into_bytes();
    all.push(text(value.as_bytes().to_vec(), Kind::Hex, [digits.into_bytes(), big]));
    for before in 0..3 {
        for (chars, stars) in base64_texts(value, before) {
            all.push(text(chars, Kind::Base64, [stars, Vec::new()]));
        }
    }
    all
}

/// Inside of a longer base64 text, `before` bytes (modulo three) after its beginning. The characters at
/// the ends that hold bits of neighbours are left out: at most four bits of the first and the last byte.
fn base64_texts(value: &str, before: usize) -> [(Vec<u8>, Vec<u8>); 2] {
    let bytes = [&[0u8; 2][..before], value.as_bytes()].concat();
    let (first, end) = ((before * 8).div_ceil(BASE64_BITS), bytes.len() * 8 / BASE64_BITS);
    let stars: Vec<u8> = (first..end).map(|at| BASE64_STARS[at % BASE64_STARS.len()]).collect();
    [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)]
        .map(|text| (text.as_bytes()[first..end].to_vec(), stars.clone()))
}

#[cfg(test)]
mod tests;
