//! Lines of the log as server-sent events: see [`Event::wire_data`]. Pieces of an answer, which come by the
//! ten thousand, are not taken apart: what stands in the line goes out as it is.

use super::{follow::Batch, read::event_of};
use bytes::{BufMut as _, BytesMut};
use serde::Deserialize;
use std::{borrow::Cow, str::FromStr as _};
use toft_model::{event::Event, id::SessionId};

impl Batch {
    /// Appends the frames of its events; with a session: only of that one's.
    pub(crate) fn write_frames(&self, session: Option<&SessionId>, out: &mut BytesMut) {
        out.reserve(self.lines.len());
        for (seq, line) in self.numbered() {
            if let Some(piece) = Piece::of(line) {
                if session.is_none_or(|s| piece.session == Some(s.as_str().as_bytes())) {
                    piece.write(out);
                }
            } else {
                let event = event_of(line, seq);
                if session.is_none() || session == event.session.as_ref() {
                    write(&event, out);
                }
            }
        }
    }
}

fn write(event: &Event, out: &mut BytesMut) {
    out.put_slice(b"event: ");
    out.put_slice(event.body.kind().as_bytes());
    out.put_slice(format!("\nid: {}\ndata: ", event.seq).as_bytes());
    // JSON has no raw line ends, so one data line holds it.
    serde_json::to_writer(out.writer(), &event.wire_data())
        .expect("events hold only JSON-able data");
    out.put_slice(b"\n\n");
}

/// A line with a piece of an answer, in its parts.
struct Piece<'a> {
    seq: &'a [u8],
    ts: &'a [u8],
    session: Option<&'a [u8]>,
    /// An object with all that [`Data`] names.
    data: &'a [u8],
}

/// What the line must hold to be passed on unread.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data<'a> {
    #[serde(rename = "messageId", borrow)]
    _message_id: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(rename = "contentIndex")]
    _content_index: usize,
    #[serde(rename = "delta", borrow)]
    _delta: Cow<'a, str>,
}

impl<'a> Piece<'a> {
    /// `None`: it is another event, or not written as this version writes.
    fn of(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"}\n")?;
        let (seq, rest) = number(line.strip_prefix(b"{\"seq\":")?)?;
        let (ts, rest) = number(rest.strip_prefix(b",\"ts\":")?)?;
        let (session, rest) = match rest.strip_prefix(b",\"session\":\"") {
            Some(rest) => {
                let end = rest.iter().position(|b| *b == b'"')?;
                SessionId::from_str(std::str::from_utf8(&rest[..end]).ok()?).ok()?;
                (Some(&rest[..end]), &rest[end + 1..])
            }
            None => (None, rest),
        };
        let data = rest.strip_prefix(b",\"kind\":\"message_update\",\"data\":")?;
        // A time of 0 is not shown, a list would do for an object, and a CR would end the line of a frame.
        let is_object = data.starts_with(b"{") && data.ends_with(b"}");
        if ts == b"0" || !is_object || data.contains(&b'\r') {
            return None;
        }
        let kind = serde_json::from_slice::<Data<'_>>(data).ok()?.kind;
        matches!(&*kind, "text_delta" | "thinking_delta" | "toolcall_delta").then_some(())?;
        Some(Self { seq, ts, session, data })
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_slice(b"event: message_update\nid: ");
        out.put_slice(self.seq);
        out.put_slice(b"\ndata: ");
        let open = self.data.strip_suffix(b"}").unwrap_or(self.data);
        out.put_slice(open);
        out.put_slice(b",\"ts\":");
        out.put_slice(self.ts);
        if let Some(session) = self.session {
            out.put_slice(b",\"sessionId\":\"");
            out.put_slice(session);
            out.put_slice(b"\"");
        }
        out.put_slice(b"}\n\n");
    }
}

