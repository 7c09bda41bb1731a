//! The loop against a model that says prepared things and tools that do prepared things.

use crate::{
    Command, Conversation, Handle, PromptFacts, Refused,
    session::{Body, QueuedAs, Session},
    shown::Shown,
    surroundings::{Choice, Intents, ModelSource, QueueMode, Settings, Sink, Surroundings},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use toft_llm::{
    ask::{Model, ModelFailure, Retry},
    testing::{Prepared, PreparedModel, call, model_info},
};
use toft_model::{
    event::{Event, EventBody, Question},
    id::SessionId,
    message::{Message, UserContent},
    provider::ModelRef,
    tool::ToolSpec,
};
use toft_tools::{
    Tool, ToolContext, ToolOutcome, Toolbox,
    host::{Journal, Shell, ShellError, ShellRun},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Heard {
    events: Mutex<Vec<Event>>,
    rung: Notify,
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

struct OneModel {
    model: Arc<PreparedModel>,
    away: AtomicU64,
    window: u64,
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
            model: Arc::clone(&self.model) as Arc<dyn Model>,
        })
    }
}

/// `step` answers at once and counts; `slow` runs until cancelled; `gate` runs until opened;
/// `ask` asks; `crash` panics; `read` waits for its twin.
struct TestTool {
    name: &'static str,
    state: Arc<ToolState>,
}

#[derive(Default)]
struct ToolState {
    runs: AtomicU64,
    began: Notify,
    gate: Notify,
    readers: AtomicU64,
}

#[async_trait]
impl Tool for TestTool {
    fn spec(&self) -> ToolSpec {
        ToolSpec { name: self.name.into(), description: String::new(), parameters: json!({}) }
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        self.state.began.notify_one();
        match self.name {
            "slow" => {
                ctx.cancel.cancelled().await;
                ToolOutcome::cancelled("stopped in the middle")
            }
            "stuck" => std::future::pending().await,
            "gate" => {
                self.state.gate.notified().await;
                ToolOutcome::text("opened")
            }
            "ask" => {
                let question = Question {
                    question: "Which?".into(),
                    options: vec![],
                    tool_call_id: ctx.call_id.clone(),
                };
                match ctx.people.ask(question, &ctx.cancel).await {
                    Some(answer) => ToolOutcome::text(answer),
                    None => ToolOutcome::cancelled("nobody answered"),
                }
            }
            "crash" => panic!("a tool with a fault"),
            "read" => {
                // Ends only when two run at once.
                self.state.readers.fetch_add(1, Ordering::SeqCst);
                while self.state.readers.load(Ordering::SeqCst) < 2 {
                    tokio::task::yield_now().await;
                }
                ToolOutcome::text("read")
            }
            _ => {
                let n = self.state.runs.fetch_add(1, Ordering::SeqCst) + 1;
                let _ = ctx.updates.send(format!("working on {n}\n")).await;
                let mut outcome = ToolOutcome::text(format!("did {n} {arguments}"));
                outcome.changed = vec![ctx.cwd.join("a.txt"), "/etc/b".into()];
                outcome
            }
        }
    }
}

struct NoShell;

#[async_trait]
impl Shell for NoShell {
    async fn start(&self, _: toft_model::init::ExecSpec) -> Result<ShellRun, ShellError> {
        Err(ShellError { code: "spawn".into(), message: "none here".into() })
    }
    async fn kill(&self, _: &str, _: u64) -> Result<(), ShellError> {
        Ok(())
    }
    async fn forget(&self, _: &str) -> Result<(), ShellError> {
        Ok(())
    }
}

struct NoIntents;

#[async_trait]
impl Journal for NoIntents {
    async fn recorded(&self, _: &str) -> Option<Value> {
        None
    }
    async fn record(&self, _: &str, _: &Value) -> Result<(), String> {
        Ok(())
    }
}

#[async_trait]
impl Intents for NoIntents {
    async fn forget(&self, _: &str) {}
}

struct Bench {
    dir: tempfile::TempDir,
    heard: Arc<Heard>,
    model: Arc<PreparedModel>,
    models: Arc<OneModel>,
    tools: Arc<ToolState>,
    around: Arc<Surroundings>,
    handle: Handle,
    stop: CancellationToken,
}

