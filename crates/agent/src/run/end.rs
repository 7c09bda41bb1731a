//! Telling that a turn, or the work, is over.

use crate::{conversation::Conversation, session::Body, tally};
use toft_model::{
    event::{EventBody, TurnEnd},
    message::Message,
};

impl Conversation {
    /// Tells the end of the turn whose answer and results are whole. A turn without an answer (the
    /// one before us died while it asked) goes on.
    pub(crate) fn end_turn(&self) {
        if !self.shown().turn_answered() {
            return;
        }
        let end = {
            let session = self.session();
            let mut tool_results = 0;
            session.ancestors().find_map(|entry| match &entry.body {
                Body::Message(Message::ToolResult(_)) => {
                    tool_results += 1;
                    None
                }
                Body::Message(Message::Assistant(message)) => {
                    Some(TurnEnd { message: message.clone(), tool_results })
                }
                _ => None,
            })
        };
        if let Some(end) = end {
            self.emit(EventBody::TurnEnd(end));
        }
    }

    /// Tells the end of work that is closed in the session, where its end was not told.
    pub(crate) fn tell_end(&self, reason: &str) {
        self.end_turn();
        if self.shown().agent_open() {
            let end = tally::of(self, reason);
            self.emit(EventBody::AgentEnd(end));
        }
    }
}
