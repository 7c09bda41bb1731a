//! One question to the model, until there is an answer in the session: shown as it comes, asked
//! again after failures that may pass, after compaction when it was too long.

use super::{Run, Stop};
use crate::{
    compaction,
    session::{Body, Extra, Session},
    surroundings::{Choice, thinking_level},
};
use futures_util::StreamExt as _;
use std::{sync::atomic::Ordering, time::Duration};
use toft_llm::{
    ask::{Booking, ModelEvent, ModelFailure, ModelRequest, Options, Retry},
    retry,
};
use toft_model::{
    event::{
        EventBody, MessageRestarted, MessageStart, MessageUpdate, Notify, RetryEnd, RetryStart,
    },
    message::{AssistantMessage, Block, Message, StopReason},
};
use tokio_util::sync::CancellationToken;

/// How long an adapter may take to close its call after an abort; its last words are kept if it
/// does. Part of the second in which an abort must be over.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(400);

/// Waits for a gateway that is away begin here and double.
const AWAY_FIRST: Duration = Duration::from_millis(250);

/// Longest wait between looks for the gateway.
const AWAY_MAX: Duration = Duration::from_secs(5);

/// The failure of a call that no budget pays for. The work stands still until a person raises it.
const SPENT: &str = "budget_spent";

/// A wait for the project's own limits where the gateway names none.
const HELD_WAIT: Duration = Duration::from_secs(2);

/// Between looks whether a person has raised a budget. Refused by the gateway, they cost next to nothing.
const SPENT_WAIT: Duration = Duration::from_secs(5);

/// Longest such wait: a limit that was raised counts then.
const HELD_MAX: Duration = Duration::from_secs(10);

/// Share of it that chance adds, so that many sessions do not ask in the same moment.
const HELD_JITTER: f64 = 0.25;

/// What one call of the model came to.
struct Said {
    message_id: String,
    shown: bool,
    message: AssistantMessage,
    failure: Option<ModelFailure>,
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
                    .keep(Said { message_id: id, shown: false, message, failure: None })
                    .await;
            }
        };
        if compaction::is_due(&self.conversation, &choice) {
            // A failed compaction is told; the question may still fit.
            let compacted =
                compaction::compact(&self.conversation, &choice, "threshold", None, &self.cancel)
                    .await;
            if matches!(compacted, Err(compaction::Failed::Aborted)) {
                return Err(Stop::Aborted);
            }
        }
        let mut attempt = 0;
        let mut held = 0;
        let mut compacted = false;
        loop {
            let said = self.call(&choice).await;
            let spent = said.failure.as_ref().is_some_and(|f| f.code == SPENT);
            self.conversation.needs_person.store(spent, Ordering::Release);
            if self.cancel.is_cancelled()
                || said.failure.as_ref().is_some_and(|f| f.code == "aborted")
            {
                self.end_retries(attempt + held, Some("stopped by a person"));
                return self.keep_aborted(said).await;
            }
            let Some(failure) = said.failure.clone() else {
                self.end_retries(attempt + held, None);
                self.tell_stand_in(&choice, &said.message);
                return self.keep(said).await;
            };
            if let Some(delay) = held_back(&failure) {
                held += 1;
                // A project that waits for hours must not fill the log: told at 1, 2, 4, 8 …
                if held.is_power_of_two() {
                    self.tell_retry(held, u32::MAX, delay, &failure);
                }
                self.wait(delay, attempt + held).await?;
                continue;
            }
            if failure.code == "context_overflow" && !compacted {
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
                        self.void(&said, &failure);
                        continue;
                    }
                    Err(compaction::Failed::Aborted) => return self.keep_aborted(said).await,
                    Err(_) => {}
                }
            }
            let Some(delay) = retry::delay(&failure, attempt + 1, retry::chance()) else {
                self.end_retries(attempt + held, Some(&failure.message));
                return self.keep(said).await;
            };
            attempt += 1;
            self.void(&said, &failure);
            self.tell_retry(attempt, retry::RETRIES_MAX, delay, &failure);
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

    fn tell_retry(&self, attempt: u32, max: u32, delay: Duration, failure: &ModelFailure) {
        self.conversation.emit(EventBody::AutoRetryStart(RetryStart {
            attempt,
            max_attempts: max,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            error_message: failure.message.clone(),
            asks: failure.code == SPENT,
        }));
    }

    /// Waits before the next try, of which there were so many.
    async fn wait(&self, delay: Duration, tries: u32) -> Result<(), Stop> {
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.cancel.cancelled() => {
                self.end_retries(tries, Some("stopped by a person"));
                Err(Stop::Aborted)
            }
        }
    }

    /// One call, shown as it comes.
    async fn call(&mut self, choice: &Choice) -> Said {
        let (request, message_id) = self.request(choice);
        let timestamp = self.conversation.now_ms();
        let stop = self.cancel.child_token();
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
        let (mut message, failure) = loop {
            let next = tokio::select! {
                next = stream.next() => next,
                () = &mut close => break cut("aborted", super::ABORTED),
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
                    self.conversation.emit(EventBody::MessageUpdate(MessageUpdate {
                        message_id: message_id.clone(),
                        delta,
                    }));
                }
                Some(ModelEvent::Sealed { .. }) => {}
                Some(ModelEvent::Done { message, failure }) => break (message, failure),
                None => break cut("cut", "The model's answer ended without its end mark."),
            }
        };
        message.timestamp = timestamp;
        Said { message_id, shown, message, failure }
    }

    fn request(&self, choice: &Choice) -> (ModelRequest, String) {
        let session = self.conversation.session();
        let thinking = session.thinking_level().and_then(thinking_level).unwrap_or(choice.thinking);
        let request = ModelRequest {
            model: choice.info.clone(),
            system: self.system.to_string(),
            messages: session.context(),
            tools: self.specs.clone(),
            thinking,
            max_tokens: None,
            session: self.conversation.id().to_string(),
            booking: booking(&session),
            options: Options::default(),
        };
        (request, session.fresh_id())
    }

    /// Says that what was shown of an answer does not count.
    fn void(&self, said: &Said, failure: &ModelFailure) {
        if said.shown {
            self.conversation.emit(EventBody::MessageRestarted(MessageRestarted {
                message_id: said.message_id.clone(),
                reason: failure.message.clone(),
            }));
        }
    }

    fn end_retries(&self, attempt: u32, final_error: Option<&str>) {
        if attempt > 0 {
            self.conversation.emit(EventBody::AutoRetryEnd(RetryEnd {
                success: final_error.is_none(),
                attempt,
                final_error: final_error.map(str::to_owned),
            }));
        }
    }

    async fn keep_aborted(&mut self, mut said: Said) -> Result<(), Stop> {
        said.message.stop_reason = StopReason::Aborted;
        said.message.error_message.get_or_insert_with(|| super::ABORTED.into());
        self.keep(said).await?;
        Err(Stop::Aborted)
    }

    /// Puts the answer into the session, on disk, and tells that it is whole.
    async fn keep(&mut self, said: Said) -> Result<(), Stop> {
        let Said { message_id, shown, mut message, failure } = said;
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
        let body = Body::Message(Message::Assistant(message));
        self.conversation.append_as(message_id.clone(), body, Extra::default())?;
        self.conversation.sync().await?;
        self.conversation.tell_message(&message_id, shown);
        self.sync_meanwhile();
        Ok(())
    }
}

