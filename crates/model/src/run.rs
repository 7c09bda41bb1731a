//! Runs: one asynchronous job each, from a prompt to a commit. What is said of them between server, bridge
//! and clients; not how they are queued.

use crate::{
    hash::fnv1a,
    id::{SessionId, id_type},
    plan::PlanReady,
    provider::ModelRef,
    tool::TASK,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

id_type! {
    /// Public id of a run of the runs API, unique on its server. (The run of [`crate::id::RunId`] is what one prompt began.)
    random JobId, "run id"
}

id_type! {
    /// Public id of a comparison: several runs from one prompt, each in a fork of its own.
    random ComparisonId, "comparison id"
}

id_type! {
    /// Public id of a webhook, or of something that was sent to one.
    random WebhookId, "webhook id"
}

/// Where a run is. The Platform Agent's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Accepted, and on disk.
    Queued,
    /// A worker has it.
    Running,
    /// It did what it could, and said so.
    Completed,
    /// It could not.
    Error,
    /// A person or a program ended it.
    Cancelled,
}

impl RunStatus {
    /// All, in the order of a run's life.
    pub const ALL: [Self; 5] =
        [Self::Queued, Self::Running, Self::Completed, Self::Error, Self::Cancelled];

    /// Its name, as it is serialised.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing will change any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Error | Self::Cancelled)
    }
}

/// What a run that is not over waits for, when it is not its own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// A person's word on its plan.
    Approval,
    /// A person's answer to a question of its agent.
    Answer,
    /// Its machine, which a person has stopped, and starts again.
    Machine,
    /// The host that has its machine: that host does not answer.
    Host,
    /// Whoever answers for its model: they are down, or want to be asked later.
    Provider,
}

/// The steps of a run inside its machine, in order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Looking, and saying what is to be done.
    Plan,
    /// Doing it; checking it belongs to that.
    Build,
    /// Keeping it in git.
    Commit,
    /// There is nothing left.
    Over,
}

/// Who speaks in a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// Name.
    pub name: String,
    /// Address.
    pub email: String,
}

impl Signature {
    /// Characters of each half: a line that people read.
    pub const CHARS_MAX: usize = 200;
}

/// What a server's settings say of the work of all runs inside a machine. Absent fields: as they are by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RunRules {
    /// Whether the agent has the tools `sandbox_cmd`, `project_actions` and `run_code`; when absent, where the project
    /// has a `package.json`, or where `allowed_tools` names one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_tools: Option<bool>,
    /// Names of the tools that it has, `*` at the end for all that begin so; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// Whether it may have others do pieces of the work.
    pub subagents: bool,
    /// Whether those tools may install, build and check types, and run code.
    pub installs: bool,
    /// Whether the project's own check runs after the work, where the project itself has it so.
    pub auto_check: bool,
    /// How often the model is asked to mend what the check says.
    pub check_fixes_max: u32,
    /// Milliseconds that one run of the check may take.
    pub check_timeout_ms: u64,
    /// Milliseconds that a program of those tools may take where the call says nothing.
    pub cmd_timeout_ms: u64,
    /// Characters of each output stream that those tools answer with.
    pub output_chars_max: u64,
}

impl RunRules {
    /// Times that a model may be asked to mend what the check says: the source's bound.
    pub const CHECK_FIXES_MAX: u32 = 5;

    /// Whether the agent has the tools for projects, in one that has a `package.json` or has none.
    pub fn has_project_tools(&self, is_package: bool) -> bool {
        let named = |name: &String| PROJECT_TOOLS.contains(&name.as_str());
        let listed = || self.allowed_tools.as_ref().is_some_and(|list| list.iter().any(named));
        self.project_tools.unwrap_or_else(|| is_package || listed())
    }

    /// Whether the agent may have a tool of this name. The list may have the source's names too.
    pub fn allows(&self, tool: &str) -> bool {
        if tool == TASK && !self.subagents {
            return false;
        }
        let named = |listed: &String| match listed.strip_suffix('*') {
            Some(begin) => tool.starts_with(begin),
            None => {
                SAME_TOOLS.iter().any(|(other, own)| other == listed && *own == tool)
                    || listed == tool
            }
        };
        self.allowed_tools.as_ref().is_none_or(|list| list.iter().any(named))
    }
}

