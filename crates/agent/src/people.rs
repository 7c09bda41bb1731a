//! How tools reach people: notices once per call, questions whose answers are entries of the
//! session, so that both survive the end of this process.

use crate::conversation::Conversation;
use async_trait::async_trait;
use std::sync::Arc;
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
        let call_id = question.tool_call_id.clone();
        if let Some(answer) = self.0.answer_to(&call_id) {
            return Some(answer);
        }
        self.0.set_question(Some(question.clone()));
        if !self.0.shown().was_asked(&call_id) {
            self.0.emit(EventBody::Question(question));
        }
        let answer = loop {
            let rung = self.0.answered.notified();
            tokio::pin!(rung);
            // Registered before looking, so that an answer in between is not slept through.
            rung.as_mut().enable();
            if let Some(answer) = self.0.answer_to(&call_id) {
                break Some(answer);
            }
            tokio::select! {
                () = rung => {}
                () = cancel.cancelled() => break None,
            }
        };
        self.0.set_question(None);
        answer
    }
}
