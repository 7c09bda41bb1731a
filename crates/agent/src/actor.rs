//! The owner of one open session: takes commands one after the other, starts and stops the work.
//! What the work does is in [`crate::run`]; what is shared between both in [`Conversation`]; the
//! commands themselves in [`crate::command`]; how work begins and ends in [`work`].

mod plan;
mod tree;
mod work;

use crate::{
    asking::choose,
    command::{Command, Prompted, Refused, Reply, Setting},
    compaction::{self, Compacted},
    conversation::Conversation,
    handle::{Handle, Sessions},
    queue::Waiting,
    session::{Body, Extra, QueuedAs, Step, custom},
};
use serde_json::json;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use toft_model::{
    event::{EventBody, ModelChange, QueueUpdate, SessionNamed},
    message::{Message, UserContent, UserMessage},
    provider::{DEMO_PROVIDER, ModelRef},
    tool::TASK_PROMPT,
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use work::{Work, ended};

/// Commands that wait for the actor. Each is a person's click; more waiting means it is stuck.
const COMMANDS_MAX: usize = 64;

/// A session without work and commands is closed after this time, to keep a bridge small.
const IDLE_CLOSE: Duration = Duration::from_mins(10);

/// Opens the actor of a conversation. It ends with `stop` (work is dropped as it is, to be gone on with
/// later) or after long idleness. `sessions` opens the conversations of its tasks.
pub fn spawn(
    conversation: Conversation,
    sessions: Arc<dyn Sessions>,
    stop: CancellationToken,
) -> Handle {
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let conversation = Arc::new(conversation);
    let handle = Handle::new(commands, Arc::clone(&conversation));
    let actor = Actor { conversation, sessions, inbox, work: None, resting: Vec::new() };
    tokio::spawn(async move {
        tokio::select! {
            () = actor.live() => {}
            () = stop.cancelled() => {}
        }
    });
    handle
}

struct Actor {
    conversation: Arc<Conversation>,
    sessions: Arc<dyn Sessions>,
    inbox: mpsc::Receiver<Command>,
    work: Option<Work>,
    /// Who waits for its end.
    resting: Vec<Reply<()>>,
}

impl Actor {
    async fn live(mut self) {
        loop {
            let working = self.work.is_some();
            if !working {
                for reply in self.resting.drain(..) {
                    let _ = reply.send(Ok(()));
                }
            }
            tokio::select! {
                command = self.inbox.recv() => match command {
                    Some(command) => self.take(command).await,
                    None => return,
                },
                well = ended(&mut self.work), if working => self.rest(well).await,
                // What was sent in this moment is answered with `Closed` and sent again.
                () = tokio::time::sleep(IDLE_CLOSE), if !working => return,
            }
        }
    }

    async fn take(&mut self, command: Command) {
        // A reply that nobody waits for any more is fine: the client went away.
        match command {
            Command::Prompt { id, content, waiting, setting, reply } => {
                let prompted = self.prompt(id, content, waiting, setting).await;
                let _ = reply.send(prompted);
            }
            Command::Abort { clear_queue, reply } => {
                let texts = self.abort(clear_queue).await;
                let _ = reply.send(texts);
            }
            Command::Queue { steering, follow_up, reply } => {
                let texts = self.queue(steering, follow_up).await;
                let _ = reply.send(texts);
            }
            Command::Change { model, thinking_level, name, reply } => {
                let changed = self.change(model, thinking_level, name).await;
                let _ = reply.send(changed);
            }
            Command::Compact { instructions, reply } => self.compact(instructions, reply).await,
            Command::Navigate { entry_id, summarize, instructions, reply } => {
                self.navigate(entry_id, summarize, instructions, reply).await;
            }
            Command::Label { entry_id, label, reply } => {
                let labelled = self.label(entry_id, label).await;
                let _ = reply.send(labelled);
            }
            Command::Mode { mode, reply } => {
                let set = self.set_mode(mode).await;
                let _ = reply.send(set);
            }
            Command::Approve { plan_id, plan, reply } => {
                let approved = self.approve(plan_id, plan).await;
                let _ = reply.send(approved);
            }
            Command::Propose { reply } => {
                let proposed = self.propose().await;
                let _ = reply.send(proposed);
            }
            Command::Reject { plan_id, reason, reply } => {
                let rejected = self.reject(plan_id, reason).await;
                let _ = reply.send(rejected);
            }
            Command::Answer { tool_call_id, answer, reply } => {
                let answered = self.answer(tool_call_id, answer).await;
                let _ = reply.send(answered);
            }
            Command::Retry { reply } => {
                let retried = self.retry().await;
                let _ = reply.send(retried);
            }
            Command::Rested { reply } => self.resting.push(reply),
            Command::Resume => self.resume().await,
        }
    }

    /// Goes on where an earlier bridge stopped.
    async fn resume(&mut self) {
        let queue = self.conversation.queues.lock().await.texts();
        self.conversation.catch_up_queue(queue);
        if self.work.is_some() {
            return;
        }
        let open = self.conversation.shown().agent_open();
        let unfinished = self.conversation.session().step() != Step::Rest;
        if open || unfinished || (self.rests_well() && self.deliver().await) {
            self.start();
        }
    }

    async fn prompt(
        &mut self,
        id: Option<String>,
        content: UserContent,
        waiting: Option<QueuedAs>,
        setting: Option<Setting>,
    ) -> Result<Prompted, Refused> {
        self.conversation.around.sink.check().map_err(Refused::Disk)?;
        if let Some(id) = &id
            && let Some(known) = self.known(id).await
        {
            return Ok(known);
        }
        if id.as_deref() != Some(TASK_PROMPT) {
            self.not_a_task()?;
        }
        let id = id.unwrap_or_else(|| self.conversation.session().fresh_id());
        self.let_it_end().await;
        if self.work.is_some() {
            let Some(waiting) = waiting else { return Err(Refused::Busy) };
            let mut queues = self.conversation.queues.lock().await;
            let taken = queues.push(waiting, Waiting { id, content }).await;
            drop(queues);
            if !taken.map_err(|e| Refused::Disk(disk_words(&e)))? {
                return Err(Refused::QueueFull);
            }
            self.conversation.tell_queue().await;
            if let Some(work) = &mut self.work {
                work.said_meanwhile |=
                    self.conversation.is_compacting() && !self.conversation.is_working();
            }
            return Ok(Prompted { entry_id: None, queued: Some(waiting) });
        }
        if let Some(Setting { model, mode }) = setting {
            self.change(model, None, None).await?;
            self.set_mode(mode).await?;
        }
        let content = self.conversation.with_skill(content).await;
        let timestamp = self.conversation.now_ms();
        let message = Message::User(UserMessage { content, timestamp });
        let entry_id = self.conversation.append_as(id, Body::Message(message), Extra::default())?;
        if let Err(error) = self.conversation.sync().await {
            // A refused message must not be found, and answered, by the next bridge.
            if self.conversation.session().take_back(&entry_id).is_ok() {
                return Err(error.into());
            }
            // It is in the file, and so it was said.
            tracing::warn!(%error, "a message may not outlive a power cut");
        }
        self.start();
        Ok(Prompted { entry_id: Some(entry_id), queued: None })
    }

    /// Nobody but its call has something done in the conversation of a task.
    fn not_a_task(&self) -> Result<(), Refused> {
        if self.conversation.is_task() { Err(Refused::Task) } else { Ok(()) }
    }

    /// What became of a prompt that was said before under this id. Looked for among those that wait
    /// first: a delivered one is an entry before it leaves them.
    async fn known(&self, id: &str) -> Option<Prompted> {
        let queued = self.conversation.queues.lock().await.holds(id);
        if queued.is_some() {
            return Some(Prompted { entry_id: None, queued });
        }
        let entry_id = self.conversation.session().entry(id)?.id.clone();
        Some(Prompted { entry_id: Some(entry_id), queued: None })
    }

    /// Goes on from the last message or tool results, without a message of its own.
    async fn retry(&mut self) -> Result<(), Refused> {
        self.not_a_task()?;
        self.conversation.around.sink.check().map_err(Refused::Disk)?;
        self.let_it_end().await;
        if self.work.is_some() {
            return Err(Refused::Busy);
        }
        // Work that a full disk cut has no last answer: it simply goes on.
        if self.conversation.session().step() == Step::Rest {
            let failed = self.conversation.session().failed_answer().map(|e| e.id.clone());
            let failed = failed.ok_or(Refused::NothingToRetry)?;
            let body = Body::Custom {
                custom_type: custom::RETRY.into(),
                data: json!({ "entryId": failed }),
            };
            self.conversation.append(body, Extra::default())?;
            self.conversation.sync().await?;
        }
        self.start();
        Ok(())
    }

    async fn queue(
        &mut self,
        steering: Option<Vec<String>>,
        follow_up: Option<Vec<String>>,
    ) -> Result<QueueUpdate, Refused> {
        self.not_a_task()?;
        let mut queues = self.conversation.queues.lock().await;
        let now = queues.texts();
        let conversation = &self.conversation;
        let taken = queues
            .replace(steering.unwrap_or(now.steering), follow_up.unwrap_or(now.follow_up), || {
                conversation.session().fresh_id()
            })
            .await
            .map_err(|e| Refused::Disk(disk_words(&e)))?;
        if !taken {
            return Err(Refused::QueueFull);
        }
        let texts = queues.texts();
        drop(queues);
        self.conversation.emit(EventBody::QueueUpdate(texts.clone()));
        if self.work.is_none() && self.rests_well() && self.deliver().await {
            self.start();
        }
        Ok(texts)
    }

    async fn change(
        &mut self,
        model: Option<ModelRef>,
        thinking_level: Option<String>,
        name: Option<String>,
    ) -> Result<(), Refused> {
        if let Some(model) = model
            && self.conversation.session().model() != Some(&model)
        {
            self.conversation.append(Body::ModelChange(model.clone()), Extra::default())?;
            let demo = model.provider == DEMO_PROVIDER;
            self.conversation.emit(EventBody::ModelChange(ModelChange { model, demo }));
        }
        if let Some(level) = thinking_level
            && self.conversation.session().thinking_level() != Some(level.as_str())
        {
            let body = Body::ThinkingLevelChange { level: level.clone() };
            self.conversation.append(body, Extra::default())?;
            self.conversation.emit(EventBody::ThinkingLevelChange { level });
        }
        if let Some(name) = name {
            let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
            self.conversation.append(Body::SessionInfo { name: name.clone() }, Extra::default())?;
            self.conversation.emit(EventBody::SessionInfoChanged(SessionNamed { name }));
        }
        self.conversation.sync().await?;
        if self.work.is_none() {
            self.conversation.settle();
        }
        Ok(())
    }

    async fn compact(&mut self, instructions: Option<String>, reply: Reply<Compacted>) {
        self.let_it_end().await;
        if self.work.is_some() {
            let _ = reply.send(Err(Refused::Busy));
            return;
        }
        let cancel = CancellationToken::new();
        let conversation = Arc::clone(&self.conversation);
        let stop = cancel.clone();
        let task = async move {
            let done = match choose(&conversation, &stop).await {
                Ok(choice) => {
                    let words = instructions.as_deref();
                    compaction::compact(&conversation, &choice, "manual", words, &stop).await
                }
                Err(failure) => Err(compaction::Failed::Model(failure.message)),
            };
            conversation.settle();
            let _ = reply.send(done.map_err(|failed| match failed {
                compaction::Failed::Nothing => Refused::NothingToCompact,
                compaction::Failed::Disk(error) => error.into(),
                other @ (compaction::Failed::Aborted | compaction::Failed::Model(_)) => {
                    Refused::Compaction(other.to_string())
                }
            }));
        };
        self.conversation.compacting.store(true, Ordering::Release);
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        self.work = Some(Work { task, cancel, said_meanwhile: false });
    }

    async fn answer(&mut self, tool_call_id: String, answer: String) -> Result<(), Refused> {
        let question = self.conversation.question();
        let open = question.filter(|q| q.key() == tool_call_id || q.tool_call_id == tool_call_id);
        let open = open.filter(|q| self.conversation.answer_to(q.key()).is_none());
        let Some(question) = open else { return Err(Refused::NoQuestion(tool_call_id)) };
        let mut data = json!({ "toolCallId": question.tool_call_id, "answer": answer });
        if let Some(id) = &question.id {
            data["questionId"] = json!(id);
            data["kind"] = json!(question.kind);
        }
        let body = Body::Custom { custom_type: custom::ANSWER.into(), data };
        let entry_id = self.conversation.append(body, Extra::default())?;
        if let Err(error) = self.conversation.sync().await {
            // A refused answer must not be found, or nobody could give it again.
            if self.conversation.session().take_back(&entry_id).is_ok() {
                return Err(error.into());
            }
            tracing::warn!(%error, "an answer may not outlive a power cut");
        }
        // Whoever asked takes it, and tells so.
        self.conversation.answered.notify_waiters();
        Ok(())
    }
}

fn disk_words(error: &std::io::Error) -> String {
    format!("the message could not be stored ({error}): free some disk space, then try again")
}
