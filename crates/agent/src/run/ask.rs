//! One question to the model, until there is an answer in the session: shown as it comes, asked
//! again after failures that may pass, after compaction when it was too long.

use super::{Run, Stop};
use crate::{
    asking::{ABORTED, booking, choose, held_back},
    compaction,
    session::{Body, Extra, SessionError},
    surroundings::{Choice, thinking_level},
};
use futures_util::{FutureExt as _, StreamExt as _};
use std::time::Duration;
use toft_llm::{
    ask::{ModelEvent, ModelFailure, ModelRequest, Options, Retry},
    output_tokens_wanted, retry,
};
use toft_model::{
    event::{EventBody, MessageRestarted, MessageStart, Notify},
    message::{AssistantMessage, Block, Message, StopReason, Usage},
};

/// How long an adapter may take to close its call after an abort; its last words are kept if it
/// does. Part of the second in which an abort must be over.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(400);

/// Pieces of an answer that are told at once, when they came at once: as much as one read brings of the fastest.
const TOGETHER_MAX: usize = 64;

/// What one call of the model came to.
struct Said {
    message_id: String,
    shown: bool,
    message: AssistantMessage,
    failure: Option<ModelFailure>,
    /// Tokens that it was allowed.
    tokens_max: u64,
}

impl Run {
    /// Asks and appends the answer, or one that says why there is none.
    pub(super) async fn ask(&mut self) -> Result<(), Stop> {
        let choice = match choose(&self.conversation, &self.cancel).await {
            Ok(choice) => choice,
            Err(failure) if failure.code == "aborted" => return Err(Stop::Aborted),
            Err(failure) => {
                let message = self.answer_of_ours(StopReason::Error, &failure.message);
                let id = self.conversation.session().fresh_id();
                return self
                    .keep(Said {
                        message_id: id,
                        shown: false,
                        message,
                        failure: None,
                        tokens_max: 0,
                    })
                    .await;
            }
        };
        // A failed compaction is told; the question may still fit.
        let room = compaction::make_room(&self.conversation, &choice, &self.cancel).await;
        if matches!(room, Err(compaction::Failed::Aborted)) {
            return Err(Stop::Aborted);
        }
        let mut attempt = 0;
        let mut held = 0;
        let mut waited = 0;
        let mut compacted = false;
        loop {
            let said = self.call(&choice).await;
            self.conversation.set_spent(said.failure.as_ref());
            if self.cancel.is_cancelled()
                || said.failure.as_ref().is_some_and(|f| f.code == "aborted")
            {
                self.conversation.set_needs_provider(false);
                self.conversation.end_retries(attempt + held, Some("stopped by a person"));
                return self.keep_aborted(said).await;
            }
            if let Some(failure) = overflow(&said).filter(|_| !compacted) {
                compacted = true;
                let done = compaction::compact(
                    &self.conversation,
                    &choice,
                    "overflow",
                    None,
                    &self.cancel,
                )
                .await;
                match done {
                    Ok(_) => {
                        self.void(&said, &failure)?;
                        continue;
                    }
                    Err(compaction::Failed::Aborted) => return self.keep_aborted(said).await,
                    Err(_) => {}
                }
            }
            let Some(failure) = said.failure.clone() else {
                self.conversation.set_needs_provider(false);
                self.conversation.end_retries(attempt + held + waited, None);
                self.tell_stand_in(&choice, &said.message);
                return self.keep(said).await;
            };
            if let Some(delay) = held_back(&failure) {
                held += 1;
                self.conversation.tell_held(held, delay, &failure);
                self.wait(delay, attempt + held).await?;
                continue;
            }
            let Some(delay) = retry::delay(&failure, attempt + 1, retry::chance()) else {
                if let Some(delay) = self.patience(&failure, waited + 1) {
                    waited += 1;
                    // A try after this one is never one of a moment again.
                    attempt = retry::RETRIES_MAX;
                    self.void(&said, &failure)?;
                    self.conversation.set_needs_provider(true);
                    self.conversation.tell_held(waited, delay, &failure);
                    self.wait(delay, attempt + held + waited).await?;
                    continue;
                }
                self.conversation.set_needs_provider(false);
                self.conversation.end_retries(attempt + held, Some(&failure.message));
                return self.keep(said).await;
            };
            attempt += 1;
            self.void(&said, &failure)?;
            self.conversation.tell_retry(attempt, retry::RETRIES_MAX, delay, &failure);
            self.wait(delay, attempt + held).await?;
        }
    }

