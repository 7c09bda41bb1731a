//! Tool `ls`: what is in a folder.

use crate::{
    about::{About, Again},
    arguments::Arguments,
    blocking::blocking,
    host::{Tool, ToolContext},
    outcome::{STOPPED, ToolOutcome},
    output::head,
    paths::{explain, resolve, shown},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use toft_model::tool::ToolSpec;

/// Entries at most (Pi: 500).
const ENTRIES_MAX: usize = 500;

/// See the module.
pub(crate) struct Ls;

#[async_trait]
impl Tool for Ls {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "ls".into(),
            description: "List a folder, hidden entries too; folders end with /.".into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "path": { "type": "string" },
                    "limit": { "type": "integer" }
                }
            }),
        }
    }

    fn about(&self, arguments: &Value) -> About {
        About::path(arguments)
    }

    fn again(&self, _arguments: &Value) -> Again {
        Again::Safe
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let parsed = Arguments::new("ls", &["path", "limit"], arguments)
            .and_then(|a| Ok((a.optional_text("path")?.unwrap_or_default(), a.count("limit")?)));
        let (path, limit) = match parsed {
            Ok((path, limit)) => (path, limit.unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX)),
            Err(refused) => return refused.into(),
        };
        let folder = resolve(ctx, &path);
        let name = shown(ctx, &folder);
        let cancel = ctx.cancel.clone();
        let read = blocking(move || {
            std::fs::read_dir(&folder).map(|entries| {
                let mut names: Vec<String> = entries
                    .take_while(|_| !cancel.is_cancelled())
                    .filter_map(Result::ok)
                    .map(|entry| {
                        // A link to a folder is shown as one.
                        let slash = if entry.path().is_dir() { "/" } else { "" };
                        format!("{}{slash}", entry.file_name().to_string_lossy())
                    })
                    .collect();
                names.sort_by_cached_key(|name| (name.to_lowercase(), name.clone()));
                names
            })
        });
        // A file system that does not answer holds the thread, not the call.
        let read = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return ToolOutcome::cancelled(STOPPED),
            read = read => read,
        };
        let names = match read {
            Ok(Ok(names)) => names,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotADirectory => {
                return ToolOutcome::error(format!("{name} is a file. Use read to see it."));
            }
            Ok(Err(error)) => return ToolOutcome::error(explain(&error, &name)),
            Err(_) => return ToolOutcome::error("Listing failed."),
        };
        if names.is_empty() {
            return ToolOutcome::text("(empty)");
        }
        let limited = head(names.iter().map(String::as_str), limit);
        let note = if limited.limit.is_some() {
            format!(
                "\n\n[{} of {} entries. Use find or bash for the rest.]",
                limited.lines,
                names.len()
            )
        } else {
            String::new()
        };
        ToolOutcome::text(format!("{}{note}", limited.text))
            .details(json!({ "path": name, "entries": names.len() }))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[tokio::test]
    async fn a_folder_is_listed_in_order() {
        let bench = Bench::new();
        assert_eq!(bench.call("ls", json!({})).await.said(), "(empty)");
        bench.write("b", "");
        bench.write("A/x", "");
        bench.write(".c", "");
        assert_eq!(bench.call("ls", json!({})).await.said(), ".c\nA/\nb");
        assert_eq!(bench.call("ls", json!({"path": "A"})).await.said(), "x");
        let said = bench.call("ls", json!({"limit": 2})).await.said();
        assert_eq!(said, ".c\nA/\n\n[2 of 3 entries. Use find or bash for the rest.]");
    }

    #[tokio::test]
    async fn what_is_no_folder_is_explained() {
        let bench = Bench::new();
        bench.write("f", "");
        let file = bench.call("ls", json!({"path": "f"})).await;
        assert!(file.is_error && file.said().contains("is a file"), "{}", file.said());
        let none = bench.call("ls", json!({"path": "none"})).await;
        assert!(none.is_error && none.said().contains("does not exist"));
    }
}
