//! Where hooks of extensions are asked; those of calls in [`call`]. What they say is an entry before it takes effect: work that is gone on with
//! reads it there. A hook that fails is an event; only the call that one should have judged is not done.

mod call;

use super::{Run, Stop};
use crate::{
    extensions::{
        Extension, Hook, HookEvent, add_to_prompt,
        hook::{Answer, Failed, Place, ask},
        said::{Said, Words, message},
    },
    session::{Body, Extra},
    tally,
};
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;
use toft_model::{
    event::{EventBody, ExtensionError},
    message::{Block, Message, UserContent, text_of},
    plan::Mode,
};

pub(super) use call::with_note;

/// How often extensions have the agent go on with one prompt.
const GO_ON_MAX: usize = 3;

/// Bytes of a failure that people are told, and of changed arguments that the model is.
const TOLD_BYTES_MAX: usize = 2_000;

impl Run {
    /// Asks before the model is asked, and gives it what extensions have to say.
    pub(super) async fn before_asking(&mut self) -> Result<(), Stop> {
        self.ask_of_input().await?;
        if !self.begun {
            self.begun = true;
            self.ask_at_start().await?;
        }
        self.say_unsaid()?;
        Ok(())
    }

    /// What a person said is kept as they said it; the model gets what hooks made of it.
    async fn ask_of_input(&self) -> Result<(), Stop> {
        if !self.extensions.has(HookEvent::Input) {
            return Ok(());
        }
        for (id, content) in self.new_input() {
            let mut text = content.text();
            let before = text.clone();
            for (extension, hook) in self.extensions.hooks(HookEvent::Input, &[]) {
                let question = json!({ "entryId": id, "text": text });
                if let Some(answer) = self.asked(extension, hook, question, None).await?
                    && let Some(other) = answer.text
                {
                    text = other;
                }
            }
            if text != before {
                let body = Body::ContextEdit {
                    target_id: id.clone(),
                    replacement: Some(json!({ "content": with_text(content, text) })),
                };
                self.conversation.append(body, Extra::default())?;
            }
            self.conversation.append(Said::new(HookEvent::Input, &id).body(), Extra::default())?;
            self.conversation.sync().await?;
        }
        Ok(())
    }

    /// Messages of people since a model answered last of which no hook was asked, oldest first. An answer of ours,
    /// after a stop or a failure, followed no question: what was said before it has not been given to a model.
    fn new_input(&self) -> Vec<(String, UserContent)> {
        let session = self.conversation.session();
        let mut new = Vec::new();
        for entry in session.ancestors() {
            match &entry.body {
                Body::Message(Message::Assistant(m)) if tally::is_of_a_model(m) => break,
                Body::Message(Message::User(user))
                    if session.said(HookEvent::Input, &entry.id, &entry.id).is_none() =>
                {
                    new.push((entry.id.clone(), user.content.clone()));
                }
                _ => {}
            }
        }
        new.reverse();
        new
    }

    /// What hooks add to the prompt stays for all of a person's prompt.
    async fn ask_at_start(&mut self) -> Result<(), Stop> {
        let prompt = self.conversation.session().prompt_entries().first().and_then(|entry| {
            let Body::Message(Message::User(user)) = &entry.body else { return None };
            Some((entry.id.clone(), user.content.text()))
        });
        let Some((id, text)) = prompt.or_else(|| self.retried()) else { return Ok(()) };
        let known = self.conversation.session().said(HookEvent::BeforeAgentStart, &id, &id);
        let said = match known {
            Some(said) => said,
            None if !self.extensions.has(HookEvent::BeforeAgentStart) => return Ok(()),
            None => {
                let mut said = Said::new(HookEvent::BeforeAgentStart, &id);
                for (extension, hook) in self.extensions.hooks(HookEvent::BeforeAgentStart, &[]) {
                    let question = json!({ "entryId": id, "text": text });
                    if let Some(answer) = self.asked(extension, hook, question, None).await? {
                        let part = answer.system_prompt.filter(|part| !part.trim().is_empty());
                        said.prompts.extend(part.map(|part| Words::new(&extension.name, &part)));
                        add_message(&mut said, extension, answer.message);
                    }
                }
                self.keep_said(&said).await?;
                said
            }
        };
        let mut added = String::new();
        for Words { extension, text } in &said.prompts {
            add_to_prompt(&mut added, extension, text);
        }
        self.system = format!("{}{added}", self.system).into();
        Ok(())
    }

    /// The prompt of which a failed answer is asked for anew.
    fn retried(&self) -> Option<(String, String)> {
        let session = self.conversation.session();
        session.ancestors().find_map(|entry| match &entry.body {
            Body::Message(Message::User(user)) if entry.extra.queued.is_none() => {
                Some((entry.id.clone(), user.content.text()))
            }
            _ => None,
        })
    }

    /// Asks whether the agent is to go on. Says whether it is.
    pub(super) async fn before_resting(&self) -> Result<bool, Stop> {
        if self.extensions.has(HookEvent::AgentEnd) {
            self.ask_at_end().await?;
        }
        self.say_unsaid()
    }

