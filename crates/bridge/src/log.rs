//! The project's event log: one numbered JSON line per event in `events.jsonl`, appended before
//! anybody sees it, replayable from any number. Not the truth of conversations: that is in the
//! session files, and what is missing here after a crash is made from them.
//!
//! A number is given once and never again. An event that cannot be written (disk full) waits in
//! memory, unseen, until it can be; nothing behind it overtakes it.

mod follow;
mod frame;
mod read;
#[cfg(test)]
pub(crate) mod tests;

use crate::clock::Clock;
use bytes::Bytes;
pub(crate) use follow::Batch;
use read::{Lines, repair};
use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use toft_model::{
    event::{Delta, Event, EventBody},
    id::SessionId,
};
use tokio::sync::broadcast;

/// Name of the log in its folder.
pub const LOG_FILE: &str = "events.jsonl";

/// Writes that a live reader may be behind before it reads from disk instead. Small, because a
/// stalled reader keeps this many (tool results of 50 KB among them) in memory.
const LIVE_WRITES_MAX: usize = 256;

/// Events that wait in memory while the disk is full. Deltas are merged first and dropped when
/// this is reached; the loop stops by itself soon, since its session file cannot grow either.
const WAITING_EVENTS_MAX: usize = 4_096;

/// The log. Clones share it.
#[derive(Clone)]
pub struct EventLog(Arc<Shared>);

struct Shared {
    path: PathBuf,
    writer: Mutex<Writer>,
    /// Bytes of the file that are known to be on disk.
    synced: AtomicU64,
    /// One fdatasync at a time; those who wait meanwhile share the next.
    syncing: tokio::sync::Mutex<()>,
    reader: Arc<File>,
    /// Ends this process' life at an event, in tests of what comes after.
    #[cfg(test)]
    fate: Mutex<Option<Arc<tests::Fate>>>,
}

struct Writer {
    file: File,
    /// Length of the file; everything below is whole lines.
    end: u64,
    /// Last number given, also to events that still wait.
    last_seq: u64,
    clock: Clock,
    /// Kept between appends to save the allocation.
    line: Vec<u8>,
    live: broadcast::Sender<Arc<Written>>,
    waiting: VecDeque<Event>,
    trouble: Option<Trouble>,
}

/// Why the log cannot be written.
#[derive(Debug, Clone)]
struct Trouble {
    message: String,
    dropped_deltas: u64,
}

/// Events that were written together, and where they lie.
struct Written {
    batch: Batch,
    start: u64,
    end: u64,
}

/// What cannot be written, for [`EventLog::check`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event log cannot be written ({0}): free some disk space of the host, then try again")]
pub struct LogTrouble(pub String);

impl EventLog {
    /// Opens or makes the log in `dir` (made if absent). A torn last line is cut off. Events get
    /// their time from `clock`.
    pub async fn open(dir: &Path, clock: Clock) -> io::Result<Self> {
        let dir = dir.to_owned();
        spawn(move || Self::open_now(&dir, clock)).await
    }

