//! Telling that a turn, or the work, is over.

use super::Run;
use crate::{
    conversation::Conversation,
    session::{Body, SessionError},
    tally,
};
use toft_model::{
    event::{EventBody, MessageRestarted, ToolEnd, TurnEnd},
    message::{Block, Message, ToolResultMessage},
};

/// What is told of a message or a call whose end the disk did not take.
const NOT_KEPT: &str = "The disk refuses: this could not be kept.";

impl Run {
    pub(super) fn disk_error(&self, error: &SessionError) -> &'static str {
        tracing::warn!(%error, session = %self.conversation.id(), "work stopped");
        self.end_told();
        self.conversation
            .emit(EventBody::Error { code: "disk_full".into(), message: error.to_string() });
        "error"
    }

    /// Ends for people what was begun and did not get into the file. A call is still open there: it is gone on
    /// with, and told anew, when a person has it tried again.
    fn end_told(&self) {
        let conversation = &self.conversation;
        let (message, calls) = {
            let shown = conversation.shown();
            (shown.message_open.clone(), shown.tools_open.clone())
        };
        if let Some(id) = message {
            if conversation.session().entry(&id).is_some() {
                // What is in the file was said.
                conversation.tell_message(&id, true);
            } else {
                let reason = NOT_KEPT.to_owned();
                let restarted = MessageRestarted { message_id: id, reason };
                conversation.emit(EventBody::MessageRestarted(restarted));
            }
        }
        let (_, open) = conversation.session().open_calls();
        for (_, call) in open.into_iter().filter(|(_, call)| calls.contains(&call.id)) {
            let result = ToolResultMessage {
                tool_call_id: call.id,
                tool_name: call.name,
                content: vec![Block::text(NOT_KEPT)],
                details: None,
                is_error: true,
                timestamp: conversation.now_ms(),
            };
            conversation.emit(EventBody::ToolEnd(ToolEnd {
                tool_call_id: result.tool_call_id.clone(),
                tool_name: result.tool_name.clone(),
                is_error: true,
                result,
                duration_ms: 0,
            }));
        }
    }
}

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
