//! Notices a model that goes round in circles and tells it so, in words that stay in the session; when
//! that does not help, a person says whether it goes on.

use super::{Run, Stop};
use crate::{
    people::Audience,
    session::{Body, Extra, SessionError, custom},
};
use std::sync::Arc;
use toft_model::{
    event::{Question, QuestionKind},
    message::{CustomMessage, Message, ToolCall, UserContent},
};
use toft_tools::host::People as _;

/// Identical calls in a row before the model is told (opencode's number).
const SAME_CALLS_MAX: usize = 3;

/// How often it is told before a person is asked.
const HINTS_MAX: usize = 2;

const GO_ON: &str = "Go on";
const STOP: &str = "Stop";

/// The same call again and again.
struct Circle {
    call: ToolCall,
    same: usize,
    hints: usize,
}

impl Run {
    /// Appends a hint after every third identical call in a row; after two hints a person is asked.
    pub(super) async fn guard(&self) -> Result<(), Stop> {
        loop {
            if let Some(words) = self.said_to_circle() {
                self.hint(format!("[The person says: {words}]"))?;
            }
            let Some(circle) = self.circle() else { return Ok(()) };
            let name = &circle.call.name;
            if circle.hints < HINTS_MAX {
                self.hint(format!(
                    "[You have made the same `{name}` call with the same arguments {SAME_CALLS_MAX} times in a \
                     row, and it will not come out differently. Look at what it returned, then try another \
                     way, or say what stands in the way.]"
                ))?;
                return Ok(());
            }
            let question = Question {
                question: format!(
                    "The agent has made the same `{name}` call {} times in a row, and was told so. Is it to go on?",
                    circle.same
                ),
                options: vec![GO_ON.into(), STOP.into()],
                id: Some(format!("{}:loop", circle.call.id)),
                tool_call_id: circle.call.id,
                kind: QuestionKind::Loop,
                ..Question::default()
            };
            let audience = Audience(Arc::clone(&self.conversation));
            match audience.ask(question, &self.cancel).await {
                None => return Err(Stop::Aborted),
                Some(answer) if is(&answer, STOP) => {
                    self.conversation.mark_aborted()?;
                    return Err(Stop::Aborted);
                }
                // The answer is in another conversation: this one must know, too, that it begins anew.
                Some(answer) if self.conversation.is_task() => {
                    self.hint(format!("[The person says: {answer}]"))?;
                }
                Some(_) => {}
            }
        }
    }

    fn hint(&self, text: String) -> Result<(), SessionError> {
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

    /// Words of a person that the model has not been told yet.
    fn said_to_circle(&self) -> Option<String> {
        let session = self.conversation.session();
        let newest = session.ancestors().find(|entry| {
            matches!(entry.body, Body::Message(Message::Assistant(_) | Message::Custom(_)))
                || loop_answer(&entry.body).is_some()
        })?;
        let answer = loop_answer(&newest.body)?;
        (!is(answer, GO_ON) && !is(answer, STOP)).then(|| answer.to_owned())
    }

    /// The newest calls since the last prompt, when there were enough since the last hint and all of them
    /// are the same.
    fn circle(&self) -> Option<Circle> {
        let session = self.conversation.session();
        let mut newest: Option<&ToolCall> = None;
        let (mut same, mut hints, mut since_hint) = (0, 0, None);
        'entries: for entry in session.ancestors() {
            match &entry.body {
                Body::Message(Message::Assistant(message)) => {
                    let calls: Vec<&ToolCall> = message.tool_calls().collect();
                    for call in calls.into_iter().rev() {
                        let first = *newest.get_or_insert(call);
                        if first.name != call.name || first.arguments != call.arguments {
                            break 'entries;
                        }
                        same += 1;
                    }
                }
                Body::Message(Message::User(_)) => break,
                Body::Message(Message::Custom(m)) if m.custom_type == custom::NUDGE => {
                    since_hint.get_or_insert(same);
                    hints += 1;
                }
                other if loop_answer(other).is_some() => {
                    since_hint.get_or_insert(same);
                    break;
                }
                _ => {}
            }
        }
        let enough = since_hint.unwrap_or(same) >= SAME_CALLS_MAX;
        newest.filter(|_| enough).map(|call| Circle { call: call.clone(), same, hints })
    }
}

/// What a person said to a model that goes round in circles.
fn loop_answer(body: &Body) -> Option<&str> {
    match body {
        Body::Custom { custom_type, data }
            if custom_type == custom::ANSWER && data["kind"] == "loop" =>
        {
            data["answer"].as_str()
        }
        _ => None,
    }
}

/// Whether an answer is this option, however it is written.
pub(super) fn is(answer: &str, option: &str) -> bool {
    answer.trim().trim_end_matches(['.', '!']).eq_ignore_ascii_case(option)
}