    fn open_now(dir: &Path, clock: Clock) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(LOG_FILE);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let reader = Arc::new(File::open(&path)?);
        let tail = repair(&file)?;
        let writer = Writer {
            file,
            end: tail.end,
            last_seq: tail.last_seq,
            clock,
            line: Vec::new(),
            live: broadcast::channel(LIVE_WRITES_MAX).0,
            waiting: VecDeque::new(),
            trouble: None,
        };
        Ok(Self(Arc::new(Shared {
            path,
            writer: Mutex::new(writer),
            synced: AtomicU64::new(0),
            syncing: tokio::sync::Mutex::new(()),
            reader,
            #[cfg(test)]
            fate: Mutex::new(None),
        })))
    }

    /// Numbers an event, writes it with one `write(2)` and shows it to live readers. Returns its
    /// number. Never fails: while the disk is full events wait, see [`EventLog::check`].
    pub fn append(&self, session: Option<&SessionId>, body: EventBody) -> u64 {
        self.append_all(session, vec![body])
    }

    /// The same for events that came together: each has its number and its line, one `write(2)` is for
    /// all. Returns the last number.
    pub fn append_all(&self, session: Option<&SessionId>, bodies: Vec<EventBody>) -> u64 {
        #[cfg(test)]
        let _after: Vec<_> = bodies.iter().map(|_| self.meet_fate()).collect();
        let mut writer = self.writer();
        if writer.trouble.is_some() {
            writer.heal();
        }
        if writer.trouble.is_some() {
            for body in bodies {
                writer.wait(session, body);
            }
            return writer.last_seq;
        }
        let events: Vec<Event> =
            bodies.into_iter().map(|body| writer.number(session, body)).collect();
        if let Err(error) = writer.write(&events) {
            tracing::warn!(%error, "the event log cannot be written; events wait in memory");
            writer.trouble = Some(Trouble { message: error.to_string(), dropped_deltas: 0 });
            writer.waiting.extend(events);
        }
        writer.last_seq
    }

    /// Whether events can be written; tries the waiting ones first. Routes that begin work answer
    /// 507 on an error.
    pub fn check(&self) -> Result<(), LogTrouble> {
        let mut writer = self.writer();
        writer.heal();
        match &writer.trouble {
            None => Ok(()),
            Some(trouble) => Err(LogTrouble(trouble.message.clone())),
        }
    }

    /// Returns when everything that was appended before is on disk (fdatasync, on another thread).
    /// A failure is remembered for [`EventLog::check`].
    pub async fn sync(&self) {
        let wanted = self.writer().end;
        if self.0.synced.load(Ordering::Acquire) >= wanted {
            return;
        }
        let _one = self.0.syncing.lock().await;
        if self.0.synced.load(Ordering::Acquire) >= wanted {
            return;
        }
        let end = self.writer().end;
        let file = Arc::clone(&self.0.reader);
        match spawn(move || file.sync_data()).await {
            Ok(()) => {
                self.0.synced.store(end, Ordering::Release);
            }
            Err(error) => {
                tracing::warn!(%error, "the event log cannot be synced");
                let mut writer = self.writer();
                writer
                    .trouble
                    .get_or_insert(Trouble { message: error.to_string(), dropped_deltas: 0 });
            }
        }
    }

    /// The last number given; 0 for an empty log.
    pub fn last_seq(&self) -> u64 {
        self.writer().last_seq
    }

    /// Calls `each` with every event above `after` but deltas and tool output, oldest first.
    /// Blocks: not for the loop thread.
    pub fn visit(&self, after: u64, each: impl FnMut(Event)) -> io::Result<()> {
        let end = self.writer().end;
        Lines::new(Arc::clone(&self.0.reader)).visit(after, end, each)
    }

    /// Where the log lies.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic while writing leaves whole lines or a tail that the next write cuts.
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// The next event: with its number and the time.
    fn number(&mut self, session: Option<&SessionId>, body: EventBody) -> Event {
        self.last_seq += 1;
        Event { seq: self.last_seq, ts: (self.clock)(), session: session.cloned(), body }
    }

    /// Writes events whole, all of them or none.
    fn write(&mut self, events: &[Event]) -> io::Result<()> {
        let Some(first) = events.first() else { return Ok(()) };
        self.line.clear();
        for event in events {
            serde_json::to_writer(&mut self.line, event).expect("events hold only JSON-able data");
            self.line.push(b'\n');
        }
        if let Err(error) = self.file.write_all(&self.line) {
            // The part that got in would tear the next line.
            let _ = self.file.set_len(self.end);
            return Err(error);
        }
        let start = self.end;
        self.end += self.line.len() as u64;
        if self.live.receiver_count() > 0 {
            let lines = Bytes::copy_from_slice(&self.line);
            let batch = Batch { first: first.seq, lines };
            // An error only says that nobody reads now.
            let _ = self.live.send(Arc::new(Written { batch, start, end: self.end }));
        }
        if self.line.capacity() > LINE_KEPT_BYTES_MAX {
            self.line = Vec::new();
        }
        Ok(())
    }

    /// Takes an event while the disk is full.
    fn wait(&mut self, session: Option<&SessionId>, body: EventBody) {
        let merged = self.waiting.back_mut().is_some_and(|last| {
            last.session.as_ref() == session && merge_delta(&mut last.body, &body)
        });
        if merged {
            return;
        }
        let full = self.waiting.len() >= WAITING_EVENTS_MAX;
        if full && matches!(body, EventBody::MessageUpdate(_) | EventBody::ToolUpdate(_)) {
            if let Some(trouble) = &mut self.trouble {
                trouble.dropped_deltas += 1;
            }
            return;
        }
        let event = self.number(session, body);
        self.waiting.push_back(event);
    }

    /// Writes what waits; when all is written, says so in an event.
    fn heal(&mut self) {
        let Some(trouble) = &self.trouble else { return };
        let (message, dropped) = (trouble.message.clone(), trouble.dropped_deltas);
        let waited = self.waiting.len();
        // A write that failed may have left a part that the disk would not give back then.
        if let Err(error) = self.file.set_len(self.end) {
            tracing::warn!(%error, "the event log's torn end cannot be cut off");
            return;
        }
        // A failed sync leaves nothing that waits: probe the disk with the file itself.
        if waited == 0 && self.file.sync_data().is_err() {
            return;
        }
        while let Some(event) = self.waiting.pop_front() {
            if let Err(error) = self.write(std::slice::from_ref(&event)) {
                self.waiting.push_front(event);
                if let Some(trouble) = &mut self.trouble {
                    trouble.message = error.to_string();
                }
                return;
            }
        }
        self.trouble = None;
        let message = format!(
            "The event log could not be written for a while ({message}). It can again; \
             {waited} events were held back and are written now, {dropped} pieces of shown text \
             were left out (whole messages are complete)."
        );
        let told = self.number(None, EventBody::Error { code: "disk_full".into(), message });
        if let Err(error) = self.write(std::slice::from_ref(&told)) {
            self.trouble = Some(Trouble { message: error.to_string(), dropped_deltas: 0 });
            self.waiting.push_back(told);
        }
    }
}

/// Buffer kept between appends: a long delta's size; one image result must not stay for ever.
const LINE_KEPT_BYTES_MAX: usize = 64 * 1024;

/// Appends the text of `next` to `last` when both are pieces of one block.
fn merge_delta(last: &mut EventBody, next: &EventBody) -> bool {
    match (last, next) {
        (EventBody::MessageUpdate(a), EventBody::MessageUpdate(b))
            if a.message_id == b.message_id =>
        {
            match (&mut a.delta, &b.delta) {
                (
                    Delta::TextDelta { content_index: i, delta: text },
                    Delta::TextDelta { content_index: j, delta: more },
                )
                | (
                    Delta::ThinkingDelta { content_index: i, delta: text },
                    Delta::ThinkingDelta { content_index: j, delta: more },
                )
                | (
                    Delta::ToolcallDelta { content_index: i, delta: text },
                    Delta::ToolcallDelta { content_index: j, delta: more },
                ) if i == j => {
                    text.push_str(more);
                    true
                }
                _ => false,
            }
        }
        _ => false,
    }
}

/// Runs blocking file work on a thread meant for it.
async fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
