//! Tool `ask_secrets`: asks the person for secrets by name, and waits until the machine has them. Their
//! values come in past the conversation: neither the model nor the session ever has them. The agent may
//! propose where a value is to go; what becomes of it is the person's choice.

use crate::{
    about::Again,
    arguments::{Arguments, Refused},
    host::{Secrets, Tool, ToolContext},
    outcome::ToolOutcome,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use toft_model::{binding::Binding, event::Question, secret::check_name, tool::ToolSpec};
use toft_policy::Bound;
use tokio::select;

/// Names in one question; a form with more is no question.
const NAMES_MAX: usize = 20;

/// See the module.
pub(crate) struct AskSecrets;

#[async_trait]
impl Tool for AskSecrets {
    fn spec(&self) -> ToolSpec {
        let texts = json!({ "type": "array", "items": { "type": "string" } });
        ToolSpec {
            name: "ask_secrets".into(),
            description:
                "Ask the person for secrets (API keys, passwords) in a form and wait. You see \
                          only the names; new commands have them as environment variables."
                    .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "names": {
                        "type": "array", "items": { "type": "string" },
                        "description": "Names of the variables, like STRIPE_KEY"
                    },
                    "reason": { "type": "string", "description": "What for, and where to find them" },
                    "bindings": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "name": { "type": "string" },
                                "hosts": texts, "methods": texts, "paths": texts, "headers": texts
                            },
                            "required": ["name", "hosts"]
                        },
                        "description": "For a key sent over HTTPS: the hosts that get it (default header: \
                                        authorization). The variable is a placeholder, replaced on \
                                        the way"
                    }
                },
                "required": ["names", "reason"]
            }),
        }
    }

    fn again(&self, _arguments: &Value) -> Again {
        Again::Safe
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let asked = match parse(arguments) {
            Ok(asked) => asked,
            Err(refused) => return refused.into(),
        };
        let missing = ctx.secrets.missing(&asked.names).await;
        if missing.is_empty() {
            return asked.all_set(&*ctx.secrets).await;
        }
        let mut bindings = asked.bindings.clone();
        bindings.retain(|name, _| missing.contains(name));
        let question = Question {
            question: asked.reason.clone(),
            secrets: missing.clone(),
            bindings,
            tool_call_id: ctx.call_id.clone(),
            ..Question::default()
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
                return asked.all_set(&*ctx.secrets).await;
            }
            answer = &mut asking => answer,
        };
        // Set in the moment of the answer counts too.
        let missing = ctx.secrets.missing(&asked.names).await;
        match answer {
            _ if missing.is_empty() => asked.all_set(&*ctx.secrets).await,
            Some(words) => {
                let mut said =
                    format!("Not set: {}. The person answered: {words}", missing.join(", "));
                let is_set = |name: &&String| !missing.contains(name);
                let set: Vec<String> = asked.names.iter().filter(is_set).cloned().collect();
                let mut details = json!({ "missing": missing, "answer": words });
                if !set.is_empty() {
                    let brokered = ctx.secrets.bindings(&set).await;
                    said.push('\n');
                    said.push_str(&asked.decided(&set, &brokered));
                    details["set"] = json!(set);
                    details["brokered"] = json!(brokered);
                }
                ToolOutcome::text(said).details(details)
            }
            None => {
                ToolOutcome::cancelled("The secrets were not given; the question was withdrawn.")
            }
        }
    }
}

/// What a call asks for.
struct Asked {
    names: Vec<String>,
    reason: String,
    /// What is proposed, in the one way that it is written.
    bindings: BTreeMap<String, Binding>,
}

impl Asked {
    async fn all_set(&self, secrets: &dyn Secrets) -> ToolOutcome {
        let brokered = secrets.bindings(&self.names).await;
        ToolOutcome::text(self.decided(&self.names, &brokered))
            .details(json!({ "set": self.names, "brokered": brokered }))
    }

    /// What became of those that are set, which a person has decided.
    fn decided(&self, set: &[String], brokered: &BTreeMap<String, Binding>) -> String {
        let mut said = format!(
            "Set: {}. Commands that you start from now on have them as environment variables; what \
             runs already does not (restart it).",
            set.join(", ")
        );
        for name in set {
            let what = match brokered.get(name) {
                Some(binding) => format!(
                    "brokered: the variable holds a placeholder, and the value is put into {}, over \
                     HTTPS. Anywhere else the placeholder is refused",
                    requests(binding)
                ),
                None if self.bindings.contains_key(name) => {
                    "not brokered: the variable holds the secret itself".to_owned()
                }
                None => continue,
            };
            said += &["\n", name, " is ", &what, "."].concat();
        }
        said
    }
}

/// The requests that a binding means, in words.
fn requests(binding: &Binding) -> String {
    let Binding { hosts, methods, paths, headers } = binding;
    let mut said =
        format!("the header {} of requests to {}", headers.join(" or "), hosts.join(", "));
    for (what, list) in [("methods", methods), ("paths", paths)] {
        if !list.is_empty() {
            said += &[" (", what, ": ", &list.join(", "), ")"].concat();
        }
    }
    said
}

fn parse(arguments: Value) -> Result<Asked, Refused> {
    let mut args = Arguments::new("ask_secrets", &["names", "reason", "bindings"], arguments)?;
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
    let bindings = proposed(args.take("bindings"), &names)?;
    Ok(Asked { names, reason, bindings })
}

