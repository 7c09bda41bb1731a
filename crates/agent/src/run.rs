//! The loop: what a session needs next is asked of its last entries, done, and asked again, until
//! it rests. The same loop goes on after a crash. Not the parts: asking is in [`ask`], tools in
//! [`calls`].

mod ask;
mod calls;
pub(crate) mod check;
mod claims;
mod end;
mod guard;
mod hooks;
mod ids;
pub(crate) mod limits;
mod live;
mod permit;
mod plan;
mod stop;

use crate::{
    asking::ABORTED,
    conversation::Conversation,
    extensions::Loaded,
    handle::Sessions,
    session::{Body, Extra, QueuedAs, SessionError, Step},
    tally,
};
use limits::Clock;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use toft_model::{
    event::EventBody,
    message::{AssistantMessage, Message, StopReason, Usage},
};
use toft_tools::blocking;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// One piece of work on a conversation.
pub(crate) struct Run {
    pub(crate) conversation: Arc<Conversation>,
    /// Opens the conversations of its tasks.
    sessions: Arc<dyn Sessions>,
    /// Ended by a person, or by a limit.
    pub(crate) cancel: CancellationToken,
    system: Arc<str>,
    /// What the project adds.
    extensions: Loaded,
    /// Whether hooks were asked before the first question.
    begun: bool,
    /// Whether an extension may have something to say to the model.
    unsaid: AtomicBool,
    /// The answer that this run got itself: none of its calls was ever handed out before.
    fresh: Option<String>,
    /// Ends it when it has taken its time.
    clock: Option<Clock>,
    /// An answer on its way to the disk, while its calls are done already.
    unsaved: Option<JoinHandle<Result<(), SessionError>>>,
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
    pub(crate) fn new(
        conversation: Arc<Conversation>,
        sessions: Arc<dyn Sessions>,
        cancel: &CancellationToken,
    ) -> Self {
        let cancel = cancel.child_token();
        Self {
            conversation,
            sessions,
            cancel,
            system: "".into(),
            extensions: Loaded::default(),
            begun: false,
            // Of a bridge before this one.
            unsaid: AtomicBool::new(true),
            fresh: None,
            clock: None,
            unsaved: None,
            syncing: None,
        }
    }

    /// Works until the session rests. Everything that happens is an event.
    pub(crate) async fn work(mut self) {
        // A stop may have left it.
        self.conversation.needs_nothing();
        if !self.conversation.shown().agent_open() {
            self.conversation.emit(EventBody::AgentStart {});
            self.tell_prompt();
        }
        let facts = self.conversation.around.prompt.clone();
        let skills = Arc::clone(&self.conversation.around.skills);
        let extensions = Arc::clone(&self.conversation.around.extensions);
        let prompt = blocking(move || {
            let found = skills.find();
            let prompt = crate::prompt::system_prompt(&facts) + &skills.prompt(&found);
            let all = extensions.find();
            let broken = extensions.untold(&all);
            (prompt, skills.untold(&found.faults), Loaded::new(all), broken)
        });
        let (mut system, faults, extensions, broken) = prompt.await.unwrap_or_default();
        for fault in faults {
            let message = format!("{}: {}", fault.path.display(), fault.message);
            self.conversation.emit(EventBody::Error { code: "bad_skill".into(), message });
        }
        for (extension, why) in broken {
            self.extension_failed(&extension, None, &why, None);
        }
        system.push_str(&extensions.prompt());
        if self.conversation.is_task() {
            system.push_str(crate::prompt::OF_TASKS);
        }
        self.system = system.into();
        self.extensions = extensions;
        tokio::select! {
            () = self.conversation.look_for_tools(&self.extensions) => {}
            () = self.cancel.cancelled() => {}
        }
        self.clock = Some(Clock::start(Arc::clone(&self.conversation), self.cancel.clone()));
        let reason = match self.turns().await {
            Ok(reason) => reason,
            Err(Stop::Aborted) if self.is_overdue() => match self.end_in_time().await {
                Ok(()) => "limit",
                Err(error) => self.disk_error(&error),
            },
            Err(Stop::Aborted) => match self.abort().await {
                Ok(()) => "aborted",
                Err(error) => self.disk_error(&error),
            },
            Err(Stop::Disk(error)) => self.disk_error(&error),
        };
        self.settled().await;
        let mut end = tally::of(&self.conversation, reason);
        if reason == "done" {
            end.claims = claims::of(&self.conversation).await;
        }
        // Who hears the end and looks must find it.
        self.conversation.working.store(false, Ordering::Release);
        self.conversation.emit(EventBody::AgentEnd(end));
        self.conversation.settle();
        // The record is whole; whether it is on disk matters only for power loss.
        self.conversation.around.sink.sync().await;
    }

