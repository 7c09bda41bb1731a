//! Hooks that are asked about a call: before it is done, and about what it came to.

use super::{
    super::{Run, Stop, calls::Ended},
    TOLD_BYTES_MAX, add_message, cut,
};
use crate::{
    extensions::{
        Extension, Hook, HookEvent,
        hook::Answer,
        said::{Said, Words},
    },
    session::Extra,
};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use toft_model::message::{Block, ToolCall, text_of};
use toft_tools::ToolOutcome;

/// Bytes of a text that a hook puts in the place of a result: as much as tools return.
const TEXT_BYTES_MAX: usize = 50 * 1024;

impl Run {
    /// The call as it is to be done, and who changed it; or why it is not done.
    pub(in crate::run) async fn hooked(
        &self,
        mut call: ToolCall,
        entry_id: &str,
    ) -> Result<(ToolCall, Result<Vec<String>, ToolOutcome>), Stop> {
        let handed_out_now = self.fresh.as_deref() == Some(entry_id);
        let known = if handed_out_now {
            None
        } else {
            self.conversation.session().said(HookEvent::ToolCall, &call.id, entry_id)
        };
        let said = match known {
            Some(said) => said,
            None if !self.extensions.has(HookEvent::ToolCall) => return Ok((call, Ok(Vec::new()))),
            None => match self.ask_of_call(&call).await? {
                Some(said) => said,
                None => return Ok((call, Ok(Vec::new()))),
            },
        };
        if let Some(Words { extension, text }) = said.refused {
            let outcome = ToolOutcome::error(format!(
                "The extension `{extension}` of this project does not allow this call, and it was not done: {text}"
            ));
            return Ok((
                call,
                Err(outcome.details(json!({ "denied": true, "extension": extension }))),
            ));
        }
        if let Some(input) = said.input {
            call.arguments = input;
        }
        Ok((call, Ok(said.changed_by)))
    }

    /// `None`: there is nobody to ask.
    async fn ask_of_call(&self, call: &ToolCall) -> Result<Option<Said>, Stop> {
        let hooks = self.hooks_of(HookEvent::ToolCall, call);
        if hooks.is_empty() {
            return Ok(None);
        }
        let mut said = Said::new(HookEvent::ToolCall, &call.id);
        let mut input = call.arguments.clone();
        for (extension, hook) in hooks {
            let question = json!({ "toolCallId": call.id, "toolName": call.name, "input": input });
            let answer =
                match self.asked_strictly(extension, hook, question, Some(&call.id)).await? {
                    Ok(answer) => answer,
                    Err(why) => Answer {
                        block: Some(format!("its hook was to judge the call, and failed: {why}")),
                        ..Answer::default()
                    },
                };
            add_message(&mut said, extension, answer.message);
            if let Some(reason) = answer.block {
                said.refused = Some(Words::new(&extension.name, &reason));
                break;
            }
            if let Some(other) = answer.input.filter(|other| *other != input) {
                input = other;
                said.changed_by.push(extension.name.clone());
            }
        }
        said.input = (!said.changed_by.is_empty()).then_some(input);
        self.keep_said(&said).await?;
        Ok(Some(said))
    }

    /// Lets hooks see and change what a call came to. The entry of the result keeps it.
    pub(in crate::run) async fn hook_result(&self, ended: &mut Ended) -> Result<(), Stop> {
        if !self.extensions.has(HookEvent::ToolResult) {
            return Ok(());
        }
        let call = ended.call.clone();
        let mut said = Said::new(HookEvent::ToolResult, &call.id);
        let mut changed_by: Vec<String> = Vec::new();
        for (extension, hook) in self.hooks_of(HookEvent::ToolResult, &call) {
            if self.cancel.is_cancelled() {
                keep_out(&mut ended.outcome, &extension.name);
                break;
            }
            let outcome = &mut ended.outcome;
            let question = json!({
                "toolCallId": call.id, "toolName": call.name, "input": call.arguments,
                "text": text_of(&outcome.content), "isError": outcome.is_error,
            });
            let answer = match self.asked(extension, hook, question, Some(&call.id)).await {
                Ok(Some(answer)) => answer,
                Ok(None) => continue,
                Err(Stop::Aborted) => {
                    keep_out(outcome, &extension.name);
                    break;
                }
                Err(other) => return Err(other),
            };
            if answer.text.is_some() || answer.is_error.is_some() {
                changed_by.push(extension.name.clone());
            }
            if let Some(text) = answer.text {
                outcome.content.retain(|block| !matches!(block, Block::Text { .. }));
                outcome.content.insert(0, Block::text(cut(&text, TEXT_BYTES_MAX)));
            }
            outcome.is_error = answer.is_error.unwrap_or(outcome.is_error);
            add_message(&mut said, extension, answer.message);
        }
        if !changed_by.is_empty() {
            let details = ended.outcome.details.get_or_insert_with(|| json!({}));
            if let Some(details) = details.as_object_mut() {
                details.insert("changedBy".into(), json!(changed_by));
            }
        }
        if !said.messages.is_empty() {
            self.unsaid.store(true, Ordering::Release);
            self.conversation.append(said.body(), Extra::default())?;
        }
        Ok(())
    }

    fn hooks_of(&self, event: HookEvent, call: &ToolCall) -> Vec<(&Extension, &Hook)> {
        let arguments = Value::Object(call.arguments.clone());
        let tools = self.conversation.tools();
        let (meant, _) = tools.meant(&call.name, arguments);
        let names: Vec<&str> = [&*call.name].into_iter().chain(tools.judged_as(&meant)).collect();
        self.extensions.hooks(event, &names)
    }
}

/// What a hook did not see, because the work was stopped, is not given to a model either: it may be there to take
/// something out.
fn keep_out(outcome: &mut ToolOutcome, extension: &str) {
    outcome.content = vec![Block::text(format!(
        "[The work was stopped before the extension {extension} could look at what this call came to: it is left out.]"
    ))];
}

/// The outcome of a call with other arguments than the model's says so.
pub(in crate::run) fn with_note(outcome: &mut ToolOutcome, call: &ToolCall, changed_by: &[String]) {
    if changed_by.is_empty() {
        return;
    }
    let input = Value::Object(call.arguments.clone()).to_string();
    let note = format!(
        "[The extension {} changed the arguments of this call to {}]",
        changed_by.join(", "),
        cut(&input, TOLD_BYTES_MAX)
    );
    outcome.content.insert(0, Block::text(note));
}
