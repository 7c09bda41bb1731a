//! One open session with everything that belongs to it: file, queues, what was told, the open
//! question. Shared by the actor (commands) and the run (work). Decides nothing.

use crate::{
    extensions::Loaded,
    need::Need,
    outbox::Outbox,
    purse::Purse,
    queue::Queues,
    session::{Body, Extra, Session, SessionError, Step, custom},
    shown::Shown,
    surroundings::Surroundings,
};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};
use toft_model::{
    event::{Question, QueueUpdate, ToolStart},
    id::SessionId,
    message::{Message, StopReason},
    permission::Reached,
    plan::Mode,
    run::RunRules,
    tool::TASK,
};
use toft_tools::{Toolbox, Update, workspace};
use tokio::sync::{Notify, mpsc};

/// Tools that a task does not have: it has no tasks of its own, and people do not follow it.
const NOT_IN_TASKS: [&str; 4] = [TASK, "ask", "ask_secrets", "notify_dashboard"];

/// Characters of a call that people see.
const CALL_CHARS_MAX: usize = 120;

/// See the module.
pub struct Conversation {
    id: SessionId,
    pub(crate) around: Arc<Surroundings>,
    session: Mutex<Session>,
    pub(crate) queues: tokio::sync::Mutex<Queues>,
    shown: Mutex<Shown>,
    /// What waits to be told.
    pub(crate) outbox: Mutex<Outbox>,
    call_ids: Mutex<HashSet<String>>,
    question: Mutex<Option<Question>>,
    /// What its tools saw of files.
    pub(crate) seen: Arc<toft_tools::Seen>,
    /// Messages and tools that were begun in the log, and the number of that event.
    pub(crate) open: Mutex<HashMap<String, u64>>,
    /// Rung when a person has answered.
    pub(crate) answered: Notify,
    /// One sync at a time: a disk says only once that it failed. Whether one failed of which nobody heard.
    syncing: tokio::sync::Mutex<bool>,
    /// One question at a time: held while one stands open.
    pub(crate) asking: tokio::sync::Mutex<()>,
    /// Its tools: those of the project, or those that a task has, with those of servers.
    tools: RwLock<Toolbox>,
    /// Whose work it does now, when it is that of a task.
    errand: Mutex<Option<Arc<Errand>>>,
    /// What running tasks of this conversation have spent.
    pub(crate) purse: Purse,
    pub(crate) compacting: AtomicBool,
    pub(crate) working: AtomicBool,
    /// No call is paid for until a person does something.
    pub(crate) needs_person: Need,
    /// Nobody answers for its model, and it waits for that.
    pub(crate) needs_provider: Need,
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
        let tools = own_tools(&session, &around);
        Ok(Self {
            id: session.id().clone(),
            around,
            session: Mutex::new(session),
            queues: tokio::sync::Mutex::new(queues),
            shown: Mutex::new(shown),
            outbox: Mutex::default(),
            call_ids: Mutex::new(call_ids),
            question: Mutex::new(None),
            seen: Arc::default(),
            open: Mutex::new(HashMap::new()),
            answered: Notify::new(),
            syncing: tokio::sync::Mutex::new(false),
            asking: tokio::sync::Mutex::new(()),
            tools: RwLock::new(tools),
            errand: Mutex::new(None),
            purse: Purse::default(),
            compacting: AtomicBool::new(false),
            working: AtomicBool::new(false),
            needs_person: Need::default(),
            needs_provider: Need::default(),
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

    /// Its tools. They stay while it works.
    pub(crate) fn tools(&self) -> Toolbox {
        self.tools.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks which tools extensions and servers have now. Waits a while for servers that start.
    pub(crate) async fn look_for_tools(&self, extensions: &Loaded) {
        // A server that starts may change something.
        let start = self.mode() != Mode::Plan;
        let rules = self.run_rules();
        let mut own = own_tools(&self.session(), &self.around);
        let is_package = || self.around.cwd.join("package.json").is_file();
        if let Some(rules) = rules.as_ref().filter(|rules| rules.has_project_tools(is_package())) {
            own = workspace::tools(rules).into_iter().fold(own, Toolbox::with);
        }
        let may = |name: &str| rules.as_ref().is_none_or(|rules| rules.allows(name));
        let own = extensions.add_to(own).filtered(may);
        let all = self.around.servers.add_to(own, start, may).await;
        *self.tools.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// What the run says of its work that works here. A task is a part of the work that its call belongs to.
    pub(crate) fn run_rules(&self) -> Option<RunRules> {
        let errand = self.errand();
        let id = errand.as_ref().map_or(&self.id, |errand| &errand.parent.id);
        (self.around.rules_of)(id)
    }

    /// What its agent may do now. A task never more than the conversation that its call belongs to: a
    /// person who has that one only plan means all of its work.
    pub(crate) fn mode(&self) -> Mode {
        let outer = self.errand().map(|errand| errand.parent.session().mode());
        if outer == Some(Mode::Plan) { Mode::Plan } else { self.session().mode() }
    }

    /// Whether work goes on now.
    pub fn is_working(&self) -> bool {
        self.working.load(Ordering::Acquire)
    }

    /// Whether it is the conversation of a task: nobody but its call speaks in it.
    pub fn is_task(&self) -> bool {
        self.session().header().task.is_some()
    }

    /// Whose work it does now.
    pub(crate) fn errand(&self) -> Option<Arc<Errand>> {
        self.errand.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_errand(&self, errand: Errand) {
        *self.errand.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(errand));
    }

    /// Whether the work stands still until a person does something other than answering a question.
    pub fn needs_person(&self) -> bool {
        self.is_working() && self.needs_person.is_there()
    }

    /// Whether the work stands still until its provider is back.
    pub fn needs_provider(&self) -> bool {
        self.is_working() && self.needs_provider.is_there()
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

    /// The limit at which the newest answer ended the work.
    pub(crate) fn last_limit(&self) -> Option<Reached> {
        let session = self.session();
        let newest =
            session.ancestors().find(|e| matches!(e.body, Body::Message(Message::Assistant(_))));
        newest.and_then(|entry| entry.extra.limit)
    }

    /// Whether a person stopped the work, and it is not closed yet.
    pub(crate) fn is_aborted(&self) -> bool {
        self.session().step() == Step::Abort
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

    /// Puts the session's file on disk.
    pub(crate) async fn sync(&self) -> Result<(), SessionError> {
        let mut unheard = self.syncing.lock().await;
        let synced = self.sync_file().await;
        if std::mem::take(&mut *unheard) && synced.is_ok() {
            let source = io::Error::other("what was written before may not be on disk");
            let path = self.session().path().to_owned();
            return Err(SessionError::Write { path, source });
        }
        synced
    }

    /// The same where nobody waits for it: who syncs next hears of a failure.
    pub(crate) async fn sync_unheard(&self) -> Result<(), SessionError> {
        let mut unheard = self.syncing.lock().await;
        let synced = self.sync_file().await;
        *unheard |= synced.is_err();
        synced
    }

    async fn sync_file(&self) -> Result<(), SessionError> {
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

    /// The answer that a person gave to the question of this name.
    pub(crate) fn answer_to(&self, key: &str) -> Option<String> {
        self.session().ancestors().find_map(|entry| match &entry.body {
            Body::Custom { custom_type, data } if custom_type == custom::ANSWER => {
                let named = data.get("questionId").unwrap_or(&data["toolCallId"]);
                (named == key).then(|| data["answer"].as_str().map(str::to_owned))?
            }
            _ => None,
        })
    }
}

/// What ties the conversation of a task to the one that its call belongs to: questions go there, people
/// there see how far it is, and both spend from what the prompt may cost.
pub(crate) struct Errand {
    /// The conversation that the call belongs to.
    pub(crate) parent: Arc<Conversation>,
    /// The call.
    pub(crate) call_id: String,
    /// What people see of it.
    pub(crate) updates: mpsc::Sender<Update>,
}

impl Errand {
    /// Shows a call of the task under the call that it is for.
    pub(crate) fn tell(&self, start: &ToolStart) {
        let said = start.input.as_object().and_then(|input| input.values().find_map(Value::as_str));
        let words = said.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        let words: String = words.chars().take(CALL_CHARS_MAX).collect();
        // Nobody keeping up is no reason to stop.
        let _ = self.updates.try_send(format!("{} {words}\n", start.tool_name).into());
    }
}

/// What a conversation has without servers.
fn own_tools(session: &Session, around: &Surroundings) -> Toolbox {
    match session.header().task {
        Some(_) => around.tools.clone().without(&NOT_IN_TASKS),
        None => around.tools.clone(),
    }
}