    /// Tells what a person said, as far as the log does not have it yet.
    fn tell_prompt(&self) {
        let untold: Vec<String> = {
            let session = self.conversation.session();
            let shown = self.conversation.shown();
            // Other commands may have added to it meanwhile.
            let entries = session.prompt_entries().into_iter();
            entries
                .filter(|e| matches!(e.body, Body::Message(Message::User(_))))
                .filter(|e| !shown.has_ended(&e.id, e.line))
                .map(|e| e.id.clone())
                .collect()
        };
        for id in untold {
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
                self.conversation.end_turn();
            }
            match step {
                Step::Calls { entry_id, missing } => self.run_calls(&entry_id, missing).await?,
                Step::Ask => {
                    self.guard().await?;
                    let delivered = self.conversation.deliver(QueuedAs::Steer, false).await?;
                    if !delivered && self.at_limit().await? {
                        continue;
                    }
                    self.tell_mode().await?;
                    self.before_asking().await?;
                    if !self.conversation.shown().turn_open() {
                        self.conversation.emit(EventBody::TurnStart {});
                    }
                    self.ask().await?;
                }
                Step::Rest => {
                    match self.conversation.last_stop() {
                        Some(StopReason::Error) if self.conversation.last_limit().is_some() => {
                            return Ok("limit");
                        }
                        Some(StopReason::Error) => return Ok("error"),
                        Some(StopReason::Aborted) => return Ok("aborted"),
                        Some(StopReason::Stop | StopReason::Length | StopReason::ToolUse)
                        | None => {}
                    }
                    if stopped
                        || !self.conversation.deliver(QueuedAs::Steer, false).await?
                            && !self.conversation.deliver(QueuedAs::FollowUp, false).await?
                    {
                        if !stopped && self.check().await? {
                            continue;
                        }
                        if !stopped && self.before_resting().await? {
                            continue;
                        }
                        self.propose().await?;
                        return Ok("done");
                    }
                }
                Step::Abort => unreachable!("left above"),
            }
        }
    }

    /// Closes what is open and ends the work with an answer that says so.
    async fn abort(&mut self) -> Result<(), SessionError> {
        let (closed, ()) =
            tokio::join!(self.close_open(calls::ABORTED_CALL), self.end_background());
        closed?;
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
        self.conversation.end_turn();
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
        self.conversation.tell_end("error");
        self.conversation.settle();
    }

    /// Puts session and log on disk while the work goes on.
    pub(crate) fn sync_meanwhile(&mut self) {
        let conversation = Arc::clone(&self.conversation);
        let before = self.syncing.take();
        self.syncing = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            if let Some(before) = before {
                before.await.unwrap_or(Ok(()))?;
            }
            conversation.sync_unheard().await?;
            conversation.around.sink.sync().await;
            Ok(())
        })));
    }

    /// Puts the newest answer on disk while the work goes on; what is told meanwhile waits for it.
    fn save_meanwhile(&mut self) {
        self.conversation.hold();
        let conversation = Arc::clone(&self.conversation);
        // Not ended with this run: what waits is told whatever becomes of the work. When the disk fails,
        // people see what was done, and then why it ends.
        self.unsaved = Some(tokio::spawn(async move {
            let saved = conversation.sync().await;
            conversation.release();
            saved
        }));
    }

    /// Waits until the answer of [`Run::save_meanwhile`] is on disk.
    async fn saved(&mut self) -> Result<(), SessionError> {
        match self.unsaved.take() {
            Some(unsaved) => unsaved.await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }

    /// Waits for what [`Run::save_meanwhile`] and [`Run::sync_meanwhile`] began.
    async fn settled(&mut self) {
        if let Err(error) = self.saved().await {
            tracing::warn!(%error, "an answer could not be put on disk");
        }
        if let Some(syncing) = self.syncing.take()
            && let Ok(Err(error)) = syncing.await
        {
            tracing::warn!(%error, "a session's file could not be put on disk");
        }
    }
}
