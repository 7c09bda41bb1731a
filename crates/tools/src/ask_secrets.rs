//! Tool `ask_secrets`: asks the person for secrets by name, and waits until the machine has them. Their
//! values come in past the conversation: neither the model nor the session ever has them.

use crate::{
    arguments::{Arguments, Refused},
    host::{Tool, ToolContext},
    outcome::ToolOutcome,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use toft_model::{event::Question, secret::check_name, tool::ToolSpec};
use tokio::select;

/// Names in one question; a form with more is no question.
const NAMES_MAX: usize = 20;

/// See the module.
pub(crate) struct AskSecrets;

#[async_trait]
impl Tool for AskSecrets {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "ask_secrets".into(),
            description: "Ask the person for secrets that the work needs (API keys, passwords) and \
                          wait. They fill in a form; you see only the names. Then every new command \
                          has them as environment variables."
                .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "names": {
                        "type": "array", "items": { "type": "string" },
                        "description": "Names of the variables, like STRIPE_KEY"
                    },
                    "reason": { "type": "string", "description": "What for, and where to find them" }
                },
                "required": ["names", "reason"],
                "additionalProperties": false
            }),
        }
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let (names, reason) = match parse(arguments) {
            Ok(parsed) => parsed,
            Err(refused) => return refused.into(),
        };
        let missing = ctx.secrets.missing(&names).await;
        if missing.is_empty() {
            return all_set(&names);
        }
        let question = Question {
            question: reason,
            options: Vec::new(),
            secrets: missing.clone(),
            tool_call_id: ctx.call_id.clone(),
        };
        // Withdrawn as soon as the machine has them, whoever gave them and wherever.
        let withdrawn = ctx.cancel.child_token();
        let asking = ctx.people.ask(question, &withdrawn);
        tokio::pin!(asking);
        let answer = select! {
            biased;
            () = ctx.secrets.until_set(&missing) => {
                withdrawn.cancel();
                asking.await;
                return all_set(&names);
            }
            answer = &mut asking => answer,
        };
        // Set in the moment of the answer counts too.
        let missing = ctx.secrets.missing(&names).await;
        match answer {
            _ if missing.is_empty() => all_set(&names),
            Some(words) => {
                let details = json!({ "missing": missing, "answer": words });
                ToolOutcome::text(format!(
                    "Not set: {}. The person answered: {words}",
                    missing.join(", ")
                ))
                .details(details)
            }
            None => {
                ToolOutcome::cancelled("The secrets were not given; the question was withdrawn.")
            }
        }
    }
}

fn all_set(names: &[String]) -> ToolOutcome {
    ToolOutcome::text(format!(
        "Set: {}. Commands that you start from now on have them as environment variables; what runs \
         already does not (restart it).",
        names.join(", ")
    ))
    .details(json!({ "set": names }))
}

fn parse(arguments: Value) -> Result<(Vec<String>, String), Refused> {
    let mut args = Arguments::new("ask_secrets", &["names", "reason"], arguments)?;
    let reason = args.some_text("reason", "what they are for")?;
    let wrong = || {
        Refused::new(format!(
            "The argument `names` of ask_secrets must be a list of 1 to {NAMES_MAX} names."
        ))
    };
    let Some(Value::Array(given)) = args.take("names") else { return Err(wrong()) };
    if given.is_empty() || given.len() > NAMES_MAX {
        return Err(wrong());
    }
    let mut names: Vec<String> = Vec::with_capacity(given.len());
    for name in given {
        let Value::String(name) = name else { return Err(wrong()) };
        // Its words do not quote it: it may be a value in the wrong place.
        check_name(&name).map_err(|error| Refused::new(format!("ask_secrets: {error}.")))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok((names, reason))
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[tokio::test]
    async fn what_the_machine_has_is_not_asked_for() {
        let bench = Bench::new();
        bench.secrets.set("A_KEY", "canary-value");
        let outcome = bench.call("ask_secrets", json!({"names": ["A_KEY"], "reason": "r"})).await;
        assert!(!outcome.is_error && outcome.said().contains("A_KEY"));
        assert!(bench.people.asked().is_empty());
    }

    #[tokio::test]
    async fn only_missing_ones_are_asked_for_and_the_question_ends_when_they_are_set() {
        let bench = Bench::new();
        bench.secrets.set("A_KEY", "canary-a");
        let asked = async {
            while bench.people.asked().is_empty() {
                tokio::task::yield_now().await;
            }
            bench.secrets.set("B_KEY", "canary-b");
        };
        let names = json!({"names": ["A_KEY", "B_KEY", "B_KEY"], "reason": "To pay"});
        let (outcome, ()) = tokio::join!(bench.call("ask_secrets", names), asked);
        assert_eq!(bench.people.asked()[0].secrets, ["B_KEY"]);
        assert_eq!(outcome.details.as_ref().unwrap()["set"], json!(["A_KEY", "B_KEY"]));
        assert!(!format!("{outcome:?}").contains("canary"));
    }

    #[tokio::test]
    async fn an_answer_in_words_says_that_they_are_not_set() {
        let bench = Bench::new();
        bench.people.will_answer("use the test account");
        let outcome = bench.call("ask_secrets", json!({"names": ["X"], "reason": "r"})).await;
        assert!(!outcome.is_error);
        assert_eq!(outcome.said(), "Not set: X. The person answered: use the test account");
    }

    #[tokio::test]
    async fn it_is_withdrawn_with_its_call_and_refuses_what_no_variable_is() {
        let bench = Bench::new();
        let (ctx, _updates) = bench.context("s1");
        ctx.cancel.cancel();
        let asked = json!({"names": ["X"], "reason": "r"});
        let outcome = bench.toolbox.run("ask_secrets", &ctx, asked).await;
        assert_eq!(outcome.details.unwrap()["cancelled"], true);
        for names in [json!([]), json!(["PATH"]), json!(["sk-live-123"]), json!("X"), json!([1])] {
            let outcome = bench.call("ask_secrets", json!({"names": names, "reason": "r"})).await;
            assert!(outcome.is_error && !outcome.said().contains("sk-live"), "{outcome:?}");
        }
    }
}
