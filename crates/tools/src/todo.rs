//! Tool `todo`: the list that the agent works through, shown to people. The list lies in the result's
//! details and nowhere else: who replays a conversation has it ([`TodoItem::list_in`]).

use crate::{
    about::Again,
    arguments::{Arguments, Refused},
    host::{Tool, ToolContext},
    outcome::ToolOutcome,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use toft_model::tool::{TodoItem, TodoStatus, ToolSpec};

/// Items at most; more are no overview.
const ITEMS_MAX: usize = 100;

/// Bytes of one item.
const CONTENT_BYTES_MAX: usize = 500;

/// See the module.
pub(crate) struct Todo;

#[async_trait]
impl Tool for Todo {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "todo".into(),
            description:
                "The list of steps of longer work, shown to people. Send all of it each time; at \
                          most one item is in_progress."
                    .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "items": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "content": { "type": "string" },
                                "status": { "type": "string", "enum": ["pending", "in_progress", "completed"] }
                            },
                            "required": ["content", "status"]
                        }
                    }
                },
                "required": ["items"]
            }),
        }
    }

    fn again(&self, _arguments: &Value) -> Again {
        Again::Safe
    }

    async fn run(&self, _ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let items = match parse(arguments) {
            Ok(items) => items,
            Err(refused) => return refused.into(),
        };
        let done = items.iter().filter(|item| item.status == TodoStatus::Completed).count();
        let now = items.iter().find(|item| item.status == TodoStatus::InProgress);
        let now = now.map(|item| format!(" Now: {}", item.content)).unwrap_or_default();
        ToolOutcome::text(format!("{done} of {} done.{now}", items.len()))
            .details(json!({ "items": items }))
    }
}

fn parse(arguments: Value) -> Result<Vec<TodoItem>, Refused> {
    let mut args = Arguments::new("todo", &["items"], arguments)?;
    let given = args.list("items", "the whole list")?;
    if given.len() > ITEMS_MAX {
        return Err(Refused::new(format!(
            "todo takes at most {ITEMS_MAX} items, not {}. Nothing was changed.",
            given.len()
        )));
    }
    let mut items = Vec::with_capacity(given.len());
    for (i, item) in given.into_iter().enumerate() {
        let item = match item {
            // A step without a status has not begun.
            Value::String(content) => TodoItem { content, status: TodoStatus::Pending },
            item => read(&item).ok_or_else(|| {
                Refused::new(format!(
                    "items[{i}] of todo must be {{content: text, status: pending, in_progress or \
                     completed}}, not {item}. Nothing was changed."
                ))
            })?,
        };
        if item.content.trim().is_empty() || item.content.len() > CONTENT_BYTES_MAX {
            return Err(Refused::new(format!(
                "items[{i}].content of todo must have 1 to {CONTENT_BYTES_MAX} bytes. Nothing was changed."
            )));
        }
        items.push(item);
    }
    let worked_on = items.iter().filter(|item| item.status == TodoStatus::InProgress).count();
    if worked_on > 1 {
        return Err(Refused::new(format!(
            "{worked_on} items are in_progress; at most one may be. Nothing was changed."
        )));
    }
    Ok(items)
}

/// One item, its status in any usual spelling.
fn read(item: &Value) -> Option<TodoItem> {
    let content = item.get("content")?.as_str()?.trim().to_owned();
    let status = item.get("status").and_then(Value::as_str).unwrap_or("pending");
    let status = match status.to_ascii_lowercase().replace(['-', ' '], "_").as_str() {
        "pending" | "todo" | "open" => TodoStatus::Pending,
        "in_progress" | "inprogress" | "active" | "doing" => TodoStatus::InProgress,
        "completed" | "complete" | "done" => TodoStatus::Completed,
        _ => return None,
    };
    Some(TodoItem { content, status })
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::{Value, json};
    use toft_model::tool::TodoItem;

    #[tokio::test]
    async fn the_list_lies_in_the_result() {
        let bench = Bench::new();
        let items = json!([
            {"content": "read", "status": "completed"}, {"content": "write", "status": "in_progress"},
            {"content": "test", "status": "pending"}]);
        let outcome = bench.call("todo", json!({"items": items})).await;
        assert_eq!(outcome.said(), "1 of 3 done. Now: write");
        let details = outcome.details.unwrap();
        assert_eq!(details["items"], items);
        assert_eq!(TodoItem::list_in(&details).unwrap().len(), 3);
        assert_eq!(TodoItem::list_in(&Value::Null), None);
        let loose = json!({"items": "[\"a\", {\"content\": \"b\", \"status\": \"in-progress\"}]"});
        let outcome = bench.call("todo", loose).await;
        assert_eq!(outcome.said(), "0 of 2 done. Now: b");
    }

    #[tokio::test]
    async fn a_list_that_is_not_clear_is_refused() {
        let bench = Bench::new();
        let item = |status| json!({"content": "x", "status": status});
        for (items, part) in [
            (json!([item("in_progress"), item("in_progress")]), "2 items are in_progress"),
            (json!([item("maybe")]), "items[0] of todo must be"),
            (json!([{"content": " ", "status": "pending"}]), "items[0].content"),
            (json!(7), "`items` of todo must be a list"),
            (Value::from(vec![item("pending"); 101]), "at most 100"),
        ] {
            let outcome = bench.call("todo", json!({"items": items})).await;
            assert!(outcome.is_error && outcome.said().contains(part), "{}", outcome.said());
            assert_eq!(outcome.details, None);
        }
    }
}