impl Bench {
    fn new(answers: impl IntoIterator<Item = Prepared>) -> Self {
        Self::with_window(answers, 200_000)
    }

    fn with_window(answers: impl IntoIterator<Item = Prepared>, window: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let heard = Arc::new(Heard::default());
        let model = Arc::new(PreparedModel::new(answers));
        let models =
            Arc::new(OneModel { model: Arc::clone(&model), away: AtomicU64::new(0), window });
        let tools = Arc::new(ToolState::default());
        let names = ["step", "slow", "stuck", "gate", "ask", "crash", "read"];
        let boxed = names
            .map(|name| Arc::new(TestTool { name, state: Arc::clone(&tools) }) as Arc<dyn Tool>);
        let around = Arc::new(Surroundings {
            sink: Arc::clone(&heard) as _,
            models: Arc::clone(&models) as _,
            tools: Toolbox::of(boxed),
            shell: Arc::new(NoShell),
            intents: Arc::new(NoIntents),
            cwd: "/home/project".into(),
            prompt: PromptFacts {
                project: "P".into(),
                cwd: dir.path().display().to_string(),
                app_url: "http://p".into(),
                app_port: 3000,
                inspect_db: "/i.db".into(),
            },
            observe_output: Arc::new(|_| {}),
            clock: || 1_000,
            settings: RwLock::new(Settings::default()),
        });
        let session = Session::create(dir.path(), "/home/project", None, 1).unwrap();
        let stop = CancellationToken::new();
        let mut shown = Shown::default();
        shown.settle(session.lines());
        let conversation = Conversation::new(session, shown, Arc::clone(&around)).unwrap();
        let handle = Handle::spawn(conversation, stop.clone());
        Self { dir, heard, model, models, tools, around, handle, stop }
    }

    async fn prompt(&self, text: &str) -> crate::Prompted {
        self.send(text, QueuedAs::FollowUp).await.unwrap()
    }

    async fn send(&self, text: &str, waiting: QueuedAs) -> Result<crate::Prompted, Refused> {
        let content = UserContent::Text(text.into());
        self.handle.ask(|reply| Command::Prompt { content, waiting, reply }).await
    }

    async fn abort(&self) -> toft_model::event::QueueUpdate {
        self.handle.ask(|reply| Command::Abort { clear_queue: true, reply }).await.unwrap()
    }

    /// Waits until so many events of a kind were heard.
    async fn hear(&self, kind: &str, n: usize) {
        let heard = async {
            loop {
                let rung = self.heard.rung.notified();
                if self.kinds().iter().filter(|k| *k == kind).count() >= n {
                    return;
                }
                rung.await;
            }
        };
        tokio::time::timeout(Duration::from_mins(10), heard)
            .await
            .unwrap_or_else(|_| panic!("{kind} ×{n} did not come: {:?}", self.kinds()));
    }

    async fn run(&self, text: &str) {
        let before = self.kinds().iter().filter(|k| *k == "agent_end").count();
        self.prompt(text).await;
        self.hear("agent_end", before + 1).await;
    }

    fn kinds(&self) -> Vec<String> {
        self.heard.events.lock().unwrap().iter().map(|e| e.body.kind().to_owned()).collect()
    }

    /// Kinds without the pieces of messages.
    fn story(&self) -> String {
        let mut kinds = self.kinds();
        kinds.retain(|k| k != "message_update" && k != "tool_update");
        kinds.join(" ")
    }

    fn transcript(&self) -> Vec<String> {
        transcript(&self.handle.conversation().session())
    }

    fn end(&self) -> toft_model::event::AgentEnd {
        let events = self.heard.events.lock().unwrap();
        let end = events.iter().rev().find_map(|e| match &e.body {
            EventBody::AgentEnd(end) => Some(end.clone()),
            _ => None,
        });
        end.expect("the agent ended")
    }
}

