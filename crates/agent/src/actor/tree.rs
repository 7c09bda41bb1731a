//! Commands that look at a session as a tree: going to an entry of it, and naming one.

use super::{Actor, work::Work};
use crate::{
    asking::choose,
    command::{Refused, Reply},
    compaction::{self, branch},
    conversation::Conversation,
    navigate::Arrived,
    session::{Body, Extra, Place},
};
use std::sync::{Arc, atomic::Ordering};
use toft_model::event::EventBody;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

impl Actor {
    /// Goes to an entry; `summarize` and `instructions` are about what is left behind.
    pub(super) async fn navigate(
        &mut self,
        entry_id: String,
        summarize: bool,
        instructions: Option<String>,
        reply: Reply<Arrived>,
    ) {
        let place = match self.place(entry_id).await {
            Ok(place) => place,
            Err(refused) => {
                let _ = reply.send(Err(refused));
                return;
            }
        };
        if self.conversation.stands_at(&place) {
            let Place { leaf, text } = place;
            let _ = reply.send(Ok(Arrived { entry_id: leaf, text, summary_entry_id: None }));
            return;
        }
        if !summarize {
            let arrived = self.conversation.go_to(place, None).await;
            let _ = reply.send(arrived.map_err(Refused::from));
            return;
        }
        let cancel = CancellationToken::new();
        let conversation = Arc::clone(&self.conversation);
        let stop = cancel.clone();
        let task = async move {
            let arrived = with_summary(&conversation, place, instructions, &stop).await;
            let _ = reply.send(arrived);
        };
        self.conversation.compacting.store(true, Ordering::Release);
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        self.work = Some(Work { task, cancel, said_meanwhile: false });
    }

    /// Where it goes, if nothing works and there is such an entry.
    async fn place(&mut self, entry_id: String) -> Result<Place, Refused> {
        self.conversation.around.sink.check().map_err(Refused::Disk)?;
        self.let_it_end().await;
        if self.work.is_some() {
            return Err(Refused::Busy);
        }
        let place = self.conversation.session().place_of(&entry_id);
        place.ok_or(Refused::NoEntry(entry_id))
    }

    pub(super) async fn label(
        &mut self,
        entry_id: String,
        label: Option<String>,
    ) -> Result<(), Refused> {
        let now = {
            let session = self.conversation.session();
            if session.entry(&entry_id).is_none() {
                return Err(Refused::NoEntry(entry_id));
            }
            session.label_of(&entry_id)
        };
        if now == label {
            return Ok(());
        }
        let body = Body::Label { target_id: entry_id.clone(), label: label.clone() };
        self.conversation.append(body, Extra::default())?;
        self.conversation.emit(EventBody::LabelChange { target_id: entry_id, label });
        self.conversation.sync().await?;
        if self.work.is_none() {
            self.conversation.settle();
        }
        Ok(())
    }
}

/// Has what is left behind summarised, then goes. Without a summary it stays where it is.
async fn with_summary(
    conversation: &Conversation,
    place: Place,
    instructions: Option<String>,
    stop: &CancellationToken,
) -> Result<Arrived, Refused> {
    let choice = choose(conversation, stop).await.map_err(|f| Refused::Compaction(f.message))?;
    let summary = match conversation.branch_left(&place, branch::budget(&choice)) {
        Some(left) => {
            let words = instructions.as_deref();
            let written = branch::summarise(conversation, &choice, left, words, stop).await;
            Some(written.map_err(|failed| match failed {
                compaction::Failed::Disk(error) => error.into(),
                other => Refused::Compaction(other.to_string()),
            })?)
        }
        None => None,
    };
    Ok(conversation.go_to(place, summary).await?)
}
