//! What every question to a model needs, whoever asks it: the model, for how long to wait where nothing
//! failed, and on what the call is booked.

use crate::{conversation::Conversation, need::Need, session::Session, surroundings::Choice};
use std::{sync::atomic::Ordering, time::Duration};
use toft_llm::{
    ask::{Booking, ModelFailure, Retry},
    retry,
};
use toft_model::event::{EventBody, RetryEnd, RetryStart};
use tokio_util::sync::CancellationToken;

/// Text of an aborted answer without words of its own.
pub(crate) const ABORTED: &str = "Stopped by a person.";

/// Waits for a gateway that is away begin here and double.
const AWAY_FIRST: Duration = Duration::from_millis(250);

/// Longest wait between looks for the gateway.
const AWAY_MAX: Duration = Duration::from_secs(5);

/// The failure of a call that no budget pays for. The work stands still until a person raises it.
pub(crate) const SPENT: &str = "budget_spent";

/// Why work that nobody watches stands still: nobody answers for its model.
const PROVIDER: &str = "provider";

/// A wait for the project's own limits where the gateway names none.
const HELD_WAIT: Duration = Duration::from_secs(2);

/// Between looks whether a person has raised a budget. Refused by the gateway, they cost next to nothing.
const SPENT_WAIT: Duration = Duration::from_secs(5);

/// Longest such wait: a limit that was raised counts then.
const HELD_MAX: Duration = Duration::from_secs(10);

/// Share of it that chance adds, so that many sessions do not ask in the same moment.
const HELD_JITTER: f64 = 0.25;

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

impl Conversation {
    /// Tells that a question to a model is asked again, the how manyth time, and when.
    pub(crate) fn tell_retry(
        &self,
        attempt: u32,
        max_attempts: u32,
        delay: Duration,
        failure: &ModelFailure,
    ) {
        let start = RetryStart {
            attempt,
            max_attempts,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            error_message: failure.message.clone(),
            asks: failure.code == SPENT,
            waits: self.needs_provider(),
        };
        if (start.asks || start.waits)
            && let Some(errand) = self.errand()
        {
            errand.parent.emit(EventBody::AutoRetryStart(start.clone()));
        }
        self.emit(EventBody::AutoRetryStart(start));
    }

    /// Tells that one is held back, the how manyth time. A project that waits for hours must not fill the log:
    /// told at 1, 2, 4, 8 …
    pub(crate) fn tell_held(&self, held: u32, delay: Duration, failure: &ModelFailure) {
        if held.is_power_of_two() {
            self.tell_retry(held, u32::MAX, delay, failure);
        }
    }

    /// Whether its provider is waited for. That is not time that the work takes.
    pub(crate) fn set_needs_provider(&self, needs: bool) {
        self.stands_still(|of| &of.needs_provider, PROVIDER, needs);
    }

    /// Whether a budget is spent: until a person raises it the work stands still.
    pub(crate) fn set_spent(&self, failure: Option<&ModelFailure>) {
        let spent = failure.is_some_and(|failure| failure.code == SPENT);
        self.stands_still(|of| &of.needs_person, SPENT, spent);
    }

    /// A task stands still for the conversation that its call belongs to, too: that one waits for it.
    fn stands_still(&self, need: impl Fn(&Self) -> &Need, why: &str, needs: bool) {
        if need(self).own.swap(needs, Ordering::AcqRel) == needs {
            return;
        }
        if needs && self.is_working() {
            self.pause(why);
        } else {
            self.go_on(why);
        }
        let Some(errand) = self.errand() else { return };
        let tasks = &need(&errand.parent).tasks;
        if needs && tasks.fetch_add(1, Ordering::AcqRel) == 0 {
            errand.parent.pause(why);
        }
        let less = |all: usize| (!needs).then(|| all.checked_sub(1)).flatten();
        if tasks.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) == Ok(1) {
            errand.parent.go_on(why);
        }
    }

    /// Nothing is waited for, whatever a stop, or a process before this one, has left.
    pub(crate) fn needs_nothing(&self) {
        self.go_on(PROVIDER);
        self.go_on(SPENT);
        self.set_needs_provider(false);
        self.set_spent(None);
        self.needs_provider.tasks.store(0, Ordering::Release);
        self.needs_person.tasks.store(0, Ordering::Release);
    }

    /// Tells that it is not asked again after so many times, and how the last one failed.
    pub(crate) fn end_retries(&self, attempt: u32, final_error: Option<&str>) {
        if attempt == 0 {
            return;
        }
        let success = final_error.is_none();
        let end = RetryEnd { success, attempt, final_error: final_error.map(str::to_owned) };
        if let Some(errand) = self.errand() {
            let parent = &errand.parent;
            let waits = parent.needs_person.is_there() || parent.needs_provider.is_there();
            if !waits && parent.shown().retry_open.is_some() {
                parent.emit(EventBody::AutoRetryEnd(end.clone()));
            }
        }
        self.emit(EventBody::AutoRetryEnd(end));
    }
}

/// What calls for a session's current work are booked on.
pub(crate) fn booking(session: &Session) -> Booking {
    match &session.header().task {
        Some(task) => Booking { session: Some(task.parent.clone()), run: task.run.clone() },
        None => Booking { session: Some(session.id().clone()), run: session.run() },
    }
}

/// The model to ask. Waits for a gateway that is away, and says so; never takes another model
/// instead.
pub(crate) async fn choose(
    conversation: &Conversation,
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
        match chosen {
            Err(failure) if failure.code == "unreachable" => {
                attempt += 1;
                conversation.tell_held(attempt, wait, &failure);
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = cancel.cancelled() => {
                        conversation.end_retries(attempt, Some("stopped by a person"));
                        return Err(aborted());
                    }
                }
                wait = (wait * 2).min(AWAY_MAX);
            }
            Ok(choice) => {
                conversation.end_retries(attempt, None);
                return Ok(choice);
            }
            Err(failure) => {
                conversation.end_retries(attempt, Some(&failure.message));
                return Err(failure);
            }
        }
    }
}

fn aborted() -> ModelFailure {
    ModelFailure { code: "aborted".into(), message: ABORTED.into(), retry: Retry::Never }
}
