//! Old outputs of tools leave the context before history is summarised, where that is enough: they are most of
//! it, and the tool can be run again. By entries that change only what the model sees; people see all of
//! it. The numbers are opencode's.

use crate::{
    conversation::Conversation,
    session::{Body, Entry, Extra, Session, SessionError, message_tokens},
};
use serde_json::{Value, json};
use toft_model::message::{Message, ToolResultMessage};

/// Newest tokens of tool results that stay.
const PROTECTED_TOKENS: u64 = 40_000;

/// What must be won: each time costs the provider's cache of all that follows.
const FREED_TOKENS_MIN: u64 = 20_000;

/// Results of this size or less stay: a word that they are gone is not much shorter.
const SMALL_TOKENS: u64 = 100;

/// Tools whose results say what the work is about, or cannot be had again.
const KEPT: [&str; 4] = ["todo", "ask", "ask_secrets", "task"];

/// Takes old outputs out of the context, if it has at most `tokens_max` then: a summary is better with them.
/// Says whether it did.
pub(super) async fn prune(
    conversation: &Conversation,
    tokens_max: u64,
) -> Result<bool, SessionError> {
    let now = conversation.now_ms();
    {
        let mut session = conversation.session();
        let (edits, freed) = edits(&session);
        if edits.is_empty() || session.context_tokens().saturating_sub(freed) > tokens_max {
            return Ok(false);
        }
        tracing::debug!(session = %conversation.id(), results = edits.len(), "old outputs leave the context");
        for (target_id, replacement) in edits {
            let body = Body::ContextEdit { target_id, replacement: Some(replacement) };
            let id = session.fresh_id();
            session.append(id, body, Extra::default(), now)?;
        }
    }
    conversation.sync().await?;
    Ok(true)
}

/// Which entries, what stands in their place, and how many tokens that frees.
pub(super) fn edits(session: &Session) -> (Vec<(String, Value)>, u64) {
    let projection = session.projection();
    let (mut newer, mut freed) = (0, 0);
    let mut edits = Vec::new();
    for (entry, message) in projection.iter().rev() {
        let Some(message @ Message::ToolResult(result)) = message.as_deref() else { continue };
        let tokens = message_tokens(message);
        let is_old = newer >= PROTECTED_TOKENS;
        newer += tokens;
        if !is_old || tokens <= SMALL_TOKENS || KEPT.contains(&result.tool_name.as_str()) {
            continue;
        }
        freed += tokens;
        edits.push((entry.id.clone(), gone(entry, result, tokens)));
    }
    edits.reverse();
    if freed > FREED_TOKENS_MIN { (edits, freed) } else { (Vec::new(), 0) }
}

/// Pi reads the same: content that takes the place of the entry's own.
fn gone(entry: &Entry, result: &ToolResultMessage, tokens: u64) -> Value {
    let chars = tokens * 4;
    let changed = if entry.extra.changed.is_empty() {
        String::new()
    } else {
        format!(" It changed {}.", entry.extra.changed.join(", "))
    };
    let text = format!(
        "[This output of {} was long ago and is left out here: about {chars} characters.{changed} Run the tool \
         again if it is needed.]",
        result.tool_name
    );
    json!({"content": [{"type": "text", "text": text}]})
}
