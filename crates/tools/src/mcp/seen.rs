//! Servers as people see them, and what people do to one.

use super::{Servers, server::Server, tool::unique_name};
use crate::output::cut_at_char;
use serde::Serialize;
use std::{collections::HashSet, sync::Arc};
use toft_model::mcp::McpState;

/// Tools of one server that are shown, and bytes of the words of one.
const TOOLS_SHOWN_MAX: usize = 200;
const WORDS_BYTES_MAX: usize = 300;

/// The servers of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// By name.
    pub servers: Vec<SeenServer>,
    /// Declarations that cannot be used, in words.
    pub faults: Vec<String>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenServer {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub source: String,
    /// `stdio` or `http`.
    pub transport: &'static str,
    /// Of one that is reached over HTTP, without what may hold a secret.
    pub url: Option<String>,
    /// What becomes of it.
    pub state: McpState,
    /// Its declaration switches it off.
    pub disabled: bool,
    /// Why it is in this state, where it failed.
    pub error: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// How many tools it has.
    pub tool_count: usize,
    /// The first of them.
    pub tools: Vec<SeenTool>,
}

/// A tool of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenTool {
    /// What its server calls it.
    pub name: String,
    /// What the agent calls it.
    pub called_as: String,
    /// What it does.
    pub description: String,
}

/// Why a server is not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRestart {
    /// None of this name is declared.
    #[error("no MCP server of this name is declared: `GET /toft/mcp` lists those that are")]
    Unknown,
    /// It is switched off.
    #[error("its declaration switches this MCP server off: take `disabled` out of it first")]
    Disabled,
}

impl Servers {
    /// Those that are declared now. None is started for that.
    pub async fn seen(&self) -> Seen {
        self.look().await;
        let live = self.live();
        let mut names = HashSet::new();
        let servers = live.found.iter().map(|(name, found)| {
            let server = live.servers.get(name);
            let condition = server.map(|server| server.condition());
            let listed = server.map(|server| server.listed()).unwrap_or_default();
            let tools = listed.iter().take(TOOLS_SHOWN_MAX).map(|tool| {
                let words = tool.description.as_deref().or(tool.title.as_deref());
                let words = words.unwrap_or_default().trim();
                SeenTool {
                    name: tool.name.to_string(),
                    called_as: unique_name(name, &tool.name, &mut names),
                    description: cut_at_char(words, WORDS_BYTES_MAX).to_owned(),
                }
            });
            SeenServer {
                source: found.source.clone(),
                transport: if found.declared.url.is_some() { "http" } else { "stdio" },
                url: found.declared.shown_url(),
                state: condition.as_ref().map_or(McpState::Off, |now| now.state),
                disabled: found.disabled,
                restarts: condition.as_ref().map_or(0, |now| now.starts.saturating_sub(1)),
                error: condition.and_then(|now| now.error),
                tool_count: listed.len(),
                tools: tools.collect(),
                name: name.clone(),
            }
        });
        Seen { servers: servers.collect(), faults: live.faults.clone() }
    }

    /// Starts a server now, and ends it first if it runs. What comes of it is told.
    pub async fn restart(&self, name: &str) -> Result<(), NoRestart> {
        self.look().await;
        let server: Arc<Server> = {
            let live = self.live();
            match (live.servers.get(name), live.found.contains_key(name)) {
                (Some(server), _) => Arc::clone(server),
                (None, true) => return Err(NoRestart::Disabled),
                (None, false) => return Err(NoRestart::Unknown),
            }
        };
        // It has a time limit of its own.
        tokio::spawn(async move { server.restart().await });
        Ok(())
    }
}
