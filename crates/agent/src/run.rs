//! The loop: what a session needs next is asked of its last entries, done, and asked again, until
//! it rests. The same loop goes on after a crash. Not the parts: asking is in [`ask`], tools in
//! [`calls`].

mod ask;
mod calls;
mod guard;
mod receipt;

use crate::{
    conversation::Conversation,
    session::{Body, Extra, QueuedAs, SessionError, Step},
};
use std::sync::{Arc, atomic::Ordering};
use toft_model::{
    event::{EventBody, TurnEnd},
    message::{AssistantMessage, Message, StopReason, Usage},
    tool::ToolSpec,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub(crate) use ask::{booking, choose, held_back};

/// Model calls for one prompt. A person's longest tasks take a few hundred; what goes on after that
/// is lost in a circle, and costs.
pub(crate) const TURNS_MAX: u64 = 500;

/// Text of an aborted answer without words of its own.
const ABORTED: &str = "Stopped by a person.";

/// One piece of work on a conversation.
pub(crate) struct Run {
    pub(crate) conversation: Arc<Conversation>,
    pub(crate) cancel: CancellationToken,
    system: Arc<str>,
    /// What models see of the tools; the same in every request.
    specs: Vec<ToolSpec>,
    /// Syncs that nobody waits for yet.
    syncing: Option<AbortOnDropHandle<Result<(), SessionError>>>,
}

/// Why the loop stopped early.
pub(crate) enum Stop {
    /// A person stopped it.
    Aborted,
    /// The session's file cannot be written.
    Disk(SessionError),
}

impl From<SessionError> for Stop {
    fn from(error: SessionError) -> Self {
        Self::Disk(error)
    }
}

impl Run {
    pub(crate) fn new(conversation: Arc<Conversation>, cancel: CancellationToken) -> Self {
        let specs = conversation.around.tools.specs();
        Self { conversation, cancel, system: "".into(), specs, syncing: None }
    }

    /// Works until the session rests. Everything that happens is an event.
    pub(crate) async fn work(mut self) {
        if !self.conversation.shown().agent_open() {
            self.conversation.emit(EventBody::AgentStart {});
            self.tell_prompt();
        }
        let facts = self.conversation.around.prompt.clone();
        let prompt = tokio::task::spawn_blocking(move || crate::prompt::system_prompt(&facts));
        self.system = prompt.await.unwrap_or_default().into();
        let reason = match self.turns().await {
            Ok(reason) => reason,
            Err(Stop::Aborted) => match self.abort().await {
                Ok(()) => "aborted",
                Err(error) => self.disk_error(&error),
            },
            Err(Stop::Disk(error)) => self.disk_error(&error),
        };
        self.settled().await;
        let end = receipt::of(&self.conversation, reason);
        // Who hears the end and looks must find it.
        self.conversation.working.store(false, Ordering::Release);
        self.conversation.emit(EventBody::AgentEnd(end));
        self.conversation.settle();
        // The record is whole; whether it is on disk matters only for power loss.
        self.conversation.around.sink.sync().await;
    }

    /// Tells the prompt's own message, if the log does not have it yet.
    fn tell_prompt(&self) {
        let waiting = {
            let session = self.conversation.session();
            let shown = self.conversation.shown();
            session
                .leaf()
                .filter(|e| matches!(e.body, Body::Message(Message::User(_))))
                .filter(|e| !shown.has_ended(&e.id, e.line))
                .map(|e| e.id.clone())
        };
        if let Some(id) = waiting {
            self.conversation.tell_message(&id, false);
        }
    }

    async fn turns(&mut self) -> Result<&'static str, Stop> {
        loop {
            let step = self.conversation.session().step();
            let step = match step {
                Step::Abort => return Err(Stop::Aborted),
                other => other,
            };
            // Stopped after the last answer: there is nothing to close.
            let stopped = self.cancel.is_cancelled();
            if stopped && step != Step::Rest {
                return Err(Stop::Aborted);
            }
            if !matches!(step, Step::Calls { .. }) {
                self.end_turn();
            }
            match step {
                Step::Calls { entry_id, missing } => self.run_calls(&entry_id, missing).await?,
                Step::Ask => {
                    self.guard()?;
                    let delivered = self.conversation.deliver(QueuedAs::Steer, false).await?;
                    if !delivered && self.too_many_turns().await? {
                        continue;
                    }
                    if !self.conversation.shown().turn_open() {
                        self.conversation.emit(EventBody::TurnStart {});
                    }
                    self.ask().await?;
                }
                Step::Rest => {
                    match self.conversation.last_stop() {
                        Some(StopReason::Error) => return Ok("error"),
                        Some(StopReason::Aborted) => return Ok("aborted"),
                        Some(StopReason::Stop | StopReason::Length | StopReason::ToolUse)
                        | None => {}
                    }
                    if stopped
                        || !self.conversation.deliver(QueuedAs::Steer, false).await?
                            && !self.conversation.deliver(QueuedAs::FollowUp, false).await?
                    {
                        return Ok("done");
                    }
                }
                Step::Abort => unreachable!("left above"),
            }
        }
    }

    /// Tells the end of the turn whose answer and results are whole. A turn without an answer (the
    /// one before us died while it asked) goes on.
    fn end_turn(&self) {
        if !self.conversation.shown().turn_answered() {
            return;
        }
        let end = {
            let session = self.conversation.session();
            let mut tool_results = 0;
            session.ancestors().find_map(|entry| match &entry.body {
                Body::Message(Message::ToolResult(_)) => {
                    tool_results += 1;
                    None
                }
                Body::Message(Message::Assistant(message)) => {
                    Some(TurnEnd { message: message.clone(), tool_results })
                }
                _ => None,
            })
        };
        if let Some(end) = end {
            self.conversation.emit(EventBody::TurnEnd(end));
        }
    }

    /// Closes what is open and ends the work with an answer that says so.
    async fn abort(&mut self) -> Result<(), SessionError> {
        let (_, open) = self.conversation.session().open_calls();
        for (_, call) in open {
            self.close_call(&call, calls::ABORTED_CALL)?;
        }
        let over = self.conversation.last_stop() == Some(StopReason::Aborted)
            && self.conversation.session().step() == Step::Rest;
        if !over {
            let message = self.answer_of_ours(StopReason::Aborted, ABORTED);
            let id = self
                .conversation
                .append(Body::Message(Message::Assistant(message)), Extra::default())?;
            self.conversation.sync().await?;
            self.conversation.tell_message(&id, false);
        }
        self.end_turn();
        Ok(())
    }

    /// An answer that no model gave: failed or stopped before one could.
    pub(crate) fn answer_of_ours(&self, stop_reason: StopReason, why: &str) -> AssistantMessage {
        let wanted = self.conversation.session().model().cloned();
        let known = self.conversation.around.models.known(wanted.as_ref());
        AssistantMessage {
            content: Vec::new(),
            api: known.as_ref().map_or_else(String::new, |c| c.info.api.as_str().into()),
            provider: known.as_ref().map_or_else(String::new, |c| c.info.provider.clone()),
            model: known.map_or_else(String::new, |c| c.info.id),
            usage: Usage::default(),
            stop_reason,
            error_message: Some(why.to_owned()),
            timestamp: self.conversation.now_ms(),
        }
    }

    async fn too_many_turns(&mut self) -> Result<bool, SessionError> {
        let turns = receipt::turns(&self.conversation.session());
        if turns < TURNS_MAX {
            return Ok(false);
        }
        let why = format!(
            "Stopped after {TURNS_MAX} model calls for one prompt. Say \"go on\" to continue."
        );
        let message = self.answer_of_ours(StopReason::Error, &why);
        let id = self
            .conversation
            .append(Body::Message(Message::Assistant(message)), Extra::default())?;
        self.conversation.sync().await?;
        self.conversation.tell_message(&id, false);
        Ok(true)
    }

    /// Ends work that failed by a fault of ours with an answer that says so.
    pub(crate) fn give_up(&self, why: &str) {
        let (_, open) = self.conversation.session().open_calls();
        for (_, call) in open {
            if let Err(error) = self.close_call(&call, why) {
                self.disk_error(&error);
            }
        }
        let message = self.answer_of_ours(StopReason::Error, why);
        let body = Body::Message(Message::Assistant(message));
        match self.conversation.append(body, Extra::default()) {
            Ok(id) => self.conversation.tell_message(&id, false),
            Err(error) => {
                self.disk_error(&error);
            }
        }
        self.tell_end("error");
        self.conversation.settle();
    }

    /// Tells the end of work that is closed in the session, where its end was not told.
    pub(crate) fn tell_end(&self, reason: &str) {
        self.end_turn();
        if self.conversation.shown().agent_open() {
            let end = receipt::of(&self.conversation, reason);
            self.conversation.emit(EventBody::AgentEnd(end));
        }
    }

    fn disk_error(&self, error: &SessionError) -> &'static str {
        tracing::warn!(%error, session = %self.conversation.id(), "work stopped");
        self.conversation
            .emit(EventBody::Error { code: "disk_full".into(), message: error.to_string() });
        "error"
    }

    /// Puts session and log on disk while the work goes on.
    pub(crate) fn sync_meanwhile(&mut self) {
        let conversation = Arc::clone(&self.conversation);
        let before = self.syncing.take();
        self.syncing = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            if let Some(before) = before {
                before.await.unwrap_or(Ok(()))?;
            }
            conversation.sync().await?;
            conversation.around.sink.sync().await;
            Ok(())
        })));
    }

    /// Waits for what [`Run::sync_meanwhile`] began.
    async fn settled(&mut self) {
        if let Some(syncing) = self.syncing.take()
            && let Ok(Err(error)) = syncing.await
        {
            tracing::warn!(%error, "a session's file could not be put on disk");
        }
    }
}
