//! A server's tool as one of the agent's.

use super::{result, server::Server};
use crate::{
    about::Again,
    host::{Tool, ToolContext},
    outcome::{STOPPED, ToolOutcome},
    output::cut_at_char,
};
use async_trait::async_trait;
use rmcp::model::{CallToolRequestParams, Tool as Listed};
use serde_json::{Map, Value, json};
use std::{collections::HashSet, fmt::Write as _, sync::Arc, time::Duration};
use toft_model::{hash::fnv1a, message::INVALID_ARGUMENTS, tool::ToolSpec};
use tokio::time::timeout;

/// Bytes of a tool's name (the lowest limit of the large providers).
const NAME_BYTES_MAX: usize = 64;

/// Bytes of a description, and of the JSON schema of arguments: all prompts carry them.
const DESCRIPTION_BYTES_MAX: usize = 1_024;
const SCHEMA_BYTES_MAX: usize = 16 * 1024;

/// How long a call may take.
const CALL_MAX: Duration = Duration::from_mins(30);

/// A tool of a server.
pub(super) struct McpTool {
    pub(super) server: Arc<Server>,
    /// What its server calls it.
    name: String,
    pub(super) spec: ToolSpec,
    /// Its server says that it changes nothing, or nothing more when it is called again.
    repeatable: bool,
}

impl McpTool {
    /// Under a name that is not among `names` yet.
    pub(super) fn new(server: Arc<Server>, listed: &Listed, names: &mut HashSet<String>) -> Self {
        let annotations = listed.annotations.as_ref();
        let repeatable = annotations.is_some_and(|hints| {
            hints.read_only_hint == Some(true) || hints.idempotent_hint == Some(true)
        });
        let name = unique_name(server.name(), &listed.name, names);
        let description =
            listed.description.as_deref().or(listed.title.as_deref()).unwrap_or_default();
        let spec = ToolSpec {
            name,
            description: cut_at_char(description.trim(), DESCRIPTION_BYTES_MAX).to_owned(),
            parameters: parameters(&listed.input_schema),
        };
        Self { server, name: listed.name.to_string(), spec, repeatable }
    }
}

#[async_trait]
impl Tool for McpTool {
    fn spec(&self) -> ToolSpec {
        self.spec.clone()
    }

    fn again(&self, _: &Value) -> Again {
        if self.repeatable { Again::Safe } else { Again::Unsure }
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let Value::Object(arguments) = arguments else {
            return ToolOutcome::error(format!(
                "The arguments of `{}` must be an object.",
                self.spec.name
            ));
        };
        if arguments.contains_key(INVALID_ARGUMENTS) {
            return ToolOutcome::error(
                "The arguments were not valid JSON, or cut off. Nothing was done. Call it again with a whole JSON object.",
            );
        }
        let work = async {
            let (peer, in_use) = self.server.call().await?;
            let params = CallToolRequestParams::new(self.name.clone()).with_arguments(arguments);
            // Dropped it is called off.
            match timeout(CALL_MAX, peer.call_tool(params)).await {
                Ok(Ok(said)) => {
                    self.server.worked();
                    Ok(said)
                }
                Ok(Err(error)) => Err(in_use.why(&error).await),
                Err(_) => Err(format!("It took longer than {} minutes.", CALL_MAX.as_secs() / 60)),
            }
        };
        let said = tokio::select! {
            said = work => said,
            () = ctx.cancel.cancelled() => {
                self.server.call_was_stopped().await;
                return ToolOutcome::cancelled(STOPPED);
            }
        };
        match said {
            Ok(said) => result::outcome(ctx, self.server.name(), said).await,
            Err(why) => ToolOutcome::error(why),
        }
    }
}

/// `server__tool` of letters, digits, `_` and `-`, beginning with a letter or `_`.
pub(super) fn unique_name(server: &str, tool: &str, names: &mut HashSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let whole = format!("{server}__{tool}");
    let mut name: String = whole.chars().map(plain).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    let mut hash = fnv1a(whole.as_bytes());
    while name.len() > NAME_BYTES_MAX || !names.insert(name.clone()) {
        // The same one for the same tool, as long as no other has it.
        name.truncate(NAME_BYTES_MAX - 9);
        let _ = write!(name, "_{:08x}", hash & 0xffff_ffff);
        hash = hash.rotate_left(8).wrapping_add(1);
    }
    name
}

/// A schema that every provider takes: of an object, without what only validators read.
fn parameters(schema: &Map<String, Value>) -> Value {
    let mut schema = schema.clone();
    for name in ["$schema", "$id", "$comment", "title"] {
        schema.remove(name);
    }
    schema.insert("type".into(), json!("object"));
    if !schema.get("properties").is_some_and(Value::is_object) {
        schema.insert("properties".into(), json!({}));
    }
    let schema = Value::Object(schema);
    if schema.to_string().len() > SCHEMA_BYTES_MAX {
        return json!({ "type": "object", "properties": {} });
    }
    schema
}
