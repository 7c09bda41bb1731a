//! Plans as a list in Markdown: the list that is called one, else the longest numbered one, else the longest.

use toft_model::plan::{Plan, PlanTodo};

/// What a heading or a sentence before a list of steps has in it.
const NAMES: [&str; 5] = ["plan", "step", "todo", "to do", "task"];

/// A run of items without other text between them.
#[derive(Default)]
struct Group {
    todos: Vec<PlanTodo>,
    numbered: bool,
    named: bool,
}

/// One line.
enum Line<'a> {
    Item { indent: usize, numbered: bool, text: &'a str },
    Blank,
    Words { indent: usize, text: &'a str },
}

/// The list in a text, if there is one.
pub(super) fn read(text: &str) -> Option<Plan> {
    let mut groups: Vec<Group> = Vec::new();
    let mut summary = String::new();
    let mut summary_ended = false;
    // The last words before a list, and whether a list is open, at which indent.
    let mut before = String::new();
    let mut open: Option<usize> = None;
    let mut fenced = false;
    for raw in text.lines() {
        if raw.trim_start().starts_with("```") || raw.trim_start().starts_with("~~~") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        match line(raw) {
            Line::Item { indent, numbered, text } => {
                let top = *open.get_or_insert_with(|| {
                    let name = before.to_lowercase();
                    let named = NAMES.iter().any(|known| name.contains(known));
                    groups.push(Group { numbered, named, ..Group::default() });
                    indent
                });
                summary_ended = true;
                let todos = &mut groups.last_mut()?.todos;
                match todos.last_mut().filter(|_| indent > top + 1) {
                    Some(todo) => add(todo, &format!("- {text}")),
                    None => todos.push(item(text)),
                }
            }
            Line::Blank => summary_ended |= !summary.is_empty(),
            Line::Words { indent, text } => {
                let todo = groups.last_mut().and_then(|group| group.todos.last_mut());
                if let (Some(top), Some(todo)) = (open, todo)
                    && indent > top
                {
                    add(todo, text);
                    continue;
                }
                open = None;
                text.clone_into(&mut before);
                if !summary_ended && !text.starts_with('#') {
                    if !summary.is_empty() {
                        summary.push(' ');
                    }
                    summary.push_str(text);
                }
            }
        }
    }
    let rank = |group: &Group| (group.named, group.numbered, group.todos.len());
    // Of two of a kind the first.
    let group = groups.into_iter().rev().max_by_key(rank)?;
    Some(Plan { summary, todos: group.todos })
}

fn line(raw: &str) -> Line<'_> {
    let text = raw.trim_start();
    let indent = raw.len() - text.len();
    let text = text.trim_end();
    if text.is_empty() {
        return Line::Blank;
    }
    let bullet = ['-', '*', '+', '•'].iter().find_map(|mark| text.strip_prefix(*mark));
    if let Some(rest) = bullet.filter(|rest| rest.starts_with([' ', '\t'])) {
        return Line::Item { indent, numbered: false, text: unboxed(rest.trim_start()) };
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let numbered = (1..=3).contains(&digits).then(|| &text[digits..]);
    let rest = numbered.and_then(|rest| rest.strip_prefix(['.', ')']));
    if let Some(rest) = rest.filter(|rest| rest.starts_with([' ', '\t'])) {
        return Line::Item { indent, numbered: true, text: unboxed(rest.trim_start()) };
    }
    Line::Words { indent, text }
}

/// Without the box of a list of tasks.
fn unboxed(text: &str) -> &str {
    let boxes = ["[ ]", "[x]", "[X]"];
    boxes.iter().find_map(|b| text.strip_prefix(b)).unwrap_or(text).trim_start()
}

/// `**Title**: details`, or a title alone.
fn item(text: &str) -> PlanTodo {
    let split = text.strip_prefix("**").and_then(|rest| rest.split_once("**"));
    let (title, details) = match split {
        Some((title, rest)) => {
            (title.trim_end_matches(':'), rest.trim_start_matches([':', ' ', '-', '–', '—']))
        }
        None => (text, ""),
    };
    let details = Some(details.to_owned()).filter(|details| !details.is_empty());
    PlanTodo { title: plain(title), details, ..PlanTodo::default() }
}

fn add(todo: &mut PlanTodo, line: &str) {
    let details = todo.details.get_or_insert_default();
    if !details.is_empty() {
        details.push('\n');
    }
    details.push_str(line);
}

/// A line without the marks of Markdown around it.
pub(super) fn plain(line: &str) -> String {
    line.trim().trim_start_matches(['#', '>', ' ']).replace("**", "").trim().to_owned()
}
