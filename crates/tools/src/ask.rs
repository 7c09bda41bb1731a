//! Tool `ask`: a question to the person, and their answer.

use crate::{
    about::Again,
    arguments::{Arguments, Refused},
    host::{Tool, ToolContext},
    outcome::ToolOutcome,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use toft_model::{event::Question, tool::ToolSpec};

/// Answers to choose from at most; more are no choice.
const OPTIONS_MAX: usize = 12;

/// See the module.
pub(crate) struct Ask;

#[async_trait]
impl Tool for Ask {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "ask".into(),
            description:
                "Ask the person and wait. Only when you cannot go on sensibly without an answer."
                    .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "question": { "type": "string" },
                    "options": {
                        "type": "array", "items": { "type": "string" },
                        "description": "Answers to choose from"
                    }
                },
                "required": ["question"]
            }),
        }
    }

    fn again(&self, _arguments: &Value) -> Again {
        Again::Safe
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let question = match parse(ctx, arguments) {
            Ok(question) => question,
            Err(refused) => return refused.into(),
        };
        match ctx.people.ask(question, &ctx.cancel).await {
            Some(answer) => {
                let details = json!({ "answer": answer });
                ToolOutcome::text(answer).details(details)
            }
            None => {
                ToolOutcome::cancelled("The person did not answer; the question was withdrawn.")
            }
        }
    }
}

fn parse(ctx: &ToolContext, arguments: Value) -> Result<Question, Refused> {
    let mut args = Arguments::new("ask", &["question", "options"], arguments)?;
    let question = args.some_text("question", "what to ask")?;
    let options = args.texts("options")?;
    if options.len() > OPTIONS_MAX {
        return Err(Refused::new(format!("ask takes at most {OPTIONS_MAX} options.")));
    }
    let tool_call_id = ctx.call_id.clone();
    Ok(Question { question, options, tool_call_id, ..Question::default() })
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[tokio::test]
    async fn the_answer_goes_to_the_model() {
        let bench = Bench::new();
        bench.people.will_answer("blue");
        let outcome =
            bench.call("ask", json!({"question": "Which?", "options": ["red", "blue"]})).await;
        assert_eq!((outcome.said().as_str(), outcome.is_error), ("blue", false));
        assert_eq!(bench.people.asked()[0].options, ["red", "blue"]);
    }

    #[tokio::test]
    async fn a_question_that_is_withdrawn_has_no_answer() {
        let bench = Bench::new();
        let (ctx, _updates) = bench.context("a1");
        ctx.cancel.cancel();
        let outcome = bench.toolbox.run("ask", &ctx, json!({"question": "Which?"})).await;
        assert!(outcome.is_error);
        assert_eq!(outcome.details.unwrap()["cancelled"], true);
        let wrong = bench.call("ask", json!({"question": "Which?", "options": [[1]]})).await;
        assert!(wrong.said().contains("a list of texts"));
    }
}
