//! One open session with everything that belongs to it: file, queues, what was told, the open
//! question. Shared by the actor (commands) and the run (work). Decides nothing.

use crate::{
    queue::Queues,
    session::{Body, Extra, QueuedAs, Session, SessionError, Step, custom},
    shown::Shown,
    surroundings::Surroundings,
};
use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use toft_model::{
    event::{EventBody, MessageEnd, MessageStart, Question, QueueUpdate},
    id::SessionId,
    message::{Message, StopReason},
};
use tokio::sync::Notify;

/// See the module.
pub struct Conversation {
    id: SessionId,
    pub(crate) around: Arc<Surroundings>,
    session: Mutex<Session>,
    pub(crate) queues: tokio::sync::Mutex<Queues>,
    shown: Mutex<Shown>,
    call_ids: Mutex<HashSet<String>>,
    question: Mutex<Option<Question>>,
    /// Messages and tools that were begun in the log, and the number of that event.
    open: Mutex<HashMap<String, u64>>,
    /// Rung when a person has answered.
    pub(crate) answered: Notify,
    pub(crate) compacting: AtomicBool,
    pub(crate) working: AtomicBool,
    /// No call is paid for until a person does something.
    pub(crate) needs_person: AtomicBool,
}

impl Conversation {
    /// Opens a session's queues beside it. Blocks.
    pub fn new(session: Session, shown: Shown, around: Arc<Surroundings>) -> io::Result<Self> {
        let queues = Queues::open(&session)?;
        let call_ids = session
            .entries()
            .iter()
            .filter_map(|entry| match &entry.body {
                Body::Message(Message::Assistant(m)) => Some(m.tool_calls().map(|c| c.id.clone())),
                _ => None,
            })
            .flatten()
            .collect();
        Ok(Self {
            id: session.id().clone(),
            around,
            session: Mutex::new(session),
            queues: tokio::sync::Mutex::new(queues),
            shown: Mutex::new(shown),
            call_ids: Mutex::new(call_ids),
            question: Mutex::new(None),
            open: Mutex::new(HashMap::new()),
            answered: Notify::new(),
            compacting: AtomicBool::new(false),
            working: AtomicBool::new(false),
            needs_person: AtomicBool::new(false),
        })
    }

    /// Which.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// The session. Held for moments only, never across a wait.
    pub fn session(&self) -> MutexGuard<'_, Session> {
        // Appending changes the file first and memory after, so a panic leaves both usable.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of what was told, for the next start.
    pub fn told(&self) -> Shown {
        self.shown().clone()
    }

    /// Marks the whole file as told.
    pub fn settle(&self) {
        let lines = self.session().lines();
        self.shown().settle(lines);
    }

    /// Whether work goes on now.
    pub fn is_working(&self) -> bool {
        self.working.load(Ordering::Acquire)
    }

    /// Whether the work stands still until a person does something other than answering a question.
    pub fn needs_person(&self) -> bool {
        self.is_working() && self.needs_person.load(Ordering::Acquire)
    }

    /// Whether a tool runs now.
    pub fn runs_tool(&self) -> bool {
        !self.shown().tools_open.is_empty()
    }

    /// Whether history is being compacted now.
    pub fn is_compacting(&self) -> bool {
        self.compacting.load(Ordering::Acquire)
    }

