//! Telling what a session's file holds and the event log does not, after this process or the one
//! before it died in between. What was told is [`Shown`].

use crate::{
    conversation::Conversation,
    run::check,
    session::{Body, Entry, Session, Settles, WentBack},
    shown::Shown,
};
use toft_model::{
    event::{
        CompactionEnd, EventBody, MessageEnd, MessageRestarted, MessageStart, ModelChange, Moved,
        Navigated, QueueUpdate, RetryEnd, SessionNamed, ToolEnd,
    },
    message::Message,
    plan::PlanSettled,
    provider::DEMO_PROVIDER,
};
use toft_tools::ToolOutcome;

impl Conversation {
    /// Tells what the session's file holds and the log does not, and voids what was shown of a
    /// message that never became whole.
    pub fn catch_up(&self) {
        let mut events = Vec::new();
        {
            let session = self.session();
            let shown = self.shown();
            if !shown.created {
                events.push(EventBody::SessionCreated(SessionNamed { name: None }));
            }
            missing_entries(&session, &shown, &mut events);
            if let Some(attempt) = shown.retry_open {
                events.push(EventBody::AutoRetryEnd(RetryEnd {
                    success: false,
                    attempt,
                    final_error: Some("the bridge was restarted; the model is asked anew".into()),
                }));
            }
            if let Some(reason) = &shown.compaction_open
                && !events.iter().any(|e| matches!(e, EventBody::CompactionEnd(_)))
            {
                events.push(EventBody::CompactionEnd(CompactionEnd {
                    reason: reason.clone(),
                    summary: None,
                    tokens_before: session.context_tokens(),
                    error_message: Some("the bridge was restarted".into()),
                }));
            }
            if let Some(id) = &shown.message_open
                && session.entry(id).is_none()
            {
                events.push(EventBody::MessageRestarted(MessageRestarted {
                    message_id: id.clone(),
                    reason: "the bridge was restarted".into(),
                }));
            }
        }
        for event in events {
            self.emit(event);
        }
    }

    /// Tells what waits, if the log says something else.
    pub(crate) fn catch_up_queue(&self, now: QueueUpdate) {
        let told = self.shown().told_queue();
        if told != now {
            self.emit(EventBody::QueueUpdate(now));
        }
    }
}

fn missing_entries(session: &Session, shown: &Shown, events: &mut Vec<EventBody>) {
    let mut skip = shown.changes.clone();
    // Counts of changes are told in order, so the first ones of each kind are those that were.
    let told = |left: &mut usize| {
        let was = *left > 0;
        *left = left.saturating_sub(1);
        was
    };
    for entry in session.entries().iter().filter(|e| e.line > shown.lines) {
        if let Some(plan) = entry.proposes()
            && !told(&mut skip.plans)
        {
            events.push(EventBody::PlanReady(plan));
        }
        if let Some(Settles { plan_id, state }) = entry.settles()
            && !told(&mut skip.settled_plans)
        {
            events.push(EventBody::PlanSettled(PlanSettled { plan_id, state }));
        }
        if let Some(mode) = entry.sets_mode()
            && !told(&mut skip.modes)
        {
            events.push(EventBody::ModeChange { mode });
        }
        let check = entry.check().filter(|_| !told(&mut skip.checks));
        if check.is_some()
            && let (Some(of), Body::Message(Message::Custom(m))) = (entry.check_of(), &entry.body)
            && shown.tools_open.contains(&check::call_id(of))
        {
            let outcome = ToolOutcome::text(m.content.text());
            events.push(EventBody::ToolEnd(check::ended(of, outcome, m.timestamp)));
        }
        events.extend(check.map(EventBody::AutoCheck));
        match &entry.body {
            Body::Message(message) => {
                if shown.ended.contains(&entry.id) {
                    continue;
                }
                if let Message::ToolResult(result) = message
                    && shown.tools_open.contains(&result.tool_call_id)
                {
                    events.push(EventBody::ToolEnd(ToolEnd {
                        tool_call_id: result.tool_call_id.clone(),
                        tool_name: result.tool_name.clone(),
                        result: result.clone(),
                        is_error: result.is_error,
                        duration_ms: entry.extra.duration_ms.unwrap_or(0),
                    }));
                }
                whole(session, entry, message.clone(), shown, events);
            }
            Body::BranchSummary(_) if !shown.ended.contains(&entry.id) => {
                if let Some(message) = entry.message() {
                    whole(session, entry, message.into_owned(), shown, events);
                }
            }
            Body::ModelChange(model) if !told(&mut skip.model) => {
                events.push(EventBody::ModelChange(ModelChange {
                    demo: model.provider == DEMO_PROVIDER,
                    model: model.clone(),
                }));
            }
            Body::ThinkingLevelChange { level } if !told(&mut skip.thinking) => {
                events.push(EventBody::ThinkingLevelChange { level: level.clone() });
            }
            Body::SessionInfo { name } if !told(&mut skip.name) => {
                events.push(EventBody::SessionInfoChanged(SessionNamed { name: name.clone() }));
            }
            Body::Compaction(compaction) if !told(&mut skip.compaction) => {
                events.push(EventBody::CompactionEnd(CompactionEnd {
                    reason: shown.compaction_open.clone().unwrap_or_else(|| "manual".into()),
                    summary: Some(compaction.summary.clone()),
                    tokens_before: compaction.tokens_before,
                    error_message: None,
                }));
            }
            Body::Label { target_id, label } if !told(&mut skip.labels) => {
                events.push(EventBody::LabelChange {
                    target_id: target_id.clone(),
                    label: label.clone(),
                });
            }
            Body::Custom { .. } => {
                let went = WentBack::of(entry).filter(WentBack::is_navigation);
                if let Some(went) = went
                    && !told(&mut skip.moves)
                {
                    events.push(EventBody::Navigated(Navigated {
                        sessions: vec![Moved {
                            session_id: session.id().clone(),
                            to_message_id: session.message_at(went.entry_id.as_deref()),
                            from_entry_id: went.from,
                            to_entry_id: went.entry_id,
                        }],
                    }));
                }
            }
            Body::ModelChange(_)
            | Body::ThinkingLevelChange { .. }
            | Body::SessionInfo { .. }
            | Body::Compaction(_)
            | Body::BranchSummary(_)
            | Body::ContextEdit { .. }
            | Body::Label { .. }
            | Body::Usage(_)
            | Body::Unknown { .. } => {}
        }
    }
}

/// Tells an entry's message.
fn whole(
    session: &Session,
    entry: &Entry,
    message: Message,
    shown: &Shown,
    events: &mut Vec<EventBody>,
) {
    if shown.message_open.as_deref() != Some(entry.id.as_str()) {
        events.push(EventBody::MessageStart(MessageStart {
            message_id: entry.id.clone(),
            role: message.role().into(),
        }));
    }
    events.push(EventBody::MessageEnd(MessageEnd {
        message_id: entry.id.clone(),
        entry_id: entry.id.clone(),
        parent_id: session.parent_id(entry).map(str::to_owned),
        message,
    }));
}
