//! A summary of the branch that a person leaves, by Pi's rules: from where both branches part, the newest of it that
//! fits the model, results of tools left out.

use super::{
    Failed, summary,
    text::{Files, write_message},
};
use crate::{
    conversation::Conversation,
    session::{Body, BranchSummary, Entry, message_tokens},
    surroundings::Choice,
};
use std::borrow::Cow;
use toft_model::{
    event::{CompactionEnd, EventBody},
    message::Message,
};
use tokio_util::sync::CancellationToken;

/// Tokens of the answer (Pi's number).
const ANSWER_TOKENS_MAX: u64 = 4_096;

/// An older summary that does not fit is still told if less than this share of the budget is taken.
const SUMMARY_SHARE: f64 = 0.9;

/// Stands before the summary, for the model.
const PREAMBLE: &str = "The user explored a different conversation branch before returning here.\n\
                        Summary of that exploration:\n\n";

/// A branch that is left.
#[derive(Debug, PartialEq)]
pub(crate) struct Left {
    from_id: String,
    text: String,
    files: Files,
}

/// Tokens of a branch that fit into one question to the model.
pub(crate) fn budget(choice: &Choice) -> u64 {
    let window = super::window(choice);
    window.saturating_sub(super::reserve(window))
}

impl Left {
    /// `None`: nothing was said there.
    pub(crate) fn of(from_id: String, entries: &[&Entry], token_budget: u64) -> Option<Self> {
        let mut files = Files::default();
        for entry in entries {
            if let Body::BranchSummary(left) = &entry.body {
                files.carry(left.details.as_ref());
            }
        }
        let mut taken: Vec<Cow<'_, Message>> = Vec::new();
        let mut tokens = 0;
        for entry in entries.iter().rev() {
            let Some(message) = entry.message() else { continue };
            files.take(entry, &message);
            if matches!(*message, Message::ToolResult(_)) {
                continue;
            }
            let more = message_tokens(&message);
            let fits = tokens + more <= token_budget;
            let is_summary = matches!(entry.body, Body::Compaction(_) | Body::BranchSummary(_));
            #[expect(clippy::cast_precision_loss, reason = "a share of a number of tokens")]
            let has_room = (tokens as f64) < token_budget as f64 * SUMMARY_SHARE;
            if fits || is_summary && has_room {
                taken.push(message);
                tokens += more;
            }
            if !fits {
                break;
            }
        }
        let mut text = String::new();
        for message in taken.iter().rev() {
            write_message(&mut text, message);
        }
        (!text.is_empty()).then_some(Self { from_id, text, files })
    }
}

/// Asks for the summary, and tells that it is being written.
pub(crate) async fn summarise(
    conversation: &Conversation,
    choice: &Choice,
    left: Left,
    instructions: Option<&str>,
    cancel: &CancellationToken,
) -> Result<BranchSummary, Failed> {
    const REASON: &str = "branch";
    conversation.emit(EventBody::CompactionStart { reason: REASON.into() });
    let tokens_before = conversation.session().context_tokens();
    let question = summary::Question {
        text: left.text,
        kind: summary::Kind::Branch,
        previous: None,
        instructions,
        tokens_max: ANSWER_TOKENS_MAX,
    };
    let asked = summary::ask(conversation, choice, question, cancel).await;
    let error_message = asked.as_ref().err().map(ToString::to_string);
    // What it says is told with the entry that holds it.
    conversation.emit(EventBody::CompactionEnd(CompactionEnd {
        reason: REASON.into(),
        summary: None,
        tokens_before,
        error_message,
    }));
    let (summary, usage) = asked?;
    Ok(BranchSummary {
        from_id: left.from_id,
        summary: left.files.below(format!("{PREAMBLE}{summary}")),
        usage: Some(usage),
        details: Some(left.files.details()),
    })
}
