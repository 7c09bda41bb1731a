//! Where history is cut, by Pi's rules: the newest tokens stay, never behind a call without its result. A cut
//! within a turn divides what goes into what came before that turn and the turn's own beginning.

use super::text::{Files, write_message};
use crate::session::{Body, Entry, Session, message_tokens};
use std::borrow::Cow;
use toft_model::message::Message;

/// What to summarise and what to keep.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) first_kept_entry_id: String,
    /// What came before; empty when the first turn is the one that is cut.
    pub(super) history: String,
    /// The beginning of a turn whose end stays.
    pub(super) turn: Option<String>,
    pub(super) previous: Option<String>,
    pub(super) tokens_before: u64,
    pub(super) files: Files,
}

/// An entry with what the model sees of it.
type Seen<'a> = (&'a Entry, Option<Cow<'a, Message>>);

/// `None`: there is nothing that could go.
pub(super) fn plan(session: &Session, keep_tokens: u64) -> Option<Plan> {
    let all = session.projection();
    let previous = match &all.first()?.0.body {
        Body::Compaction(compaction) => Some(compaction),
        _ => None,
    };
    let entries = if previous.is_some() { &all[1..] } else { &all[..] };
    let (kept, turn) = cut(entries, keep_tokens)?;
    let mut plan = Plan {
        first_kept_entry_id: entries.get(kept)?.0.id.clone(),
        history: String::new(),
        turn: None,
        previous: previous.map(|c| c.summary.clone()),
        tokens_before: session.context_tokens(),
        files: Files::default(),
    };
    plan.files.carry(previous.and_then(|c| c.details.as_ref()));
    let history = text(&entries[..turn.unwrap_or(kept)], &mut plan.files);
    plan.turn = turn.and_then(|from| text(&entries[from..kept], &mut plan.files));
    if history.is_none() && plan.turn.is_none() {
        return None;
    }
    plan.history = history.unwrap_or_default();
    Some(plan)
}

/// Their messages as text; `None`: there are none.
fn text(entries: &[Seen<'_>], files: &mut Files) -> Option<String> {
    let mut text = String::new();
    let mut any = false;
    for (entry, message) in entries {
        if let Some(message) = message {
            any = true;
            files.take(entry, message);
            write_message(&mut text, message);
        }
    }
    any.then_some(text)
}

/// The first that stays, and where its turn begins if the cut is within one. `None`: all fits.
fn cut(entries: &[Seen<'_>], keep_tokens: u64) -> Option<(usize, Option<usize>)> {
    let mut kept = 0;
    let mut at = None;
    let mut found = None;
    for (place, (_, message)) in entries.iter().enumerate().rev() {
        let Some(message) = message else { continue };
        kept += message_tokens(message);
        if !matches!(&**message, Message::ToolResult(_)) {
            at = Some(place);
        }
        // Results alone can be more than the budget: then the call that they answer stays too.
        if kept >= keep_tokens && at.is_some() {
            found = at;
            break;
        }
    }
    let mut first = found?;
    let begins_turn = |place: usize| entries[place].1.as_deref().is_some_and(begins_turn);
    let turn = if begins_turn(first) { None } else { (0..first).rev().find(|p| begins_turn(*p)) };
    // What no model sees stays with what follows it.
    while first > turn.map_or(0, |turn| turn + 1) && entries[first - 1].1.is_none() {
        first -= 1;
    }
    (first > 0).then_some((first, turn))
}

fn begins_turn(message: &Message) -> bool {
    match message {
        Message::User(_)
        | Message::Custom(_)
        | Message::CompactionSummary(_)
        | Message::BranchSummary(_) => true,
        Message::Assistant(_) | Message::ToolResult(_) => false,
    }
}
