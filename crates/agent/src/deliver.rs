//! Waiting messages become messages of the conversation, and what a person says gets the skill that it asks
//! for.

use crate::{
    conversation::Conversation,
    session::{Body, Extra, QueuedAs, SessionError},
};
use std::sync::Arc;
use toft_model::{
    event::EventBody,
    message::{Message, UserContent, UserMessage},
};
use toft_tools::blocking;

impl Conversation {
    /// Tells what waits now.
    pub(crate) async fn tell_queue(&self) {
        let texts = self.queues.lock().await.texts();
        self.emit(EventBody::QueueUpdate(texts));
    }

    /// What a person said, with the skill that they asked for.
    pub(crate) async fn with_skill(&self, content: UserContent) -> UserContent {
        if !crate::skills::asks(&content) {
            return content;
        }
        let (skills, said) = (Arc::clone(&self.around.skills), content.clone());
        let expanded = blocking(move || skills.expand(said)).await;
        let (content, told) = expanded.unwrap_or((content, None));
        if let Some(message) = told {
            self.emit(EventBody::Error { code: "unknown_skill".into(), message });
        }
        content
    }

    /// Delivers waiting messages: each becomes a user message, the first one a new prompt if
    /// `begins`. Returns whether there were any.
    pub(crate) async fn deliver(
        &self,
        which: QueuedAs,
        begins: bool,
    ) -> Result<bool, SessionError> {
        let settings = self.around.settings();
        let mode = match which {
            QueuedAs::Steer => settings.steering_mode,
            QueuedAs::FollowUp => settings.follow_up_mode,
        };
        let mut queues = self.queues.lock().await;
        // Work that was dropped in the middle of this left them here.
        queues.drop_said(&self.session());
        let next = queues.next(which, mode);
        if next.is_empty() {
            return Ok(false);
        }
        let mut ids = Vec::with_capacity(next.len());
        let mut written = Ok(());
        for waiting in next {
            let message = Message::User(UserMessage {
                content: self.with_skill(waiting.content).await,
                timestamp: self.now_ms(),
            });
            let queued = Some(which).filter(|_| !begins || !ids.is_empty());
            let extra = Extra { queued, ..Extra::default() };
            match self.append_as(waiting.id, Body::Message(message), extra) {
                Ok(id) => ids.push(id),
                Err(error) => {
                    written = Err(error);
                    break;
                }
            }
        }
        // The entries first: a crash in between finds them there and drops what waits.
        let synced = self.sync().await;
        // What is in the file was said, whatever the disk makes of it.
        queues.drop_said(&self.session());
        if synced.is_ok()
            && let Err(error) = queues.save().await
        {
            tracing::warn!(%error, "delivered messages stay in the queue's file until it can be written");
        }
        let texts = queues.texts();
        drop(queues);
        self.emit(EventBody::QueueUpdate(texts));
        for id in &ids {
            self.tell_message(id, false);
        }
        written.and(synced)?;
        Ok(true)
    }
}
