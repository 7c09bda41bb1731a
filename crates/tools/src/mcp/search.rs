//! The two tools that stand for many of servers: `mcp_search` and `mcp_call`.

use super::tool::McpTool;
use crate::{
    about::{About, Again},
    arguments::{Arguments, Refused, peek},
    host::{Tool, ToolContext},
    outcome::ToolOutcome,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use toft_model::tool::ToolSpec;

/// Tools that a search answers with.
const FOUND_MAX: usize = 8;

/// Names that an empty one answers with: more would fill a conversation.
const NAMES_MAX: usize = 200;

/// Finds tools of servers when there are many.
pub(super) struct McpSearch(pub(super) Arc<[Arc<McpTool>]>);

#[async_trait]
impl Tool for McpSearch {
    fn spec(&self) -> ToolSpec {
        let mut servers: Vec<&str> = self.0.iter().map(|tool| tool.server.name()).collect();
        servers.dedup();
        ToolSpec {
            name: "mcp_search".into(),
            description: format!(
                "Find tools of the MCP servers {} by words; returns their arguments, for mcp_call.",
                servers.join(", ")
            ),
            parameters: json!({
                "type": "object",
                "properties": { "query": { "type": "string", "description": "Empty: names of all" } },
                "required": ["query"]
            }),
        }
    }

    fn about(&self, arguments: &Value) -> About {
        About::argument(arguments, &["query"])
    }

    fn again(&self, _: &Value) -> Again {
        Again::Safe
    }

    async fn run(&self, _: &ToolContext, arguments: Value) -> ToolOutcome {
        let query = Arguments::new("mcp_search", &["query"], arguments)
            .and_then(|args| args.text("query", "words of what the tool does"));
        let query = match query {
            Ok(query) => query.to_lowercase(),
            Err(refused) => return refused.into(),
        };
        let words: Vec<&str> =
            query.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            let names = self.0.iter().map(|tool| tool.spec.name.as_str());
            let mut lines: Vec<String> = names.take(NAMES_MAX).map(str::to_owned).collect();
            if self.0.len() > NAMES_MAX {
                lines.push(format!("[{} more: search by words]", self.0.len() - NAMES_MAX));
            }
            return ToolOutcome::text(lines.join("\n"));
        }
        let points = |tool: &McpTool| -> usize {
            let name = tool.spec.name.to_lowercase();
            let description = tool.spec.description.to_lowercase();
            let of = |word: &&str| {
                3 * usize::from(name.contains(*word)) + usize::from(description.contains(*word))
            };
            words.iter().map(of).sum()
        };
        let mut found: Vec<(usize, &Arc<McpTool>)> = self
            .0
            .iter()
            .map(|tool| (points(tool), tool))
            .filter(|(points, _)| *points > 0)
            .collect();
        // Of equal ones the first stays first.
        found.sort_by_key(|(points, _)| std::cmp::Reverse(*points));
        if found.is_empty() {
            return ToolOutcome::text("No tool fits these words. An empty query names all.");
        }
        let more = found.len().saturating_sub(FOUND_MAX);
        let mut parts: Vec<String> = found
            .iter()
            .take(FOUND_MAX)
            .map(|(_, tool)| {
                format!(
                    "{}: {}\narguments: {}",
                    tool.spec.name, tool.spec.description, tool.spec.parameters
                )
            })
            .collect();
        if more > 0 {
            parts.push(format!("[{more} more fit less]"));
        }
        ToolOutcome::text(parts.join("\n\n"))
    }
}

/// Calls a tool that a search found.
pub(super) struct McpCall(pub(super) Arc<[Arc<McpTool>]>);

impl McpCall {
    fn tool(&self, arguments: &Value) -> Option<(&Arc<McpTool>, Value)> {
        let name = peek(arguments, &["tool"])?;
        let tool = self.0.iter().find(|tool| tool.spec.name == name)?;
        // Some models write objects as text.
        let inner = match &arguments["arguments"] {
            Value::Null => json!({}),
            Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| json!({})),
            other => other.clone(),
        };
        Some((tool, inner))
    }
}

#[async_trait]
impl Tool for McpCall {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "mcp_call".into(),
            description: "Call a tool that mcp_search found.".into(),
            parameters: json!({
                "type": "object",
                "properties": { "tool": { "type": "string" }, "arguments": { "type": "object", "properties": {} } },
                "required": ["tool", "arguments"]
            }),
        }
    }

    fn stands_for(&self, arguments: &Value) -> Option<(String, Value)> {
        self.tool(arguments).map(|(tool, inner)| (tool.spec.name.clone(), inner))
    }

    fn again(&self, arguments: &Value) -> Again {
        self.tool(arguments).map_or(Again::Safe, |(tool, inner)| tool.again(&inner))
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        match self.tool(&arguments) {
            Some((tool, inner)) => tool.run(ctx, inner).await,
            None => Refused::new("There is no such tool; find one with mcp_search.").into(),
        }
    }
}