/// How long to wait where nothing failed: the project may only not ask more often, or spend more.
pub(crate) fn held_back(failure: &ModelFailure) -> Option<Duration> {
    let asked = match failure.retry {
        Retry::After(asked) => asked,
        Retry::Backoff => HELD_WAIT,
        Retry::Never => SPENT_WAIT,
    };
    let apart = 1.0 + HELD_JITTER * retry::chance();
    matches!(failure.code.as_str(), "held_back" | SPENT).then(|| asked.min(HELD_MAX).mul_f64(apart))
}

/// What calls for a session's current work are booked on.
pub(crate) fn booking(session: &Session) -> Booking {
    Booking { session: Some(session.id().clone()), run: session.run() }
}

/// The model to ask. Waits for a gateway that is away, and says so; never takes another model
/// instead.
pub(crate) async fn choose(
    conversation: &crate::Conversation,
    cancel: &CancellationToken,
) -> Result<Choice, ModelFailure> {
    let mut wait = AWAY_FIRST;
    let mut attempt: u32 = 0;
    loop {
        let wanted = conversation.session().model().cloned();
        let chosen = tokio::select! {
            chosen = conversation.around.models.choose(wanted.as_ref()) => chosen,
            () = cancel.cancelled() => Err(aborted()),
        };
        let tell_end = |attempt: u32, success: bool, final_error: Option<String>| {
            if attempt > 0 {
                conversation.emit(EventBody::AutoRetryEnd(RetryEnd {
                    success,
                    attempt,
                    final_error,
                }));
            }
        };
        match chosen {
            Err(failure) if failure.code == "unreachable" => {
                attempt += 1;
                // An absence of hours must not fill the log: told at 1, 2, 4, 8 …
                if attempt.is_power_of_two() {
                    conversation.emit(EventBody::AutoRetryStart(RetryStart {
                        attempt,
                        max_attempts: u32::MAX,
                        delay_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                        error_message: failure.message,
                        asks: false,
                    }));
                }
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = cancel.cancelled() => {
                        tell_end(attempt, false, Some("stopped by a person".into()));
                        return Err(aborted());
                    }
                }
                wait = (wait * 2).min(AWAY_MAX);
            }
            Ok(choice) => {
                tell_end(attempt, true, None);
                return Ok(choice);
            }
            Err(failure) => {
                tell_end(attempt, false, Some(failure.message.clone()));
                return Err(failure);
            }
        }
    }
}

fn aborted() -> ModelFailure {
    ModelFailure { code: "aborted".into(), message: super::ABORTED.into(), retry: Retry::Never }
}