fn transcript(session: &Session) -> Vec<String> {
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

fn failure(code: &str, retry: Retry) -> ModelFailure {
    ModelFailure { code: code.into(), message: format!("{code} happened"), retry }
}

#[tokio::test]
async fn a_prompt_runs_through_tools_to_an_answer() {
    let bench =
        Bench::new([Prepared::call("c1", "step", r#"{"n":1}"#), Prepared::text("All done.")]);
    bench.run("do it").await;
    assert_eq!(
        bench.transcript(),
        [
            "user: do it",
            "assistant ToolUse: c1",
            r#"result c1: did 1 {"n":1}"#,
            "assistant Stop: All done."
        ]
    );
    assert_eq!(
        bench.story(),
        "agent_start message_start message_end turn_start message_start message_end tool_start tool_end \
         message_start message_end turn_end turn_start message_start message_end turn_end agent_end"
    );
    let end = bench.end();
    assert_eq!((end.reason.as_str(), end.turns, end.tools), ("done", 2, 1));
    assert_eq!(end.changed, ["/etc/b", "a.txt"]);
    let asked = bench.model.asked();
    assert_eq!(asked[0].system, asked[1].system, "caches need the same beginning");
    assert_eq!(asked[1].messages.len(), 3);
}

#[tokio::test]
async fn what_is_said_while_the_agent_works_is_delivered_when_it_would_stop() {
    let bench = Bench::new([
        Prepared::call("c1", "gate", "{}"),
        Prepared::text("first"),
        Prepared::text("second"),
        Prepared::text("third"),
    ]);
    bench.prompt("one").await;
    bench.tools.began.notified().await;
    assert_eq!(bench.prompt("two").await.queued, Some(QueuedAs::FollowUp));
    bench.prompt("three").await;
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    assert_eq!(
        bench.transcript(),
        [
            "user: one",
            "assistant ToolUse: c1",
            "result c1: opened",
            "assistant Stop: first",
            "user: two",
            "assistant Stop: second",
            "user: three",
            "assistant Stop: third"
        ]
    );
    assert_eq!(bench.end().turns, 4, "one receipt for the prompt and what followed");
}

#[tokio::test]
async fn steering_skips_the_calls_that_have_not_begun() {
    let bench = Bench::new([
        Prepared::Says(vec![call("c1", "gate", "{}"), call("c2", "step", "{}")]),
        Prepared::text("changed course"),
    ]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    bench.send("stop that", QueuedAs::Steer).await.unwrap();
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    assert_eq!(
        bench.transcript(),
        [
            "user: go",
            "assistant ToolUse: c1,c2",
            "result c1: opened",
            "result c2 failed: Skipped due to queued user message.",
            "user: stop that",
            "assistant Stop: changed course"
        ]
    );
    assert_eq!(bench.tools.runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn all_waiting_messages_come_together_when_people_want_that() {
    let bench =
        Bench::new([Prepared::call("c1", "gate", "{}"), Prepared::text("a"), Prepared::text("b")]);
    bench.around.settings.write().unwrap().follow_up_mode = QueueMode::All;
    bench.prompt("one").await;
    bench.tools.began.notified().await;
    bench.prompt("two").await;
    bench.prompt("three").await;
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.model.asked().len(), 3);
}

#[tokio::test]
async fn waiting_messages_can_be_changed_and_survive_the_process() {
    let bench = Bench::new([Prepared::call("c1", "gate", "{}")]);
    bench.prompt("one").await;
    bench.tools.began.notified().await;
    bench.prompt("two").await;
    let (steering, follow_up) =
        (Some(vec!["s".to_owned()]), Some(vec!["two".into(), "new".into()]));
    let texts =
        bench.handle.ask(|reply| Command::Queue { steering, follow_up, reply }).await.unwrap();
    assert_eq!((texts.steering.len(), texts.follow_up.len()), (1, 2));
    bench.stop.cancel();
    let session = Session::open(bench.handle.conversation().session().path()).unwrap();
    let queues = crate::queue::Queues::open(&session).unwrap();
    assert_eq!(queues.texts().follow_up, ["two", "new"]);
    assert_eq!(queues.texts().steering, ["s"]);
}

#[tokio::test]
async fn an_abort_closes_calls_and_gives_waiting_texts_back() {
    let bench = Bench::new([
        Prepared::Says(vec![call("c1", "slow", "{}"), call("c2", "step", "{}")]),
        Prepared::text("fresh start"),
    ]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    bench.prompt("later").await;
    let texts = bench.abort().await;
    assert_eq!(texts.follow_up, ["later"]);
    assert_eq!(
        bench.transcript(),
        [
            "user: go",
            "assistant ToolUse: c1,c2",
            "result c1 failed: stopped in the middle",
            "result c2 failed: Stopped by a person before it ended.",
            "assistant Aborted: "
        ]
    );
    assert_eq!(bench.end().reason, "aborted");
    bench.run("again").await;
    assert_eq!(bench.transcript().last().unwrap(), "assistant Stop: fresh start");
}

#[tokio::test(start_paused = true)]
async fn an_abort_does_not_wait_for_a_tool_that_does_not_listen() {
    let bench = Bench::new([Prepared::call("c1", "stuck", "{}")]);
    bench.prompt("go").await;
    bench.tools.began.notified().await;
    let began = tokio::time::Instant::now();
    bench.abort().await;
    assert!(began.elapsed() <= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(bench.transcript().last().unwrap(), "assistant Aborted: ");
}

#[tokio::test]
async fn an_abort_in_mid_answer_keeps_what_was_shown() {
    let bench = Bench::new([Prepared::Hangs(vec![toft_model::message::Block::text("half")])]);
    bench.prompt("go").await;
    bench.hear("message_update", 2).await;
    bench.abort().await;
    assert_eq!(bench.transcript(), ["user: go", "assistant Aborted: half"]);
    assert_eq!(bench.abort().await.follow_up.len(), 0, "a second abort finds nothing");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_may_pass_is_tried_again_and_what_was_shown_is_voided() {
    let half = vec![toft_model::message::Block::text("half")];
    let bench = Bench::new([
        Prepared::Fails(half, failure("overloaded", Retry::Backoff)),
        Prepared::text("whole"),
    ]);
    bench.run("go").await;
    assert_eq!(bench.transcript(), ["user: go", "assistant Stop: whole"]);
    let story = bench.story();
    let retried = "turn_start message_start message_restarted auto_retry_start message_start \
                   auto_retry_end message_end turn_end agent_end";
    assert!(story.ends_with(retried), "{story}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_stays_ends_the_prompt_and_not_the_session() {
    let bench = Bench::new([
        Prepared::Fails(vec![], failure("provider_refused_key", Retry::Never)),
        Prepared::text("now it works"),
    ]);
    bench.run("go").await;
    assert_eq!(bench.end().reason, "error");
    assert_eq!(bench.transcript()[1], "assistant Error: ");
    bench.run("go on").await;
    assert_eq!(bench.transcript()[3], "assistant Stop: now it works");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_away_is_waited_for() {
    let bench = Bench::new([Prepared::text("hello")]);
    bench.models.away.store(5, Ordering::SeqCst);
    bench.run("go").await;
    assert_eq!(bench.transcript(), ["user: go", "assistant Stop: hello"]);
    let told = bench.kinds().iter().filter(|k| *k == "auto_retry_start").count();
    assert_eq!(told, 3, "at 1, 2 and 4");
}

#[tokio::test]
async fn calls_that_only_read_run_at_the_same_time() {
    let bench = Bench::new([
        Prepared::Says(vec![call("c1", "read", "{}"), call("c2", "read", "{}")]),
        Prepared::text("ok"),
    ]);
    bench.run("go").await;
    assert_eq!(bench.transcript()[2..4], ["result c1: read", "result c2: read"]);
}

#[tokio::test]
async fn faults_of_tools_are_results() {
    let bench = Bench::new([
        Prepared::Says(vec![call("c1", "crash", "{}"), call("c2", "nonsense", "{}")]),
        Prepared::text("ok"),
    ]);
    bench.run("go").await;
    let transcript = bench.transcript();
    assert!(
        transcript[2].starts_with("result c1 failed: The tool `crash` failed"),
        "{transcript:?}"
    );
    assert!(transcript[3].contains("no tool") && transcript[3].contains("step"), "{transcript:?}");
    assert_eq!(bench.end().reason, "done");
}

#[tokio::test]
async fn a_model_that_repeats_itself_is_told_so() {
    let same = || Prepared::call("c", "crash", "{}");
    let bench = Bench::new([same(), same(), same(), Prepared::text("ok")]);
    bench.run("go").await;
    let notes: Vec<usize> = bench
        .transcript()
        .iter()
        .enumerate()
        .filter(|(_, line)| *line == "note toft.nudge")
        .map(|(n, _)| n)
        .collect();
    assert_eq!(notes, [7], "after the third result");
    // Ids that come again are made unique, so that old results never stand for new calls.
    assert_eq!(bench.transcript()[3], "assistant ToolUse: c_2");
}

#[tokio::test]
async fn a_question_waits_for_its_answer() {
    let bench = Bench::new([Prepared::call("c1", "ask", "{}"), Prepared::text("blue then")]);
    bench.prompt("go").await;
    bench.hear("question", 1).await;
    let answer = |id: &str| {
        let (tool_call_id, answer) = (id.to_owned(), "blue".to_owned());
        bench.handle.ask(move |reply| Command::Answer { tool_call_id, answer, reply })
    };
    assert!(matches!(answer("c9").await, Err(Refused::NoQuestion(_))));
    answer("c1").await.unwrap();
    bench.hear("agent_end", 1).await;
    assert_eq!(bench.transcript()[2], "result c1: blue");
    assert!(matches!(answer("c1").await, Err(Refused::NoQuestion(_))));
}

#[tokio::test]
async fn history_is_compacted_before_it_overflows() {
    let long = "x".repeat(9_000);
    let bench = Bench::with_window(
        [
            Prepared::text(&long),
            Prepared::text(&long),
            Prepared::text("## Goal\nsummary"),
            Prepared::text("after"),
        ],
        5_000,
    );
    bench.run("one").await;
    bench.run("two").await;
    bench.run("three").await;
    let transcript = bench.transcript();
    assert!(transcript.iter().any(|l| l.starts_with("compaction: ## Goal")), "{transcript:?}");
    assert_eq!(transcript.last().unwrap(), "assistant Stop: after");
    let asked = bench.model.asked();
    let summary = &asked[2];
    assert!(summary.tools.is_empty() && summary.messages.len() == 1);
    let last = asked.last().unwrap();
    assert!(matches!(last.messages[0], Message::CompactionSummary(_)));
    assert!(last.messages.len() < 5, "{}", last.messages.len());
}

#[tokio::test(start_paused = true)]
async fn an_overflow_is_compacted_and_asked_again_once() {
    let long = "x".repeat(9_000);
    let overflow = || Prepared::Fails(vec![], failure("context_overflow", Retry::Never));
    let bench = Bench::with_window(
        [
            Prepared::text(&long),
            overflow(),
            Prepared::text("summary"),
            Prepared::text("fits"),
            overflow(),
        ],
        8_000,
    );
    bench.run("one").await;
    bench.run("two").await;
    assert_eq!(bench.transcript().last().unwrap(), "assistant Stop: fits");
    assert!(bench.story().contains("compaction_start compaction_end"));
}

#[tokio::test]
async fn compaction_by_hand_says_when_there_is_nothing_to_do() {
    let bench = Bench::new([Prepared::text("short")]);
    bench.run("hi").await;
    let done = bench.handle.ask(|reply| Command::Compact { instructions: None, reply }).await;
    assert!(matches!(done, Err(Refused::NothingToCompact)));
    assert!(!bench.handle.conversation().is_compacting());
}

#[tokio::test]
async fn a_full_disk_refuses_a_prompt_and_takes_nothing() {
    let bench = Bench::new([Prepared::text("hi")]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    bench.handle.conversation().session().replace_file_for_test(full);
    assert!(matches!(bench.send("go", QueuedAs::FollowUp).await, Err(Refused::Disk(_))));
    assert!(bench.transcript().is_empty());
    assert_eq!(bench.model.asked().len(), 0);
}

#[tokio::test]
async fn a_chosen_name_and_level_are_told_and_kept() {
    let bench = Bench::new([]);
    let change = |reply| Command::Change {
        model: Some(ModelRef { provider: "openai".into(), id: "gpt-5".into() }),
        thinking_level: Some("high".into()),
        name: Some("  Named ".into()),
        reply,
    };
    bench.handle.ask(change).await.unwrap();
    assert_eq!(bench.story(), "model_change thinking_level_change session_info_changed");
    let path = bench.handle.conversation().session().path().to_owned();
    let session = Session::open(&path).unwrap();
    assert_eq!(session.name(), Some("Named"));
    assert_eq!(session.thinking_level(), Some("high"));
    assert_eq!(session.model().unwrap().id, "gpt-5");
    assert!(path.starts_with(bench.dir.path()));
}
