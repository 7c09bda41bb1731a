//! Tool `task`: a piece of work done by another agent, in a conversation of its own. Only its last answer
//! comes back.

use crate::{
    about::{About, Again},
    arguments::Arguments,
    host::{TaskEnd, TaskOrder, Tool, ToolContext},
    outcome::{STOPPED, ToolOutcome},
    output::{BYTES_MAX, LINES_MAX, cut_at_char, head},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::fmt::Write as _;
use toft_model::tool::{TASK, ToolSpec};

/// See the module.
pub(crate) struct Task;

#[async_trait]
impl Tool for Task {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: TASK.into(),
            description:
                "Give work to a helper that sees only the prompt; returns its last answer. \
                          Several calls run side by side."
                    .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "description": { "type": "string" },
                    "prompt": { "type": "string" },
                    "model": { "type": "string" }
                },
                "required": ["description", "prompt"]
            }),
        }
    }

    fn about(&self, arguments: &Value) -> About {
        About::argument(arguments, &["prompt"])
    }

    fn again(&self, _arguments: &Value) -> Again {
        Again::Safe
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let names = &["description", "prompt", "model"];
        let order = Arguments::new(TASK, names, arguments).and_then(|args| {
            Ok(TaskOrder {
                description: args.some_text("description", "the work in a few words")?,
                prompt: args.some_text("prompt", "all that the helper must know")?,
                model: args.optional_text("model")?.filter(|model| !model.trim().is_empty()),
            })
        });
        let order = match order {
            Ok(order) => order,
            Err(refused) => return refused.into(),
        };
        match ctx.tasks.run(ctx, order).await {
            Ok(end) => outcome(end),
            Err(why) => ToolOutcome::error(why),
        }
    }
}

fn outcome(end: TaskEnd) -> ToolOutcome {
    let limited = head(end.text.lines(), LINES_MAX);
    let mut text = limited.text;
    if limited.lines == 0 {
        // One line longer than everything that fits.
        text.push_str(cut_at_char(&end.text, BYTES_MAX));
    }
    if let Some(limit) = limited.limit {
        let _ = write!(
            text,
            "\n\n[Only the first {limit} of the answer; the last message of {} has all of it.]",
            end.file.display()
        );
    }
    let is_error = end.reason != "done";
    if is_error {
        let why = match end.reason.as_str() {
            "aborted" => STOPPED,
            "limit" => "The helper reached a limit before it was done.",
            _ => "The helper failed.",
        };
        text = format!("{why}\n\n{text}");
    } else if text.trim().is_empty() {
        text = "(The helper ended without words.)".into();
    }
    let outcome = ToolOutcome { is_error, changed: end.changed, ..ToolOutcome::text(text) };
    outcome.details(end.details)
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[tokio::test]
    async fn a_call_must_say_what_is_to_be_done() {
        let bench = Bench::new();
        let outcome = bench.call("task", json!({"description": "count"})).await;
        assert!(outcome.is_error && outcome.said().contains("`prompt`"), "{}", outcome.said());
        let order = json!({"description": "count", "prompt": "Count the files."});
        let outcome = bench.call("task", order).await;
        assert!(outcome.is_error && outcome.said().contains("no agent"), "{}", outcome.said());
    }
}
