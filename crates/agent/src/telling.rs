//! Telling what happens in a conversation, in order. While an answer is on its way to the disk, what
//! follows from it waits here: nobody sees what a power cut could take back.

use crate::{conversation::Conversation, outbox::Outbox, session::Body};
use serde_json::Value;
use std::sync::{MutexGuard, PoisonError};
use toft_model::{
    event::{Delta, EventBody, MessageEnd, MessageStart, MessageUpdate, ToolStart},
    id::SessionId,
    message::ToolCall,
};

impl Conversation {
    /// Tells pieces of an answer that came together.
    pub(crate) fn emit_deltas(&self, message_id: &str, deltas: Vec<Delta>) {
        let update = |delta| {
            EventBody::MessageUpdate(MessageUpdate { message_id: message_id.to_owned(), delta })
        };
        let mut outbox = self.outbox();
        let bodies: Vec<EventBody> =
            deltas.into_iter().filter_map(|delta| outbox.put(update(delta))).collect();
        if !bodies.is_empty() {
            self.around.sink.emit_all(Some(self.id()), bodies);
        }
    }

    /// Tells an event of this session.
    pub fn emit(&self, body: EventBody) {
        let mut outbox = self.outbox();
        if is_remembered(&body) {
            // The work goes on as if it were told.
            self.shown().take(&body);
        }
        if let Some(body) = outbox.put(body) {
            self.tell(body);
        }
    }

    /// Keeps what is told from now on until [`Conversation::release`].
    pub(crate) fn hold(&self) {
        self.outbox().hold();
    }

    /// Tells what waited, and from now on everything at once, unless something else is still held for.
    pub(crate) fn release(&self) {
        // Locked to the end: who tells something meanwhile comes after what waited.
        let mut outbox = self.outbox();
        for body in outbox.release() {
            self.tell(body);
        }
    }

    /// Locked before `shown`.
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, body: EventBody) {
        if !is_remembered(&body) {
            self.around.sink.emit(Some(self.id()), body);
            return;
        }
        let (begins, ends) = match &body {
            EventBody::MessageStart(m) => (Some(m.message_id.clone()), None),
            EventBody::ToolStart(t) => (Some(t.tool_call_id.clone()), None),
            EventBody::MessageEnd(m) => (None, Some(m.message_id.clone())),
            EventBody::MessageRestarted(m) => (None, Some(m.message_id.clone())),
            EventBody::ToolEnd(t) => (None, Some(t.tool_call_id.clone())),
            _ => (None, None),
        };
        let begun = match (&body, self.errand()) {
            (EventBody::ToolStart(start), Some(errand)) => Some((errand, start.clone())),
            _ => None,
        };
        let seq = self.around.sink.emit(Some(self.id()), body);
        if let Some((errand, start)) = begun {
            errand.tell(&start);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = begins {
            open.insert(id, seq);
        }
        if let Some(id) = ends {
            open.remove(&id);
        }
    }

    /// Tells that an entry's message is whole; its beginning too unless that was told.
    pub(crate) fn tell_message(&self, entry_id: &str, begun: bool) {
        let (message, parent_id) = {
            let session = self.session();
            let Some(entry) = session.entry(entry_id) else { return };
            let Body::Message(message) = &entry.body else { return };
            (message.clone(), session.parent_id(entry).map(str::to_owned))
        };
        if !begun {
            self.emit(EventBody::MessageStart(MessageStart {
                message_id: entry_id.to_owned(),
                role: message.role().into(),
            }));
        }
        self.emit(EventBody::MessageEnd(MessageEnd {
            message_id: entry_id.to_owned(),
            entry_id: entry_id.to_owned(),
            parent_id,
            message,
        }));
    }

    /// Tells that a call begins, unless that was told. `child` is the conversation of a task.
    pub(crate) fn tell_begun(&self, call: &ToolCall, child: Option<SessionId>) {
        if !self.shown().tool_open(&call.id) {
            self.emit(EventBody::ToolStart(ToolStart {
                tool_call_id: call.id.clone(),
                tool_name: call.name.clone(),
                input: Value::Object(call.arguments.clone()),
                child_session: child,
            }));
        }
    }
}

/// Whether the next process must know that it was told. Pieces of messages and of output change nothing.
fn is_remembered(body: &EventBody) -> bool {
    !matches!(body, EventBody::MessageUpdate(_) | EventBody::ToolUpdate(_))
}
