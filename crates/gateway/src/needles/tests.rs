//! What is found of a value, in which forms, and what is not.

use super::*;
use proptest::prelude::*;

const VALUE: &str = "sk+CAN/ary<9>\"r7==";
const SHOWN: &str = "toft-placeholder-00112233445566778899aabbccddeeff";

fn needles(value: &str) -> Needles {
    Needles::new(std::iter::once((value, SHOWN)))
}

fn check(written: &[u8], shown: &[u8]) {
    check_of(VALUE, written, shown);
}

fn check_of(value: &str, written: &[u8], shown: &[u8]) {
    let text = [b"some(", written, b" more"].concat();
    let needles = needles(value);
    let told = || String::from_utf8_lossy(&text).into_owned();
    let found = needles.first(&text).unwrap_or_else(|| panic!("nothing in {}", told()));
    assert_eq!((found.at, found.shown, found.of), (5..5 + written.len(), shown, 0), "{}", told());
}

fn each(write: impl Fn(u8) -> String) -> Vec<u8> {
    each_of(VALUE, write).into_bytes()
}

fn each_of(value: &str, write: impl Fn(u8) -> String) -> String {
    value.bytes().map(write).collect()
}

#[test]
fn a_value_is_found_with_every_character_escaped_once_or_twice() {
    let shown = SHOWN.as_bytes();
    for written in [
        each(|c| format!("%{c:02X}")),
        each(|c| format!("%{c:02x}")),
        each(|c| format!("%25{c:02X}")),
        each(|c| format!("\\u{c:04x}")),
        each(|c| format!("\\u{c:04X}")),
        each(|c| format!("\\\\u{c:04x}")),
        each(|c| format!("\\x{c:02x}")),
        each(|c| format!("&#{c};")),
        each(|c| format!("&#{c:03};")),
        each(|c| format!("&#x{c:x};")),
        each(|c| format!("&#X{c:X};")),
        each(|c| format!("&amp;#{c};")),
        each(|c| format!("={c:02X}")),
        // Each character in another way.
        each(|c| match c % 4 {
            0 => format!("%{c:02X}"),
            1 => format!("\\u{c:04x}"),
            2 => format!("&#{c};"),
            _ => char::from(c).into(),
        }),
    ] {
        check(&written, shown);
    }
    // As programs do it that escape what needs it.
    for written in [
        r#"sk+CAN/ary<9>\"r7=="#,
        r#"sk+CAN\/ary<9>\"r7=="#,
        r#"sk+CAN/ary<9>\\\"r7=="#,
        r#"sk+CAN\\/ary<9>\\\"r7=="#,
        r#"sk\u002bCAN/ary\u003c9\u003e\"r7\u003d\u003d"#,
        "sk+CAN/ary&lt;9&gt;&quot;r7==",
        "sk+CAN/ary&lt;9&gt;&#34;r7==",
        "sk+CAN/ary&amp;lt;9&amp;gt;&amp;quot;r7==",
        r"sk+CAN/ary\u0026lt;9\u0026gt;\u0026quot;r7==",
        "sk%2BCAN%2Fary%3C9%3E%22r7%3D%3D",
        "sk%252BCAN%252Fary%253C9%253E%2522r7%253D%253D",
        "sk+can/ary<9>\"r7==",
        "SK+CAN/ARY<9>\"R7==",
    ] {
        check(written.as_bytes(), shown);
    }
}

#[test]
fn a_value_is_found_in_utf_16_and_as_hex_with_anything_between() {
    let wide = |text: &str| text.bytes().flat_map(|c| [c, 0]).collect::<Vec<_>>();
    let (mut le, mut shown) = (wide(VALUE), wide(SHOWN));
    // The other half of the last character stays, or that of the first one.
    le.pop();
    shown.pop();
    check(&le, &shown);
    let digits = hex(SHOWN.as_bytes());
    for between in ["", ":", " ", "-", ",", "\\\\x", ", 0x", " 0x"] {
        let pairs: Vec<String> = VALUE.bytes().map(|c| format!("{c:02x}")).collect();
        let written = pairs.join(between);
        check(written.as_bytes(), digits.as_bytes());
        let big: Vec<String> = VALUE.bytes().map(|c| format!("{c:02X}")).collect();
        check(big.join(between).as_bytes(), digits.to_ascii_uppercase().as_bytes());
    }
}

