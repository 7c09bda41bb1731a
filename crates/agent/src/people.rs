//! How tools reach people: notices once per call, questions whose answers are entries of the
//! session, so that both survive the end of this process. Those of a task are asked in the conversation
//! that its call belongs to: there people look.

use crate::conversation::Conversation;
use async_trait::async_trait;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};
use toft_model::event::{EventBody, Notify, Question};
use toft_tools::host::People;
use tokio_util::sync::CancellationToken;

/// The people of one conversation.
pub(crate) struct Audience(pub(crate) Arc<Conversation>);

#[async_trait]
impl People for Audience {
    async fn notify(&self, notify: Notify) {
        let told = notify.tool_call_id.as_ref().is_some_and(|id| self.0.shown().was_notified(id));
        if !told {
            self.0.emit(EventBody::Notify(notify));
        }
    }

    async fn ask(&self, question: Question, cancel: &CancellationToken) -> Option<String> {
        let Some(errand) = self.0.errand() else { return self.ask_here(question, cancel).await };
        let id = Some(format!("{}:{}", self.0.id(), question.key()));
        let child_session = Some(self.0.id().clone());
        let tool_call_id = errand.call_id.clone();
        let passed_on = Question { tool_call_id, id, child_session, ..question };
        // While it waits nothing goes on here.
        self.0.needs_person.store(true, Ordering::Release);
        let answer = Audience(Arc::clone(&errand.parent)).ask_here(passed_on, cancel).await;
        self.0.needs_person.store(false, Ordering::Release);
        answer
    }
}

impl Audience {
    async fn ask_here(&self, question: Question, cancel: &CancellationToken) -> Option<String> {
        let key = question.key().to_owned();
        if let Some(answer) = self.0.answer_to(&key) {
            return Some(answer);
        }
        let began = Instant::now();
        let _alone = tokio::select! {
            alone = self.0.asking.lock() => alone,
            () = cancel.cancelled() => return None,
        };
        self.0.set_question(Some(question.clone()));
        if !self.0.shown().was_asked(&question) {
            self.0.emit(EventBody::Question(question));
        }
        let answer = loop {
            let rung = self.0.answered.notified();
            tokio::pin!(rung);
            // Registered before looking, so that an answer in between is not slept through.
            rung.as_mut().enable();
            if let Some(answer) = self.0.answer_to(&key) {
                break Some(answer);
            }
            tokio::select! {
                () = rung => {}
                () = cancel.cancelled() => break None,
            }
        };
        self.0.set_question(None);
        let waited = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.waited_ms.fetch_add(waited, Ordering::AcqRel);
        answer
    }
}
