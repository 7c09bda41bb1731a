//! The log against cuts, slow readers, long histories and a disk that refuses.

use super::*;
use crate::clock::now_ms;
use futures_util::StreamExt as _;
use proptest::prelude::*;
use std::{os::unix::fs::FileExt as _, time::Duration};
use toft_model::event::{MessageUpdate, Notify};

/// The end of a bridge's life before or after its `at`-th event: from then on whoever tells
/// something ends on the spot, as all threads of a killed process do.
pub(crate) struct Fate {
    pub(crate) at: u64,
    pub(crate) after: bool,
    pub(crate) told: std::sync::atomic::AtomicU64,
    pub(crate) died: tokio_util::sync::CancellationToken,
}

impl Fate {
    fn die(&self) -> ! {
        self.died.cancel();
        // No panic hook: this is no fault.
        std::panic::resume_unwind(Box::new("killed"))
    }
}

/// Dies when dropped, after the event was written.
pub(crate) struct After(Option<Arc<Fate>>);

impl Drop for After {
    fn drop(&mut self) {
        if let Some(fate) = &self.0
            && !std::thread::panicking()
        {
            fate.die();
        }
    }
}

impl EventLog {
    pub(crate) fn give_fate(&self, fate: Arc<Fate>) {
        *self.0.fate.lock().unwrap() = Some(fate);
    }

    /// A step without an event counts as one.
    pub(crate) fn meet_fate_at_step(&self) {
        drop(self.meet_fate());
    }

    pub(super) fn meet_fate(&self) -> After {
        let fate = self.0.fate.lock().unwrap().clone();
        let Some(fate) = fate else { return After(None) };
        if fate.died.is_cancelled() {
            fate.die();
        }
        let n = fate.told.fetch_add(1, Ordering::SeqCst) + 1;
        if n == fate.at && !fate.after {
            fate.die();
        }
        After((n == fate.at).then_some(fate))
    }
}

impl EventLog {
    /// Events as they are followed; with a session: only that one's.
    pub(crate) fn follow(
        &self,
        after: Option<u64>,
        session: Option<SessionId>,
    ) -> impl futures_util::Stream<Item = Event> + Send + use<> {
        let events = |batch: Batch| {
            let read = |(seq, line): (u64, &[u8])| read::event_of(line, seq);
            futures_util::stream::iter(batch.numbered().map(read).collect::<Vec<_>>())
        };
        let wanted =
            move |event: &Event| std::future::ready(session.is_none() || session == event.session);
        self.batches(after).flat_map(events).filter(wanted)
    }
}

fn delta(n: u64) -> EventBody {
    EventBody::MessageUpdate(MessageUpdate {
        message_id: "m".into(),
        delta: Delta::TextDelta { content_index: 0, delta: format!("piece {n} \u{2028}\n") },
    })
}

fn long(n: u64, bytes: usize) -> EventBody {
    EventBody::Notify(Notify {
        message: format!("{n} {}", "x".repeat(bytes)),
        level: "info".into(),
        refresh_iframe: false,
        tool_call_id: None,
    })
}

async fn take(log: &EventLog, after: Option<u64>, n: usize) -> Vec<u64> {
    let events = log.follow(after, None).take(n).map(|e| e.seq).collect::<Vec<_>>();
    tokio::time::timeout(Duration::from_mins(1), events).await.expect("the events come")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn numbers_go_on_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    assert_eq!(log.last_seq(), 0);
    assert_eq!((log.append(None, delta(1)), log.append(None, delta(2))), (1, 2));
    log.sync().await;
    drop(log);
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    assert_eq!(log.append(None, delta(3)), 3);
    assert_eq!(take(&log, Some(0), 3).await, [1, 2, 3]);
}

#[tokio::test]
async fn every_event_carries_the_time_that_the_clock_told() {
    // One millisecond per look, far from today: the machine's own time would show.
    static TOLD: AtomicU64 = AtomicU64::new(1_000);
    let dir = tempfile::tempdir().unwrap();
    let clock = || TOLD.fetch_add(1, Ordering::SeqCst);
    let log = EventLog::open(dir.path(), clock).await.unwrap();
    for n in 1..=3 {
        log.append(None, delta(n));
    }
    let live: Vec<Event> = log.follow(Some(0), None).take(3).collect().await;
    assert_eq!(live.iter().map(|e| e.ts).collect::<Vec<_>>(), [1_000, 1_001, 1_002]);
    let text = std::fs::read_to_string(log.path()).unwrap();
    assert!(text.starts_with(r#"{"seq":1,"ts":1000,"kind":"#), "{text}");
    assert_eq!(live[2].wire_data()["ts"], 1_002);
}

#[tokio::test]
async fn a_line_of_an_early_version_without_a_time_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let old = r#"{"seq":1,"session":"s1","kind":"agent_start","data":{}}"#;
    std::fs::write(dir.path().join(LOG_FILE), format!("{old}\n")).unwrap();
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    assert_eq!(log.append(None, delta(2)), 2);
    let read: Vec<Event> = log.follow(Some(0), None).take(2).collect().await;
    assert_eq!((read[0].body.kind(), read[0].ts), ("agent_start", 0));
    assert!(read[1].ts > 0);
}

#[tokio::test]
async fn a_reader_gets_old_and_new_events_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    for n in 1..=1_000 {
        log.append(None, delta(n));
    }
    let mut reader = Box::pin(log.follow(Some(400), None));
    for expected in 401..=700 {
        assert_eq!(reader.next().await.unwrap().seq, expected);
    }
    // Far more than the live channel holds: this reader must go back to disk.
    for n in 1_001..=3_000 {
        log.append(None, delta(n));
    }
    for expected in 701..=3_000 {
        assert_eq!(reader.next().await.unwrap().seq, expected);
    }
    log.append(None, delta(3_001));
    assert_eq!(reader.next().await.unwrap().seq, 3_001);
}

