//! What a prompt (or its retry) came to, counted from its entries: the same after a crash.

use crate::{
    conversation::Conversation,
    session::{Body, Entry, Session, task_usage},
};
use std::{borrow::Cow, collections::BTreeSet};
use toft_model::{
    event::AgentEnd,
    message::{AssistantMessage, Message, Usage},
    provider::DEMO_PROVIDER,
};

/// Paths in it at most: it is read by people.
const CHANGED_MAX: usize = 200;

/// Model calls of the current prompt.
pub(crate) fn turns(session: &Session) -> u64 {
    let is_answer = |e: &&&Entry| matches!(e.body, Body::Message(Message::Assistant(_)));
    session.prompt_entries().iter().filter(is_answer).count() as u64
}

/// Whether a model gave an answer. One of ours (stopped, failed before a model was found) has nothing in it.
pub(crate) fn is_of_a_model(message: &AssistantMessage) -> bool {
    !message.content.is_empty() || message.usage.total_tokens > 0
}

/// When the current prompt, or its retry, began.
pub(crate) fn began(session: &Session) -> Option<u64> {
    session.prompt_entries().into_iter().find_map(|entry| match &entry.body {
        _ if entry.retries().is_some() => Some(entry.at_ms),
        Body::Message(Message::User(m)) => Some(m.timestamp),
        _ => None,
    })
}

/// What the current prompt has cost, as far as it is known, in US dollars.
pub(crate) fn cost(session: &Session) -> f64 {
    let entries = session.prompt_entries();
    let used = entries.iter().filter_map(|entry| used(&entry.body));
    used.filter_map(|usage| usage.cost.as_ref().map(|cost| cost.total)).sum()
}

/// What an entry says of tokens and money.
fn used(body: &Body) -> Option<Cow<'_, Usage>> {
    match body {
        Body::Message(Message::Assistant(m)) => Some(Cow::Borrowed(&m.usage)),
        Body::Message(Message::ToolResult(result)) => task_usage(result).map(Cow::Owned),
        Body::Compaction(compaction) => compaction.usage.as_ref().map(Cow::Borrowed),
        // Answers that were voided.
        Body::Usage(usage) => Some(Cow::Borrowed(usage)),
        _ => None,
    }
}

/// What the current prompt came to.
pub(crate) fn of(conversation: &Conversation, reason: &str) -> AgentEnd {
    let session = conversation.session();
    let mut end = AgentEnd {
        reason: reason.to_owned(),
        usage: Usage::default(),
        turns: 0,
        tools: 0,
        changed: Vec::new(),
        duration_ms: 0,
        demo: false,
        claims: Vec::new(),
    };
    let mut changed = BTreeSet::new();
    let began = began(&session);
    for entry in session.prompt_entries() {
        match &entry.body {
            Body::Message(Message::Assistant(m)) => {
                end.turns += u64::from(is_of_a_model(m));
                end.demo |= m.provider == DEMO_PROVIDER;
            }
            Body::Message(Message::ToolResult(_)) => {
                end.tools += 1;
                changed.extend(entry.extra.changed.iter().cloned());
            }
            _ => {}
        }
        if let Some(usage) = used(&entry.body) {
            end.usage.add(&usage);
        }
    }
    end.changed = changed.into_iter().take(CHANGED_MAX).collect();
    end.duration_ms = began.map_or(0, |at| conversation.now_ms().saturating_sub(at));
    end
}
