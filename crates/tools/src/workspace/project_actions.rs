//! Tool `project_actions`: set pieces of work on a project of the Platform Agent's kind (bun, Next.js, Drizzle). What
//! each does is in `actions`. An action that cannot be done answers `ok: false` with the reason.

use super::{
    Bounds, PROJECT_ACTIONS,
    actions::{self, ACTIONS, Action},
    program,
};
use crate::{
    about::{About, Again},
    arguments::peek,
    host::{Tool, ToolContext},
    outcome::ToolOutcome,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use toft_model::tool::ToolSpec;

/// See the module.
pub(super) struct ProjectActions(pub(super) Bounds);

#[async_trait]
impl Tool for ProjectActions {
    fn spec(&self) -> ToolSpec {
        let names: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
        let dep = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string" }, "version": { "type": "string" }, "dev": { "type": "boolean" }
            },
            "required": ["name"]
        });
        ToolSpec {
            name: PROJECT_ACTIONS.into(),
            description: "Set actions on a bun or Next.js project. Secrets are named, never shown. rollback_run \
                          takes the files back to a commit (confirm: \"rollback\"); history stays."
                .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "action": { "type": "string", "enum": names },
                    "deps": { "type": "array", "items": dep },
                    "runInstall": { "type": "boolean" },
                    "includeRecommended": { "type": "boolean" },
                    "name": { "type": "string", "description": "Of a migration" },
                    "limit": { "type": "number" },
                    "confirm": { "type": "string" },
                    "commitSha": { "type": "string" }
                },
                "required": ["action"]
            }),
        }
    }

    fn about(&self, arguments: &Value) -> About {
        About::argument(arguments, &["action"])
    }

    fn again(&self, arguments: &Value) -> Again {
        let name = peek(arguments, &["action"]).unwrap_or_default();
        match Action::named(&name) {
            Some(action) if action.runs_program() => Again::Attaches,
            // Each writes what is missing, and nothing a second time.
            Some(_) | None => Again::Safe,
        }
    }

    /// Actions that change something refuse to, then.
    fn keeps_read_only(&self) -> bool {
        true
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        actions::run(ctx, self.0, arguments).await
    }

    async fn settled(&self, ctx: &ToolContext, _: &ToolOutcome) {
        program::let_go(ctx).await;
    }
}
