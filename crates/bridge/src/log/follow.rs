//! Readers of the log: from disk up to now, then live, without a gap or a doubled event. A reader
//! that falls behind the live channel reads the missed part from disk.

use super::{
    EventLog, Written,
    read::{Lines, event_of},
    spawn,
};
use futures_util::Stream;
use std::{collections::VecDeque, io, sync::Arc};
use toft_model::{event::Event, id::SessionId};
use tokio::sync::broadcast::{self, error::RecvError};

struct Follower {
    lines: Lines,
    live: broadcast::Receiver<Arc<Written>>,
    /// Number of the next event.
    next: u64,
    /// Where the next event will lie.
    offset: u64,
    /// Read from disk up to here before listening.
    disk_end: u64,
    ready: VecDeque<Event>,
    /// Taken from the live channel, to be given after what was missed.
    held: Option<Arc<Written>>,
}

impl EventLog {
    /// All events with a number above `after`, from disk however old, then what comes. Without
    /// `after` only what comes from now (from this call, not from the first poll). With a
    /// session: only that session's. Ends only with the log itself or when the disk fails.
    pub fn follow(
        &self,
        after: Option<u64>,
        session: Option<SessionId>,
    ) -> impl Stream<Item = Event> + Send + use<> {
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
            let ready = VecDeque::new();
            let mut reader = Follower { lines, live, next, offset, disk_end: end, ready, held: None };
            loop {
                match reader.next().await {
                    Ok(Some(event)) => {
                        if session.is_none() || session == event.session {
                            yield event;
                        }
                    }
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
    async fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.next = event.seq + 1;
                return Ok(Some(event));
            }
            if self.offset < self.disk_end {
                self.read_disk().await?;
                continue;
            }
            if let Some(written) = self.held.take()
                && let Some(event) = self.take_live(&written)
            {
                return Ok(Some(event));
            }
            match self.live.recv().await {
                Ok(written) if written.start > self.offset => {
                    self.disk_end = written.start;
                    self.held = Some(written);
                }
                Ok(written) => {
                    if let Some(event) = self.take_live(&written) {
                        return Ok(Some(event));
                    }
                }
                // The next event received lies further on: the gap is read from disk.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    /// The event, unless it was read from disk before.
    fn take_live(&mut self, written: &Arc<Written>) -> Option<Event> {
        if written.event.seq < self.next {
            return None;
        }
        self.offset = written.end;
        self.disk_end = written.end;
        self.next = written.event.seq + 1;
        Some(written.event.clone())
    }

    async fn read_disk(&mut self) -> io::Result<()> {
        let (lines, from, end, mut seq) =
            (self.lines.clone(), self.offset, self.disk_end, self.next);
        let (events, next) = spawn(move || {
            let (bytes, next) = lines.chunk(from, end)?;
            let mut events = VecDeque::new();
            for line in bytes.split_inclusive(|b| *b == b'\n') {
                events.push_back(event_of(line, seq));
                seq += 1;
            }
            Ok((events, next))
        })
        .await?;
        self.ready = events;
        self.offset = next;
        Ok(())
    }
}
