//! A tool as a model sees it. What a tool does is in `tools`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Name, purpose and arguments of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// `[a-z_]{1,64}`.
    pub name: String,
    /// What it does and when to use it, for the model.
    pub description: String,
    /// JSON Schema of the arguments object.
    pub parameters: Value,
}

/// The tool that has pieces of work done in conversations of their own.
pub const TASK: &str = "task";

/// Id of the entry in which a task is told its work, in the task's own conversation. No person says it.
pub const TASK_PROMPT: &str = "task-prompt";

/// One item of the list that an agent works through. The last successful result of the tool `todo` in a
/// conversation has the list that counts, as `items` of its details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TodoItem {
    /// What is to be done.
    pub content: String,
    /// How far it is.
    pub status: TodoStatus,
}

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TodoStatus {
    /// Not begun.
    Pending,
    /// Worked on; at most one.
    InProgress,
    /// Done.
    Completed,
}

impl TodoItem {
    /// The list in the details of a result of the tool `todo`; `None` when they have none.
    pub fn list_in(details: &Value) -> Option<Vec<Self>> {
        Vec::deserialize(details.get("items")?).ok()
    }
}
