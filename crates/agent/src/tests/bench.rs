//! A conversation with everything around it in memory: prepared model, prepared tools, kept events.

mod around;
mod tools;

use crate::{
    Command, Conversation, Handle, PromptFacts, Refused,
    session::{Body, QueuedAs, Session},
    shown::Shown,
    spawn,
    surroundings::{Choice, ModelSource, Settings, Sink, Surroundings},
};
use around::{BenchIntents, BenchShell, Kin};
use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::BoxStream};
use std::{
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use toft_llm::{
    ask::{Model, ModelEvent, ModelFailure, ModelRequest, Retry},
    testing::{Prepared, PreparedModel, model_info},
};
use toft_model::{
    event::{Event, EventBody, Question},
    id::SessionId,
    message::{Cost, Message, UserContent},
    provider::ModelRef,
    run::RunRules,
};
use toft_tools::{Tool, Toolbox, testing::MemorySecrets};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tools::{TestTool, ToolState};

#[derive(Default)]
pub(super) struct Heard {
    pub(super) events: Mutex<Vec<Event>>,
    pub(super) rung: Notify,
}

#[async_trait]
impl Sink for Heard {
    fn emit(&self, session: Option<&SessionId>, body: EventBody) -> u64 {
        let mut events = self.events.lock().unwrap();
        let seq = events.len() as u64 + 1;
        events.push(Event { seq, ts: 0, session: session.cloned(), body });
        self.rung.notify_waiters();
        seq
    }

    fn last_seq(&self) -> u64 {
        self.events.lock().unwrap().len() as u64
    }

    async fn sync(&self) {}

    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

thread_local! {
    /// Unix milliseconds of a test, which has a thread of its own.
    static NOW: AtomicU64 = const { AtomicU64::new(1_000) };
}

/// Time goes by.
pub(super) fn pass(ms: u64) {
    NOW.with(|now| now.fetch_add(ms, Ordering::SeqCst));
}

/// The prepared model, with a price for each answer.
struct Priced(Arc<PreparedModel>, f64);

impl Model for Priced {
    fn ask(
        &self,
        request: ModelRequest,
        cancel: CancellationToken,
    ) -> BoxStream<'static, ModelEvent> {
        let total = self.1;
        let priced = move |event| match event {
            ModelEvent::Done { mut message, failure } => {
                message.usage.cost = (total > 0.0).then(|| Cost { total, ..Cost::default() });
                ModelEvent::Done { message, failure }
            }
            other => other,
        };
        self.0.ask(request, cancel).map(priced).boxed()
    }
}

pub(super) struct OneModel {
    pub(super) model: Arc<PreparedModel>,
    /// Dollars of each answer; none is known when it is 0.
    pub(super) price: Mutex<f64>,
    pub(super) away: AtomicU64,
    pub(super) window: u64,
}

#[async_trait]
impl ModelSource for OneModel {
    async fn choose(&self, wanted: Option<&ModelRef>) -> Result<Choice, ModelFailure> {
        if self.away.load(Ordering::SeqCst) > 0 {
            self.away.fetch_sub(1, Ordering::SeqCst);
            return Err(ModelFailure {
                code: "unreachable".into(),
                message: "no gateway".into(),
                retry: Retry::Backoff,
            });
        }
        Ok(self.known(wanted).unwrap())
    }

    fn known(&self, _: Option<&ModelRef>) -> Option<Choice> {
        let mut info = model_info("anthropic", "claude-opus-4-6");
        info.context_window = self.window;
        Some(Choice {
            info,
            thinking: toft_llm::ask::ThinkingLevel::Off,
            model: Arc::new(Priced(Arc::clone(&self.model), *self.price.lock().unwrap())),
        })
    }
}

pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) heard: Arc<Heard>,
    pub(super) model: Arc<PreparedModel>,
    pub(super) models: Arc<OneModel>,
    pub(super) tools: Arc<ToolState>,
    pub(super) secrets: Arc<MemorySecrets>,
    pub(super) around: Arc<Surroundings>,
    pub(super) handle: Handle,
    pub(super) stop: CancellationToken,
    pub(super) shell: Arc<BenchShell>,
    pub(super) intents: Arc<BenchIntents>,
    pub(super) kin: Arc<Kin>,
    /// The run that works, and what it says of its work.
    pub(super) rules: Arc<Mutex<Option<(SessionId, RunRules)>>>,
}

