//! Plans as JSON: `{summary, todos: [{id, title, details, acceptanceCriteria}]}`, and what models make of
//! that.

use serde_json::{Map, Value};
use std::borrow::Cow;
use toft_model::plan::{Plan, PlanTodo};

/// Places at which JSON may begin that are tried: an answer has a few.
const TRIES_MAX: usize = 64;

/// A plan inside a plan, a list of phases: no deeper.
const DEPTH_MAX: usize = 3;

const LISTS: [&str; 5] = ["todos", "tasks", "steps", "items", "phases"];
const SUMMARY: [&str; 5] = ["summary", "plan", "overview", "description", "title"];
const TITLE: [&str; 7] = ["title", "task", "todo", "name", "step", "content", "summary"];
/// Those of them that a step alone has, and no other thing.
const STEP: [&str; 4] = ["title", "task", "todo", "step"];
const DETAILS: [&str; 5] = ["details", "description", "detail", "notes", "content"];
const CRITERIA: [&str; 5] =
    ["acceptanceCriteria", "acceptance_criteria", "acceptance", "criteria", "doneWhen"];

/// The last plan in the text that is JSON.
pub(super) fn read(text: &str) -> Option<Plan> {
    let fenced = fences(text).into_iter().rev().find_map(plan_in);
    fenced.or_else(|| bare(text))
}

/// What stands between fences of backticks or tildes; the last may have no end.
fn fences(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        let trimmed = line.trim();
        match open {
            None => {
                let fence = ["```", "~~~"].into_iter().find(|fence| trimmed.starts_with(fence));
                open = fence.map(|fence| (fence, at));
            }
            Some((fence, from)) => {
                if trimmed.starts_with(fence) && trimmed.trim_start_matches(&fence[..1]).is_empty()
                {
                    blocks.push(&text[from..begin]);
                    open = None;
                }
            }
        }
    }
    if let Some((_, from)) = open {
        blocks.push(&text[from..]);
    }
    blocks
}

/// JSON without a fence: the last, and of that the outermost.
fn bare(text: &str) -> Option<Plan> {
    let mut last = None;
    let mut within = 0;
    for (at, _) in text.match_indices(['{', '[']).take(TRIES_MAX) {
        if at >= within
            && let Some((plan, bytes)) = plan_and_end(&text[at..])
        {
            last = Some(plan);
            within = at + bytes;
        }
    }
    last
}

/// The plan that a text begins with.
fn plan_in(text: &str) -> Option<Plan> {
    plan_and_end(text).map(|(plan, _)| plan)
}

/// The same, and how long it is; one that had to be mended is taken to be the rest.
fn plan_and_end(text: &str) -> Option<(Plan, usize)> {
    let (value, bytes) = parse(text)?;
    let plan = plan(&value, DEPTH_MAX).filter(|plan| !plan.todos.is_empty())?;
    Some((plan, bytes))
}

fn parse(text: &str) -> Option<(Value, usize)> {
    let first = |text: &str| {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let value = values.next()?.ok()?;
        Some((value, values.byte_offset()))
    };
    first(text).or_else(|| match mended(text) {
        Cow::Owned(mended) => first(&mended).map(|(value, _)| (value, text.len())),
        Cow::Borrowed(_) => None,
    })
}

/// Without comments and commas before a closing bracket, which models write and JSON does not have.
fn mended(text: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len());
    // One that was not written yet: it is left out before a closing bracket.
    let mut comma = false;
    let mut in_text = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if in_text {
            out.push(c);
            match c {
                '\\' => out.extend(chars.next()),
                '"' => in_text = false,
                _ => {}
            }
            continue;
        }
        if c.is_whitespace() {
            out.push(c);
            continue;
        }
        match c {
            '/' if chars.peek() == Some(&'/') => {
                while chars.peek().is_some_and(|c| *c != '\n') {
                    chars.next();
                }
                continue;
            }
            ']' | '}' => comma = false,
            _ => {}
        }
        if std::mem::replace(&mut comma, c == ',') {
            out.push(',');
        }
        if c != ',' {
            in_text = c == '"';
            out.push(c);
        }
    }
    if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

fn plan(value: &Value, depth: usize) -> Option<Plan> {
    match value {
        // A list of texts, or of things with names, may be anything; a list of steps says that they are.
        Value::Array(items) => {
            let is_step = |item: &&Value| {
                let fields = item.as_object();
                fields.is_some_and(|fields| STEP.iter().any(|key| field(fields, key).is_some()))
            };
            let todos: Vec<PlanTodo> = items.iter().filter(is_step).filter_map(todo).collect();
            (!todos.is_empty()).then(|| Plan { summary: String::new(), todos })
        }
        Value::Object(fields) => {
            let summary = text(fields, &SUMMARY).unwrap_or_default();
            let list = LISTS.iter().chain(&["plan"]).find_map(|key| field(fields, key)?.as_array());
            if let Some(items) = list {
                let todos = items.iter().filter_map(todo).collect();
                return Some(Plan { summary, todos });
            }
            let inner = ["plan", "result", "response"].iter().find_map(|key| field(fields, key));
            let inner = plan(inner.filter(|_| depth > 0)?, depth - 1)?;
            let summary = if inner.summary.is_empty() { summary } else { inner.summary };
            Some(Plan { summary, todos: inner.todos })
        }
        _ => None,
    }
}

fn todo(value: &Value) -> Option<PlanTodo> {
    match value {
        Value::String(title) => Some(PlanTodo { title: title.clone(), ..PlanTodo::default() }),
        Value::Object(fields) => {
            let (key, title) =
                TITLE.iter().find_map(|key| Some((*key, words(field(fields, key)?)?)))?;
            let details = DETAILS.iter().filter(|other| **other != key);
            let details = details.map(|key| field(fields, key)).find_map(|found| words(found?));
            let inner = LISTS.iter().find_map(|key| field(fields, key)?.as_array());
            let inner = inner.map(|items| {
                let lines = items.iter().filter_map(todo).map(|todo| format!("- {}", todo.title));
                lines.collect::<Vec<_>>().join("\n")
            });
            let details: Vec<String> = details.into_iter().chain(inner).collect();
            Some(PlanTodo {
                id: field(fields, "id").and_then(words).unwrap_or_default(),
                title,
                details: (!details.is_empty()).then(|| details.join("\n")),
                acceptance_criteria: CRITERIA
                    .iter()
                    .find_map(|key| field(fields, key))
                    .map(criteria)
                    .unwrap_or_default(),
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

fn criteria(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(words).collect(),
        other => words(other).into_iter().collect(),
    }
}

/// A field by its name in any case.
fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let same = |(key, _): &(&String, &Value)| key.eq_ignore_ascii_case(name);
    fields.get(name).or_else(|| fields.iter().find(same).map(|(_, value)| value))
}

fn text(fields: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| words(field(fields, name)?))
}

/// A value in words, if it has some.
fn words(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}
