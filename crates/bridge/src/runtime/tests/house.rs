//! A machine without a machine: folders, a shell that outlives bridges, a model with a script, and
//! bridges one after the other.

use super::super::*;
use crate::{clock::now_ms, log::tests::Fate};
use async_trait::async_trait;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use std::time::Duration;
use toft_agent::surroundings::Choice;
use toft_llm::{
    ask::{Model, ModelEvent, ModelFailure, ModelRequest},
    testing::model_info,
};
use toft_model::{
    event::{Delta, Event},
    init::{ExecSpec, ExecStatus},
    message::{AssistantMessage, Block, Message, StopReason, Usage},
    provider::ModelRef,
};
use toft_tools::{
    host::{ShellError, ShellRun},
    testing::{LocalShell, MemorySecrets},
};

/// Says the n-th thing to the n-th question of a conversation: the same after any restart.
pub(crate) struct Script {
    pub(crate) answers: Vec<Vec<Block>>,
    /// The same for conversations of tasks, by their prompts.
    pub(crate) tasks: HashMap<String, Vec<Vec<Block>>>,
    /// What it was sent, question by question.
    pub(crate) asked: Mutex<Vec<Vec<Message>>>,
}

impl Model for Script {
    fn ask(
        &self,
        request: ModelRequest,
        cancel: CancellationToken,
    ) -> BoxStream<'static, ModelEvent> {
        let said = |m: &&Message| {
            matches!(m, Message::Assistant(a)
                if !matches!(a.stop_reason, StopReason::Aborted | StopReason::Error))
        };
        let n = request.messages.iter().filter(said).count();
        self.asked.lock().unwrap().push(request.messages.clone());
        let prompt = request.messages.iter().find_map(|message| match message {
            Message::User(user) => Some(user.content.text()),
            _ => None,
        });
        let answers = prompt.and_then(|prompt| self.tasks.get(&prompt)).unwrap_or(&self.answers);
        let content = answers.get(n).cloned().unwrap_or_else(|| vec![Block::text("Nothing more.")]);
        let calls = content.iter().any(|b| matches!(b, Block::ToolCall(_)));
        let mut deltas = Vec::new();
        for (content_index, block) in content.iter().enumerate() {
            if let Block::Text { text, .. } = block {
                deltas.push(Delta::TextStart { content_index });
                for word in text.split_inclusive(' ') {
                    deltas.push(Delta::TextDelta { content_index, delta: word.to_owned() });
                }
                deltas.push(Delta::TextEnd { content_index });
            }
            if let Block::ToolCall(call) = block {
                deltas.push(Delta::ToolcallStart {
                    content_index,
                    id: call.id.clone(),
                    tool_name: call.name.clone(),
                });
                deltas.push(Delta::ToolcallEnd { content_index, tool_call: call.clone() });
            }
        }
        let message = AssistantMessage {
            content,
            api: "scripted".into(),
            provider: "demo".into(),
            model: request.model.id.clone(),
            usage: Usage { input: 1, output: 1, total_tokens: 2, ..Usage::default() },
            stop_reason: if calls { StopReason::ToolUse } else { StopReason::Stop },
            error_message: None,
            timestamp: 0,
        };
        let done = ModelEvent::Done { message, failure: None };
        stream::iter(deltas.into_iter().map(ModelEvent::Delta).chain([done]))
            .then(move |event| {
                let cancel = cancel.clone();
                async move {
                    if !cancel.is_cancelled() {
                        tokio::task::yield_now().await;
                    }
                    event
                }
            })
            .boxed()
    }
}

pub(crate) struct ScriptSource(pub(crate) Arc<Script>);

#[async_trait]
impl ModelSource for ScriptSource {
    async fn choose(&self, wanted: Option<&ModelRef>) -> Result<Choice, ModelFailure> {
        match wanted {
            Some(wanted) if wanted.provider != "demo" => Err(ModelFailure {
                code: "unknown_model".into(),
                message: "There are: demo/script.".into(),
                retry: toft_llm::ask::Retry::Never,
            }),
            _ => Ok(self.known(wanted).expect("always known")),
        }
    }

    fn known(&self, _: Option<&ModelRef>) -> Option<Choice> {
        let mut info = model_info("anthropic", "claude-opus-4-6");
        info.provider = "demo".into();
        info.demo = true;
        let model = Arc::clone(&self.0) as Arc<dyn Model>;
        Some(Choice { info, thinking: toft_llm::ask::ThinkingLevel::Off, model })
    }
}

/// The local shell on an event loop that outlives all bridges, as init does.
struct InitShell {
    shell: Arc<LocalShell>,
    home: tokio::runtime::Handle,
    life: String,
}

