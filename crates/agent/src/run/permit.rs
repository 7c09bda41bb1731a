//! Before a call is done: whether the project's rules let it, and, after the machine ended in the middle,
//! whether it may have been done already. Answers of people are entries, so that nothing is asked twice.

use super::{Run, guard::is};
use crate::{
    people::{Answer, Audience},
    permission::{Places, Verdict, judge},
    session::{Body, Extra, custom},
};
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::sync::Arc;
use toft_model::{
    event::{Question, QuestionKind},
    message::ToolCall,
    permission::Rule,
};
use toft_policy::workspace::PathDenied;
use toft_tools::{About, Again, ToolOutcome};

const ONCE: &str = "Allow once";
const ALWAYS: &str = "Always in this conversation";
const DENY: &str = "Deny";
const AGAIN: &str = "Run it again";
const WITHOUT: &str = "Go on without it";

/// Characters of what is asked about.
const ABOUT_CHARS_MAX: usize = 2_000;

/// Told to the model when a person stopped the work while they were asked.
const WITHDRAWN: &str = "Stopped by a person before it began.";

/// A call that may be done.
pub(super) enum Permit {
    /// At once.
    Given,
    /// A person has just allowed it: it cannot have begun before.
    JustGiven,
}

impl Run {
    /// Whether a call is done. The outcome says why not.
    pub(super) async fn may_run(
        &self,
        call: &ToolCall,
        entry_id: &str,
        run_id: &str,
    ) -> Result<(), ToolOutcome> {
        let permit = self.permitted(call).await?;
        let again = self.conversation.tools().again(&call.name, &arguments(call));
        if again == Again::Safe {
            return Ok(());
        }
        let handed_out_now = self.fresh.as_deref() == Some(entry_id);
        if !handed_out_now && matches!(permit, Permit::Given) {
            self.not_in_doubt(call, entry_id, run_id, again).await?;
        }
        if again == Again::Unsure { self.note_start(run_id).await } else { Ok(()) }
    }

    pub(super) async fn permitted(&self, call: &ToolCall) -> Result<Permit, ToolOutcome> {
        let around = &self.conversation.around;
        let rules = around.settings().rules;
        if rules.is_empty() && around.bounds.is_none() {
            return Ok(Permit::Given);
        }
        let tools = self.conversation.tools();
        let (name, meant) = tools.meant(&call.name, arguments(call));
        let about = tools.about(&name, &meant);
        let places = Places { cwd: &around.cwd, home: around.shell.home() };
        if let Some(bounds) = &around.bounds {
            bounds.judge(&about, &places).map_err(|denied| out_of_bounds(&denied))?;
        }
        let granted = self.granted();
        let names = tools.judged_as(&name);
        let (about, asking, unclear) =
            match judge(&rules, |rule| granted.contains(rule), &names, &about, &places) {
                Verdict::Allow => return Ok(Permit::Given),
                Verdict::Deny { about, rule } => return Err(denied(&name, &about, &rule)),
                Verdict::Ask { about, rules, unclear } => (about, rules, unclear),
            };
        let key = format!("{}:permission", call.id);
        let mut question = format!("May the agent use `{name}` for this?\n\n{}", shortened(&about));
        for reason in asking.iter().filter_map(|rule| rule.reason.as_deref()) {
            question.push_str("\n\n");
            question.push_str(reason);
        }
        let mut options = vec![ONCE.to_owned(), DENY.to_owned()];
        if !unclear {
            options.insert(1, ALWAYS.to_owned());
        }
        let question = Question {
            question,
            options,
            tool_call_id: call.id.clone(),
            id: Some(key),
            kind: QuestionKind::Permission,
            ..Question::default()
        };
        let Answer { text: answer, was_there } = self.ask_person(question).await?;
        if is(&answer, ALWAYS) && !unclear {
            let body = Body::Custom {
                custom_type: custom::ALLOW.into(),
                data: json!({ "rules": asking }),
            };
            // Not kept it is asked again: nothing is lost.
            let errand = self.conversation.errand();
            let asked_in = errand.as_ref().map_or(&self.conversation, |errand| &errand.parent);
            if let Err(error) = asked_in.append(body, Extra::default()) {
                tracing::warn!(%error, "what a person allowed could not be kept");
            }
        } else if !is(&answer, ONCE) && !is(&answer, "allow") && !is(&answer, "yes") {
            let plain = is(&answer, DENY) || is(&answer, "no");
            let words = if plain { String::new() } else { format!(" They say: {answer}") };
            return Err(ToolOutcome::error(format!(
                "A person does not allow this call, and it was not done.{words} Do it another way that they \
                 would allow, or ask them what to do."
            ))
            .details(json!({ "denied": true })));
        }
        Ok(if was_there { Permit::Given } else { Permit::JustGiven })
    }

    /// Rules that a person has answered for good. Those of a task were asked where its call belongs.
    fn granted(&self) -> Vec<Rule> {
        let of = |session: &crate::session::Session| -> Vec<Rule> {
            let kept = session.ancestors().filter_map(|entry| match &entry.body {
                Body::Custom { custom_type, data } if custom_type == custom::ALLOW => {
                    Vec::<Rule>::deserialize(&data["rules"]).ok()
                }
                _ => None,
            });
            kept.flatten().collect()
        };
        let mut granted = of(&self.conversation.session());
        if let Some(errand) = self.conversation.errand() {
            granted.extend(of(&errand.parent.session()));
        }
        granted
    }

