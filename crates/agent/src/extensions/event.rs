//! When hooks are asked, and what their answers may say then.

use serde::{Deserialize, Serialize};

/// When a hook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEvent {
    /// Before the model is told what a person said.
    Input,
    /// Before the first question of a prompt.
    BeforeAgentStart,
    /// Before a call is done.
    ToolCall,
    /// Before the model gets a call's result.
    ToolResult,
    /// When the agent would rest.
    AgentEnd,
}

impl HookEvent {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::BeforeAgentStart => "before_agent_start",
            Self::ToolCall => "tool_call",
            Self::ToolResult => "tool_result",
            Self::AgentEnd => "agent_end",
        }
    }

    /// Whether it is about one call of a tool.
    pub(crate) fn is_of_call(self) -> bool {
        matches!(self, Self::ToolCall | Self::ToolResult)
    }

    /// What an answer may say.
    pub(super) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Input => &["text"],
            Self::BeforeAgentStart => &["systemPrompt", "message"],
            Self::ToolCall => &["block", "input", "message"],
            Self::ToolResult => &["text", "isError", "message"],
            Self::AgentEnd => &["message"],
        }
    }
}