    async fn ask_at_end(&self) -> Result<(), Stop> {
        let Some((id, text)) = self.last_answer() else { return Ok(()) };
        let (known, gone_on) = {
            let session = self.conversation.session();
            (session.said(HookEvent::AgentEnd, &id, &id), session.gone_on())
        };
        if known.is_some() {
            return Ok(());
        }
        let mut said = Said::new(HookEvent::AgentEnd, &id);
        for (extension, hook) in self.extensions.hooks(HookEvent::AgentEnd, &[]) {
            let question = json!({ "entryId": id, "text": text, "goneOn": gone_on });
            let answer = self.asked(extension, hook, question, None).await?;
            let words = answer.and_then(|answer| answer.message);
            if gone_on < GO_ON_MAX {
                add_message(&mut said, extension, words);
            } else if words.is_some() {
                let why = format!(
                    "It wanted the agent to go on once more. That is done {GO_ON_MAX} times for a prompt."
                );
                self.extension_failed(&extension.name, Some(hook.event), &why, None);
            }
        }
        self.keep_said(&said).await
    }

    fn last_answer(&self) -> Option<(String, String)> {
        let session = self.conversation.session();
        session.ancestors().find_map(|entry| match &entry.body {
            Body::Message(Message::Assistant(answer)) => {
                Some((entry.id.clone(), text_of(&answer.content)))
            }
            _ => None,
        })
    }

    /// Gives the model what it was not given yet. Says whether it is to answer.
    fn say_unsaid(&self) -> Result<bool, Stop> {
        if !self.unsaid.swap(false, Ordering::AcqRel) {
            return Ok(false);
        }
        let unsaid = self.conversation.session().unsaid();
        let mut turn = false;
        for (of, event, words) in unsaid {
            let wants = event == HookEvent::AgentEnd;
            turn |= wants;
            let body = message(&of, &words, wants, self.conversation.now_ms());
            let id = self.conversation.append(body, Extra::default())?;
            self.conversation.tell_message(&id, false);
        }
        Ok(turn)
    }

    async fn keep_said(&self, said: &Said) -> Result<(), Stop> {
        if !said.messages.is_empty() {
            self.unsaid.store(true, Ordering::Release);
        }
        self.conversation.append(said.body(), Extra::default())?;
        self.conversation.sync().await?;
        Ok(())
    }

    /// What a hook answers; `None` when it failed, which was told.
    async fn asked(
        &self,
        extension: &Extension,
        hook: &Hook,
        question: Value,
        call_id: Option<&str>,
    ) -> Result<Option<Answer>, Stop> {
        Ok(self.asked_strictly(extension, hook, question, call_id).await?.ok())
    }

    /// The same with the failure in words.
    async fn asked_strictly(
        &self,
        extension: &Extension,
        hook: &Hook,
        question: Value,
        call_id: Option<&str>,
    ) -> Result<Result<Answer, String>, Stop> {
        let around = &self.conversation.around;
        let plan = self.conversation.mode() == Mode::Plan;
        let mask = around.secrets.mask();
        let place = Place {
            shell: &around.shell,
            cwd: &around.cwd,
            mask: &mask,
            read_only: plan,
            cancel: &self.cancel,
        };
        let mut whole = Map::from_iter([
            ("event".to_owned(), json!(hook.event)),
            ("sessionId".to_owned(), json!(self.conversation.id())),
            ("cwd".to_owned(), json!(around.cwd)),
            ("mode".to_owned(), json!(if plan { Mode::Plan } else { Mode::Build })),
        ]);
        if let Value::Object(fields) = question {
            whole.extend(fields);
        }
        match ask(&place, extension, hook, &Value::Object(whole)).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(Failed::Aborted) => Err(Stop::Aborted),
            Err(Failed::Why(why)) => {
                self.extension_failed(&extension.name, Some(hook.event), &why, call_id);
                Ok(Err(why))
            }
        }
    }

    /// Tells people of it.
    pub(super) fn extension_failed(
        &self,
        extension: &str,
        hook: Option<HookEvent>,
        why: &str,
        call_id: Option<&str>,
    ) {
        tracing::warn!(extension, hook = hook.map(HookEvent::name), "an extension failed");
        let mask = self.conversation.around.secrets.mask();
        self.conversation.emit(EventBody::ExtensionError(ExtensionError {
            extension: extension.to_owned(),
            hook: hook.map(|hook| hook.name().to_owned()),
            message: cut(&mask.text(why), TOLD_BYTES_MAX),
            tool_call_id: call_id.map(str::to_owned),
        }));
    }
}

fn add_message(said: &mut Said, extension: &Extension, text: Option<String>) {
    let text = text.filter(|text| !text.trim().is_empty());
    said.messages.extend(text.map(|text| Words::new(&extension.name, &text)));
}

/// The content with another text; pictures stay.
fn with_text(content: UserContent, text: String) -> UserContent {
    let mut blocks = vec![Block::text(text)];
    if let UserContent::Blocks(before) = content {
        blocks.extend(before.into_iter().filter(|block| !matches!(block, Block::Text { .. })));
    }
    UserContent::Blocks(blocks)
}

fn cut(text: &str, bytes_max: usize) -> String {
    let kept = &text[..text.floor_char_boundary(bytes_max)];
    if kept.len() == text.len() { kept.to_owned() } else { format!("{kept}\n[cut off here]") }
}
