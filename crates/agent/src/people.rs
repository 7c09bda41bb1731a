//! How tools reach people: notices once per call, questions whose answers are entries of the
//! session, so that both survive the end of this process. Those of a task are asked in the conversation
//! that its call belongs to: there people look.

use crate::conversation::Conversation;
use async_trait::async_trait;
use std::sync::{Arc, atomic::Ordering};
use toft_model::event::{Answered, EventBody, Notify, Question};
use toft_tools::host::People;
use tokio_util::sync::CancellationToken;

/// The people of one conversation.
pub(crate) struct Audience(pub(crate) Arc<Conversation>);

/// What a person said to a question.
pub(crate) struct Answer {
    pub(crate) text: String,
    /// They had said it before it was asked this time: maybe to a process before this one.
    pub(crate) was_there: bool,
}

#[async_trait]
impl People for Audience {
    async fn notify(&self, notify: Notify) {
        let told = notify.tool_call_id.as_ref().is_some_and(|id| self.0.shown().was_notified(id));
        if !told {
            self.0.emit(EventBody::Notify(notify));
        }
    }

    async fn ask(&self, question: Question, cancel: &CancellationToken) -> Option<String> {
        Some(self.put(question, cancel).await?.text)
    }
}

impl Audience {
    /// Asks, and waits for the answer.
    pub(crate) async fn put(
        &self,
        question: Question,
        cancel: &CancellationToken,
    ) -> Option<Answer> {
        let Some(errand) = self.0.errand() else { return self.put_here(question, cancel).await };
        let id = Some(format!("{}:{}", self.0.id(), question.key()));
        let child_session = Some(self.0.id().clone());
        let tool_call_id = errand.call_id.clone();
        let passed_on = Question { tool_call_id, id, child_session, ..question };
        let asked_in = Audience(Arc::clone(&errand.parent));
        if let Some(answer) = asked_in.known(&passed_on) {
            return Some(answer);
        }
        // While it waits nothing goes on here.
        let of = passed_on.key().to_owned();
        self.0.needs_person.own.store(true, Ordering::Release);
        self.0.pause(&of);
        let answer = asked_in.put_here(passed_on, cancel).await;
        self.0.go_on(&of);
        self.0.needs_person.own.store(false, Ordering::Release);
        answer
    }

    /// What was said to it before.
    fn known(&self, question: &Question) -> Option<Answer> {
        let text = self.0.answer_to(question.key())?;
        self.tell_answered(question);
        Some(Answer { text, was_there: true })
    }

    /// Tells that it is answered, or that nobody wants it answered any more, unless that was told. By whoever takes the
    /// answer: it may be on disk since a process that ended before it told so.
    fn tell_answered(&self, question: &Question) {
        if self.0.shown().was_asked(question) {
            self.0.emit(EventBody::Answered(Answered::of(question.clone())));
        }
    }

    async fn put_here(&self, question: Question, cancel: &CancellationToken) -> Option<Answer> {
        if let Some(answer) = self.known(&question) {
            return Some(answer);
        }
        let key = question.key().to_owned();
        let _alone = tokio::select! {
            alone = self.0.asking.lock() => alone,
            () = cancel.cancelled() => return None,
        };
        self.0.pause(&key);
        self.0.set_question(Some(question.clone()));
        if !self.0.shown().was_asked(&question) {
            self.0.emit(EventBody::Question(question.clone()));
        }
        let answer = loop {
            let rung = self.0.answered.notified();
            tokio::pin!(rung);
            // Registered before looking, so that an answer in between is not slept through.
            rung.as_mut().enable();
            if let Some(text) = self.0.answer_to(&key) {
                break Some(Answer { text, was_there: false });
            }
            tokio::select! {
                () = rung => {}
                () = cancel.cancelled() => break None,
            }
        };
        self.0.set_question(None);
        self.tell_answered(&question);
        self.0.go_on(&key);
        answer
    }
}
