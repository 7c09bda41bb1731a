//! What a prompt (or its retry) came to, counted from its entries: the same after a crash.

use crate::{
    conversation::Conversation,
    session::{Body, Session, add_usage},
};
use std::collections::BTreeSet;
use toft_model::{
    event::AgentEnd,
    message::{Message, Usage},
    provider::DEMO_PROVIDER,
};

/// Paths in a receipt at most: it is read by people.
const CHANGED_MAX: usize = 200;

/// Model calls of the current prompt.
pub(super) fn turns(session: &Session) -> u64 {
    let is_answer =
        |e: &&&crate::session::Entry| matches!(e.body, Body::Message(Message::Assistant(_)));
    session.prompt_entries().iter().filter(is_answer).count() as u64
}

/// The receipt of the current prompt.
pub(super) fn of(conversation: &Conversation, reason: &str) -> AgentEnd {
    let session = conversation.session();
    let mut end = AgentEnd {
        reason: reason.to_owned(),
        usage: Usage::default(),
        turns: 0,
        tools: 0,
        changed: Vec::new(),
        duration_ms: 0,
        demo: false,
    };
    let mut changed = BTreeSet::new();
    let mut began = None;
    for entry in session.prompt_entries() {
        if entry.retries().is_some() {
            began.get_or_insert(entry.at_ms);
        }
        match &entry.body {
            Body::Message(Message::User(m)) => {
                began.get_or_insert(m.timestamp);
            }
            // An answer of ours (aborted, failed before a model was found) is no model call.
            Body::Message(Message::Assistant(m)) => {
                end.turns += u64::from(!m.content.is_empty() || m.usage.total_tokens > 0);
                end.demo |= m.provider == DEMO_PROVIDER;
                add_usage(&mut end.usage, &m.usage);
            }
            Body::Message(Message::ToolResult(_)) => {
                end.tools += 1;
                changed.extend(entry.extra.changed.iter().cloned());
            }
            Body::Compaction(compaction) => {
                if let Some(usage) = &compaction.usage {
                    add_usage(&mut end.usage, usage);
                }
            }
            _ => {}
        }
    }
    end.changed = changed.into_iter().take(CHANGED_MAX).collect();
    end.duration_ms = began.map_or(0, |at| conversation.now_ms().saturating_sub(at));
    end
}
