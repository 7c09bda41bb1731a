//! Tool `grep`: text in files.

use crate::{
    about::{About, Again},
    arguments::{Arguments, Refused},
    blocking::blocking,
    host::{Tool, ToolContext},
    outcome::{STOPPED, ToolOutcome},
    output::{BYTES_MAX, cut_at_char},
    paths::{explain, open_as_regular, resolve, shown},
    walk,
};
use async_trait::async_trait;
use globset::GlobMatcher;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkMatch};
use serde_json::{Value, json};
use std::{
    cell::RefCell,
    fmt::Write as _,
    fs::File,
    io,
    path::{Path, PathBuf},
};
use toft_model::tool::ToolSpec;
use tokio_util::sync::CancellationToken;

/// Matches at most (Pi: 100).
const MATCHES_MAX: usize = 100;

/// Bytes of one line that are shown (Pi: 500 characters).
const LINE_BYTES_MAX: usize = 500;

/// Memory of one search at most: what a line may have.
const HEAP_BYTES_MAX: usize = 64 << 20;

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
                "Search files for a regular expression (Rust syntax). Leaves out binary files \
                          and what .gitignore names."
                    .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "pattern": { "type": "string" },
                    "path": { "type": "string" },
                    "glob": { "type": "string", "description": "Like *.ts" },
                    "ignoreCase": { "type": "boolean" },
                    "literal": { "type": "boolean", "description": "No expression" },
                    "context": { "type": "integer", "description": "Lines around" },
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
        let order = match parse(ctx, arguments) {
            Ok(order) => order,
            Err(refused) => return refused.into(),
        };
        let name = shown(ctx, &order.root);
        // A file system that does not answer holds the thread, not the call.
        let searched = tokio::select! {
            searched = blocking(move || search(&order)) => searched,
            () = ctx.cancel.cancelled() => Ok(Ok(None)),
        };
        match searched {
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
    let mut found = Found { limit: order.limit, ..Found::default() };
    if std::fs::metadata(&order.root)?.is_file() {
        if let Some(hits) = Hits::of(order, &order.root) {
            found.add(&order.cwd, &order.root, hits);
        }
        return Ok((!order.cancel.is_cancelled()).then_some(found));
    }
    let first = walk::first(&order.root, order.limit, &order.cancel, |entry| {
        let path = entry.path();
        let below = path.strip_prefix(&order.root).unwrap_or(path);
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        let is_wanted = is_file && order.glob.as_ref().is_none_or(|glob| glob.is_match(below));
        let hits = is_wanted.then(|| Hits::of(order, path)).flatten()?;
        Some((hits.matches, hits))
    });
    if first.stopped {
        return Ok(None);
    }
    for (path, hits) in first.found {
        found.add(&order.cwd, &path, hits);
    }
    Ok(Some(found))
}

/// Lines of one file.
#[derive(Default)]
struct Hits {
    lines: Vec<Line>,
    matches: usize,
    bytes: usize,
    matches_max: usize,
}

struct Line {
    /// None for the mark between lines that are apart.
    number: Option<u64>,
    is_match: bool,
    text: String,
}

impl Hits {
    /// What is found in a file, at most one match more than is shown; `None` when there is nothing.
    fn of(order: &Order, path: &Path) -> Option<Self> {
        thread_local! {
            static SEARCHER: RefCell<Option<(usize, Searcher)>> = const { RefCell::new(None) };
        }
        // What may not be read is passed over, as grep does.
        let file = open_as_regular(path).ok()?;
        let mut hits = Self { matches_max: order.limit + 1, ..Self::default() };
        // Its buffers are for all files of a thread.
        SEARCHER.with_borrow_mut(|kept| {
            if kept.as_ref().is_none_or(|(context, _)| *context != order.context) {
                *kept = Some((order.context, searcher(order.context)));
            }
            let Some((_, searcher)) = kept else { return };
            let source = Source { file, cancel: &order.cancel };
            let _ = searcher.search_reader(&order.matcher, source, &mut hits);
        });
        (hits.matches > 0).then_some(hits)
    }

    fn take(&mut self, number: Option<u64>, is_match: bool, bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * LINE_BYTES_MAX)]);
        let text = text.trim_end_matches(['\n', '\r']);
        let short = cut_at_char(text, LINE_BYTES_MAX);
        let dots = if short.len() < text.len() { "…" } else { "" };
        self.bytes += short.len();
        self.lines.push(Line { number, is_match, text: format!("{short}{dots}") });
        self.matches += usize::from(is_match);
        self.matches < self.matches_max && self.bytes <= BYTES_MAX
    }
}

fn searcher(context: usize) -> Searcher {
    SearcherBuilder::new()
        .line_number(true)
        .before_context(context)
        .after_context(context)
        .binary_detection(BinaryDetection::quit(b'\0'))
        .heap_limit(Some(HEAP_BYTES_MAX))
        .build()
}

/// A file whose end comes when a person stops the search.
struct Source<'a> {
    file: File,
    cancel: &'a CancellationToken,
}

impl io::Read for Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() { Ok(0) } else { self.file.read(buf) }
    }
}

impl Sink for Hits {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, line: &SinkMatch<'_>) -> Result<bool, io::Error> {
        Ok(self.take(line.line_number(), true, line.bytes()))
    }

    fn context(&mut self, _: &Searcher, line: &SinkContext<'_>) -> Result<bool, io::Error> {
        Ok(self.take(line.line_number(), false, line.bytes()))
    }

    fn context_break(&mut self, _: &Searcher) -> Result<bool, io::Error> {
        self.lines.push(Line { number: None, is_match: false, text: "--".into() });
        Ok(true)
    }
}

/// Lines that are shown, within bounds.
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
    fn add(&mut self, cwd: &Path, path: &Path, hits: Hits) {
        let name = path.strip_prefix(cwd).unwrap_or(path).display().to_string();
        let before = self.matches;
        for line in hits.lines {
            let line_text = match line.number {
                None => format!("{}\n", line.text),
                Some(number) => {
                    let mark = if line.is_match { ':' } else { '-' };
                    format!("{name}{mark}{number}{mark} {}\n", line.text)
                }
            };
            self.more |= (line.is_match && self.matches == self.limit)
                || self.text.len() + line_text.len() > BYTES_MAX;
            if self.more {
                break;
            }
            self.text.push_str(&line_text);
            self.matches += usize::from(line.is_match);
            self.cut_line |= line.text.ends_with('…');
        }
        self.files += usize::from(self.matches > before);
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
