//! Notices a model that goes round in circles and tells it so, in words that stay in the session.

use super::Run;
use crate::session::{Body, Extra, SessionError, custom};
use toft_model::message::{CustomMessage, Message, ToolCall, UserContent};

/// Identical calls in a row before the model is told (opencode's number).
const SAME_CALLS_MAX: usize = 3;

impl Run {
    /// Appends a hint after every third identical call in a row.
    pub(super) fn guard(&self) -> Result<(), SessionError> {
        let Some(name) = self.repeated() else { return Ok(()) };
        let text = format!(
            "[You have made the same `{name}` call with the same arguments {SAME_CALLS_MAX} times in a row, \
             and it will not come out differently. Look at what it returned, then try another way, or \
             say what stands in the way.]"
        );
        let message = Message::Custom(CustomMessage {
            custom_type: custom::NUDGE.into(),
            content: UserContent::Text(text),
            display: false,
            details: None,
            timestamp: self.conversation.now_ms(),
        });
        let id = self.conversation.append(Body::Message(message), Extra::default())?;
        self.conversation.tell_message(&id, false);
        Ok(())
    }

    /// Name of the tool when the newest calls since the last hint or prompt are all the same.
    fn repeated(&self) -> Option<String> {
        let session = self.conversation.session();
        let mut first: Option<&ToolCall> = None;
        let mut same = 0;
        for entry in session.ancestors() {
            match &entry.body {
                Body::Message(Message::Assistant(message)) => {
                    let calls: Vec<&ToolCall> = message.tool_calls().collect();
                    for call in calls.into_iter().rev() {
                        let newest = *first.get_or_insert(call);
                        if newest.name != call.name || newest.arguments != call.arguments {
                            return None;
                        }
                        same += 1;
                        if same == SAME_CALLS_MAX {
                            return Some(newest.name.clone());
                        }
                    }
                }
                Body::Message(Message::User(_)) => return None,
                Body::Message(Message::Custom(m)) if m.custom_type == custom::NUDGE => return None,
                _ => {}
            }
        }
        None
    }
}