    /// Says who answers in place of the model that was asked, until that changes.
    fn tell_stand_in(&self, choice: &Choice, message: &AssistantMessage) {
        let asked = (&choice.info.provider, &choice.info.id);
        let answers = (&message.provider, &message.model);
        if answers == asked {
            return;
        }
        let told = self.conversation.session().ancestors().find_map(|entry| match &entry.body {
            Body::Message(Message::Assistant(before)) => {
                Some((&before.provider, &before.model) == answers)
            }
            _ => None,
        });
        if told != Some(true) {
            self.conversation.emit(EventBody::Notify(Notify {
                message: format!(
                    "{}/{} answers in place of {}/{}, which cannot be had now.",
                    answers.0, answers.1, asked.0, asked.1
                ),
                level: "info".into(),
                refresh_iframe: false,
                tool_call_id: None,
            }));
        }
    }

    /// How long to wait for a provider that is down, where nobody watches: a run's work is not lost for that.
    fn patience(&self, failure: &ModelFailure, waited: u32) -> Option<Duration> {
        self.conversation.run_rules()?;
        retry::patience(failure, waited, retry::chance())
    }

    /// Waits before the next try, of which there were so many.
    async fn wait(&self, delay: Duration, tries: u32) -> Result<(), Stop> {
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.cancel.cancelled() => {
                self.conversation.set_needs_provider(false);
                self.conversation.set_spent(None);
                self.conversation.end_retries(tries, Some("stopped by a person"));
                Err(Stop::Aborted)
            }
        }
    }

    /// One call, shown as it comes.
    async fn call(&mut self, choice: &Choice) -> Said {
        let (request, message_id) = self.request(choice);
        let timestamp = self.conversation.now_ms();
        let stop = self.cancel.child_token();
        let tokens_max = output_tokens_wanted(&request);
        let mut stream = choice.model.ask(request, stop.clone());
        let mut shown = false;
        let cut = |code: &str, text: &str| {
            let mut message = self.answer_of_ours(StopReason::Error, text);
            message.timestamp = timestamp;
            let failure =
                ModelFailure { code: code.into(), message: text.into(), retry: Retry::Backoff };
            (message, Some(failure))
        };
        let close = async {
            self.cancel.cancelled().await;
            tokio::time::sleep(CLOSE_TIMEOUT).await;
        };
        tokio::pin!(close);
        // What came with pieces that were told together.
        let mut held = None;
        let (mut message, failure) = loop {
            let next = if let Some(held) = held.take() {
                held
            } else {
                tokio::select! {
                    next = stream.next() => next,
                    () = &mut close => break cut("aborted", ABORTED),
                }
            };
            match next {
                Some(ModelEvent::Delta(delta)) => {
                    if !shown {
                        shown = true;
                        self.conversation.emit(EventBody::MessageStart(MessageStart {
                            message_id: message_id.clone(),
                            role: "assistant".into(),
                        }));
                    }
                    let mut deltas = vec![delta];
                    while held.is_none() && deltas.len() < TOGETHER_MAX {
                        match stream.next().now_or_never() {
                            Some(Some(ModelEvent::Delta(delta))) => deltas.push(delta),
                            Some(other) => held = Some(other),
                            None => break,
                        }
                    }
                    self.conversation.emit_deltas(&message_id, deltas);
                }
                Some(ModelEvent::Sealed { .. }) => {}
                Some(ModelEvent::Done { message, failure }) => break (message, failure),
                None => break cut("cut", "The model's answer ended without its end mark."),
            }
        };
        message.timestamp = timestamp;
        Said { message_id, shown, message, failure, tokens_max }
    }

    fn request(&self, choice: &Choice) -> (ModelRequest, String) {
        let session = self.conversation.session();
        let thinking = session.thinking_level().and_then(thinking_level).unwrap_or(choice.thinking);
        let request = ModelRequest {
            model: choice.info.clone(),
            system: self.system.to_string(),
            messages: session.context(),
            // Always the same for a model, so that caches hit.
            tools: self.conversation.tools().specs_for(&choice.info.id),
            thinking,
            max_tokens: None,
            session: self.conversation.id().to_string(),
            booking: booking(&session),
            options: Options::default(),
        };
        (request, session.fresh_id())
    }

    /// Says that what was shown of an answer does not count. What it used does.
    fn void(&self, said: &Said, failure: &ModelFailure) -> Result<(), SessionError> {
        if said.shown {
            self.conversation.emit(EventBody::MessageRestarted(MessageRestarted {
                message_id: said.message_id.clone(),
                reason: failure.message.clone(),
            }));
        }
        let usage = &said.message.usage;
        if *usage != Usage::default() {
            self.conversation.append(Body::Usage(usage.clone()), Extra::default())?;
        }
        Ok(())
    }

    async fn keep_aborted(&mut self, mut said: Said) -> Result<(), Stop> {
        said.message.stop_reason = StopReason::Aborted;
        if self.is_overdue() {
            said.message.error_message = Some(self.time_is_over());
        }
        said.message.error_message.get_or_insert_with(|| ABORTED.into());
        self.keep(said).await?;
        Err(Stop::Aborted)
    }

    /// Puts the answer into the session, on disk before it can change anything, and tells that it is whole. When
    /// its calls change nothing, they and the next question need not wait for the disk: only people do.
    async fn keep(&mut self, said: Said) -> Result<(), Stop> {
        let Said { message_id, shown, mut message, failure, .. } = said;
        if let Some(failure) = failure
            && message.error_message.is_none()
        {
            message.error_message = Some(failure.message);
        }
        for block in &mut message.content {
            if let Block::ToolCall(call) = block {
                call.id = self.conversation.unique_call_id(&call.id);
            }
        }
        // On disk with the calls themselves: no write more, whatever ends.
        let life = Some(self.conversation.around.shell.life());
        let life = life.filter(|life| !life.is_empty() && message.tool_calls().next().is_some());
        let ahead = self.may_run_ahead(&message);
        let body = Body::Message(Message::Assistant(message));
        let extra = Extra { life, ..Extra::default() };
        self.saved().await?;
        self.conversation.append_as(message_id.clone(), body, extra)?;
        self.fresh = Some(message_id.clone());
        if ahead {
            self.save_meanwhile();
            self.conversation.tell_message(&message_id, shown);
            return Ok(());
        }
        self.conversation.sync().await?;
        self.conversation.tell_message(&message_id, shown);
        self.sync_meanwhile();
        Ok(())
    }
}