#[test]
fn a_value_that_looks_escaped_itself_is_found() {
    for value in ["a%41b%2541c", "%25%25%25%25", "\\\\u0041\\", "&amp;&lt;12"] {
        let url = each_of(value, |c| format!("%{c:02x}"));
        let json = value.replace('\\', "\\\\");
        for written in [value.to_owned(), url, json, value.replace('&', "&amp;")] {
            check_of(value, written.as_bytes(), SHOWN.as_bytes());
        }
    }
}

#[test]
fn a_value_whose_end_is_missing_is_found_from_half_of_it_on_where_nothing_follows() {
    let value = "sk-live-0123456789abcdef";
    let needles = needles(value);
    for written in [value.to_owned(), each_of(value, |c| format!("\\u{c:04x}"))] {
        let unit = written.len() / value.len();
        for end in 0..written.len() {
            let text = format!("key: {}", &written[..end]);
            let found = needles.first_of_end(text.as_bytes()).map(|found| found.at);
            let expected =
                (end / unit >= PUBLIC_CHARS.max(value.len() / 2)).then_some(5..text.len());
            assert_eq!(found, expected, "{text}");
            assert!(needles.first(text.as_bytes()).is_none());
        }
    }
}

#[test]
fn what_any_text_could_hold_is_not_looked_for() {
    for short in ["none", "", "1234567"] {
        assert!(needles(short).is_empty(), "{short:?}");
    }
    // Nor are words because they are a value in big letters.
    assert!(needles("Postgres").first(b"the database is postgres").is_none());
}

#[test]
fn many_long_values_take_little_memory() {
    let value = |first: char| format!("{first}{}", "<&\"+/=\\ %Az9".repeat(341));
    let values: Vec<String> = ('a'..'u').map(value).collect();
    let needles = Needles::new(values.iter().map(|value| (value.as_str(), "shown")));
    let held: usize = needles.texts.iter().map(|text| text.chars.len()).sum();
    assert!(held < 20 * 5000 * 12 && needles.begins.len() < 1 << 16);
    for (of, value) in values.iter().enumerate() {
        let found = needles.first(value.as_bytes()).unwrap();
        assert_eq!((found.at, found.shown, found.of), (0..value.len(), &b"shown"[..], of));
    }
}

#[test]
fn what_only_ever_begins_like_a_value_is_no_endless_work() {
    // Each place begins with almost all of it.
    let value = format!("{}b", "a".repeat(4000));
    let needles = needles(&value);
    let found = needles.first("%61".repeat(1 << 16).as_bytes());
    assert!(found.is_some(), "a part counts as the whole");
}

proptest! {
    #[test]
    fn nothing_is_found_where_nothing_is(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(needles(VALUE).first(&bytes).is_none());
    }

    #[test]
    fn it_is_found_wherever_it_stands(
        before in prop::collection::vec(any::<u8>(), 0..40), after in prop::collection::vec(any::<u8>(), 0..40),
        ways in prop::collection::vec(any::<prop::sample::Index>(), VALUE.len()),
    ) {
        let mut text = before.clone();
        for (c, way) in VALUE.bytes().zip(&ways) {
            let all = &ESCAPED[usize::from(c)];
            match way.index(all.len() + 3).checked_sub(3) {
                Some(way) => text.extend_from_slice(&all[way]),
                None => text.push(c),
            }
        }
        let end = text.len();
        text.extend_from_slice(&after);
        let needles = needles(VALUE);
        let found = needles.first(&text).unwrap();
        // Something before it may look like an escape of its first character.
        prop_assert!(found.at.start <= before.len() && found.at.end >= end);
    }
}