    /// Asks where a call that was handed out by an earlier life of the bridge may have been done.
    async fn not_in_doubt(
        &self,
        call: &ToolCall,
        entry_id: &str,
        run_id: &str,
        again: Again,
    ) -> Result<(), ToolOutcome> {
        let around = &self.conversation.around;
        let now = around.shell.life();
        let key = if again == Again::Attaches {
            let then = {
                let session = self.conversation.session();
                session.entry(entry_id).and_then(|entry| entry.extra.life.clone())
            };
            // Still in the life in which it was handed out: what is not known there has not begun.
            if then.is_some_and(|then| !then.is_empty() && then == now)
                || self.is_known(run_id).await
            {
                return Ok(());
            }
            format!("{}:doubt:{now}", call.id)
        } else {
            match around.intents.recorded(&start_of(run_id)).await {
                Some(began) => format!("{}:doubt:{}", call.id, began["began"]),
                None => return Ok(()),
            }
        };
        let about = match self.conversation.tools().about(&call.name, &arguments(call)) {
            About::Command(text) | About::Text(text) => text,
            About::Paths(paths) => paths.join("\n"),
        };
        // A program outlives all but its machine; other calls end with their bridge.
        let ended = if again == Again::Attaches { "machine" } else { "agent's process" };
        let question = Question {
            question: format!(
                "The {ended} ended before the end of this `{}` call was known. It may have been done, in part \
                 or in whole:\n\n{}",
                call.name,
                shortened(&about)
            ),
            options: vec![WITHOUT.into(), AGAIN.into()],
            tool_call_id: call.id.clone(),
            id: Some(key),
            kind: QuestionKind::Doubt,
            ..Question::default()
        };
        let answer = self.ask_person(question).await?.text;
        if is(&answer, AGAIN) || is(&answer, "again") || is(&answer, "yes") {
            return Ok(());
        }
        let plain = is(&answer, WITHOUT) || is(&answer, "no");
        let words = if plain { String::new() } else { format!(" The person says: {answer}") };
        Err(ToolOutcome::error(format!(
            "It is not known whether this was done: the {ended} ended after the call was handed out and before \
             its end was seen, and what it printed is lost. It was not run again.{words} Look at what is there \
             before you rely on it or do it again."
        ))
        .details(json!({ "doubt": true })))
    }

    /// Whether a program of this name runs, or ran and is kept.
    async fn is_known(&self, run_id: &str) -> bool {
        let programs = self.conversation.around.shell.list().await;
        programs.is_ok_and(|all| all.iter().any(|program| program.id == run_id))
    }

    /// Writes down, on disk, that a call begins of which nobody else would know.
    async fn note_start(&self, run_id: &str) -> Result<(), ToolOutcome> {
        let intents = &self.conversation.around.intents;
        let name = start_of(run_id);
        let before = intents.recorded(&name).await;
        let began = before.as_ref().and_then(|start| start["began"].as_u64()).unwrap_or(0) + 1;
        if before.is_some() {
            intents.forget(&name).await;
        }
        intents.record(&name, &json!({ "began": began })).await.map_err(ToolOutcome::error)
    }

    async fn ask_person(&self, question: Question) -> Result<Answer, ToolOutcome> {
        let audience = Audience(Arc::clone(&self.conversation));
        let answer = audience.put(question, &self.cancel).await;
        answer.ok_or_else(|| ToolOutcome::cancelled(WITHDRAWN))
    }
}

/// Where the start of a call is noted, beside what the call itself records.
pub(super) fn start_of(run_id: &str) -> String {
    format!("{run_id}.start")
}

fn arguments(call: &ToolCall) -> Value {
    Value::Object(call.arguments.clone())
}

fn denied(name: &str, about: &str, rule: &Rule) -> ToolOutcome {
    let argument =
        rule.argument.as_deref().map(|argument| format!(" `{argument}`")).unwrap_or_default();
    let reason =
        rule.reason.as_deref().map(|reason| format!(" Reason: {reason}")).unwrap_or_default();
    let text = format!(
        "The rules of this project do not allow `{name}` for `{}` (rule: deny `{}`{argument}).{reason} It was not \
         done. Find a way that they allow, or tell the person what you would need.",
        shortened(about),
        rule.tool
    );
    ToolOutcome::error(text).details(json!({ "denied": true, "rule": rule }))
}

fn out_of_bounds(why: &PathDenied) -> ToolOutcome {
    let text = format!(
        "{why}. It was not done: this machine is a plain folder without walls (backend `host`), and tools for \
         files keep to the project's part of it. Do it within the project, or tell the person what you would need."
    );
    ToolOutcome::error(text).details(json!({ "denied": true }))
}

fn shortened(about: &str) -> String {
    match about.char_indices().nth(ABOUT_CHARS_MAX) {
        Some((at, _)) => format!("{} …", &about[..at]),
        None => about.to_owned(),
    }
}