#[tokio::test]
async fn events_that_are_written_together_have_a_line_and_a_number_each() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    let mut live = Box::pin(log.follow(Some(0), None));
    assert_eq!(log.append_all(None, (1..=5).map(delta).collect()), 5);
    assert_eq!(log.append_all(None, Vec::new()), 5);
    assert_eq!(log.append(None, delta(6)), 6);
    for expected in 1..=6 {
        assert_eq!(live.next().await.unwrap().seq, expected);
    }
    let text = std::fs::read_to_string(log.path()).unwrap();
    assert_eq!(text.lines().count(), 6);
    // From the middle of what was written together, too.
    assert_eq!(take(&log, Some(2), 4).await, [3, 4, 5, 6]);
    // Nothing of what cannot be written whole is in the file.
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let real = std::mem::replace(&mut log.writer().file, full);
    log.append_all(None, vec![EventBody::AgentStart {}, EventBody::TurnStart {}]);
    assert!(futures_util::poll!(live.next()).is_pending(), "nothing unwritten is shown");
    log.writer().file = real;
    log.check().unwrap();
    let kinds: Vec<_> = live.take(3).map(|e| (e.seq, e.body.kind())).collect().await;
    assert_eq!(kinds, [(7, "agent_start"), (8, "turn_start"), (9, "error")]);
}

#[tokio::test]
async fn a_reader_without_a_number_begins_at_its_call_not_at_its_first_poll() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    log.append(None, delta(1));
    let mut reader = Box::pin(log.follow(None, None));
    log.append(None, delta(2));
    assert_eq!(reader.next().await.unwrap().seq, 2);
}

#[tokio::test]
async fn a_session_filter_passes_only_that_session() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    let (a, b): (SessionId, SessionId) = ("a".parse().unwrap(), "b".parse().unwrap());
    for n in 0..10 {
        log.append(Some(if n % 2 == 0 { &a } else { &b }), delta(n));
    }
    log.append(None, delta(10));
    log.append(Some(&b), delta(11));
    let seen: Vec<u64> = log.follow(Some(3), Some(b)).take(5).map(|e| e.seq).collect().await;
    assert_eq!(seen, [4, 6, 8, 10, 12]);
}

#[tokio::test]
async fn any_number_of_a_hundred_thousand_is_found_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    for n in 1..=100_000 {
        log.append(None, if n % 9_999 == 0 { long(n, 300_000) } else { delta(n) });
    }
    for after in [0, 1, 255, 256, 9_997, 9_998, 9_999, 10_000, 50_000, 99_989, 99_990, 99_999] {
        assert_eq!(take(&log, Some(after), 1).await, [after + 1]);
    }
    assert_eq!(take(&log, Some(0), 100_000).await, (1..=100_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_visit_leaves_out_deltas() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    let visited = |after| {
        let mut seen = Vec::new();
        log.visit(after, |e| seen.push((e.seq, e.body.kind()))).unwrap();
        seen
    };
    assert_eq!(visited(0), []);
    log.append(None, EventBody::AgentStart {});
    log.append(None, long(2, 400_000));
    for n in 3..2_000 {
        log.append(None, delta(n));
    }
    log.append(None, EventBody::AgentStart {});
    assert_eq!(visited(0), [(1, "agent_start"), (2, "notify"), (2_000, "agent_start")]);
    assert_eq!(visited(1), [(2, "notify"), (2_000, "agent_start")]);
    assert_eq!(visited(2_000), []);
}

#[tokio::test]
async fn a_damaged_line_keeps_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    for n in 1..=3 {
        log.append(None, delta(n));
    }
    let file = OpenOptions::new().write(true).open(log.path()).unwrap();
    let text = std::fs::read_to_string(log.path()).unwrap();
    let second = text.find('\n').unwrap() + 1;
    file.write_all_at(b"\0\0\0\0\0\0\0\0\0\0", second as u64 + 20).unwrap();
    let events: Vec<Event> = log.follow(Some(0), None).take(3).collect().await;
    assert_eq!(events.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(events[1].body.kind(), "error");
}

#[tokio::test]
async fn a_line_too_many_costs_no_later_event() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    for n in 1..=3 {
        log.append(None, delta(n));
    }
    let text = std::fs::read_to_string(log.path()).unwrap();
    std::fs::write(log.path(), text.replacen('\n', "\nnot one of ours\n\n", 1)).unwrap();
    drop(log);
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    let mut reader = Box::pin(log.follow(Some(0), None));
    let mut kinds = Vec::new();
    for _ in 0..5 {
        kinds.push(reader.next().await.unwrap().body.kind());
    }
    assert_eq!(kinds, ["message_update", "error", "error", "message_update", "message_update"]);
    for expected in 4..=6 {
        log.append(None, delta(expected));
        let next = tokio::time::timeout(Duration::from_secs(10), reader.next()).await;
        assert_eq!(next.unwrap().unwrap().seq, expected);
    }
}

