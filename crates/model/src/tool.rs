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