/// The tool that runs some programs without a shell.
pub const SANDBOX_CMD: &str = "sandbox_cmd";
/// The tool with set actions on a project.
pub const PROJECT_ACTIONS: &str = "project_actions";
/// The tool that runs pieces of code.
pub const RUN_CODE: &str = "run_code";
/// The tools for projects.
pub const PROJECT_TOOLS: [&str; 3] = [SANDBOX_CMD, PROJECT_ACTIONS, RUN_CODE];
/// Those actions, in the source's order.
pub const ACTIONS: [&str; 14] = [
    "detect_project",
    "secrets_status",
    "secrets_read_env_example",
    "secrets_sync_env_example",
    "add_dependencies",
    "run_install",
    "run_next_build",
    "run_typecheck",
    "generate_drizzle_migration",
    "scaffold_authjs_supabase_drizzle",
    "scaffold_cron_supabase_daily",
    "validate_env",
    "rollback_list_commits",
    "rollback_run",
];

/// What the source's agent calls a tool, and its name here. A model is offered only one of the two that edit.
const SAME_TOOLS: [(&str, &str); 9] = [
    ("read_file", "read"),
    ("write_file", "write"),
    ("edit_file", "edit"),
    ("edit_file", "apply_patch"),
    ("edit", "apply_patch"),
    ("glob", "find"),
    ("write_todos", "todo"),
    ("execute", "bash"),
    ("bash", "process"),
];

impl Default for RunRules {
    fn default() -> Self {
        Self {
            project_tools: None,
            allowed_tools: None,
            subagents: true,
            installs: true,
            auto_check: true,
            check_fixes_max: 2,
            check_timeout_ms: 8 * 60 * 1_000,
            cmd_timeout_ms: 10 * 60 * 1_000,
            output_chars_max: 20_000,
        }
    }
}

/// What a worker hands to a bridge: `PUT /toft/runs/{id}`. The same id again means: go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunOrder {
    /// Grows with each owner. An order with a smaller one is from an owner that lost it.
    pub fence: u64,
    /// 1 for the first. A larger one than the known, with a larger fence, tries a run again that ended in
    /// an error.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// What is to be done.
    pub prompt: String,
    /// The conversation that it goes on in; a new one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Who answers; the project's choice when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// Whether a plan comes before the work.
    pub plan: bool,
    /// Whether that plan waits for a person.
    #[serde(default)]
    pub approval: bool,
    /// Whether what changed is committed, when it lies in a git repository.
    pub commit: bool,
    /// Author of the commit; git's own settings when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Signature>,
    /// Committer; the author when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committer: Option<Signature>,
    /// Seconds that planning may take, by the wall clock, also while no bridge runs. Those in which a person
    /// is waited for do not count.
    pub plan_timeout_s: u64,
    /// The same of building.
    pub build_timeout_s: u64,
    /// What the agent has for it.
    #[serde(default)]
    pub rules: RunRules,
}

fn first_attempt() -> u32 {
    1
}

impl RunOrder {
    /// What makes it the same order when it comes again: not who hands it over, how often it was tried,
    /// how long it may take, what tools there are, and whether and as whom it commits: a server's settings may be others
    /// by then.
    pub fn digest(&self) -> String {
        self.digest_with(true)
    }

    /// Whether it is the order of this digest. Older ones have in it whether it commits.
    pub fn is_of(&self, digest: &str) -> bool {
        [true, false].into_iter().any(|commit| self.digest_with(commit) == digest)
    }

    fn digest_with(&self, commit: bool) -> String {
        let Self { prompt, session_id, model, plan, approval, .. } = self;
        let said = serde_json::json!([prompt, session_id, model, plan, approval, commit]);
        format!("{:016x}", fnv1a(said.to_string().as_bytes()))
    }
}

/// What became of the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Commit {
    /// It was made.
    Made {
        /// Its hash.
        #[serde(rename = "commitSha")]
        sha: String,
    },
    /// It was not, and that is in order: `disabled`, `not_git_repo`, `no_changes`.
    Skipped {
        /// Why.
        reason: String,
    },
    /// Git refused.
    Failed {
        /// Git's words.
        error: String,
    },
}

