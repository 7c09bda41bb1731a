//! One question to the model for a summary, until there is one. What it is told and asked; not what becomes
//! of the answer.

use super::{Failed, reserve, text::middle_out, window};
use crate::{
    asking::{booking, held_back},
    conversation::Conversation,
    surroundings::Choice,
};
use futures_util::StreamExt as _;
use std::{fmt::Write as _, time::Duration};
use toft_llm::{
    ask::{ModelEvent, ModelFailure, ModelRequest, Options, ThinkingLevel},
    retry,
};
use toft_model::message::{
    AssistantMessage, Message, StopReason, Usage, UserContent, UserMessage, text_of,
};
use tokio_util::sync::CancellationToken;

const SYSTEM: &str = "You summarise the work of a coding agent so that another can go on with it. \
Write only the summary. Do not answer questions in the conversation and do not go on with it.";

const HISTORY: &str = "Write a summary that lets another agent go on without having seen the conversation. \
Use exactly these sections:\n\
## Goal\n## Constraints & Preferences\n## Progress\n### Done\n### In Progress\n### Blocked\n\
## Key Decisions\n## Next Steps\n## Critical Context\n\
Keep exact paths, names, commands, ports and error messages. Be brief.";

const UPDATE: &str = "\nThe conversation goes on from the previous summary: carry over all of it that still matters, \
move what was finished to Done, and bring Next Steps up to date.";

const TURN: &str = "This is the beginning of a turn whose later part is kept as it is. Write what is needed to \
understand that later part. Use exactly these sections:\n\
## Original Request\n## Progress So Far\n## Context Needed to Continue\n\
Say only what is told above; do not guess what came later. Keep exact paths, names and error messages. Be brief.";

const BRANCH: &str = "Write a summary of this branch of a conversation, for when its thread is taken up elsewhere. \
Use exactly these sections:\n\
## Goal\n## Constraints & Preferences\n## Progress\n### Done\n### In Progress\n### Blocked\n\
## Key Decisions\n## Next Steps\n\
Keep exact paths, names and error messages. Be brief.";

/// What is summarised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// All that came before.
    History,
    /// The beginning of a turn.
    Turn,
    /// A branch that is left.
    Branch,
}

pub(super) struct Question<'a> {
    pub(super) text: String,
    pub(super) kind: Kind,
    /// The summary that this one takes the place of.
    pub(super) previous: Option<&'a str>,
    /// What the person wants of it.
    pub(super) instructions: Option<&'a str>,
    /// Tokens of the answer.
    pub(super) tokens_max: u64,
}

impl Question<'_> {
    fn words(self, bytes_max: usize) -> String {
        let mut text = String::new();
        if let Some(previous) = self.previous {
            let _ = write!(text, "<previous-summary>\n{previous}\n</previous-summary>\n\n");
        }
        let told = middle_out(self.text, bytes_max);
        let _ = write!(text, "<conversation>\n{told}\n</conversation>\n\n");
        text.push_str(match self.kind {
            Kind::History => HISTORY,
            Kind::Turn => TURN,
            Kind::Branch => BRANCH,
        });
        if self.previous.is_some() {
            text.push_str(UPDATE);
        }
        if let Some(wish) = self.instructions.filter(|text| !text.trim().is_empty()) {
            let _ = write!(text, "\nWhat the person wants of the summary: {wish}");
        }
        text
    }
}

/// Asks, and asks again after failures that may pass and for as long as the project has to wait.
pub(super) async fn ask(
    conversation: &Conversation,
    choice: &Choice,
    question: Question<'_>,
    cancel: &CancellationToken,
) -> Result<(String, Usage), Failed> {
    let window = window(choice);
    // Four characters a token, and some air for the frame around it.
    let bytes = usize::try_from(window.saturating_sub(reserve(window)) * 3).unwrap_or(usize::MAX);
    let max_tokens = match choice.info.max_tokens {
        0 => question.tokens_max,
        most => question.tokens_max.min(most),
    };
    let request = ModelRequest {
        model: choice.info.clone(),
        system: SYSTEM.into(),
        messages: vec![Message::User(UserMessage {
            content: UserContent::Text(question.words(bytes)),
            timestamp: conversation.now_ms(),
        })],
        tools: Vec::new(),
        thinking: ThinkingLevel::Off,
        max_tokens: Some(max_tokens),
        session: format!("{}.compaction", conversation.id()),
        booking: booking(&conversation.session()),
        options: Options { one_off: true, ..Options::default() },
    };
    let mut held = 0;
    let answer = until_answered(conversation, choice, request, &mut held, cancel).await;
    conversation.set_spent(None);
    let failed = answer.as_ref().err().map(ToString::to_string);
    conversation.end_retries(held, failed.as_deref());
    answer
}

/// Counts in `held` how often it had to wait because the project may not ask now; that is told.
async fn until_answered(
    conversation: &Conversation,
    choice: &Choice,
    request: ModelRequest,
    held: &mut u32,
    cancel: &CancellationToken,
) -> Result<(String, Usage), Failed> {
    let mut attempt = 0;
    loop {
        let failure = match ask_once(choice, request.clone(), cancel).await? {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        conversation.set_spent(Some(&failure));
        if failure.code == "aborted" {
            return Err(Failed::Aborted);
        }
        let delay = if let Some(delay) = held_back(&failure) {
            *held += 1;
            conversation.tell_held(*held, delay, &failure);
            Some(delay)
        } else {
            again(&failure, &mut attempt)
        };
        let Some(delay) = delay else { return Err(Failed::Model(failure.message)) };
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = cancel.cancelled() => return Err(Failed::Aborted),
        }
    }
}

fn again(failure: &ModelFailure, attempt: &mut u32) -> Option<Duration> {
    *attempt += 1;
    retry::delay(failure, *attempt, retry::chance())
}

async fn ask_once(
    choice: &Choice,
    request: ModelRequest,
    cancel: &CancellationToken,
) -> Result<Result<(String, Usage), ModelFailure>, Failed> {
    let mut stream = choice.model.ask(request, cancel.child_token());
    loop {
        let next = tokio::select! {
            next = stream.next() => next,
            () = cancel.cancelled() => return Err(Failed::Aborted),
        };
        let message = match next {
            Some(ModelEvent::Delta(_) | ModelEvent::Sealed { .. }) => continue,
            Some(ModelEvent::Done { failure: Some(failure), .. }) => return Ok(Err(failure)),
            Some(ModelEvent::Done { message, failure: None }) => message,
            None => return Err(Failed::Model("its answer ended without its end mark".into())),
        };
        return match whole(&message) {
            Ok(text) => Ok(Ok((text, message.usage))),
            Err(why) => Err(Failed::Model(why.into())),
        };
    }
}

/// The summary that an answer is, or why it is none: half of one must not stand for the whole history.
pub(super) fn whole(message: &AssistantMessage) -> Result<String, &'static str> {
    let text = text_of(&message.content);
    if message.stop_reason == StopReason::Length {
        Err("it ran out of room before the summary was whole")
    } else if message.tool_calls().next().is_some() {
        Err("it wanted to run a tool instead")
    } else if text.trim().is_empty() {
        Err("its answer was empty")
    } else {
        Ok(text)
    }
}
