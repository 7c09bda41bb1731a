//! Questions of DNS and their answers, as bytes (RFC 1035 §4). Knows no names: who asks says what is
//! behind one.

use std::net::Ipv4Addr;

/// Bytes of a message's header.
const HEADER: usize = 12;
/// Bytes of a name in a message at most (RFC 1035 §2.3.4).
const NAME_BYTES_MAX: usize = 255;
/// Seconds for which an answer may be kept. It stays true for much longer.
const TTL_SECONDS: u32 = 60;
/// Types of record (RFC 1035 §3.2.2) and the only class that is asked for.
const TYPE_A: u16 = 1;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;
/// First byte of the flags: an answer, what kind of question, whether the asker wants it all done.
const ANSWER: u8 = 0x80;
const KIND: u8 = 0x78;
const WANTS_ALL: u8 = 0x01;
/// Second byte: it is all done here.
const DOES_ALL: u8 = 0x80;
/// Bytes of an answer: the name again (a pointer to the question's), type A, class IN.
const SAME_NAME_A_IN: [u8; 6] = [0xC0, 0x0C, 0, 1, 0, 1];

/// What is behind a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// This address.
    Address(Ipv4Addr),
    /// There is such a name, but no record of the wanted type.
    NoRecord,
    /// There is no such name.
    NoName,
    /// Not told now.
    Refused,
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// An IPv4 address.
    Address,
    /// A record of another type.
    Other,
}

/// Code of an answer (RFC 1035 §4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Code {
    Fine = 0,
    Malformed = 1,
    NoName = 3,
    NotDone = 4,
    Refused = 5,
}

struct Question<'a> {
    /// Without the last dot; `None`: no host has such a name.
    name: Option<String>,
    kind: u16,
    class: u16,
    bytes: &'a [u8],
}

/// The answer to a message; `None`: it is no question.
pub(crate) fn answer(message: &[u8], find: impl FnOnce(&str, Wanted) -> Found) -> Option<Vec<u8>> {
    let header = message.first_chunk::<HEADER>()?;
    if header[2] & ANSWER != 0 {
        return None;
    }
    let says = |code, question: &[u8], address| Some(reply(header, code, question, address));
    if header[2] & KIND != 0 {
        return says(Code::NotDone, &[], None);
    }
    let Some(question) = question(message).filter(|_| header[4..6] == [0, 1]) else {
        return says(Code::Malformed, &[], None);
    };
    if question.class != CLASS_IN {
        return says(Code::Refused, question.bytes, None);
    }
    let Some(name) = question.name else {
        return says(Code::NoName, question.bytes, None);
    };
    let wanted = match question.kind {
        TYPE_A | TYPE_ANY => Wanted::Address,
        _ => Wanted::Other,
    };
    match find(&name, wanted) {
        Found::Address(address) => says(Code::Fine, question.bytes, Some(address)),
        Found::NoRecord => says(Code::Fine, question.bytes, None),
        Found::NoName => says(Code::NoName, question.bytes, None),
        Found::Refused => says(Code::Refused, question.bytes, None),
    }
}

fn question(message: &[u8]) -> Option<Question<'_>> {
    let mut rest = &message[HEADER..];
    let mut name = String::new();
    let mut plain = true;
    loop {
        let (&length, after) = rest.split_first()?;
        // Longer ones are pointers, which a first name cannot have.
        if length > 63 {
            return None;
        }
        let (label, after) = after.split_at_checked(length.into())?;
        rest = after;
        if label.is_empty() {
            break;
        }
        if !name.is_empty() {
            name.push('.');
        }
        match std::str::from_utf8(label) {
            Ok(text) if text.is_ascii() && !text.contains('.') => name.push_str(text),
            _ => plain = false,
        }
    }
    let (tail, _) = rest.split_first_chunk::<4>()?;
    let length = message.len() - rest.len() + tail.len() - HEADER;
    (length - tail.len() <= NAME_BYTES_MAX).then(|| Question {
        name: (plain && !name.is_empty()).then_some(name),
        kind: u16::from_be_bytes([tail[0], tail[1]]),
        class: u16::from_be_bytes([tail[2], tail[3]]),
        bytes: &message[HEADER..HEADER + length],
    })
}

