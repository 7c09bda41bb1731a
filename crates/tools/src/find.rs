//! Tool `find`: files by name.

use crate::{
    about::{About, Again},
    arguments::Arguments,
    blocking::blocking,
    host::{Tool, ToolContext},
    outcome::{STOPPED, ToolOutcome},
    output::{BYTES_MAX, head},
    paths::{explain, resolve, shown},
    walk,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{
    io,
    path::{Path, PathBuf},
};
use toft_model::tool::ToolSpec;

/// Results at most (Pi: 1,000).
const RESULTS_MAX: usize = 1_000;

/// See the module.
pub(crate) struct Find;

#[async_trait]
impl Tool for Find {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "find".into(),
            description:
                "Find files and folders by a glob like *.ts or src/**/*.rs. Leaves out what \
                          .gitignore names."
                    .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "pattern": { "type": "string" },
                    "path": { "type": "string" },
                    "limit": { "type": "integer" }
                },
                "required": ["pattern"]
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
        let parsed =
            Arguments::new("find", &["pattern", "path", "limit"], arguments).and_then(|a| {
                let glob = walk::glob(&a.some_text("pattern", "a glob for the path")?);
                Ok((glob, a.optional_text("path")?.unwrap_or_default(), a.count("limit")?))
            });
        let (glob, path, limit) = match parsed {
            Ok((Ok(glob), path, limit)) => (glob, path, limit.unwrap_or(RESULTS_MAX)),
            Ok((Err(reason), ..)) => return ToolOutcome::error(reason),
            Err(refused) => return refused.into(),
        };
        let root = resolve(ctx, &path);
        let name = shown(ctx, &root);
        let limit = limit.min(RESULTS_MAX);
        let cancel = ctx.cancel.clone();
        let work = blocking(move || {
            std::fs::read_dir(&root)?;
            let is_folder =
                |entry: &ignore::DirEntry| entry.file_type().is_some_and(|t| t.is_dir());
            let below = |path: &Path| path.strip_prefix(&root).unwrap_or(path).to_owned();
            let found = walk::first(&root, limit, &cancel, |entry| {
                glob.is_match(below(entry.path())).then(|| (1, is_folder(entry)))
            });
            let name = |(path, is_folder): &(PathBuf, bool)| {
                format!("{}{}", below(path).display(), if *is_folder { "/" } else { "" })
            };
            Ok::<_, io::Error>(
                (!found.stopped).then(|| found.found.iter().map(name).collect::<Vec<_>>()),
            )
        });
        // A file system that does not answer holds the thread, not the call.
        let found = tokio::select! {
            found = work => found,
            () = ctx.cancel.cancelled() => Ok(Ok(None)),
        };
        match found {
            Ok(Ok(Some(found))) => told(&found, limit),
            Ok(Err(error)) => ToolOutcome::error(explain(&error, &name)),
            Ok(Ok(None)) => ToolOutcome::cancelled(STOPPED),
            Err(_) => ToolOutcome::error("Searching failed."),
        }
    }
}

fn told(found: &[String], limit: usize) -> ToolOutcome {
    if found.is_empty() {
        return ToolOutcome::text("Nothing matches.");
    }
    let limited = head(found.iter().map(String::as_str), limit);
    let note = match limited.limit {
        None => "",
        Some("lines") => "\n\n[There are more. Narrow the pattern or raise limit.]",
        Some(_) => "\n\n[There are more than 50 KB of results. Narrow the pattern.]",
    };
    debug_assert!(limited.text.len() <= BYTES_MAX);
    ToolOutcome::text(format!("{}{note}", limited.text))
        .details(json!({ "results": limited.lines, "truncated": limited.limit.is_some() }))
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[tokio::test]
    async fn globs_find_what_people_mean() {
        let bench = Bench::new();
        for path in [
            "a.rs",
            "src/b.rs",
            "src/deep/c.rs",
            "src/d.txt",
            ".hidden.rs",
            "target/e.rs",
            ".git/f.rs",
        ] {
            bench.write(path, "");
        }
        bench.write(".gitignore", "target\n");
        let check = async |arguments, expected: &str| {
            assert_eq!(bench.call("find", arguments).await.said(), expected);
        };
        check(json!({"pattern": "*.rs"}), ".hidden.rs\na.rs\nsrc/b.rs\nsrc/deep/c.rs").await;
        check(json!({"pattern": "src/*.rs"}), "src/b.rs").await;
        check(json!({"pattern": "**/deep"}), "src/deep/").await;
        check(json!({"pattern": "*.rs", "path": "src"}), "b.rs\ndeep/c.rs").await;
        check(json!({"pattern": "*.py"}), "Nothing matches.").await;
        check(json!({"pattern": "*.{txt,md}"}), "src/d.txt").await;
        check(
            json!({"pattern": "*.rs", "limit": 1}),
            ".hidden.rs\n\n[There are more. Narrow the pattern or raise limit.]",
        )
        .await;
    }

    #[tokio::test]
    async fn what_cannot_be_searched_is_explained() {
        let bench = Bench::new();
        let outcome = bench.call("find", json!({"pattern": "*", "path": "none"})).await;
        assert!(outcome.is_error && outcome.said().contains("none does not exist"));
        let outcome = bench.call("find", json!({"pattern": "["})).await;
        assert!(outcome.is_error && outcome.said().contains("is no glob"), "{}", outcome.said());
    }
}
