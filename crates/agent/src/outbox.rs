//! What a conversation tells, while an answer is on its way to the disk: it waits here, in order.

use toft_model::event::EventBody;

/// What waits to be told, while anything has to wait.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Answers on their way to the disk: more than one when work was dropped in the middle and other work began.
    holds: usize,
    waiting: Vec<EventBody>,
}

impl Outbox {
    /// Keeps what comes from now on.
    pub(crate) fn hold(&mut self) {
        self.holds += 1;
    }

    /// What waited, unless something else is still held for.
    pub(crate) fn release(&mut self) -> Vec<EventBody> {
        self.holds = self.holds.saturating_sub(1);
        if self.holds == 0 { std::mem::take(&mut self.waiting) } else { Vec::new() }
    }

    /// Keeps it, or gives it back to be told at once.
    pub(crate) fn put(&mut self, body: EventBody) -> Option<EventBody> {
        if self.holds == 0 {
            return Some(body);
        }
        self.waiting.push(body);
        None
    }
}
