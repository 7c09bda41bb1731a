//! Events on their way from the copy to clients: each is stored, then sent here as a ready frame, with those
//! that were stored with it.

use bytes::Bytes;
use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};
use toft_store::NewEvent;
use tokio::sync::broadcast;

/// Bursts that a client may be behind before it reads from the store instead.
const BURSTS_MAX: usize = 128;

/// Larger events are read from the store by each client, and a burst is about twice as large at most: [`BURSTS_MAX`]
/// of them are kept for a client that stands still, in every project that has one.
const BURST_BYTES_MAX: usize = 64 << 10;
const _: () = assert!(BURSTS_MAX * 2 * BURST_BYTES_MAX <= 16 << 20);

/// Events that were stored together, as they go over the wire: whoever wants all of them sends them as they are.
#[derive(Debug)]
pub(crate) struct Burst {
    /// In order, without a gap.
    frames: Vec<Frame>,
    bytes: Bytes,
}

#[derive(Debug)]
struct Frame {
    seq: u64,
    session: Option<String>,
    /// Where it ends in the burst's bytes. `None`: it is too large to be kept here.
    end: Option<usize>,
}

/// What a client makes of a burst.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes out; the number of the last event of the burst.
    Send(Vec<Bytes>, u64),
    /// Some of it, or of what came before, must be read from the store.
    Read,
}

impl Burst {
    /// What of it comes after an event and is wanted.
    pub(crate) fn after(&self, last: u64, wanted: impl Fn(u64, Option<&str>) -> bool) -> Next {
        let mut pieces = Vec::new();
        let (mut from, mut begin, mut at) = (None, 0, last);
        for frame in &self.frames {
            let Some(end) = frame.end else {
                if frame.seq > at {
                    return Next::Read;
                }
                continue;
            };
            if frame.seq > at + 1 {
                return Next::Read;
            }
            let is_next = frame.seq == at + 1;
            at = at.max(frame.seq);
            if is_next && wanted(frame.seq, frame.session.as_deref()) {
                from.get_or_insert(begin);
            } else if let Some(from) = from.take() {
                pieces.push(self.bytes.slice(from..begin));
            }
            begin = end;
        }
        if let Some(from) = from {
            pieces.push(self.bytes.slice(from..begin));
        }
        Next::Send(pieces, at)
    }

    /// Whether its last event is of that session.
    pub(crate) fn ends_with(&self, session: &str) -> bool {
        self.frames.last().is_some_and(|frame| frame.session.as_deref() == Some(session))
    }

    /// Takes as many of these events as go together; what is left.
    fn of(events: &[NewEvent]) -> (Self, &[NewEvent]) {
        let mut text = String::new();
        let mut frames = Vec::new();
        for event in events {
            if text.len() >= BURST_BYTES_MAX {
                break;
            }
            let fits = event.data.len() <= BURST_BYTES_MAX;
            if fits {
                write(&mut text, event);
            }
            let end = fits.then_some(text.len());
            frames.push(Frame { seq: event.seq, session: event.session.clone(), end });
        }
        let left = &events[frames.len()..];
        text.shrink_to_fit();
        (Self { frames, bytes: text.into() }, left)
    }
}

/// Appends an event as a frame of server-sent events.
pub(crate) fn write(out: &mut String, event: &NewEvent) {
    // The data is one line: intake makes sure of it.
    let _ = write!(out, "event: {}\nid: {}\ndata: {}\n\n", event.kind, event.seq, event.data);
}

/// Where frames go. Its room is made for the first listener and given back after the last: most
/// projects have none most of the time.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    bursts: Mutex<Option<broadcast::Sender<Arc<Burst>>>>,
}

impl Feed {
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Burst>> {
        let mut bursts = self.bursts.lock().unwrap_or_else(PoisonError::into_inner);
        bursts.get_or_insert_with(|| broadcast::Sender::new(BURSTS_MAX)).subscribe()
    }

    /// Whether all who listen have taken all that was sent.
    pub(crate) fn is_taken(&self) -> bool {
        let bursts = self.bursts.lock().unwrap_or_else(PoisonError::into_inner);
        bursts.as_ref().is_none_or(broadcast::Sender::is_empty)
    }

