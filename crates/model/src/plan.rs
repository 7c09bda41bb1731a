//! Plan mode: a conversation that may look at everything and change nothing, and what comes of it.

use crate::{
    id::SessionId,
    tool::{TodoItem, TodoStatus},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a conversation's agent may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Look and change.
    #[default]
    Build,
    /// Look, and say what it would change.
    Plan,
}

impl Mode {
    /// Its name, as it is serialised.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Plan => "plan",
        }
    }
}

/// What is to be done, to be approved by a person.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// In a few sentences.
    pub summary: String,
    /// Its steps, in order.
    pub todos: Vec<PlanTodo>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanTodo {
    /// Unique in its plan; made up where there is none.
    #[serde(default)]
    pub id: String,
    /// In a line.
    pub title: String,
    /// More of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// What holds when it is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acceptance_criteria: Vec<String>,
}

impl Plan {
    /// Its steps as the list that an agent works through, none begun.
    pub fn todo_items(&self) -> Vec<TodoItem> {
        let item =
            |todo: &PlanTodo| TodoItem { content: todo.title.clone(), status: TodoStatus::Pending };
        self.todos.iter().map(item).collect()
    }
}

/// Where a plan was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanSource {
    /// The JSON that the model was asked for.
    Json,
    /// A list in its words.
    List,
    /// Its words as a whole.
    Text,
    /// What a person made of one.
    Edited,
}

/// What became of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanState {
    /// It waits for a person.
    Proposed,
    /// It was or is being carried out.
    Approved,
    /// A person wants another one.
    Rejected,
    /// The conversation went on about something else.
    Dropped,
}

/// A plan of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanReady {
    /// Its entry in the conversation.
    pub plan_id: String,
    /// The answer that it was read from; of an edited one, the plan before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Where it was read from.
    pub source: PlanSource,
    /// Summary and steps.
    #[serde(flatten)]
    pub plan: Plan,
}

/// A person has decided on a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSettled {
    /// Which.
    pub plan_id: String,
    /// `approved` or `rejected`.
    pub state: PlanState,
}

/// How the check of what was built goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// The first run begins.
    Started,
    /// It failed: the model mends what it says, and it runs again.
    FixAttempt,
    /// It passed.
    Passed,
    /// It fails still, or cannot be run.
    Failed,
}

/// A run of the project's own check after a plan was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoCheck {
    /// How it goes.
    pub status: CheckStatus,
    /// What runs.
    pub command: String,
    /// Times that the model was asked to mend something.
    pub attempt: u32,
    /// At most so many.
    pub attempts_max: u32,
    /// Exit code of the run before, if there was one and it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// Mode and plan of a conversation, for its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanNow {
    /// Which conversation.
    pub session_id: SessionId,
    /// What its agent may do.
    pub mode: Mode,
    /// Whether programs run in plan mode (read-only) in this machine; otherwise they are refused then.
    pub read_only_programs: bool,
    /// The newest plan.
    pub plan: Option<PlanReady>,
    /// What became of it.
    pub plan_state: Option<PlanState>,
}
