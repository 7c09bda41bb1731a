//! Reads a plan out of an answer, however it was put: the JSON that the model was asked for, in a fence or
//! bare, with the names that models use instead; else a list in its words; else its words as one step.
//! Never fails and never gives more than [`Plan`]'s bounds; not what a plan means, or when there is one.

mod json;
mod list;
#[cfg(test)]
mod tests;

use toft_model::plan::{Plan, PlanSource, PlanTodo};

/// Steps of one plan: more are no overview, and the list of the tool `todo` takes as many.
pub const STEPS_MAX: usize = 100;

/// Bytes of a step's title: as much as an item of that list.
const TITLE_BYTES_MAX: usize = 500;

/// Bytes of a step's details, and of a summary: a page.
const TEXT_BYTES_MAX: usize = 4_000;

/// What must hold of one step.
const CRITERIA_MAX: usize = 20;

/// Bytes of an id.
const ID_BYTES_MAX: usize = 64;

/// Of a longer answer only the end is read: plans come last.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// The plan in an answer, and where it was found. `None`: the answer says nothing.
pub fn read(answer: &str) -> Option<(Plan, PlanSource)> {
    let answer = end_of(answer.trim(), ANSWER_BYTES_MAX);
    if answer.is_empty() {
        return None;
    }
    let found = [(json::read(answer), PlanSource::Json), (list::read(answer), PlanSource::List)];
    let found = found.into_iter().filter_map(|(plan, source)| Some((bounded(plan?), source)));
    // All of its steps may be empty.
    if let Some(found) = found.into_iter().find(|(plan, _)| !plan.todos.is_empty()) {
        return Some(found);
    }
    let (first, rest) = answer.split_once('\n').unwrap_or((answer, ""));
    let title = list::plain(first);
    let todo = PlanTodo {
        title: if title.is_empty() { first.to_owned() } else { title },
        details: Some(rest.to_owned()),
        ..PlanTodo::default()
    };
    let plan = Plan { summary: answer.to_owned(), todos: vec![todo] };
    Some((bounded(plan), PlanSource::Text))
}

/// A plan that a person wrote, if it is one: nothing of it is left out silently.
pub fn checked(plan: &Plan) -> Result<Plan, String> {
    if plan.todos.is_empty() {
        return Err("A plan needs at least one step in `todos`.".into());
    }
    if plan.todos.len() > STEPS_MAX {
        return Err(format!("A plan has at most {STEPS_MAX} steps, not {}.", plan.todos.len()));
    }
    if let Some(n) = plan.todos.iter().position(|todo| todo.title.trim().is_empty()) {
        return Err(format!("todos[{n}].title is empty: say what the step is."));
    }
    let tidy = bounded(plan.clone());
    let told = |plan: &Plan| {
        let step = |todo: &PlanTodo| {
            let details = todo.details.as_deref().map_or(0, |text| text.trim().len());
            let criteria = todo.acceptance_criteria.iter().map(|text| text.trim().len());
            todo.title.trim().len() + details + criteria.sum::<usize>()
        };
        plan.summary.trim().len() + plan.todos.iter().map(step).sum::<usize>()
    };
    if told(&tidy) != told(plan) {
        return Err(format!(
            "The plan is too long: a title has at most {TITLE_BYTES_MAX} bytes, details and summary \
             {TEXT_BYTES_MAX}, and a step at most {CRITERIA_MAX} acceptance criteria of {TITLE_BYTES_MAX} bytes."
        ));
    }
    Ok(tidy)
}

/// The message that has a plan carried out.
pub fn order(plan: &Plan) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("Carry out this plan. It is approved.\n");
    if !plan.summary.is_empty() {
        let _ = write!(text, "\n{}\n", plan.summary);
    }
    for (n, todo) in plan.todos.iter().enumerate() {
        let _ = write!(text, "\n{}. {}\n", n + 1, todo.title);
        for line in todo.details.iter().flat_map(|details| details.lines()) {
            let _ = writeln!(text, "   {line}");
        }
        for criterion in &todo.acceptance_criteria {
            let _ = writeln!(text, "   - Done when: {criterion}");
        }
    }
    text
}

/// The plan within its bounds, without steps that say nothing, each with an id of its own.
fn bounded(plan: Plan) -> Plan {
    let mut ids: Vec<String> = Vec::new();
    let todos = plan.todos.into_iter().filter(|todo| !todo.title.trim().is_empty());
    let todos = todos.take(STEPS_MAX).enumerate().map(|(n, todo)| {
        let mut id = todo.id.trim().to_owned();
        let mut number = n + 1;
        while id.is_empty() || id.len() > ID_BYTES_MAX || ids.contains(&id) {
            id = number.to_string();
            number += STEPS_MAX;
        }
        ids.push(id.clone());
        let criteria = todo.acceptance_criteria.iter().map(|text| short(text, TITLE_BYTES_MAX));
        PlanTodo {
            id,
            title: short(&todo.title, TITLE_BYTES_MAX),
            details: todo
                .details
                .map(|details| short(&details, TEXT_BYTES_MAX))
                .filter(|details| !details.is_empty()),
            acceptance_criteria: criteria
                .filter(|text| !text.is_empty())
                .take(CRITERIA_MAX)
                .collect(),
        }
    });
    let todos = todos.collect();
    Plan { summary: short(&plan.summary, TEXT_BYTES_MAX), todos }
}

/// At most so many bytes of it.
fn short(text: &str, bytes_max: usize) -> String {
    let text = text.trim();
    text[..text.floor_char_boundary(bytes_max)].trim_end().to_owned()
}

fn end_of(text: &str, bytes_max: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(bytes_max))..]
}
