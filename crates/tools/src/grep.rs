//! Tool `grep`: text in files.

use crate::{
    arguments::{Arguments, Refused},
    host::{Tool, ToolContext},
    outcome::{STOPPED, ToolOutcome},
    output::{BYTES_MAX, cut_at_char},
    paths::{explain, resolve, shown},
    walk,
};
use async_trait::async_trait;
use globset::GlobMatcher;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkMatch};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};
use toft_model::tool::ToolSpec;
use tokio_util::sync::CancellationToken;

/// Matches at most (Pi: 100).
const MATCHES_MAX: usize = 100;

/// Bytes of one line that are shown (Pi: 500 characters).
const LINE_BYTES_MAX: usize = 500;

/// Lines around a match at most.
const CONTEXT_MAX: usize = 50;

/// See the module.
pub(crate) struct Grep;

#[async_trait]
impl Tool for Grep {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "grep".into(),
            description:
                "Search files for a regular expression (Rust syntax) or literal text. Leaves \
                          out binary files and what .gitignore names."
                    .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "pattern": { "type": "string" },
                    "path": { "type": "string", "description": "File or folder; the project's folder by default" },
                    "glob": { "type": "string", "description": "Only files that match, such as *.ts" },
                    "ignoreCase": { "type": "boolean" },
                    "literal": { "type": "boolean", "description": "Take the pattern as plain text" },
                    "context": { "type": "integer", "description": "Lines around each match" },
                    "limit": { "type": "integer", "description": "Matches at most, 100 by default" }
                },
                "required": ["pattern"],
                "additionalProperties": false
            }),
        }
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let order = match parse(ctx, arguments) {
            Ok(order) => order,
            Err(refused) => return refused.into(),
        };
        let name = shown(ctx, &order.root);
        match tokio::task::spawn_blocking(move || search(&order)).await {
            Ok(Ok(Some(found))) => found.outcome(),
            Ok(Ok(None)) => ToolOutcome::cancelled(STOPPED),
            Ok(Err(error)) => ToolOutcome::error(explain(&error, &name)),
            Err(_) => ToolOutcome::error("Searching failed."),
        }
    }
}

struct Order {
    matcher: RegexMatcher,
    root: PathBuf,
    cwd: PathBuf,
    glob: Option<GlobMatcher>,
    context: usize,
    limit: usize,
    cancel: CancellationToken,
}

fn parse(ctx: &ToolContext, arguments: Value) -> Result<Order, Refused> {
    let names = &["pattern", "path", "glob", "ignoreCase", "literal", "context", "limit"];
    let args = Arguments::new("grep", names, arguments)?;
    let pattern = args.text("pattern", "what to search for")?;
    if pattern.is_empty() {
        return Err(Refused::new("The argument `pattern` of grep is empty."));
    }
    let literal = args.flag("literal")?;
    let matcher = RegexMatcherBuilder::new()
        .case_insensitive(args.flag("ignoreCase")?)
        .fixed_strings(literal)
        .line_terminator(Some(b'\n'))
        .build(&pattern)
        .map_err(|error| {
            Refused::new(format!(
                "{pattern:?} cannot be searched for: {error}. Set literal to search for it as text."
            ))
        })?;
    let glob = args.optional_text("glob")?.map(|glob| walk::glob(&glob)).transpose();
    Ok(Order {
        matcher,
        root: resolve(ctx, &args.optional_text("path")?.unwrap_or_default()),
        cwd: ctx.cwd.clone(),
        glob: glob.map_err(Refused::new)?,
        context: args.count_from_zero("context")?.unwrap_or(0).min(CONTEXT_MAX),
        limit: args.count("limit")?.unwrap_or(MATCHES_MAX).min(MATCHES_MAX),
        cancel: ctx.cancel.clone(),
    })
}

/// What was found; `None` when a person stopped it.
fn search(order: &Order) -> io::Result<Option<Found>> {
    let mut searcher = SearcherBuilder::new()
        .line_number(true)
        .before_context(order.context)
        .after_context(order.context)
        .binary_detection(BinaryDetection::quit(b'\0'))
        .build();
    let mut found = Found { limit: order.limit, ..Found::default() };
    if std::fs::metadata(&order.root)?.is_file() {
        found.file(&mut searcher, order, &order.root);
        return Ok(Some(found));
    }
    for entry in walk::entries(&order.root) {
        if order.cancel.is_cancelled() {
            return Ok(None);
        }
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        let below = path.strip_prefix(&order.root).unwrap_or(path);
        if order.glob.as_ref().is_none_or(|glob| glob.is_match(below)) {
            found.file(&mut searcher, order, path);
        }
        if found.more {
            break;
        }
    }
    Ok(Some(found))
}

/// Lines that were found, within bounds.
#[derive(Default)]
struct Found {
    text: String,
    matches: usize,
    files: usize,
    limit: usize,
    /// There is more than the bounds allow.
    more: bool,
    cut_line: bool,
}

impl Found {
    fn file(&mut self, searcher: &mut Searcher, order: &Order, path: &Path) {
        let name = path.strip_prefix(&order.cwd).unwrap_or(path).display().to_string();
        let before = self.matches;
        // What may not be read is passed over, as grep does.
        let _ = searcher.search_path(&order.matcher, path, Lines { found: self, name: &name });
        self.files += usize::from(self.matches > before);
    }