impl Bench {
    pub(super) fn new(answers: impl IntoIterator<Item = Prepared>) -> Self {
        Self::with_window(answers, 200_000)
    }

    pub(super) fn with_window(answers: impl IntoIterator<Item = Prepared>, window: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let heard = Arc::new(Heard::default());
        let model = Arc::new(PreparedModel::new(answers));
        let models = Arc::new(OneModel {
            model: Arc::clone(&model),
            price: Mutex::new(0.0),
            away: AtomicU64::new(0),
            window,
        });
        let tools = Arc::new(ToolState::default());
        let names = [
            "step", "slow", "stuck", "gate", "ask", "both", "crash", "read", "unsure", "attached",
            "bash", "relay",
        ];
        let boxed = names
            .map(|name| Arc::new(TestTool { name, state: Arc::clone(&tools) }) as Arc<dyn Tool>);
        let secrets = Arc::new(MemorySecrets::default());
        let (shell, intents) = (Arc::new(BenchShell::default()), Arc::new(BenchIntents::default()));
        *shell.life.lock().unwrap() = "first".into();
        let stop = CancellationToken::new();
        let task = Toolbox::standard().get("task").cloned().unwrap();
        let rules: Arc<Mutex<Option<(SessionId, RunRules)>>> = Arc::default();
        let known = Arc::clone(&rules);
        let around = Arc::new(Surroundings {
            rules_of: Arc::new(move |id| {
                let known = known.lock().unwrap();
                known.as_ref().filter(|(of, _)| of == id).map(|(_, rules)| rules.clone())
            }),
            sink: Arc::clone(&heard) as _,
            models: Arc::clone(&models) as _,
            tools: Toolbox::of(boxed).with(task),
            shell: Arc::clone(&shell) as _,
            secrets: Arc::clone(&secrets) as _,
            intents: Arc::clone(&intents) as _,
            cwd: "/home/project".into(),
            bounds: None,
            prompt: PromptFacts {
                project: "P".into(),
                cwd: dir.path().display().to_string(),
                app_url: "http://p".into(),
                app_port: 3000,
                inspect_db: "/i.db".into(),
            },
            servers: Arc::new(toft_tools::mcp::Servers::new(
                Arc::clone(&shell) as _,
                Arc::clone(&secrets) as _,
                dir.path().to_owned(),
                Arc::new(|_| {}),
            )),
            extensions: Arc::new(crate::extensions::Extensions::new(
                dir.path(),
                Toolbox::standard(),
            )),
            skills: Arc::new(crate::skills::Skills::new(dir.path(), dir.path().join("home"))),
            observe_output: Arc::new(|_| {}),
            clock: || NOW.with(|now| now.load(Ordering::SeqCst)),
            settings: RwLock::new(Settings::default()),
        });
        let session = Session::create(dir.path(), "/home/project", None, 1).unwrap();
        let kin = Arc::new_cyclic(|me| Kin {
            me: me.clone(),
            dir: dir.path().to_owned(),
            around: Arc::clone(&around),
            open: Mutex::default(),
            stop: Mutex::new(stop.clone()),
        });
        let mut shown = Shown::default();
        shown.settle(session.lines());
        let conversation = Conversation::new(session, shown, Arc::clone(&around)).unwrap();
        let handle = spawn(conversation, Arc::clone(&kin) as _, stop.clone());
        Self {
            dir,
            heard,
            model,
            models,
            tools,
            secrets,
            around,
            handle,
            stop,
            shell,
            intents,
            kin,
            rules,
        }
    }

    /// Ends the bridge where it is, and opens the conversation in another one, which goes on with it.
    pub(super) async fn restart(&mut self) {
        self.stop.cancel();
        self.handle.closed().await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let session = Session::open(self.handle.conversation().session().path()).unwrap();
        let mut shown = Shown::default();
        for event in self.heard.events.lock().unwrap().iter() {
            if event.session.as_ref() == Some(session.id()) {
                shown.take(&event.body);
            }
        }
        let conversation = Conversation::new(session, shown, Arc::clone(&self.around)).unwrap();
        self.stop = CancellationToken::new();
        *self.kin.stop.lock().unwrap() = self.stop.clone();
        self.handle = spawn(conversation, Arc::clone(&self.kin) as _, self.stop.clone());
        self.handle.conversation().catch_up();
        self.handle.conversation().settle();
        self.handle.resume().await.unwrap();
    }

