//! What the agent needs from where it runs. The bridge provides it for a machine, tests in memory.

use crate::{extensions::Extensions, permission::Bounds, prompt::PromptFacts, skills::Skills};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};
use toft_llm::ask::{Model, ModelFailure, ThinkingLevel};
use toft_model::{
    event::EventBody,
    id::SessionId,
    permission::{PromptLimits, Rule},
    provider::{ModelInfo, ModelRef},
    run::RunRules,
};
use toft_tools::{
    Toolbox,
    host::{Journal, Secrets, Shell},
    mcp::Servers,
};

/// Where events go: numbered, stored and shown in the order of the calls.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Takes one event and returns its number.
    fn emit(&self, session: Option<&SessionId>, body: EventBody) -> u64;
    /// Takes events that came together.
    fn emit_all(&self, session: Option<&SessionId>, bodies: Vec<EventBody>) {
        for body in bodies {
            self.emit(session, body);
        }
    }
    /// The number of the last event.
    fn last_seq(&self) -> u64;
    /// Returns when everything emitted before is on disk.
    async fn sync(&self);
    /// Whether events can be stored at all; the text says what to do.
    fn check(&self) -> Result<(), String>;
}

/// Finds the model that answers.
#[async_trait]
pub trait ModelSource: Send + Sync {
    /// The wanted model, or the default one. A failure with the code `unreachable` means: the
    /// gateway is not there now.
    async fn choose(&self, wanted: Option<&ModelRef>) -> Result<Choice, ModelFailure>;
    /// What [`ModelSource::choose`] would find, if that is known without waiting.
    fn known(&self, wanted: Option<&ModelRef>) -> Option<Choice>;
}

/// A model that can be asked.
#[derive(Clone)]
pub struct Choice {
    /// What is known of it.
    pub info: ModelInfo,
    /// How hard it thinks unless the session says otherwise.
    pub thinking: ThinkingLevel,
    /// Asks it.
    pub model: Arc<dyn Model>,
}

/// The journal of calls, and its broom.
#[async_trait]
pub trait Intents: Journal {
    /// Drops what was recorded for a call whose result is on disk.
    async fn forget(&self, run_id: &str);
}

/// How many waiting messages are delivered at once (Pi's words).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueMode {
    /// The oldest one.
    #[default]
    OneAtATime,
    /// All.
    All,
}

/// What people set for all sessions of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// For messages delivered after the running tools.
    pub steering_mode: QueueMode,
    /// For messages delivered when the agent would stop.
    pub follow_up_mode: QueueMode,
    /// Whether history is compacted before it overflows.
    pub auto_compaction_enabled: bool,
    /// What the agent may do by itself.
    pub rules: Vec<Rule>,
    /// What one prompt may take.
    pub limits: PromptLimits,
    /// Whether the project's own check runs after a plan was carried out.
    pub auto_check: bool,
    /// Runs in place of the check that the project's files name.
    pub check_command: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            steering_mode: QueueMode::default(),
            follow_up_mode: QueueMode::default(),
            auto_compaction_enabled: true,
            rules: Vec::new(),
            limits: PromptLimits::default(),
            auto_check: true,
            check_command: None,
        }
    }
}

/// Unix milliseconds now.
pub type Clock = fn() -> u64;

/// Sees what tools print, as it comes.
pub type OutputObserver = Arc<dyn Fn(&str) + Send + Sync>;

/// What the run that works in a conversation says of its work; nothing when none does.
pub type RulesOf = Arc<dyn Fn(&SessionId) -> Option<RunRules> + Send + Sync>;

/// Everything around the sessions of one project.
pub struct Surroundings {
    /// Takes events.
    pub sink: Arc<dyn Sink>,
    /// Finds models.
    pub models: Arc<dyn ModelSource>,
    /// The tools.
    pub tools: Toolbox,
    /// Have more.
    pub servers: Arc<Servers>,
    /// Runs programs.
    pub shell: Arc<dyn Shell>,
    /// Knows which secrets the machine has.
    pub secrets: Arc<dyn Secrets>,
    /// Remembers what calls are about to do.
    pub intents: Arc<dyn Intents>,
    /// Where the agent works.
    pub cwd: PathBuf,
    /// What tools for files keep to, where there are no walls.
    pub bounds: Option<Bounds>,
    /// Facts for the system prompt.
    pub prompt: PromptFacts,
    /// Instructions for kinds of work.
    pub skills: Arc<Skills>,
    /// What the project adds to its agent.
    pub extensions: Arc<Extensions>,
    /// Sees tool output (app port detection).
    pub observe_output: OutputObserver,
    /// The time.
    pub clock: Clock,
    /// What people set.
    pub settings: RwLock<Settings>,
    /// What runs say of their work.
    pub rules_of: RulesOf,
}

impl Surroundings {
    /// A copy of the settings.
    pub fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A thinking level by its name; unknown names mean none.
pub fn thinking_level(name: &str) -> Option<ThinkingLevel> {
    Some(match name {
        "off" => ThinkingLevel::Off,
        "minimal" => ThinkingLevel::Minimal,
        "low" => ThinkingLevel::Low,
        "medium" => ThinkingLevel::Medium,
        "high" => ThinkingLevel::High,
        "xhigh" => ThinkingLevel::Xhigh,
        _ => return None,
    })
}

/// The name of a thinking level.
pub fn thinking_name(level: ThinkingLevel) -> &'static str {
    match level {
        ThinkingLevel::Off => "off",
        ThinkingLevel::Minimal => "minimal",
        ThinkingLevel::Low => "low",
        ThinkingLevel::Medium => "medium",
        ThinkingLevel::High => "high",
        ThinkingLevel::Xhigh => "xhigh",
    }
}