    /// Sends events that are stored; how many listen. Nobody listening costs nothing.
    pub(crate) fn publish(&self, events: &[NewEvent]) -> usize {
        // Held meanwhile: who subscribes just now does so before or after all of them.
        let mut bursts = self.bursts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = bursts.as_ref() else { return 0 };
        let listeners = sender.receiver_count();
        if listeners == 0 {
            *bursts = None;
            return 0;
        }
        let mut left = events;
        while !left.is_empty() {
            let (burst, rest) = Burst::of(left);
            // An error means that the last listener just left.
            let _ = sender.send(Arc::new(burst));
            left = rest;
        }
        listeners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, session: &str, bytes: usize) -> NewEvent {
        NewEvent {
            seq,
            ts: 1,
            session: Some(session.into()),
            kind: "notify".into(),
            data: format!("{{\"x\":\"{}\"}}", "x".repeat(bytes)),
        }
    }

    fn ids(next: Next) -> Option<(Vec<u64>, u64)> {
        let Next::Send(pieces, last) = next else { return None };
        let text = String::from_utf8(pieces.concat()).unwrap();
        assert!(text.is_empty() || text.ends_with("\n\n"), "{text}");
        let ids = text.lines().filter_map(|l| l.strip_prefix("id: ")).map(|id| id.parse().unwrap());
        Some((ids.collect(), last))
    }

    #[test]
    fn a_client_gets_what_it_wants_and_has_not_got() {
        let events: Vec<NewEvent> =
            (5..=9).map(|seq| event(seq, if seq == 7 { "b" } else { "a" }, 3)).collect();
        let (burst, left) = Burst::of(&events);
        assert!(left.is_empty());
        let all = |last| ids(burst.after(last, |_, _| true));
        assert_eq!(all(4), Some((vec![5, 6, 7, 8, 9], 9)));
        assert_eq!(all(6), Some((vec![7, 8, 9], 9)));
        assert_eq!(all(9), Some((vec![], 9)));
        assert_eq!(all(20), Some((vec![], 20)));
        // Number 4 is missing.
        assert_eq!(all(3), None);
        let of = |session: &'static str| ids(burst.after(4, |_, of| of == Some(session)));
        assert_eq!(of("a"), Some((vec![5, 6, 8, 9], 9)));
        assert_eq!(of("b"), Some((vec![7], 9)));
        assert_eq!(ids(burst.after(4, |seq, _| seq > 8)), Some((vec![9], 9)));
    }

    #[test]
    fn an_event_that_stands_there_twice_goes_out_once() {
        let mut forged = event(6, "a", 9);
        forged.kind = "forged".into();
        let (burst, _) = Burst::of(&[event(5, "a", 3), event(6, "a", 3), forged, event(7, "a", 3)]);
        assert_eq!(ids(burst.after(4, |_, _| true)), Some((vec![5, 6, 7], 7)));
    }

    #[test]
    fn what_is_too_large_is_read_from_the_store() {
        let events = [event(5, "a", 3), event(6, "a", BURST_BYTES_MAX), event(7, "a", 3)];
        let (burst, left) = Burst::of(&events);
        assert!(left.is_empty());
        assert_eq!(burst.after(4, |_, _| true), Next::Read);
        assert_eq!(ids(burst.after(6, |_, _| true)), Some((vec![7], 7)));
    }

    #[test]
    fn a_burst_is_no_larger_than_clients_may_keep() {
        let events: Vec<NewEvent> = (1..=9).map(|seq| event(seq, "a", 40_000)).collect();
        let (mut left, mut seen) = (&events[..], 0);
        while !left.is_empty() {
            let (burst, rest) = Burst::of(left);
            assert!(burst.bytes.len() < 2 * BURST_BYTES_MAX);
            let (ids, last) = ids(burst.after(seen, |_, _| true)).unwrap();
            assert_eq!(ids, (seen + 1..=last).collect::<Vec<_>>());
            (left, seen) = (rest, last);
        }
        assert_eq!(seen, 9);
    }
}
