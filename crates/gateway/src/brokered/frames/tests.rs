//! Frames cut anywhere, and what is none.

use super::*;
use proptest::prelude::*;

const SHOWN: &str = "toft-placeholder-00112233445566778899aabbccddeeff";
const VALUE: &str = "sk-live-4711";

fn frames() -> Frames {
    Frames::new(Look::silent(&[VALUE], SHOWN))
}

fn frame(fin: bool, opcode: u8, payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write(fin, opcode, payload.as_bytes(), &mut out);
    out
}

fn passed(bytes: &[u8]) -> Result<Vec<u8>, Odd> {
    let mut out = Vec::new();
    frames().pass(bytes, &mut out).map(|()| out)
}

/// Messages and frames that control, in the order in which they end.
fn messages(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut said, mut message): (Vec<_>, Option<(u8, Vec<u8>)>) = (Vec::new(), None);
    while !bytes.is_empty() {
        let (length, frame) = (1..=HEAD_BYTES_MAX)
            .find_map(|length| Some((length, Frame::of(&bytes[..length]).unwrap()?)))
            .unwrap();
        let (payload, rest) = bytes[length..].split_at(usize::try_from(frame.left).unwrap());
        bytes = rest;
        if frame.opcode >= CLOSE {
            said.push((frame.opcode, payload.to_vec()));
            continue;
        }
        assert_eq!(frame.opcode == CONTINUATION, message.is_some());
        let whole = message.get_or_insert((frame.opcode, Vec::new()));
        whole.1.extend_from_slice(payload);
        if frame.fin {
            said.extend(message.take());
        }
    }
    assert!(message.is_none());
    said
}

#[test]
fn a_message_in_one_frame_stays_in_one() {
    for text in ["", "hello", &"x".repeat(126), &"x".repeat(60_000)] {
        let frame = frame(true, 1, text);
        assert_eq!(passed(&frame).unwrap(), frame);
    }
    let masked = frame(true, 2, "k=toft-placeho;");
    assert_eq!(passed(&frame(true, 2, &format!("k={VALUE};"))).unwrap(), masked);
}

#[test]
fn a_value_is_found_over_the_ends_of_frames_and_around_a_ping() {
    let mut said = [frame(false, 1, "a sk-li"), frame(true, 9, "are you there")].concat();
    let mut out = Vec::new();
    let mut frames = frames();
    frames.pass(&said, &mut out).unwrap();
    // The ping does not wait for the message.
    assert!(out.ends_with(&frame(true, 9, "are you there")), "{out:?}");
    said = [frame(false, 0, "ve-47"), frame(true, 0, "11 b")].concat();
    frames.pass(&said, &mut out).unwrap();
    let expected = vec![(9, b"are you there".to_vec()), (1, b"a toft-placeho b".to_vec())];
    assert_eq!(messages(&out), expected);
}

#[test]
fn a_reason_to_close_has_no_value_in_it() {
    let said = passed(&frame(true, 8, &format!("\u{3}{VALUE}"))).unwrap();
    assert_eq!(messages(&said), [(8, b"\x03toft-placeho".to_vec())]);
}

#[test]
fn a_long_frame_is_passed_on_while_it_comes() {
    let whole = frame(true, 2, &format!("{}{VALUE}{}", "x".repeat(200_000), "y".repeat(200_000)));
    let (mut frames, mut out, mut longest_wait) = (frames(), Vec::new(), 0);
    for (at, piece) in whole.chunks(1000).enumerate() {
        frames.pass(piece, &mut out).unwrap();
        longest_wait = longest_wait.max((at + 1) * 1000 - out.len().min((at + 1) * 1000));
    }
    assert!(longest_wait < 2000, "{longest_wait}");
    let (_, message) = messages(&out).remove(0);
    let message = String::from_utf8(message).unwrap();
    assert_eq!(message.len(), 400_000 + VALUE.len());
    assert!(message.contains("xtoft-placehoy"));
}

#[test]
fn where_frames_are_cut_tells_nothing_of_a_value() {
    let pieces = |guess: &str| {
        passed(&frame(false, 1, &format!("{}{guess}", "x".repeat(200)))).unwrap().len()
    };
    assert_eq!(pieces("sk-live-4"), pieces("sk-live-5"));
}

#[test]
fn what_is_no_websocket_is_refused() {
    for (bytes, odd) in [
        (&[0xc1, 1, b'x'][..], Odd::Extension),
        (b"HTTP/1.1 200 OK", Odd::Extension),
        (&[0x81, 0x81, 0, 0, 0, 0, b'x'], Odd::Masked),
        (&[0x83, 0], Odd::Kind),
        (&[0x8b, 0], Odd::Kind),
        (&[0x09, 0], Odd::Kind),
        (&[0x80, 0], Odd::Kind),
        (&[0x01, 1, b'x', 0x01, 0], Odd::Kind),
        (&[0x89, 126, 0, 126], Odd::Length),
        (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], Odd::Length),
    ] {
        assert_eq!(passed(bytes), Err(odd), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn messages_are_the_same_however_they_are_cut_and_never_have_a_value(
        parts in prop::collection::vec((prop_oneof![
            "[a-z1]{0,9}", Just(VALUE.to_owned()), Just("sk-live-".to_owned()), Just("4711".to_owned()),
        ], any::<bool>(), any::<bool>()), 1..12),
        cuts in prop::collection::vec(1usize..9, 1..30),
    ) {
        let (mut bytes, mut is_open) = (Vec::new(), false);
        let (mut lengths, mut length) = (Vec::new(), 0);
        for (at, (text, fin, ping)) in parts.iter().enumerate() {
            let fin = *fin || at + 1 == parts.len();
            bytes.extend(frame(fin, u8::from(!is_open), text));
            length += text.len();
            if fin {
                lengths.push(std::mem::take(&mut length));
            }
            is_open = !fin;
            if *ping {
                bytes.extend(frame(true, 9, "?"));
            }
        }
        let whole = messages(&passed(&bytes).unwrap());
        let (mut frames, mut out, mut rest) = (frames(), Vec::new(), &bytes[..]);
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            frames.pass(piece, &mut out).unwrap();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let cut = messages(&out);
        prop_assert_eq!(&cut, &whole);
        let texts = cut.iter().filter(|(opcode, _)| *opcode == 1);
        prop_assert_eq!(texts.clone().map(|(_, text)| text.len()).collect::<Vec<_>>(), lengths);
        for (_, text) in texts {
            let text = String::from_utf8(text.clone()).unwrap();
            prop_assert!(!text.contains(VALUE), "{text}");
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = passed(&bytes);
    }
}
