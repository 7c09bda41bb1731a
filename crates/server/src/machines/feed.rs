//! Events on their way from the copy to clients: each is stored, then sent here as a ready frame.

use bytes::Bytes;
use std::fmt::Write as _;
use toft_store::NewEvent;
use tokio::sync::broadcast;

/// Frames that a client may be behind before it reads from the store instead: a burst of deltas.
const FRAMES_MAX: usize = 256;

/// Larger events are read from the store by each client: [`FRAMES_MAX`] of them would fill memory.
const FRAME_BYTES_MAX: usize = 256 << 10;

/// One event as it goes over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) seq: u64,
    pub(crate) session: Option<String>,
    /// `None`: it is too large to be kept here.
    pub(crate) bytes: Option<Bytes>,
}

impl Frame {
    pub(crate) fn of(event: &NewEvent) -> Self {
        let bytes = (event.data.len() <= FRAME_BYTES_MAX).then(|| {
            let mut text = String::with_capacity(event.data.len() + event.kind.len() + 40);
            write(&mut text, event);
            text.into()
        });
        Self { seq: event.seq, session: event.session.clone(), bytes }
    }
}

/// Appends an event as a frame of server-sent events.
pub(crate) fn write(out: &mut String, event: &NewEvent) {
    // The data is one line: intake makes sure of it.
    let _ = write!(out, "event: {}\nid: {}\ndata: {}\n\n", event.kind, event.seq, event.data);
}

/// Where frames go.
#[derive(Debug)]
pub(crate) struct Feed {
    frames: broadcast::Sender<Frame>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { frames: broadcast::Sender::new(FRAMES_MAX) }
    }
}

impl Feed {
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Frame> {
        self.frames.subscribe()
    }

    /// Sends events that are stored. Nobody listening costs nothing.
    pub(crate) fn publish(&self, events: &[NewEvent]) {
        if self.frames.receiver_count() == 0 {
            return;
        }
        for event in events {
            // An error means that the last listener just left.
            let _ = self.frames.send(Frame::of(event));
        }
    }
}