    /// False when it does not fit.
    fn line(&mut self, name: &str, number: Option<u64>, mark: char, bytes: &[u8]) -> bool {
        let line = String::from_utf8_lossy(bytes);
        let line = line.trim_end_matches(['\n', '\r']);
        let short = cut_at_char(line, LINE_BYTES_MAX);
        let dots = if short.len() < line.len() { "…" } else { "" };
        self.cut_line |= !dots.is_empty();
        let number = number.unwrap_or_default();
        let line = format!("{name}{mark}{number}{mark} {short}{dots}\n");
        if self.text.len() + line.len() > BYTES_MAX {
            self.more = true;
            return false;
        }
        self.text.push_str(&line);
        true
    }

    fn outcome(self) -> ToolOutcome {
        if self.matches == 0 {
            return ToolOutcome::text("Nothing matches.");
        }
        let mut text = self.text.trim_end().to_owned();
        if self.more {
            let _ = write!(
                text,
                "\n\n[The first {} matches; there are more. Narrow the pattern, path or glob.]",
                self.matches
            );
        }
        if self.cut_line {
            text.push_str("\n\n[Lines ending with … are longer. Use read to see them whole.]");
        }
        ToolOutcome::text(text).details(json!({
            "matches": self.matches, "files": self.files, "truncated": self.more
        }))
    }
}

/// Takes the lines of one file.
struct Lines<'a> {
    found: &'a mut Found,
    name: &'a str,
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, line: &SinkMatch<'_>) -> Result<bool, io::Error> {
        if self.found.matches == self.found.limit {
            self.found.more = true;
            return Ok(false);
        }
        let fits = self.found.line(self.name, line.line_number(), ':', line.bytes());
        self.found.matches += usize::from(fits);
        Ok(fits)
    }

    fn context(&mut self, _: &Searcher, line: &SinkContext<'_>) -> Result<bool, io::Error> {
        Ok(self.found.line(self.name, line.line_number(), '-', line.bytes()))
    }

    fn context_break(&mut self, _: &Searcher) -> Result<bool, io::Error> {
        self.found.text.push_str("--\n");
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[tokio::test]
    async fn text_is_found_where_it_is() {
        let bench = Bench::new();
        bench.write("a.rs", "fn one() {}\nfn two() {}\n// a.b\n");
        bench.write("src/b.txt", "FN one\naxb\n");
        bench.write("target/c.rs", "fn one\n");
        bench.write(".gitignore", "target/\n");
        bench.write_bytes("d.bin", b"fn one\0\n");
        let check = async |arguments, expected: &str| {
            assert_eq!(bench.call("grep", arguments).await.said(), expected);
        };
        check(json!({"pattern": r"fn \w+"}), "a.rs:1: fn one() {}\na.rs:2: fn two() {}").await;
        check(
            json!({"pattern": "fn one", "ignoreCase": true}),
            "a.rs:1: fn one() {}\nsrc/b.txt:1: FN one",
        )
        .await;
        check(json!({"pattern": "a.b", "literal": true}), "a.rs:3: // a.b").await;
        check(json!({"pattern": "a.b", "glob": "*.txt"}), "src/b.txt:2: axb").await;
        check(json!({"pattern": "axb", "path": "src"}), "src/b.txt:2: axb").await;
        check(
            json!({"pattern": "two", "path": "a.rs", "context": 1}),
            "a.rs-1- fn one() {}\na.rs:2: fn two() {}\na.rs-3- // a.b",
        )
        .await;
        check(json!({"pattern": "nowhere"}), "Nothing matches.").await;
    }

    #[tokio::test]
    async fn results_are_bounded() {
        let bench = Bench::new();
        bench.write("many", &"hit\n".repeat(500));
        let outcome = bench.call("grep", json!({"pattern": "hit"})).await;
        assert!(
            outcome.said().contains("many:100: hit\n\n[The first 100 matches"),
            "{}",
            outcome.said()
        );
        let few = bench.call("grep", json!({"pattern": "hit", "limit": 2})).await.said();
        assert!(few.starts_with("many:1: hit\nmany:2: hit\n\n[The first 2"), "{few}");
        bench.write("long", &format!("needle {}\n", "é".repeat(2_000)));
        let said = bench.call("grep", json!({"pattern": "needle"})).await.said();
        assert!(said.len() < 700 && said.contains('…'), "{said}");
        bench.write("wide", &format!("wide {}\n", "x".repeat(490)).repeat(150));
        let wide = bench.call("grep", json!({"pattern": "wide", "context": 20})).await.said();
        assert!(wide.len() < 52_000 && wide.contains("there are more"), "{}", wide.len());
    }

    #[tokio::test]
    async fn what_cannot_be_searched_is_explained() {
        let bench = Bench::new();
        let bad = bench.call("grep", json!({"pattern": "("})).await;
        assert!(bad.is_error && bad.said().contains("Set literal"), "{}", bad.said());
        let none = bench.call("grep", json!({"pattern": "x", "path": "none"})).await;
        assert!(none.is_error && none.said().contains("none does not exist"));
    }
}