    /// The question that stands open.
    pub fn question(&self) -> Option<Question> {
        self.question.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_question(&self, question: Option<Question>) {
        *self.question.lock().unwrap_or_else(PoisonError::into_inner) = question;
    }

    /// Tells an event of this session.
    pub fn emit(&self, body: EventBody) {
        // Deltas change nothing of what must be remembered.
        if matches!(body, EventBody::MessageUpdate(_) | EventBody::ToolUpdate(_)) {
            self.around.sink.emit(Some(&self.id), body);
            return;
        }
        let mut shown = self.shown();
        shown.take(&body);
        let (begins, ends) = match &body {
            EventBody::MessageStart(m) => (Some(m.message_id.clone()), None),
            EventBody::ToolStart(t) => (Some(t.tool_call_id.clone()), None),
            EventBody::MessageEnd(m) => (None, Some(m.message_id.clone())),
            EventBody::MessageRestarted(m) => (None, Some(m.message_id.clone())),
            EventBody::ToolEnd(t) => (None, Some(t.tool_call_id.clone())),
            _ => (None, None),
        };
        let seq = self.around.sink.emit(Some(&self.id), body);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = begins {
            open.insert(id, seq);
        }
        if let Some(id) = ends {
            open.remove(&id);
        }
    }

    /// The number from which to follow after reading the session: of the last event, or of the one
    /// before the beginning of what is not whole yet.
    pub fn follow_from(&self) -> u64 {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.values().min() {
            Some(first) => first.saturating_sub(1),
            None => self.around.sink.last_seq(),
        }
    }

    /// What waits.
    pub async fn waiting(&self) -> QueueUpdate {
        self.queues.lock().await.texts()
    }

    /// The newest answer's end.
    pub fn last_stop(&self) -> Option<StopReason> {
        self.session().ancestors().find_map(|entry| match &entry.body {
            Body::Message(Message::Assistant(m)) => Some(m.stop_reason),
            _ => None,
        })
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        (self.around.clock)()
    }

    /// Appends an entry; in the file when this returns, on disk after [`Conversation::sync`].
    pub(crate) fn append(&self, body: Body, extra: Extra) -> Result<String, SessionError> {
        let id = self.session().fresh_id();
        self.append_as(id, body, extra)
    }

    /// The same under an id that was taken before.
    pub(crate) fn append_as(
        &self,
        id: String,
        body: Body,
        extra: Extra,
    ) -> Result<String, SessionError> {
        let now = self.now_ms();
        Ok(self.session().append(id, body, extra, now)?.id.clone())
    }

    /// Tells that an entry's message is whole; its beginning too unless that was told.
    pub(crate) fn tell_message(&self, entry_id: &str, begun: bool) {
        let (message, parent_id) = {
            let session = self.session();
            let Some(entry) = session.entry(entry_id) else { return };
            let Body::Message(message) = &entry.body else { return };
            (message.clone(), session.parent_id(entry).map(str::to_owned))
        };
        if !begun {
            self.emit(EventBody::MessageStart(MessageStart {
                message_id: entry_id.to_owned(),
                role: message.role().into(),
            }));
        }
        self.emit(EventBody::MessageEnd(MessageEnd {
            message_id: entry_id.to_owned(),
            entry_id: entry_id.to_owned(),
            parent_id,
            message,
        }));
    }

    /// Puts the session's file on disk.
    pub(crate) async fn sync(&self) -> Result<(), SessionError> {
        let work = self.session().sync();
        let path = self.session().path().to_owned();
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| SessionError::Write { path, source: io::Error::other(e) })?
    }

    /// Writes down that a person stopped the work, unless it is over or that is written already.
    pub(crate) fn mark_aborted(&self) -> Result<(), SessionError> {
        let now = self.now_ms();
        let mut session = self.session();
        match session.step() {
            Step::Ask | Step::Calls { .. } => {
                let data = serde_json::json!({ "at": now });
                let body = Body::Custom { custom_type: custom::ABORT.into(), data };
                let id = session.fresh_id();
                session.append(id, body, Extra::default(), now).map(|_| ())
            }
            Step::Abort | Step::Rest => Ok(()),
        }
    }

    /// Tells what waits now.
    pub(crate) async fn tell_queue(&self) {
        let texts = self.queues.lock().await.texts();
        self.emit(EventBody::QueueUpdate(texts));
    }

    /// Makes an id of a call unique in the session; providers that count from 1 in every message
    /// would otherwise get old results for new calls.
    pub(crate) fn unique_call_id(&self, wanted: &str) -> String {
        let mut ids = self.call_ids.lock().unwrap_or_else(PoisonError::into_inner);
        let mut id = wanted.to_owned();
        let mut n = 2;
        while id.is_empty() || !ids.insert(id.clone()) {
            id = format!("{wanted}_{n}");
            n += 1;
        }
        id
    }

    /// The answer that a person gave to a call's question.
    pub(crate) fn answer_to(&self, call_id: &str) -> Option<String> {
        self.session().ancestors().find_map(|entry| match &entry.body {
            Body::Custom { custom_type, data }
                if custom_type == custom::ANSWER && data["toolCallId"] == call_id =>
            {
                data["answer"].as_str().map(str::to_owned)
            }
            _ => None,
        })
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
        let next = queues.next(which, mode);
        if next.is_empty() {
            return Ok(false);
        }
        let mut ids = Vec::with_capacity(next.len());
        for waiting in next {
            let message = Message::User(toft_model::message::UserMessage {
                content: waiting.content,
                timestamp: self.now_ms(),
            });
            let queued = Some(which).filter(|_| !begins || !ids.is_empty());
            let extra = Extra { queued, ..Extra::default() };
            ids.push(self.append_as(waiting.id, Body::Message(message), extra)?);
        }
        // The entries first: a crash in between finds them there and drops what waits.
        self.sync().await?;
        if let Err(error) = queues.remove(&ids).await {
            tracing::warn!(%error, "delivered messages stay in the queue's file until it can be written");
        }
        let texts = queues.texts();
        drop(queues);
        self.emit(EventBody::QueueUpdate(texts));
        for id in &ids {
            self.tell_message(id, false);
        }
        Ok(true)
    }
}
