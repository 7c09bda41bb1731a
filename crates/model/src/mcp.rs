//! MCP servers of a project, as its machine tells of them.

use serde::{Deserialize, Serialize};

/// What the variable begins with that has a server's token, or what stands for it.
const TOKEN_BEGINS: &str = "MCP_TOKEN_";

/// What becomes of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum McpState {
    /// It does not run; it is started when it is needed, unless it is switched off.
    Off,
    /// It is being started.
    Starting,
    /// It runs.
    Ready,
    /// It could not be started, or ended by itself.
    Failed,
    /// It wants a person to sign in, or no longer takes the sign-in that there is.
    NeedsSignIn,
}

/// See [`crate::event::EventBody::McpServer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpChange {
    /// Its name.
    pub name: String,
    /// What it is now.
    pub state: McpState,
    /// Why, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many tools it has, where it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<usize>,
}

/// The variable whose value is sent to a server of this name as a bearer token.
pub fn token_variable(server: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    TOKEN_BEGINS.chars().chain(server.chars().map(fit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_variable_is_a_name_that_a_secret_can_have() {
        for (server, name) in [("linear", "MCP_TOKEN_LINEAR"), ("my-docs.2", "MCP_TOKEN_MY_DOCS_2")]
        {
            assert_eq!(token_variable(server), name);
            crate::secret::check_name(name).unwrap();
        }
    }
}
