//! What every question to a model needs, whoever asks it: the model, for how long to wait where nothing
//! failed, and on what the call is booked.

use crate::{conversation::Conversation, session::Session, surroundings::Choice};
use std::time::Duration;
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
    ModelFailure { code: "aborted".into(), message: ABORTED.into(), retry: Retry::Never }
}