#[tokio::test]
async fn a_full_disk_holds_events_back_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    log.append(None, delta(1));
    let mut reader = Box::pin(log.follow(Some(0), None));
    assert_eq!(reader.next().await.unwrap().seq, 1);
    // /dev/full answers every write with "no space left".
    let real = {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        std::mem::replace(&mut log.writer().file, full)
    };
    assert_eq!(log.append(None, EventBody::AgentStart {}), 2);
    // Pieces of one text are merged while they wait.
    assert_eq!(log.append(None, delta(2)), 3);
    assert_eq!(log.append(None, delta(3)), 3);
    assert_eq!(log.append(None, EventBody::TurnStart {}), 4);
    assert!(log.check().unwrap_err().to_string().contains("free some disk space"));
    assert!(futures_util::poll!(reader.next()).is_pending(), "nothing unwritten is shown");

    log.writer().file = real;
    log.check().unwrap();
    assert_eq!(log.append(None, delta(4)), 6);
    let mut kinds = Vec::new();
    for expected in 2..=6 {
        let event = reader.next().await.unwrap();
        assert_eq!(event.seq, expected);
        kinds.push(event.body.kind());
    }
    assert_eq!(kinds, ["agent_start", "message_update", "turn_start", "error", "message_update"]);
    assert_eq!(take(&log, Some(0), 6).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn what_a_failed_write_left_is_cut_before_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path(), now_ms).await.unwrap();
    log.append(None, delta(1));
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut real = std::mem::replace(&mut log.writer().file, full);
    let pair = || vec![EventBody::AgentStart {}, EventBody::TurnStart {}];
    assert_eq!(log.append_all(None, pair()), 3);
    // The disk took a whole line and a part of the next, and would not give them back.
    real.write_all(b"{\"seq\":2,\"ts\":1,\"kind\":\"agent_start\",\"data\":{}}\n{\"seq\":3,\"t")
        .unwrap();
    log.writer().file = real;
    assert_eq!(log.append_all(None, pair()), 6);
    assert_eq!(take(&log, Some(0), 6).await, [1, 2, 3, 4, 5, 6]);
    let text = std::fs::read_to_string(log.path()).unwrap();
    let seqs: Vec<u64> =
        text.lines().map(|line| serde_json::from_str::<Event>(line).unwrap().seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_cut_anywhere_keeps_its_whole_lines_and_goes_on(
        sizes in prop::collection::vec(0usize..2_000, 1..40),
        cut in 0.0f64..=1.0,
        zeroes in 0usize..20,
    ) {
        runtime().block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let log = EventLog::open(dir.path(), now_ms).await.unwrap();
            for (n, size) in sizes.iter().enumerate() {
                log.append(None, long(n as u64, *size));
            }
            let path = log.path().to_owned();
            drop(log);
            let mut bytes = std::fs::read(&path).unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
                reason = "a place in a small file")]
            bytes.truncate((bytes.len() as f64 * cut) as usize);
            let whole = bytes.split(|b| *b == b'\n').count() as u64 - 1;
            bytes.extend(std::iter::repeat_n(0, zeroes));
            if zeroes > 10 {
                bytes.push(b'\n');
            }
            std::fs::write(&path, &bytes).unwrap();

            let log = EventLog::open(dir.path(), now_ms).await.unwrap();
            assert_eq!(log.last_seq(), whole);
            assert_eq!(log.append(None, delta(0)), whole + 1);
            assert_eq!(
                take(&log, Some(0), usize::try_from(whole).unwrap() + 1).await,
                (1..=whole + 1).collect::<Vec<_>>()
            );
        });
    }
}
