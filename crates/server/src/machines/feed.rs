//! Events on their way from the copy to clients: each is stored, then sent here as a ready frame.

use bytes::Bytes;
use std::{
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};
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

/// Where frames go. Its room is made for the first listener and given back after the last: most
/// projects have none most of the time.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    frames: Mutex<Option<broadcast::Sender<Frame>>>,
}

impl Feed {
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Frame> {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.get_or_insert_with(|| broadcast::Sender::new(FRAMES_MAX)).subscribe()
    }

    /// Sends events that are stored. Nobody listening costs nothing.
    pub(crate) fn publish(&self, events: &[NewEvent]) {
        // Held meanwhile: who subscribes just now does so before or after all of them.
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = frames.as_ref() else { return };
        if sender.receiver_count() == 0 {
            *frames = None;
            return;
        }
        for event in events {
            // An error means that the last listener just left.
            let _ = sender.send(Frame::of(event));
        }
    }
}
