//! What runs tell, on its way to those who follow one here: read from the store, framed once for all of them.

use super::told::CANCELLED;
use crate::machines::feed::Feed;
use toft_model::{run::JobId, time::rfc3339};
use toft_store::{NewEvent, NewRunEvent, RunEvent, Store};

/// Events read from the store at once.
pub(super) const PAGE_ROWS: u32 = 1_024;
/// About as many bytes at once.
pub(super) const PAGE_BYTES: usize = 1 << 20;

/// A run's events on their way to those who follow it here.
#[derive(Debug)]
pub(crate) struct RunFeed {
    pub(super) id: JobId,
    pub(super) feed: Feed,
    /// The last number that went out.
    pub(super) last: tokio::sync::Mutex<u64>,
}

impl RunFeed {
    /// Sends on what the store has and this feed has not sent.
    pub(super) async fn catch_up(&self, store: &dyn Store) {
        let mut last = self.last.lock().await;
        loop {
            let events = match store.run_events(&self.id, *last, PAGE_ROWS, PAGE_BYTES).await {
                Ok(events) => events,
                Err(error) => {
                    // Looked at again in a moment.
                    tracing::warn!(run.id = %self.id, %error, "what a run tells cannot be read");
                    return;
                }
            };
            let Some(end) = events.last() else { return };
            *last = end.seq;
            let frames: Vec<NewEvent> = events.iter().map(frame).collect();
            self.feed.publish(&frames);
        }
    }
}

/// Marks a run's last event on its way.
pub(super) const LAST: &str = "last";

/// Whether nothing comes after it.
pub(super) fn is_last(event: &NewRunEvent) -> bool {
    match event.kind.as_str() {
        "done" | "error" => true,
        "status" => event.data == CANCELLED,
        _ => false,
    }
}

/// An event as those who follow a run get it.
pub(super) fn frame(told: &RunEvent) -> NewEvent {
    let event = &told.event;
    NewEvent {
        seq: told.seq,
        ts: event.ts,
        session: is_last(event).then(|| LAST.to_owned()),
        kind: event.kind.clone(),
        data: format!(
            "{{\"id\":{},\"event\":\"{}\",\"data\":{},\"ts\":\"{}\"}}",
            told.seq,
            event.kind,
            event.data,
            rfc3339(event.ts)
        ),
    }
}