/// What is proposed, judged as the server judges it when it is set: nobody is asked what could not be
/// answered.
fn proposed(given: Option<Value>, names: &[String]) -> Result<BTreeMap<String, Binding>, Refused> {
    let refused = |at: Option<usize>, why: &str| {
        let at = at.map(|at| format!("[{at}]")).unwrap_or_default();
        Refused::new(format!("ask_secrets: `bindings{at}` {why}. Nobody was asked."))
    };
    let given = match given {
        None => return Ok(BTreeMap::new()),
        Some(Value::Array(given)) => given,
        Some(_) => return Err(refused(None, "must be a list")),
    };
    let mut bindings = BTreeMap::new();
    for (at, one) in given.into_iter().enumerate() {
        let wrong = |why: &str| refused(Some(at), why);
        let shape = "must be {name, hosts} with lists of texts for hosts, methods, paths, headers";
        let Value::Object(mut one) = one else { return Err(wrong(shape)) };
        one.retain(|_, value| !value.is_null());
        let Some(Value::String(name)) = one.remove("name") else { return Err(wrong(shape)) };
        if !names.contains(&name) {
            return Err(wrong("is for a name that is not among `names`"));
        }
        let binding = serde_json::from_value(Value::Object(one)).map_err(|_| wrong(shape))?;
        let bound =
            Bound::new(&binding).map_err(|error| wrong(&format!("is no binding: {error}")))?;
        if bindings.insert(name, bound.plain()).is_some() {
            return Err(wrong("is for a name that has one already: give all its hosts in one"));
        }
    }
    Ok(bindings)
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
    async fn a_binding_is_proposed_as_it_is_understood_and_what_was_decided_is_told() {
        let bench = Bench::new();
        let asked = async {
            while bench.people.asked().is_empty() {
                tokio::task::yield_now().await;
            }
            bench.secrets.set("PLAIN", "canary-p");
            bench.secrets.set("REFUSED", "canary-r");
            bench.secrets.broker("SENT", bench.people.asked()[0].bindings["SENT"].clone());
        };
        let call = json!({
            "names": ["SENT", "REFUSED", "PLAIN"], "reason": "To pay",
            "bindings": [
                {"name": "SENT", "hosts": ["API.Example.com"], "methods": ["get"], "paths": null},
                {"name": "REFUSED", "hosts": ["*.example.com"], "headers": ["X-Api-Key"]},
            ],
        });
        let (outcome, ()) = tokio::join!(bench.call("ask_secrets", call), asked);
        let sent = json!({
            "hosts": ["api.example.com"], "methods": ["GET"], "paths": [],
            "headers": ["authorization"],
        });
        let question = json!(bench.people.asked()[0]);
        assert_eq!(question["bindings"]["SENT"], sent);
        assert_eq!(question["bindings"]["REFUSED"]["headers"], json!(["x-api-key"]));
        let details = outcome.details.as_ref().unwrap();
        assert_eq!(details["set"], json!(["SENT", "REFUSED", "PLAIN"]));
        assert_eq!(details["brokered"], json!({ "SENT": sent }));
        let said = outcome.said();
        assert!(
            said.contains("SENT is brokered") && said.contains("api.example.com (methods: GET)")
        );
        assert!(said.contains("REFUSED is not brokered") && !said.contains("PLAIN is"), "{said}");
        assert!(!format!("{outcome:?}").contains("canary"));
    }

    #[tokio::test]
    async fn what_no_binding_is_bothers_nobody_and_is_not_quoted() {
        let bench = Bench::new();
        let host = |host: &str| json!([{"name": "X", "hosts": [host]}]);
        for (bindings, why) in [
            (host("10.0.0.1"), "no public host"),
            (host("1.1.1.1"), "is an address"),
            (host("localhost"), "no public host"),
            (host("*.com"), "the hosts of many people"),
            (host("sk-live canary"), "is no host"),
            (json!([{"name": "X", "hosts": []}]), "1 to 16 hosts"),
            (json!([{"name": "X"}]), "must be {name, hosts}"),
            (json!([{"name": "X", "hosts": "a.example.com"}]), "must be {name, hosts}"),
            (json!([{"name": "X", "hosts": ["a.example.com"], "canary": 1}]), "must be {name"),
            (json!([{"name": "Y", "hosts": ["a.example.com"]}]), "not among `names`"),
            (json!(["canary"]), "`bindings[0]` must be"),
            (json!("canary"), "`bindings` must be a list"),
            (
                json!([{"name": "X", "hosts": ["a.example.com"]}, {"name": "X", "hosts": ["b.example.com"]}]),
                "`bindings[1]` is for a name that has one",
            ),
        ] {
            let call = json!({"names": ["X"], "reason": "r", "bindings": bindings});
            let outcome = bench.call("ask_secrets", call).await;
            assert!(outcome.is_error && outcome.said().contains(why), "{why}: {}", outcome.said());
            assert!(!outcome.said().contains("canary"), "{}", outcome.said());
        }
        assert!(bench.people.asked().is_empty());
    }

    #[tokio::test]
    async fn what_was_set_before_the_rest_was_declined_is_told() {
        let bench = Bench::new();
        bench.secrets.set("A", "canary-a");
        bench.people.will_answer("not B");
        let outcome = bench.call("ask_secrets", json!({"names": ["A", "B"], "reason": "r"})).await;
        let said = outcome.said();
        assert!(said.starts_with("Not set: B. The person answered: not B\nSet: A."), "{said}");
        assert_eq!(outcome.details.unwrap()["set"], json!(["A"]));
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