    /// Waits for so many questions, and answers the last one.
    pub(super) async fn answer(&self, n: usize, answer: &str) -> Question {
        self.hear("question", n).await;
        let question = loop {
            match self.handle.conversation().question() {
                Some(question) => break question,
                None => tokio::task::yield_now().await,
            }
        };
        let (tool_call_id, answer) = (question.key().to_owned(), answer.to_owned());
        self.handle.ask(|reply| Command::Answer { tool_call_id, answer, reply }).await.unwrap();
        question
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.around.settings.write().unwrap());
    }

    pub(super) async fn prompt(&self, text: &str) -> crate::Prompted {
        self.send(text, QueuedAs::FollowUp).await.unwrap()
    }

    pub(super) async fn send(
        &self,
        text: &str,
        waiting: QueuedAs,
    ) -> Result<crate::Prompted, Refused> {
        let content = UserContent::Text(text.into());
        self.handle.prompt(None, content, Some(waiting)).await
    }

    /// The same under an id that the caller chose.
    pub(super) async fn send_as(
        &self,
        id: Option<&str>,
        text: &str,
    ) -> Result<crate::Prompted, Refused> {
        let (id, content) = (id.map(str::to_owned), UserContent::Text(text.into()));
        let waiting = QueuedAs::FollowUp;
        self.handle.prompt(id, content, Some(waiting)).await
    }

    pub(super) async fn abort(&self) -> toft_model::event::QueueUpdate {
        self.handle.ask(|reply| Command::Abort { clear_queue: true, reply }).await.unwrap()
    }

    /// Waits until so many events of a kind were heard.
    pub(super) async fn hear(&self, kind: &str, n: usize) {
        let heard = async {
            loop {
                let rung = self.heard.rung.notified();
                if self.kinds().iter().filter(|k| *k == kind).count() >= n {
                    return;
                }
                rung.await;
            }
        };
        // Where the clock stands, longer than all waits of a provider that is down, which chance makes longer.
        tokio::time::timeout(Duration::from_mins(30), heard)
            .await
            .unwrap_or_else(|_| panic!("{kind} ×{n} did not come: {:?}", self.kinds()));
    }

    pub(super) async fn run(&self, text: &str) {
        let before = self.kinds().iter().filter(|k| *k == "agent_end").count();
        self.prompt(text).await;
        self.hear("agent_end", before + 1).await;
    }

    /// Prompts, and waits until the agent ended so many times.
    pub(super) async fn run_ends(&self, text: &str, ends: usize) {
        self.prompt(text).await;
        self.hear("agent_end", ends).await;
    }

    pub(super) fn kinds(&self) -> Vec<String> {
        self.heard.events.lock().unwrap().iter().map(|e| e.body.kind().to_owned()).collect()
    }

    /// Kinds without the pieces of messages.
    pub(super) fn story(&self) -> String {
        let mut kinds = self.kinds();
        kinds.retain(|k| k != "message_update" && k != "tool_update");
        kinds.join(" ")
    }

    pub(super) fn transcript(&self) -> Vec<String> {
        transcript(&self.handle.conversation().session())
    }

    pub(super) fn end(&self) -> toft_model::event::AgentEnd {
        let events = self.heard.events.lock().unwrap();
        let end = events.iter().rev().find_map(|e| match &e.body {
            EventBody::AgentEnd(end) => Some(end.clone()),
            _ => None,
        });
        end.expect("the agent ended")
    }
}

pub(super) fn transcript(session: &Session) -> Vec<String> {
    session
        .branch()
        .iter()
        .filter_map(|entry| match &entry.body {
            Body::Message(Message::User(m)) => Some(format!("user: {}", m.content.text())),
            Body::Message(Message::Assistant(m)) => {
                let calls: Vec<&str> = m.tool_calls().map(|c| c.id.as_str()).collect();
                let text = toft_model::message::text_of(&m.content);
                Some(format!("assistant {:?}: {text}{}", m.stop_reason, calls.join(",")))
            }
            Body::Message(Message::ToolResult(m)) => Some(format!(
                "result {}{}: {}",
                m.tool_call_id,
                if m.is_error { " failed" } else { "" },
                toft_model::message::text_of(&m.content)
            )),
            Body::Message(Message::Custom(m)) => Some(format!("note {}", m.custom_type)),
            Body::Compaction(c) => Some(format!("compaction: {}", c.summary)),
            _ => None,
        })
        .collect()
}
