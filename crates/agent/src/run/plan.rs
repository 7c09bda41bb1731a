//! Plan mode in the loop: the model is told what it may do, and the plan that it comes to rest with is
//! put before a person. What keeps it from changing things is not here: the tools refuse, and programs run
//! where they can only read.

use super::Run;
use crate::{
    plan,
    session::{Body, Extra, SessionError, custom, proposed},
};
use serde_json::json;
use toft_model::{
    event::EventBody,
    message::{CustomMessage, Message, StopReason, UserContent},
    plan::{Mode, PlanReady, PlanSource},
};

/// What the model is told when plan mode begins.
const TO_PLAN: &str = "[Plan mode. Look around, and change nothing: tools that change files are refused, and \
commands run where every file is read-only but those in a /tmp of their own. Ask the person what you need to \
know. When you know what is to be done, end with the plan as JSON in a fenced block, and nothing after it: \
```json\n{\"summary\": \"\", \"todos\": [{\"id\": \"\", \"title\": \"\", \"details\": \"\", \"acceptanceCriteria\": [\"\"]}]}\n``` \
An answer to a mere question needs no plan.]";

/// The same for the work of a task: what it finds goes to another agent, which plans.
const TO_LOOK: &str = "[Look around, and change nothing: tools that change files are refused, and commands run where \
every file is read-only but those in a /tmp of their own.]";

/// The same where no programs run.
const WITHOUT_PROGRAMS: &str =
    " [This machine runs no commands in plan mode: read, grep, find and ls work.]";

/// What it is told when plan mode ends.
const TO_BUILD: &str = "[Plan mode is over: you may change things and run commands again.]";

impl Run {
    /// Tells the model what it may do, if it was told something else. The system prompt stays as it is, so
    /// that caches hit.
    pub(super) async fn tell_mode(&self) -> Result<(), SessionError> {
        let mode = self.conversation.mode();
        let told = self.conversation.session().mode_told();
        if mode == told {
            return Ok(());
        }
        let mut text = match mode {
            Mode::Plan if self.conversation.is_task() => TO_LOOK.to_owned(),
            Mode::Plan => TO_PLAN.to_owned(),
            Mode::Build => TO_BUILD.to_owned(),
        };
        if mode == Mode::Plan && !self.conversation.around.shell.has_read_only().await {
            text.push_str(WITHOUT_PROGRAMS);
        }
        let message = Message::Custom(CustomMessage {
            custom_type: custom::MODE.into(),
            content: UserContent::Text(text),
            display: false,
            details: Some(json!({ "mode": mode })),
            timestamp: self.conversation.now_ms(),
        });
        let id = self.conversation.append(Body::Message(message), Extra::default())?;
        self.conversation.tell_message(&id, false);
        Ok(())
    }

    /// Puts the plan of the last answer before a person, if it has one and nobody did so yet.
    pub(super) async fn propose(&self) -> Result<(), SessionError> {
        if self.conversation.is_task() {
            return Ok(());
        }
        let found = {
            let session = self.conversation.session();
            if session.mode() != Mode::Plan {
                return Ok(());
            }
            let answer = session.answer_without_plan();
            answer
                .filter(|(entry, _)| matches!(&entry.body, Body::Message(Message::Assistant(m)) if m.stop_reason == StopReason::Stop))
                .and_then(|(entry, text)| {
                    let (plan, source) = plan::read(&text)?;
                    // A few words, or a list of one, answer a question.
                    let is_one = match source {
                        PlanSource::Json | PlanSource::Edited => true,
                        PlanSource::List => plan.todos.len() > 1,
                        PlanSource::Text => false,
                    };
                    is_one.then(|| (plan, source, entry.id.clone()))
                })
        };
        let Some((plan, source, of)) = found else { return Ok(()) };
        let id = self.conversation.append(proposed(&plan, source, Some(&of)), Extra::default())?;
        self.conversation.sync().await?;
        let ready = PlanReady { plan_id: id, of: Some(of), source, plan };
        self.conversation.emit(EventBody::PlanReady(ready));
        Ok(())
    }
}
