//! Compaction: the context is made shorter when it leaves too little of the window. First old outputs of tools go;
//! if that is not enough, old history is replaced by a summary that the model itself writes. Rules are
//! Pi's: due when the context leaves less than 16,384 tokens of the window, the newest 20,000 stay.

pub(crate) mod branch;
mod plan;
mod prune;
mod summary;
#[cfg(test)]
mod tests;
mod text;

use crate::{
    conversation::Conversation,
    session::{Body, Compaction, Extra, SessionError},
    surroundings::Choice,
};
use plan::{Plan, plan};
use serde_json::Value;
use std::sync::atomic::Ordering;
use summary::{Kind, Question};
use toft_model::{
    event::{CompactionEnd, EventBody},
    message::Usage,
};
use tokio_util::sync::CancellationToken;

/// Tokens kept free for the answer.
const RESERVE_TOKENS: u64 = 16_384;

/// Newest tokens that stay as they are.
const KEEP_TOKENS: u64 = 20_000;

/// Tokens of a model that does not say how many it takes (Pi's number).
const UNKNOWN_WINDOW_TOKENS: u64 = 128_000;

/// Neither number may take more than this share of a small window.
const WINDOW_SHARE: u64 = 4;

/// No compaction happened.
#[derive(Debug)]
pub(crate) enum Failed {
    /// There is too little history for it.
    Nothing,
    /// A person stopped it.
    Aborted,
    /// The model gave no summary; its words.
    Model(String),
    /// The session's file cannot be written.
    Disk(SessionError),
}

/// What a compaction came to: Pi's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Compacted {
    /// Stands for the history.
    pub summary: String,
    /// First entry that stays.
    pub first_kept_entry_id: String,
    /// Context tokens before, estimated.
    pub tokens_before: u64,
    /// `{readFiles, modifiedFiles}`.
    pub details: Value,
}

/// Tokens that a model takes.
fn window(choice: &Choice) -> u64 {
    match choice.info.context_window {
        0 => UNKNOWN_WINDOW_TOKENS,
        window => window,
    }
}

fn reserve(window: u64) -> u64 {
    RESERVE_TOKENS.min(window / WINDOW_SHARE)
}

fn keep(window: u64) -> u64 {
    KEEP_TOKENS.min(window / WINDOW_SHARE)
}

/// Makes the context shorter before the next question, if it is too long for it.
pub(crate) async fn make_room(
    conversation: &Conversation,
    choice: &Choice,
    cancel: &CancellationToken,
) -> Result<(), Failed> {
    let window = choice.info.context_window;
    if window == 0 || !conversation.around.settings().auto_compaction_enabled {
        return Ok(());
    }
    let tokens_max = window.saturating_sub(reserve(window));
    if conversation.session().context_tokens() <= tokens_max
        || prune::prune(conversation, tokens_max).await.map_err(Failed::Disk)?
    {
        return Ok(());
    }
    compact(conversation, choice, "threshold", None, cancel).await.map(|_| ())
}

/// Compacts and tells about it. `reason` is `manual`, `threshold` or `overflow`.
pub(crate) async fn compact(
    conversation: &Conversation,
    choice: &Choice,
    reason: &str,
    instructions: Option<&str>,
    cancel: &CancellationToken,
) -> Result<Compacted, Failed> {
    let plan = plan(&conversation.session(), keep(window(choice))).ok_or(Failed::Nothing)?;
    conversation.compacting.store(true, Ordering::Release);
    conversation.emit(EventBody::CompactionStart { reason: reason.to_owned() });
    let tokens_before = plan.tokens_before;
    let compacted = summarise(conversation, choice, plan, instructions, cancel).await;
    conversation.compacting.store(false, Ordering::Release);
    let (summary, error_message) = match &compacted {
        Ok(done) => (Some(done.summary.clone()), None),
        Err(failed) => (None, Some(failed.to_string())),
    };
    conversation.emit(EventBody::CompactionEnd(CompactionEnd {
        reason: reason.to_owned(),
        summary,
        tokens_before,
        error_message,
    }));
    compacted
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("there is nothing to compact yet"),
            Self::Aborted => f.write_str("stopped by a person"),
            Self::Model(words) => write!(f, "the model gave no summary: {words}"),
            Self::Disk(error) => write!(f, "{error}"),
        }
    }
}

async fn summarise(
    conversation: &Conversation,
    choice: &Choice,
    plan: Plan,
    instructions: Option<&str>,
    cancel: &CancellationToken,
) -> Result<Compacted, Failed> {
    let (summary, usage) = both(conversation, choice, &plan, instructions, cancel).await?;
    let details = plan.files.details();
    let compaction = Compaction {
        summary: plan.files.below(summary),
        first_kept_entry_id: plan.first_kept_entry_id,
        tokens_before: plan.tokens_before,
        usage: Some(usage),
        details: Some(details.clone()),
    };
    let done = Compacted {
        summary: compaction.summary.clone(),
        first_kept_entry_id: compaction.first_kept_entry_id.clone(),
        tokens_before: compaction.tokens_before,
        details,
    };
    conversation.append(Body::Compaction(compaction), Extra::default()).map_err(Failed::Disk)?;
    conversation.sync().await.map_err(Failed::Disk)?;
    Ok(done)
}

/// The summary of what came before and, where a turn is cut, of that turn's beginning.
async fn both(
    conversation: &Conversation,
    choice: &Choice,
    plan: &Plan,
    instructions: Option<&str>,
    cancel: &CancellationToken,
) -> Result<(String, Usage), Failed> {
    let reserve = reserve(window(choice));
    let previous = plan.previous.as_deref();
    let history = async {
        if plan.history.is_empty() {
            let known = previous.unwrap_or("No prior history.");
            return Ok((known.to_owned(), Usage::default()));
        }
        let question = Question {
            text: plan.history.clone(),
            kind: Kind::History,
            previous,
            instructions,
            tokens_max: reserve * 4 / 5,
        };
        summary::ask(conversation, choice, question, cancel).await
    };
    let Some(turn) = plan.turn.clone() else { return history.await };
    let turn = Question {
        text: turn,
        kind: Kind::Turn,
        previous: None,
        instructions: None,
        tokens_max: reserve / 2,
    };
    let turn = summary::ask(conversation, choice, turn, cancel);
    let ((history, mut usage), (turn, more)) = tokio::try_join!(history, turn)?;
    usage.add(&more);
    Ok((format!("{history}\n\n---\n\n**Turn Context (split turn):**\n\n{turn}"), usage))
}