fn reply(header: &[u8; HEADER], code: Code, question: &[u8], address: Option<Ipv4Addr>) -> Vec<u8> {
    let flags = [ANSWER | (header[2] & (KIND | WANTS_ALL)), DOES_ALL | code as u8];
    let counts = [0, u8::from(!question.is_empty()), 0, u8::from(address.is_some()), 0, 0, 0, 0];
    let mut bytes = [&header[..2], &flags, &counts, question].concat();
    if let Some(address) = address {
        bytes.extend(SAME_NAME_A_IN);
        bytes.extend(TTL_SECONDS.to_be_bytes());
        bytes.extend([0, 4]);
        bytes.extend(address.octets());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask(name: &[&[u8]], kind: u16) -> Vec<u8> {
        let mut bytes = vec![7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(*label);
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    /// Code, and whether there is an address at the end.
    fn check(message: &[u8], found: Found, expected: (u8, Option<[u8; 4]>)) {
        let answer = answer(message, |_, _| found).unwrap();
        assert_eq!(answer[..2], message[..2]);
        assert_eq!(answer[2] & 0x81, 0x80 | (message[2] & 1));
        let address = (answer[7] == 1).then(|| *answer.last_chunk::<4>().unwrap());
        assert_eq!((answer[3] & 0xF, address), expected, "{message:?}");
    }

    #[test]
    fn a_question_is_answered_with_what_is_behind_the_name() {
        let message = ask(&[b"Git", b"example", b"com"], 1);
        let mut asked = String::new();
        let said = answer(&message, |name, wanted| {
            name.clone_into(&mut asked);
            assert_eq!(wanted, Wanted::Address);
            Found::Address(Ipv4Addr::new(198, 18, 0, 1))
        });
        assert_eq!(asked, "Git.example.com");
        let expected = [
            &[7, 8, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0][..],
            &message[12..],
            &[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 0, 1],
        ];
        assert_eq!(said.unwrap(), expected.concat());
        check(&message, Found::NoRecord, (0, None));
        check(&message, Found::NoName, (3, None));
        check(&message, Found::Refused, (5, None));
        assert_eq!(
            answer(&ask(&[b"a"], 28), |_, w| {
                assert_eq!(w, Wanted::Other);
                Found::NoRecord
            })
            .unwrap()[3],
            0x80
        );
    }

    #[test]
    fn what_no_host_is_called_is_no_name_and_what_is_no_question_is_said_so() {
        let never = Found::Address(Ipv4Addr::LOCALHOST);
        for name in [&[&b"a.b"[..], b"c"][..], &[b"a\xff"], &["ä".as_bytes(), b"c"], &[]] {
            check(&ask(name, 1), never, (3, None));
        }
        let good = ask(&[b"a", b"b"], 1);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        check(&with(2, 0x28), never, (4, None));
        check(&with(5, 2), never, (1, None));
        check(&with(12, 0xC0), never, (1, None));
        check(&with(12, 40), never, (1, None));
        check(&good[..good.len() - 1], never, (1, None));
        let last = good.len() - 1;
        check(&with(last, 3), never, (5, None));
        assert_eq!(answer(&with(2, 0x81), |_, _| never), None);
        assert_eq!(answer(&good[..11], |_, _| never), None);
        check(&ask(&[&[b'a'; 63][..]; 5], 1), never, (1, None));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_answers_are_short(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let found = |_: &str, _| Found::Address(Ipv4Addr::LOCALHOST);
            if let Some(answer) = answer(&bytes, found) {
                prop_assert!(answer.len() <= 512 && answer[..2] == bytes[..2]);
            }
            // Most bytes are no question of one name: these are.
            let mut bytes = bytes;
            for (at, byte) in [0, 1, 1, 0, 0, 1].into_iter().enumerate() {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            prop_assert!(answer(&bytes, found).is_none_or(|answer| answer.len() <= 512));
        }
    }
}
