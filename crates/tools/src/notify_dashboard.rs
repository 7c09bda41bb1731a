//! Tool `notify_dashboard`: tells people something, once. Name and arguments as in the Starter
//! document.

use crate::{
    about::Again,
    arguments::{Arguments, Refused},
    host::{Tool, ToolContext},
    outcome::ToolOutcome,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use toft_model::{event::Notify, tool::ToolSpec};

const LEVELS: [&str; 4] = ["info", "success", "warning", "error"];

/// See the module.
pub(crate) struct NotifyDashboard;

#[async_trait]
impl Tool for NotifyDashboard {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "notify_dashboard".into(),
            description: "Tell people of significant work that is done.".into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "message": { "type": "string" },
                    "type": { "type": "string", "enum": LEVELS },
                    "refreshIframe": { "type": "boolean", "description": "Reload the app's panel" }
                },
                "required": ["message"]
            }),
        }
    }

    fn again(&self, _arguments: &Value) -> Again {
        Again::Safe
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let names = &["message", "type", "refreshIframe"];
        let parsed = Arguments::new("notify_dashboard", names, arguments).and_then(|args| {
            let level = args.optional_text("type")?.unwrap_or_else(|| "info".into());
            if !LEVELS.contains(&level.as_str()) {
                return Err(Refused::new(format!(
                    "The argument `type` of notify_dashboard must be one of {}, not {level:?}.",
                    LEVELS.join(", ")
                )));
            }
            Ok(Notify {
                message: args.some_text("message", "what to tell")?,
                level,
                refresh_iframe: args.flag("refreshIframe")?,
                tool_call_id: Some(ctx.call_id.clone()),
            })
        });
        match parsed {
            Ok(notify) => {
                ctx.people.notify(notify).await;
                ToolOutcome::text("Dashboard notified.")
            }
            Err(refused) => refused.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[tokio::test]
    async fn people_are_told_once_per_call() {
        let bench = Bench::new();
        let arguments = json!({"message": "Done.", "type": "success", "refreshIframe": true});
        for _ in 0..2 {
            let outcome = bench.call_as("n1", "notify_dashboard", arguments.clone()).await;
            assert_eq!(outcome.said(), "Dashboard notified.");
        }
        let told = bench.people.told();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].level.as_str(), told[0].refresh_iframe), ("success", true));
    }

    #[tokio::test]
    async fn an_unknown_type_is_refused() {
        let bench = Bench::new();
        let outcome = bench.call("notify_dashboard", json!({"message": "x", "type": "loud"})).await;
        assert!(outcome.is_error && outcome.said().contains("info, success, warning, error"));
        assert!(bench.people.told().is_empty());
    }
}
