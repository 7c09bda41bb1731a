//! Tool `write`: a whole file.

use crate::{
    about::{About, Again},
    arguments::Arguments,
    effect::{Before, change_one, diff_details},
    host::{Tool, ToolContext},
    locks::FileLocks,
    outcome::ToolOutcome,
    paths::{resolve, shown},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use toft_model::tool::ToolSpec;

/// Bytes of old and new content of which a diff is made.
const DIFF_INPUT_BYTES_MAX: usize = 512 << 10;

/// See the module.
pub(crate) struct Write {
    locks: Arc<FileLocks>,
}

impl Write {
    pub(crate) fn new(locks: Arc<FileLocks>) -> Self {
        Self { locks }
    }
}

#[async_trait]
impl Tool for Write {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "write".into(),
            description: "Write a whole file; makes its folders.".into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "path": { "type": "string" },
                    "content": { "type": "string" }
                },
                "required": ["path", "content"]
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
        let parsed = Arguments::new("write", &["path", "content"], arguments).and_then(|args| {
            Ok((
                args.some_text("path", "the file to write")?,
                args.text("content", "what to write")?,
            ))
        });
        let (path, content) = match parsed {
            Ok(parsed) => parsed,
            Err(refused) => return refused.into(),
        };
        let path = resolve(ctx, &path);
        let name = shown(ctx, &path);
        change_one(ctx, "write", &self.locks, &path, |before| {
            let bytes = content.len();
            let (created, mut details) = match &before {
                Before::Nothing => (true, diff(&name, "", &content)),
                Before::Content(old) => (
                    false,
                    std::str::from_utf8(old)
                        .map(|old| diff(&name, old, &content))
                        .unwrap_or_default(),
                ),
                Before::TooLarge(_) => (false, serde_json::Map::new()),
            };
            details.insert("path".into(), name.clone().into());
            details.insert("bytes".into(), bytes.into());
            details.insert("created".into(), created.into());
            let text = format!("Wrote {bytes} bytes to {name}.");
            Ok((content.into_bytes(), ToolOutcome::text(text).details(Value::Object(details))))
        })
        .await
    }
}

fn diff(name: &str, before: &str, after: &str) -> serde_json::Map<String, Value> {
    if before.len() + after.len() > DIFF_INPUT_BYTES_MAX {
        return serde_json::Map::new();
    }
    diff_details(name, before, after)
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    #[tokio::test]
    async fn a_file_and_its_folders_are_made() {
        let bench = Bench::new();
        let outcome = bench.call("write", json!({"path": "a/b/c.txt", "content": "hi\n"})).await;
        assert_eq!(outcome.said(), "Wrote 3 bytes to a/b/c.txt.");
        assert_eq!(bench.read("a/b/c.txt"), "hi\n");
        assert_eq!(outcome.changed, [bench.path("a/b/c.txt")]);
        assert_eq!(outcome.details.unwrap()["created"], true);
        assert_eq!(bench.names("a/b"), ["c.txt"]);
    }

    #[tokio::test]
    async fn mode_and_link_survive_and_people_see_the_diff() {
        let bench = Bench::new();
        bench.write("run.sh", "old\n");
        std::fs::set_permissions(bench.path("run.sh"), std::fs::Permissions::from_mode(0o755))
            .unwrap();
        symlink(bench.path("run.sh"), bench.path("link")).unwrap();
        let outcome = bench.call("write", json!({"path": "link", "content": "new\n"})).await;
        assert!(!outcome.is_error, "{}", outcome.said());
        assert_eq!(bench.read("run.sh"), "new\n");
        assert!(std::fs::symlink_metadata(bench.path("link")).unwrap().is_symlink());
        assert_eq!(std::fs::metadata(bench.path("run.sh")).unwrap().mode() & 0o777, 0o755);
        let details = outcome.details.unwrap();
        assert!(details["diff"].as_str().unwrap().contains("-old\n+new"), "{details}");
    }

    #[tokio::test]
    async fn what_is_no_file_is_left_alone() {
        let bench = Bench::new();
        bench.write("dir/x", "");
        let outcome = bench.call("write", json!({"path": "dir", "content": ""})).await;
        assert!(outcome.is_error && outcome.said().contains("is a folder"), "{}", outcome.said());
        let outcome = bench.call("write", json!({"path": "/dev/null", "content": ""})).await;
        assert!(
            outcome.is_error && outcome.said().contains("no regular file"),
            "{}",
            outcome.said()
        );
        let outcome = bench.call("write", json!({"path": "dir/x/y", "content": ""})).await;
        assert!(outcome.is_error, "{}", outcome.said());
    }

    #[tokio::test]
    async fn a_call_repeated_after_a_crash_takes_effect_once() {
        let bench = Bench::new();
        let arguments = json!({"path": "f", "content": "new"});
        // Recorded, not yet applied.
        bench.write("f", "old");
        let first = bench.call_as("run1", "write", arguments.clone()).await;
        bench.write("f", "old");
        assert_eq!(bench.call_as("run1", "write", arguments.clone()).await, first);
        assert_eq!(bench.read("f"), "new");
        // Applied, result lost.
        assert_eq!(bench.call_as("run1", "write", arguments.clone()).await, first);
        // Applied, then changed by something else: not done again.
        bench.write("f", "later");
        assert_eq!(bench.call_as("run1", "write", arguments).await, first);
        assert_eq!(bench.read("f"), "later");
    }
}