/// A run has gone a step, as the event log has it. The last one of a run says a `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStep {
    /// Which run.
    pub run_id: JobId,
    /// The phase that it is in now.
    pub phase: Phase,
    /// What it waits for in that phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// The plan that it builds, or that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanReady>,
    /// What became of the commit, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// How it ended, when it has: `completed`, `error` or `cancelled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RunStatus>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Where a run is, by the word of its bridge: `GET /toft/runs/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunNow {
    /// Which run.
    pub id: JobId,
    /// The largest one that it was handed over with.
    pub fence: u64,
    /// How often it was tried.
    pub attempt: u32,
    /// The conversation that it goes on in.
    pub session_id: SessionId,
    /// The phase that it is in.
    pub phase: Phase,
    /// How it ended; `None`: it has not.
    pub status: Option<RunStatus>,
    /// What it waits for.
    pub waits_for: Option<WaitsFor>,
    /// The plan that it builds, or that waits; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanReady>,
    /// What became of the commit.
    pub commit: Option<Commit>,
    /// What went wrong.
    pub error: Option<String>,
    /// The last number of the event log before its first event.
    pub after_seq: u64,
    /// The number of its last event, once it is over.
    pub end_seq: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn order(with: &serde_json::Value) -> RunOrder {
        let mut order = json!({
            "fence": 1, "prompt": "go", "plan": true, "commit": true,
            "planTimeoutS": 60, "buildTimeoutS": 60,
        });
        order.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        serde_json::from_value(order).unwrap()
    }

    #[test]
    fn an_order_is_the_same_whoever_hands_it_over() {
        let first = order(&json!({}));
        assert_eq!((first.attempt, first.approval), (1, false));
        for same in [
            json!({"fence": 9, "attempt": 2}),
            json!({"planTimeoutS": 5}),
            json!({"commit": false}),
        ] {
            assert_eq!(order(&same).digest(), first.digest(), "{same}");
            assert!(order(&same).is_of(&first.digest_with(false)), "{same}");
        }
        for other in
            [json!({"prompt": "stop"}), json!({"approval": true}), json!({"sessionId": "s"})]
        {
            assert!(!order(&other).is_of(&first.digest()), "{other}");
        }
    }

    #[test]
    fn tools_are_allowed_by_their_names_here_and_in_the_source() {
        let rules = |list: &[&str], subagents| RunRules {
            allowed_tools: Some(list.iter().map(|name| (*name).to_owned()).collect()),
            subagents,
            ..RunRules::default()
        };
        let listed = rules(&["read", "glob", "write_todos", "edit", "mcp_docs_*", "task"], false);
        for tool in ["read", "find", "todo", "edit", "apply_patch", "mcp_docs_search"] {
            assert!(listed.allows(tool), "{tool}");
        }
        for tool in ["bash", "write", "task", "mcp_other_x", "readx"] {
            assert!(!listed.allows(tool), "{tool}");
        }
        assert!(rules(&["task"], true).allows("task"));
        let all = RunRules::default();
        assert!(all.allows("bash") && all.allows("task") && all.allows("anything"));
        assert!(all.has_project_tools(true) && !all.has_project_tools(false));
        assert!(rules(&["sandbox_cmd"], true).has_project_tools(false));
        let off = RunRules { project_tools: Some(false), ..RunRules::default() };
        assert!(!off.has_project_tools(true));
        let read: RunRules = serde_json::from_value(json!({"installs": false})).unwrap();
        assert_eq!(read, RunRules { installs: false, ..all }, "an older server says less");
    }

    #[test]
    fn a_commit_is_told_in_the_words_of_the_source() {
        let check = |commit: &Commit, json: &serde_json::Value| {
            assert_eq!(&serde_json::to_value(commit).unwrap(), json);
            assert_eq!(&serde_json::from_value::<Commit>(json.clone()).unwrap(), commit);
        };
        check(&Commit::Made { sha: "a1".into() }, &json!({"result": "made", "commitSha": "a1"}));
        let reason = "no_changes".to_owned();
        check(&Commit::Skipped { reason }, &json!({"result": "skipped", "reason": "no_changes"}));
        check(&Commit::Failed { error: "e".into() }, &json!({"result": "failed", "error": "e"}));
    }
}