/// A number as JSON writes it, and what follows.
fn number(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|b| !b.is_ascii_digit())?;
    let (digits, rest) = bytes.split_at(end);
    let has_zeroes = digits.len() > 1 && digits[0] == b'0';
    std::str::from_utf8(digits).ok()?.parse::<u64>().ok().filter(|_| !has_zeroes)?;
    Some((digits, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use toft_model::event::{Delta, EventBody, MessageUpdate};

    fn frames(lines: String, session: Option<&SessionId>) -> String {
        let mut out = BytesMut::new();
        Batch { first: 7, lines: Bytes::from(lines) }.write_frames(session, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn update(delta: Delta) -> EventBody {
        EventBody::MessageUpdate(MessageUpdate { message_id: "m".into(), delta })
    }

    #[test]
    fn a_line_of_another_form_is_read() {
        let frame = |line: &str| frames(format!("{line}\n"), None);
        for line in [
            r#"{"seq":7,"ts":0,"kind":"message_update","data":{"messageId":"m","type":"text_delta","contentIndex":0,"delta":"a"}}"#,
            r#"{"seq":7,"kind":"message_update","data":{"messageId":"m","type":"text_delta","contentIndex":0,"delta":"a"}}"#,
            r#"{"seq":7,"ts":5,"kind":"message_update","data":{"messageId":"m","type":"text_end","contentIndex":0}}"#,
        ] {
            let data = frame(line);
            assert!(data.starts_with("event: message_update\nid: 7\ndata: {"), "{data}");
        }
        for line in [
            r#"{"seq":7,"ts":5,"kind":"message_update","data":{"messageId":"m","type":"text_delta","contentIndex":-1,"delta":"a"}}"#,
            r#"{"seq":7,"ts":5,"kind":"message_update","data":{"messageId":"m","type":"text_delta","contentIndex":0,"delta":"a}}"#,
            r#"{"seq":7,"ts":5,"session":"../x","kind":"message_update","data":{"messageId":"m","type":"text_delta","contentIndex":0,"delta":"a"}}"#,
            r#"{"seq":7,"ts":5,"kind":"of_later","data":{}}"#,
        ] {
            assert!(frame(line).starts_with("event: error\nid: 7\n"), "{line}");
        }
    }

    #[test]
    fn only_frames_of_the_session_that_is_followed() {
        let (a, b): (SessionId, SessionId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let piece = || update(Delta::TextDelta { content_index: 0, delta: "x".into() });
        let line = |seq, session: Option<&SessionId>, body| {
            Event { seq, ts: 1, session: session.cloned(), body }.to_line() + "\n"
        };
        let lines = line(7, Some(&a), piece())
            + &line(8, Some(&b), piece())
            + &line(9, None, piece())
            + &line(10, Some(&b), EventBody::TurnStart {});
        let ids = |session| {
            let text = frames(lines.clone(), session);
            text.lines().filter_map(|l| l.strip_prefix("id: ")?.parse().ok()).collect::<Vec<u64>>()
        };
        assert_eq!(ids(Some(&b)), [8, 10]);
        assert_eq!(ids(None), [7, 8, 9, 10]);
    }

    /// Mostly the first, so that most lines are odd in one place only.
    fn odd(of: &'static [&'static str]) -> impl Strategy<Value = String> {
        let some = prop::sample::select(of).prop_map(str::to_owned);
        prop_oneof![3 => Just(of[0].to_owned()), 1 => some]
    }

    /// A session's id of 81 letters, one too many.
    const LONG: &str = "\"session\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",";

    /// Kind, number and data of the only frame.
    fn parts(frame: &[u8]) -> (String, u64, Value) {
        let text = std::str::from_utf8(frame).unwrap();
        assert!(!text.contains('\r'), "{text}");
        let lines: Vec<&str> = text.split('\n').collect();
        let [kind, id, data, "", ""] = lines[..] else { panic!("{text}") };
        let id = id.strip_prefix("id: ").unwrap().parse().unwrap();
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        (kind.strip_prefix("event: ").unwrap().to_owned(), id, data)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever stands in the log: a frame is one, and says what reading the line says.
        #[test]
        fn a_line_from_elsewhere_is_not_passed_on_as_what_it_is_not(
            numbers in (odd(&["7", "07", "18446744073709551616"]), odd(&["5", "0", "05", "99999999999999999999"])),
            session in odd(&["", "\"session\":\"s\",", "\"session\":\"\",", "\"session\":null,", "\"session\":\"a\\u0062\",", LONG]),
            around in (odd(&["", " "]), odd(&["", " ", "\t", "\r", ",\"x\":1"])),
            kind in odd(&["\"text_delta\"", "{\"text_delta\":null}", "\"thinking_delta\"", "\"text\\u005fdelta\"", "\"text_end\""]),
            index in odd(&["0", "-0", "1.0", "01", "18446744073709551615"]),
            text in prop_oneof![odd(&["\"x\"", "null", "\"\\ud800\"", "\"\\u0000\\r\\n\"", "\"\u{7f}\""]), ".{0,9}".prop_map(|t| json!(t).to_string())],
            more in odd(&["", ",\"delta\":\"y\"", ",\"ts\":9", ",\"sessionId\":\"z\"", ",", " "]),
            noise in prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let ((seq, ts), (before, after)) = (numbers, around);
            let mut line = format!(
                "{{\"seq\":{seq},\"ts\":{ts},{session}\"kind\":\"message_update\",\"data\":{before}{{\
                 \"messageId\":\"m\",\"type\":{kind},\"contentIndex\":{index},\"delta\":{text}{more}}}{after}}}\n"
            )
            .into_bytes();
            if let Some((at, byte)) = noise.filter(|(_, byte)| *byte != b'\n') {
                let at = at.index(line.len() - 1);
                line[at] = byte;
            }
            let event = event_of(&line, 7);
            let mut read = BytesMut::new();
            write(&event, &mut read);
            let mut passed = BytesMut::new();
            let batch = Batch { first: 7, lines: Bytes::from(line) };
            batch.write_frames(None, &mut passed);
            prop_assert_eq!(parts(&passed), parts(&read));
            passed.clear();
            let s = "s".parse().unwrap();
            batch.write_frames(Some(&s), &mut passed);
            prop_assert_eq!(passed.is_empty(), event.session != Some(s));
        }

        #[test]
        fn a_piece_that_is_passed_on_says_what_the_event_says(
            text in ".{0,40}", kind in 0..3, index in 0usize..9, ts in 1u64.., with in any::<bool>(),
        ) {
            let delta = match kind {
                0 => Delta::TextDelta { content_index: index, delta: text },
                1 => Delta::ThinkingDelta { content_index: index, delta: text },
                _ => Delta::ToolcallDelta { content_index: index, delta: text },
            };
            let session = with.then(|| "s-1_A".parse().unwrap());
            let event = Event { seq: 7, ts, session, body: update(delta) };
            let line = event.to_line() + "\n";
            prop_assert!(Piece::of(line.as_bytes()).is_some());
            let frame = frames(line, None);
            let data = frame.strip_prefix("event: message_update\nid: 7\ndata: ").unwrap();
            let data = data.strip_suffix("\n\n").unwrap();
            prop_assert!(!data.contains(['\n', '\r']));
            prop_assert_eq!(serde_json::from_str::<Value>(data).unwrap(), event.wire_data());
        }
    }
}