/// Whether the context was too long: the provider says so, or the answer ended for want of room before it was as
/// long as it was allowed to be.
fn overflow(said: &Said) -> Option<ModelFailure> {
    if let Some(failure) = &said.failure {
        return (failure.code == "context_overflow").then(|| failure.clone());
    }
    let usage = &said.message.usage;
    let early = said.message.stop_reason == StopReason::Length
        && usage.total_tokens > 0
        && usage.output < said.tokens_max;
    early.then(|| ModelFailure {
        code: "context_overflow".into(),
        message: "The answer ended for want of room.".into(),
        retry: Retry::Never,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use toft_llm::testing::{assistant, request};

    #[test]
    fn an_answer_that_ended_early_for_want_of_room_is_an_overflow() {
        let check = |stop_reason: StopReason, output: u64, code: Option<&str>, want: bool| {
            let Message::Assistant(mut message) = assistant(vec![Block::text("half")]) else {
                unreachable!()
            };
            message.stop_reason = stop_reason;
            message.usage.output = output;
            message.usage.total_tokens = output + 9;
            let failure = code.map(|code| ModelFailure {
                code: code.into(),
                message: "no".into(),
                retry: Retry::Never,
            });
            let message_id = "m".into();
            let said = Said { message_id, shown: true, message, failure, tokens_max: 1_000 };
            assert_eq!(overflow(&said).is_some(), want, "{stop_reason:?} {output} {code:?}");
        };
        check(StopReason::Length, 999, None, true);
        check(StopReason::Length, 1_000, None, false);
        check(StopReason::Stop, 5, None, false);
        check(StopReason::Error, 5, Some("context_overflow"), true);
        check(StopReason::Length, 5, Some("overloaded"), false);
    }

    #[test]
    fn an_answer_that_is_as_long_as_it_was_allowed_is_kept() {
        let mut asked = request("anthropic", "claude-opus-4-6", Vec::new());
        asked.model.max_tokens = 128_000;
        let Message::Assistant(mut message) = assistant(vec![Block::text("half")]) else {
            unreachable!()
        };
        message.stop_reason = StopReason::Length;
        message.usage.total_tokens = 40_000;
        for (output, want) in [(32_000, false), (31_000, true)] {
            message.usage.output = output;
            let (message_id, message) = ("m".to_owned(), message.clone());
            let tokens_max = output_tokens_wanted(&asked);
            let said = Said { message_id, shown: true, message, failure: None, tokens_max };
            assert_eq!(overflow(&said).is_some(), want, "{output}");
        }
    }

    #[test]
    fn an_answer_of_which_nothing_was_counted_says_nothing_of_room() {
        let Message::Assistant(mut message) = assistant(vec![]) else { unreachable!() };
        message.stop_reason = StopReason::Length;
        let message_id = "m".into();
        let said = Said { message_id, shown: false, message, failure: None, tokens_max: 1_000 };
        assert!(overflow(&said).is_none());
    }
}
