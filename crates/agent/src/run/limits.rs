//! What one prompt may take: money, time, model calls. A prompt that reaches a limit ends with an answer
//! that says so; another prompt, or a retry, begins anew.

use super::Run;
use crate::{
    conversation::Conversation,
    pause::Pauses,
    session::{Body, Extra, SessionError},
    tally,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use toft_model::{
    message::{Message, StopReason},
    permission::Reached,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Model calls for one prompt. A person's longest tasks take a few hundred; what goes on after that
/// is lost in a circle, and costs.
pub(crate) const TURNS_MAX: u64 = 500;

/// The same for a task: a part of something larger.
pub(crate) const TASK_TURNS_MAX: u64 = 100;

/// Between looks at the clock: a limit that was changed counts then.
const LOOK: Duration = Duration::from_secs(5);

const BILLION: f64 = 1_000_000_000.0;

/// Ends the work when its time is over.
pub(super) struct Clock {
    over: Arc<AtomicBool>,
    _watch: AbortOnDropHandle<()>,
}

impl Clock {
    /// Cancels `work` then.
    pub(super) fn start(conversation: Arc<Conversation>, work: CancellationToken) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let watch = tokio::spawn(async move {
            loop {
                let left = left_ms(&conversation);
                if left == Some(0) {
                    told.store(true, Ordering::Release);
                    work.cancel();
                    return;
                }
                let left = left.map_or(LOOK, Duration::from_millis);
                tokio::time::sleep(left.clamp(Duration::from_millis(1), LOOK)).await;
            }
        });
        Self { over, _watch: AbortOnDropHandle::new(watch) }
    }

    /// Whether it was.
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// Milliseconds that the prompt may still take. While it needs a person it is not counted.
fn left_ms(conversation: &Conversation) -> Option<u64> {
    let seconds = conversation.around.settings().limits.seconds?;
    let now = conversation.now_ms();
    let session = conversation.session();
    let pauses = Pauses::of(&session);
    if pauses.open {
        return Some(u64::MAX);
    }
    let took = now.saturating_sub(tally::began(&session)?).saturating_sub(pauses.ms);
    Some(seconds.saturating_mul(1_000).saturating_sub(took))
}

/// What a prompt has cost, as far as it is known, in billionths of a US dollar.
fn spent(conversation: &Conversation) -> u64 {
    let ended = billionths(tally::cost(&conversation.session()));
    ended.saturating_add(conversation.purse.spent())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded on both sides"
)]
fn billionths(dollars: f64) -> u64 {
    (dollars * BILLION).round().clamp(0.0, 1e18) as u64
}

impl Run {
    /// The limit that was reached, and the words for it.
    fn reached(&self) -> Option<(Reached, String)> {
        let conversation = &self.conversation;
        let limits = conversation.around.settings().limits;
        let errand = conversation.errand();
        if let Some(errand) = &errand {
            let own = billionths(tally::cost(&conversation.session()));
            errand.parent.purse.set(conversation.id(), own);
        }
        // A task spends from what its prompt may cost.
        let payer = errand.as_ref().map_or(conversation, |errand| &errand.parent);
        if let Some(money) = limits.money
            && spent(payer) >= money
        {
            let text =
                format!("Stopped: this prompt has cost the ${} that it may.", dollars(money));
            return Some((Reached::Money, text));
        }
        if left_ms(conversation) == Some(0) {
            return Some((Reached::Seconds, self.time_is_over()));
        }
        let own = if errand.is_some() || conversation.is_task() {
            TASK_TURNS_MAX
        } else {
            limits.steps.unwrap_or(TURNS_MAX).min(TURNS_MAX)
        };
        let turns = tally::turns(&conversation.session());
        let text = || format!("Stopped after {own} model calls for one prompt.");
        (turns >= own).then(|| (Reached::Steps, text()))
    }

    /// Whether the clock stopped the work, and no person did.
    pub(super) fn is_overdue(&self) -> bool {
        self.clock.as_ref().is_some_and(Clock::is_over) && !self.conversation.is_aborted()
    }

    pub(super) fn time_is_over(&self) -> String {
        let seconds = self.conversation.around.settings().limits.seconds.unwrap_or_default();
        format!("Stopped: this prompt has taken the {seconds} seconds that it may.")
    }

    /// Ends the prompt if it has reached a limit; says whether it has.
    pub(super) async fn at_limit(&mut self) -> Result<bool, SessionError> {
        let Some((limit, why)) = self.reached() else { return Ok(false) };
        self.end_at(limit, &why).await?;
        Ok(true)
    }

    /// Ends the prompt with an answer that says so.
    async fn end_at(&mut self, limit: Reached, why: &str) -> Result<(), SessionError> {
        let why = format!("{why} Say \"go on\" to continue.");
        let message = self.answer_of_ours(StopReason::Error, &why);
        let extra = Extra { limit: Some(limit), ..Extra::default() };
        let id = self.conversation.append(Body::Message(Message::Assistant(message)), extra)?;
        self.conversation.sync().await?;
        self.conversation.tell_message(&id, false);
        Ok(())
    }

    /// Closes what was open when the time was over.
    pub(super) async fn end_in_time(&mut self) -> Result<(), SessionError> {
        self.close_open(super::calls::OVERDUE_CALL).await?;
        if self.conversation.last_limit() != Some(Reached::Seconds) {
            let why = self.time_is_over();
            self.end_at(Reached::Seconds, &why).await?;
        }
        self.conversation.end_turn();
        Ok(())
    }
}

/// Billionths as people write dollars.
fn dollars(billionths: u64) -> String {
    let text = format!("{}.{:09}", billionths / 1_000_000_000, billionths % 1_000_000_000);
    let whole = text.trim_end_matches('0');
    let cents = text.find('.').map_or(0, |point| point + 3);
    text[..whole.len().max(cents)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_as_people_write_it() {
        for (sum, expected) in
            [(0, "0.00"), (1_500_000_000, "1.50"), (1_000_000, "0.001"), (12_340_000_000, "12.34")]
        {
            assert_eq!(dollars(sum), expected);
        }
        assert_eq!(billionths(0.012_345), 12_345_000);
        assert_eq!(billionths(-1.0), 0);
    }
}
