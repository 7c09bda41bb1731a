//! Chooses the script by the words of the prompt, and what is the same for all of them: what was said
//! meanwhile, tools that are not there, work that a person wants to end.

use super::{app, count, fix, intro, plan, question, run, say::Say, summary, turn::Turn};
use crate::ask::ModelRequest;

/// What the model says next.
pub(super) fn next(request: &ModelRequest) -> Say {
    let turn = Turn::of(&request.messages);
    if request.tools.is_empty() {
        return summary::next(request, &turn);
    }
    if turn.steering.iter().any(|said| is_stop(said)) {
        return Say::text("All right, I stop here.").after(&heard(&turn));
    }
    let say = if turn.plans {
        plan::next(&turn, is_repair(&turn.prompt))
    } else {
        script(&turn.prompt, &request.model.id)(&turn, request)
    };
    let missing: Vec<&str> =
        say.tools().filter(|tool| request.tools.iter().all(|t| t.name != *tool)).collect();
    let say = if missing.is_empty() {
        say
    } else {
        Say::text(format!(
            "I cannot go on: this piece of work needs the tool `{}`, which is not offered here.",
            missing[0]
        ))
    };
    if turn.steering.is_empty() { say } else { say.after(&heard(&turn)) }
}

type Script = fn(&Turn<'_>, &ModelRequest) -> Say;

fn script(prompt: &str, model: &str) -> Script {
    let words = prompt.to_lowercase();
    let has = |list: &[&str]| list.iter().any(|w| contains_word(&words, w));
    if run::command(prompt).is_some() {
        run::next
    } else if has(&["ask", "question", "choose", "which"]) {
        question::next
    } else if has(&["long", "count", "slow", "turns"]) {
        count::next
    } else if is_repair(prompt) {
        fix::next
    } else if has(&[
        "app", "to-do", "todo", "todos", "build", "task", "tasks", "website", "site", "page",
        "start", "restart",
    ]) {
        app::next
    } else {
        match model {
            "fix" => fix::next,
            "ask" => question::next,
            "long" => count::next,
            _ => intro::next,
        }
    }
}

/// Whether it asks for something to be mended.
fn is_repair(prompt: &str) -> bool {
    let words = prompt.to_lowercase();
    ["fix", "bug", "failing", "fails", "test", "tests", "mend", "repair", "broken"]
        .iter()
        .any(|word| contains_word(&words, word))
}

/// Whether a word stands in a text between things that are no letters.
fn contains_word(text: &str, word: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(word).any(|(at, _)| {
        edge(text[..at].chars().next_back()) && edge(text[at + word.len()..].chars().next())
    })
}

fn is_stop(said: &str) -> bool {
    let words = said.to_lowercase();
    words.len() < 60 && ["stop", "enough", "cancel"].iter().any(|w| contains_word(&words, w))
}

/// Characters of a person's words that are repeated.
const HEARD_CHARS_MAX: usize = 200;

fn heard(turn: &Turn<'_>) -> String {
    let said: Vec<String> = turn
        .steering
        .iter()
        .map(|text| {
            let short: String = text.trim().chars().take(HEARD_CHARS_MAX).collect();
            let dots = if short.len() < text.trim().len() { "…" } else { "" };
            format!("“{short}{dots}”")
        })
        .collect();
    format!(
        "You said {} while I worked. A real model would weigh that now; this scripted demo only \
         takes note of it.",
        said.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whole() {
        assert!(contains_word("fix it", "fix"));
        assert!(contains_word("a to-do, please", "to-do"));
        assert!(!contains_word("prefix", "fix"));
        assert!(!contains_word("happy", "app"));
        assert!(contains_word("éapp app", "app"));
    }
}
