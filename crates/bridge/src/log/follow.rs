//! Readers of the log: from disk up to now, then live, without a gap or a doubled event. A reader
//! that falls behind the live channel reads the missed part from disk.

use super::{EventLog, Written, read::Lines, spawn};
use bytes::Bytes;
use futures_util::Stream;
use std::{io, sync::Arc};
use toft_model::id::SessionId;
use tokio::sync::broadcast::{self, error::RecvError};

/// Lines that lie one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// Number of the first.
    pub(super) first: u64,
    /// Whole lines.
    pub(super) lines: Bytes,
}

impl Batch {
    /// Each with the number that it must have.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u64, &[u8])> {
        (self.first..).zip(self.lines.split_inclusive(|b| *b == b'\n'))
    }

    /// Whether any of them may be about this conversation.
    pub(crate) fn names(&self, session: &SessionId) -> bool {
        memchr::memmem::find(&self.lines, session.as_str().as_bytes()).is_some()
    }
}

struct Follower {
    lines: Lines,
    live: broadcast::Receiver<Arc<Written>>,
    /// Number of the next event.
    next: u64,
    /// Where the next event will lie.
    offset: u64,
    /// Read from disk up to here before listening.
    disk_end: u64,
    /// Taken from the live channel, to be given after what was missed.
    held: Option<Arc<Written>>,
}

impl EventLog {
    /// All events with a number above `after`, from disk however old, then what comes. Without
    /// `after` only what comes from now (from this call, not from the first poll). Ends only with the
    /// log itself or when the disk fails.
    pub(crate) fn batches(&self, after: Option<u64>) -> impl Stream<Item = Batch> + Send + use<> {
        let (live, written_seq, end) = {
            let writer = self.writer();
            let written = writer.last_seq - writer.waiting.len() as u64;
            (writer.live.subscribe(), written, writer.end)
        };
        let lines = Lines::new(Arc::clone(&self.0.reader));
        async_stream::stream! {
            let (offset, next) = match after {
                // A number that is not given yet waits for it: what comes is not skipped silently.
                Some(after) if after < written_seq => {
                    let finder = lines.clone();
                    match spawn(move || finder.offset_after(after, end)).await {
                        Ok(offset) => (offset, after + 1),
                        Err(error) => {
                            tracing::warn!(%error, "the event log cannot be read");
                            return;
                        }
                    }
                }
                Some(_) | None => (end, written_seq + 1),
            };
            let mut reader = Follower { lines, live, next, offset, disk_end: end, held: None };
            loop {
                match reader.next().await {
                    Ok(Some(batch)) => yield batch,
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!(%error, "the event log cannot be read");
                        return;
                    }
                }
            }
        }
    }
}

impl Follower {
    async fn next(&mut self) -> io::Result<Option<Batch>> {
        loop {
            if self.offset < self.disk_end {
                let batch = self.read_disk().await?;
                if batch.lines.is_empty() {
                    continue;
                }
                return Ok(Some(batch));
            }
            if let Some(written) = self.held.take()
                && let Some(batch) = self.take_live(&written)
            {
                return Ok(Some(batch));
            }
            match self.live.recv().await {
                Ok(written) if written.start > self.offset => {
                    self.disk_end = written.start;
                    self.held = Some(written);
                }
                Ok(written) => {
                    if let Some(batch) = self.take_live(&written) {
                        return Ok(Some(batch));
                    }
                }
                // The next write received lies further on: the gap is read from disk.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    /// What was written, unless it was read from disk before: disk is read to the end of a write. Where it
    /// lies says so, not its number: a damaged file may have lines too many.
    fn take_live(&mut self, written: &Written) -> Option<Batch> {
        if written.start < self.offset {
            return None;
        }
        self.offset = written.end;
        self.disk_end = written.end;
        Some(self.given(written.batch.clone()))
    }

    fn given(&mut self, batch: Batch) -> Batch {
        let count = memchr::memchr_iter(b'\n', &batch.lines).count();
        self.next = batch.first + count as u64;
        batch
    }

    async fn read_disk(&mut self) -> io::Result<Batch> {
        let (lines, from, end) = (self.lines.clone(), self.offset, self.disk_end);
        let (bytes, next) = spawn(move || lines.chunk(from, end)).await?;
        self.offset = next;
        Ok(self.given(Batch { first: self.next, lines: bytes.into() }))
    }
}