#[async_trait]
impl Shell for InitShell {
    async fn start(&self, spec: ExecSpec) -> Result<ShellRun, ShellError> {
        let shell = Arc::clone(&self.shell);
        self.home.spawn(async move { shell.start(spec).await }).await.expect("init lives")
    }
    async fn kill(&self, id: &str, grace_ms: u64) -> Result<(), ShellError> {
        self.shell.kill(id, grace_ms).await
    }
    async fn forget(&self, id: &str) -> Result<(), ShellError> {
        self.shell.forget(id).await
    }
    async fn list(&self) -> Result<Vec<ExecStatus>, ShellError> {
        self.shell.list().await
    }
    fn life(&self) -> String {
        self.life.clone()
    }
}

/// A machine without a machine: folders, a shell, and bridges one after the other.
pub(crate) struct House {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) init: tokio::runtime::Runtime,
    pub(crate) shell: Arc<LocalShell>,
    pub(crate) secrets: Arc<MemorySecrets>,
    script: Arc<Script>,
    /// How often the machine was started.
    lives: u32,
}

impl House {
    pub(crate) fn new(answers: Vec<Vec<Block>>) -> Self {
        Self::with_tasks(answers, HashMap::new())
    }

    /// With tasks that have scripts of their own.
    pub(crate) fn with_tasks(
        answers: Vec<Vec<Block>>,
        tasks: HashMap<String, Vec<Vec<Block>>>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["project", "home", "log", "exec"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let init = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let shell = Arc::new(LocalShell::new(&dir.path().join("exec")));
        let script = Arc::new(Script { answers, tasks, asked: Mutex::default() });
        Self { dir, init, shell, secrets: Arc::default(), script, lives: 1 }
    }

    pub(crate) fn boot(&self) -> BridgeBoot {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        BridgeBoot {
            project: "a23456789bcd".parse().unwrap(),
            name: "Test".into(),
            token: "t".into(),
            gateway_url: "http://127.0.0.1:1".into(),
            cwd: path("project"),
            home: path("home"),
            log_dir: path("log"),
            app_port: 3000,
            app_url: "http://a23456789bcd.localhost:4000".into(),
            path_policy: false,
        }
    }

    /// The machine ends with all its programs, and starts again.
    pub(crate) fn machine_ends(&mut self) {
        self.shell = Arc::new(LocalShell::new(&self.dir.path().join("exec")));
        self.lives += 1;
    }

    /// Starts a bridge that dies by `fate`.
    pub(crate) async fn bridge(&self, fate: Option<Arc<Fate>>) -> Arc<AgentRuntime> {
        let boot = self.boot();
        let log = EventLog::open(Path::new(&boot.log_dir), now_ms).await.unwrap();
        if let Some(fate) = fate {
            log.give_fate(fate);
        }
        let app_port = AppPort::open(Path::new(&boot.home), 3000, None, log.clone());
        let shell = InitShell {
            shell: Arc::clone(&self.shell),
            home: self.init.handle().clone(),
            life: self.lives.to_string(),
        };
        let shell = Arc::new(shell);
        let secrets = Arc::clone(&self.secrets) as _;
        let parts = RuntimeParts { boot, log, shell, secrets, app_port, clock: now_ms };
        let models = Arc::new(ScriptSource(Arc::clone(&self.script)));
        AgentRuntime::start_with(parts, models, Toolbox::standard()).await.unwrap()
    }

    /// Runs one life of a bridge: what `live` does, until it ends or fate comes. True: it ended.
    pub(crate) fn life<F>(
        &self,
        fate: Option<Arc<Fate>>,
        live: impl FnOnce(Arc<AgentRuntime>) -> F,
    ) -> bool
    where
        F: Future<Output = ()>,
    {
        let life = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let died = fate.as_ref().map(|f| f.died.clone()).unwrap_or_default();
        let work = async {
            let runtime = self.bridge(fate).await;
            live(runtime).await;
        };
        let work = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work));
        let ended = life.block_on(async {
            tokio::select! {
                done = work => match done {
                    Ok(()) => true,
                    Err(_) if died.is_cancelled() => false,
                    Err(fault) => std::panic::resume_unwind(fault),
                },
                () = died.cancelled() => false,
                () = tokio::time::sleep(Duration::from_mins(1)) => panic!("the work hangs"),
            }
        });
        // Threads end where they are, as in a killed process.
        life.shutdown_timeout(Duration::from_secs(10));
        ended
    }

    /// What the model was sent, question by question.
    pub(crate) fn asked(&self) -> Vec<Vec<Message>> {
        self.script.asked.lock().unwrap().clone()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        let text = std::fs::read_to_string(self.dir.path().join("log/events.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
