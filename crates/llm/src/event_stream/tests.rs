//! Messages whole, cut, and not what they claim.

use super::*;
use proptest::prelude::*;

type Seen = (String, String, bool);

fn split(chunks: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Vec<Seen>, Unframed> {
    let mut splitter = Splitter::with_limit(4_096);
    let mut events = Vec::new();
    for chunk in chunks {
        splitter.push(chunk.as_ref());
        while let Some(event) = splitter.next_event()? {
            events.push((event.name.into_owned(), event.data.into_owned(), event.failed));
        }
    }
    Ok(events)
}

fn said(name: &str, payload: &str) -> Vec<u8> {
    let headers =
        [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    write::message(&headers, payload.as_bytes())
}

fn seen(name: &str, data: &str, failed: bool) -> Seen {
    (name.to_owned(), data.to_owned(), failed)
}

/// The message with an empty body and the one with headers of the specification's own test vectors.
#[test]
fn published_messages_are_read() {
    let empty = [0, 0, 0, 16, 0, 0, 0, 0, 5, 194, 72, 235, 125, 152, 200, 255];
    assert_eq!(split([empty]), Ok(vec![seen("", "", false)]));
    let payload = [
        0, 0, 0, 0x1d, 0, 0, 0, 0, 0xfd, 0x52, 0x8c, 0x5a, 0x7b, 0x27, 0x66, 0x6f, 0x6f, 0x27,
        0x3a, 0x27, 0x62, 0x61, 0x72, 0x27, 0x7d, 0xc3, 0x65, 0x39, 0x36,
    ];
    assert_eq!(split([payload]), Ok(vec![seen("", "{'foo':'bar'}", false)]));
}

#[test]
fn events_exceptions_and_errors_are_told_apart() {
    let exception = write::message(
        &[(":message-type", "exception"), (":exception-type", "throttlingException")],
        b"{\"message\":\"slow\"}",
    );
    let error = write::message(
        &[(":message-type", "error"), (":error-code", "Internal"), (":error-message", "oh")],
        b"",
    );
    let body = [said("metadata", "{}"), exception, error].concat();
    let expected = vec![
        seen("metadata", "{}", false),
        seen("throttlingException", "{\"message\":\"slow\"}", true),
        seen("Internal", "oh", true),
    ];
    for size in [1, 2, 7, 11, 12, 13, 64, 4_096] {
        assert_eq!(split(body.chunks(size)), Ok(expected.clone()), "in pieces of {size}");
    }
}

#[test]
fn headers_of_all_types_are_passed_over() {
    let mut head = Vec::new();
    for (kind, bytes) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)] {
        head.extend_from_slice(&[1, b'x', kind]);
        head.extend(std::iter::repeat_n(7, bytes));
    }
    head.extend_from_slice(&[1, b'x', 6, 0, 2, 1, 2]);
    head.extend_from_slice(b"\x0b:event-type\x07\x00\x01e");
    assert_eq!(split([write::framed(&head, b"p")]), Ok(vec![seen("e", "p", false)]));
    for cut in
        [b"\x05ab".as_slice(), b"\x01x", b"\x01x\x07\x00", b"\x01x\x07\x00\x09ab", b"\x01x\x0b"]
    {
        let got = split([write::framed(cut, b"")]);
        assert!(matches!(got, Err(Unframed::Broken(_))), "{cut:?} {got:?}");
    }
}

#[test]
fn what_contradicts_itself_is_refused_as_soon_as_it_shows() {
    let check = |body: &[u8], part: &str| {
        let words = split(body.chunks(1)).unwrap_err().to_string();
        assert!(words.contains(part), "{words}");
    };
    check(b"data: hello\n\n", "a checksum of lengths");
    check(&write::prelude(5_000, 0), "longer than 4096 bytes");
    check(&write::prelude(12, 0), "contradict");
    check(&write::prelude(100, 90), "contradict");
    let mut body = said("e", "payload");
    let last = body.len() - 5;
    body[last] ^= 1;
    check(&body, "a message's checksum");
}

#[test]
fn a_message_that_is_cut_is_none() {
    let body = said("e", "payload");
    for cut in 0..body.len() {
        assert_eq!(split([&body[..cut]]), Ok(vec![]), "{cut}");
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 1usize..50) {
        let _ = split(bytes.chunks(cut));
    }

    #[test]
    fn headers_of_any_bytes_never_panic(head in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = split([write::framed(&head, b"x")]);
    }

    #[test]
    fn the_cut_never_matters(
        says in prop::collection::vec(("[a-z]{0,5}", "[a-zé🎈]{0,9}"), 0..6),
        size in 1usize..40,
    ) {
        let body: Vec<u8> = says.iter().flat_map(|(name, data)| said(name, data)).collect();
        let expected: Vec<Seen> = says.iter().map(|(name, data)| seen(name, data, false)).collect();
        prop_assert_eq!(split(body.chunks(size)), Ok(expected));
    }
}
