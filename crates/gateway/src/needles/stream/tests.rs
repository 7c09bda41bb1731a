//! Values in bytes that come in pieces, in every form and cut anywhere. Not whole answers.

use super::*;
use proptest::prelude::*;

const SHOWN: &str = "toft-placeholder-00112233445566778899aabbccddeeff";

fn look(values: &[&str]) -> Look {
    Look::silent(values, SHOWN)
}

fn passed(look: &Look, keeps: bool, pieces: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut stream = Stream::new(look.clone(), keeps);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&stream.pass(piece.into()));
    }
    out.extend_from_slice(&stream.rest());
    out
}

fn check(value: &str, text: &str, expected: &str) {
    let out = passed(&look(&[value]), false, std::iter::once(text.as_bytes().to_vec()));
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_value_is_found_in_every_form_that_programs_give_it() {
    let value = "sk+live/\"9&=";
    check(value, &format!("<{value}>"), &format!("<{SHOWN}>"));
    check(value, "k=sk%2Blive%2F%229%26%3D;", &format!("k={SHOWN};"));
    check(value, "k=sk%2blive%2f%229%26%3d;", &format!("k={SHOWN};"));
    check(value, r#"{"k":"sk+live/\"9&="}"#, &format!(r#"{{"k":"{SHOWN}"}}"#));
    check(value, r#"{"k":"sk+live\/\"9&="}"#, &format!(r#"{{"k":"{SHOWN}"}}"#));
    check(value, r#"{"k":"sk\u002blive/\"9\u0026\u003d"}"#, &format!(r#"{{"k":"{SHOWN}"}}"#));
    check(value, "<p>sk+live/&quot;9&amp;=</p>", &format!("<p>{SHOWN}</p>"));
    check("pass word!", "k=pass+word%21&", &format!("k={SHOWN}&"));
    check("sk-live-1", "736b2d6c6976652d31", &hex(SHOWN));
    check("sk-live-1", "736B2D6C6976652D31", &hex(SHOWN).to_uppercase());
}

fn hex(text: &str) -> String {
    toft_model::id::hex(text.as_bytes())
}

#[test]
fn a_value_within_base64_leaves_no_more_than_the_bits_that_it_shares_with_neighbours() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let value = "sk_live_51HxCanaryCanary";
    let look = look(&[value]);
    for before in ["", "u:", "us:", "use:", "user:"] {
        for after in ["", "x", "xy", "xyz"] {
            let text = STANDARD.encode(format!("{before}{value}{after}"));
            let out = passed(&look, false, std::iter::once(text.clone().into_bytes()));
            assert_eq!(out.len(), text.len());
            let plain = STANDARD.decode(&out).unwrap();
            let plain = String::from_utf8_lossy(&plain).into_owned();
            assert!(plain.starts_with(before) && plain.ends_with(after), "{plain}");
            let inner = &plain[before.len()..plain.len() - after.len()];
            assert!(inner.matches('*').count() >= value.len() - 2, "{inner}");
        }
    }
}

#[test]
fn what_has_an_announced_length_keeps_it() {
    for value in ["short-value", &"long".repeat(30)] {
        let text = format!("a {value} b {value}");
        let out = passed(&look(&[value]), true, text.bytes().map(|b| vec![b]));
        assert_eq!(out.len(), text.len());
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("a toft-placeh") && !out.contains(value), "{out}");
    }
}

#[test]
fn what_has_no_value_in_it_is_not_copied() {
    let mut piece = vec![b'x'; 1 << 16];
    piece.push(b'\n');
    let piece = Bytes::from(piece);
    let mut stream = Stream::new(look(&["sk-live-value"]), false);
    assert_eq!(stream.pass(piece.clone()).as_ptr(), piece.as_ptr());
    assert!(stream.rest().is_empty());
}

#[test]
fn where_an_answer_is_cut_tells_nothing_of_a_value() {
    let look = look(&["sk-live-4711"]);
    // A host that says back what a program sent it: a right guess must come out as a wrong one does.
    let pieces = |text: &str| {
        let mut stream = Stream::new(look.clone(), false);
        let first = stream.pass(Bytes::copy_from_slice(text.as_bytes())).len();
        (first, stream.rest().len())
    };
    let before = "x".repeat(200);
    for (right, wrong) in [("sk-live-471", "sk-live-472"), ("s", "t"), ("736b2d", "736b2e")] {
        assert_eq!(pieces(right), pieces(wrong), "{right}");
        assert_eq!(pieces(&format!("{before}{right}")), pieces(&format!("{before}{wrong}")));
    }
    // Nothing waits for more at the end of a line, where events end.
    assert_eq!(pieces("data: sk-live-4\n\n"), (17, 0));
}

proptest! {
    #[test]
    fn the_answer_is_the_same_however_it_is_cut_and_never_has_a_value(
        parts in prop::collection::vec(prop_oneof![
            "[abc1]{0,9}", Just("abcabcab".to_owned()), Just("abcabcab1".to_owned()),
            Just("bcabcabc".to_owned()), Just("YWJjYWJj".to_owned()),
        ], 0..8),
        cuts in prop::collection::vec(1usize..7, 1..30),
        keeps in any::<bool>(),
    ) {
        let values = ["abcabcab", "abcabcab1", "bcabcabc"];
        let look = look(&values);
        let text = parts.concat().into_bytes();
        let whole = passed(&look, keeps, std::iter::once(text.clone()));
        let (mut at, mut pieces) = (0, Vec::new());
        for cut in cuts.iter().cycle() {
            if at == text.len() {
                break;
            }
            let end = (at + cut).min(text.len());
            pieces.push(text[at..end].to_vec());
            at = end;
        }
        let cut = passed(&look, keeps, pieces.into_iter());
        prop_assert_eq!(&cut, &whole);
        if keeps {
            prop_assert_eq!(cut.len(), text.len());
        }
        let out = String::from_utf8(cut).unwrap();
        for value in values {
            prop_assert!(!out.contains(value), "{out}");
        }
    }
}
