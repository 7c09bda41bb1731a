//! Tool `read`: the text of a file, of a PDF, or an image.

mod text;

use crate::{
    about::{About, Again},
    arguments::Arguments,
    aside::{self, Job},
    blocking::blocking,
    host::{Tool, ToolContext},
    outcome::{STOPPED, ToolOutcome},
    output::cut_at_char,
    paths::{explain, open_regular, resolve, shown},
};
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    fs::Metadata,
    io::{self, BufRead as _, BufReader, Cursor},
    path::{Path, PathBuf},
};
use text::{Lines, Wanted};
use toft_model::{message::Block, tool::ToolSpec};
use tokio_util::sync::CancellationToken;

/// Bytes that are looked at to tell text from what is none.
const SNIFF_BYTES: usize = 8 << 10;

/// Bytes of text of a PDF that are looked through for the lines that are wanted.
const PDF_TEXT_BYTES_MAX: usize = 4 << 20;

/// See the module.
pub(crate) struct Read;

#[async_trait]
impl Tool for Read {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "read".into(),
            description:
                "Read a text file or PDF (2000 lines or 50 KB at once; go on with offset), or look \
                          at an image."
                    .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "path": { "type": "string", "description": "In the project's folder, or absolute" },
                    "offset": { "type": "integer", "description": "First line, from 1" },
                    "limit": { "type": "integer" }
                },
                "required": ["path"]
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
            Arguments::new("read", &["path", "offset", "limit"], arguments).and_then(|a| {
                let path = a.some_text("path", "the file to read")?;
                Ok((path, a.count_from_zero("offset")?, a.count("limit")?))
            });
        let (path, offset, limit) = match parsed {
            Ok(parsed) => parsed,
            Err(refused) => return refused.into(),
        };
        let path = resolve(ctx, &path);
        let name = shown(ctx, &path);
        let wanted = Wanted { first: offset.unwrap_or(1).max(1), limit };
        let work = {
            let (path, name, ctx) = (path.clone(), name.clone(), ctx.clone());
            blocking(move || look(&path, &name, wanted, &ctx))
        };
        // A file system that does not answer holds the thread, not the call.
        let looked = tokio::select! {
            looked = work => looked,
            () = ctx.cancel.cancelled() => return ToolOutcome::cancelled(STOPPED),
        };
        match looked {
            Ok(Ok(Looked::Done(outcome))) => outcome,
            Ok(Ok(Looked::Image)) => image(ctx, path, &name).await,
            Ok(Ok(Looked::Pdf)) => pdf(ctx, path, &name, wanted).await,
            Ok(Err(error)) => ToolOutcome::error(explain(&error, &name)),
            Err(_) => ToolOutcome::error("Reading failed."),
        }
    }
}

/// What a look at a file came to.
enum Looked {
    Done(ToolOutcome),
    Image,
    Pdf,
}

fn look(path: &Path, name: &str, wanted: Wanted, ctx: &ToolContext) -> io::Result<Looked> {
    let (file, meta) = open_regular(path)?;
    let mut file = BufReader::with_capacity(SNIFF_BYTES, file);
    let start = file.fill_buf()?;
    if image_type(start).is_some() {
        return Ok(Looked::Image);
    }
    if start.starts_with(b"%PDF-") {
        return Ok(Looked::Pdf);
    }
    if start.contains(&0) {
        return Ok(Looked::Done(ToolOutcome::error(format!(
            "{name} is no text ({} bytes). Use bash with file, xxd or a fitting program to look into \
             it.",
            meta.len()
        ))));
    }
    let lines = text::lines(&mut file, wanted, &ctx.cancel)?;
    saw(ctx, path, &meta, &lines);
    Ok(Looked::Done(lines.told(name, wanted, meta.len())))
}

/// Remembers what the file was like.
fn saw(ctx: &ToolContext, path: &Path, meta: &Metadata, lines: &Lines) {
    if let Ok(real) = std::fs::canonicalize(path) {
        ctx.seen.saw(&real, meta, lines.content);
    }
}

async fn image(ctx: &ToolContext, path: PathBuf, name: &str) -> ToolOutcome {
    let done = match aside::run(ctx, &Job::Picture { path }, &format!("read {name}")).await {
        Ok(done) => done,
        Err(outcome) => return named(name, outcome),
    };
    let _ = ctx.shell.forget(&ctx.run_id).await;
    let mime = done.answer.mime_type;
    let [(width, height), (w, h)] = done.answer.size.unwrap_or_default();
    let scaled = if (width, height) == (w, h) {
        String::new()
    } else {
        format!(" Shown scaled to {w}x{h}.")
    };
    let data = BASE64_STANDARD.encode(&done.body);
    let mut outcome =
        ToolOutcome::text(format!("{name}: {mime}, {width}x{height}.{scaled}")).details(json!({
            "path": name, "mimeType": mime, "bytes": done.answer.bytes, "width": width, "height": height
        }));
    outcome.content.push(Block::Image { data, mime_type: mime });
    outcome
}

async fn pdf(ctx: &ToolContext, path: PathBuf, name: &str, wanted: Wanted) -> ToolOutcome {
    let done = match aside::run(ctx, &Job::Pdf { path }, &format!("read {name}")).await {
        Ok(done) => done,
        Err(outcome) => return named(name, outcome),
    };
    let _ = ctx.shell.forget(&ctx.run_id).await;
    let text = String::from_utf8_lossy(&done.body);
    let text = cut_at_char(&text, PDF_TEXT_BYTES_MAX);
    let lines = text::lines(&mut Cursor::new(text), wanted, &CancellationToken::new());
    match lines {
        Ok(lines) => lines.told(name, wanted, done.answer.bytes),
        Err(error) => ToolOutcome::error(explain(&error, name)),
    }
}

/// A failure with the name of the file before it.
fn named(name: &str, outcome: ToolOutcome) -> ToolOutcome {
    if outcome.details.is_some() {
        return outcome;
    }
    ToolOutcome::error(format!("{name}: {}", outcome.said()))
}

/// The kinds of image that all providers take, by their first bytes.
fn image_type(start: &[u8]) -> Option<&'static str> {
    match start {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[tokio::test]
    async fn a_file_is_read_whole_or_in_parts() {
        let bench = Bench::new();
        bench.write("f", "one\ntwo\r\nthree");
        let check = async |arguments, expected: &str| {
            let outcome = bench.call("read", arguments).await;
            assert_eq!(outcome.said(), expected);
            assert!(!outcome.is_error);
        };
        check(json!({"path": "f"}), "one\ntwo\nthree").await;
        check(json!({"path": "f", "offset": 2}), "two\nthree").await;
        check(
            json!({"path": "f", "offset": 0, "limit": 1}),
            "one\n\n[Showing lines 1-1 of 3. Go on with offset=2.]",
        )
        .await;
        check(json!({"path": "f", "offset": 3, "limit": 9}), "three").await;
        bench.write("empty", "");
        check(json!({"path": "empty"}), "(empty is empty)").await;
    }

    #[tokio::test]
    async fn a_long_file_says_how_to_go_on() {
        let bench = Bench::new();
        let lines: Vec<String> = (1..=5_000).map(|i| format!("{i}\n")).collect();
        bench.write("f", &lines.concat());
        let said = bench.call("read", json!({"path": "f"})).await.said();
        assert!(
            said.ends_with("\n2000\n\n[Showing lines 1-2000 of 5000. Go on with offset=2001.]")
        );
        bench.write("wide", &format!("{}\n", "x".repeat(999)).repeat(200));
        let said = bench.call("read", json!({"path": "wide"})).await.said();
        assert!(
            said.ends_with("[Showing lines 1-51 of 200 (50 KB limit). Go on with offset=52.]"),
            "{}",
            &said[said.len() - 90..]
        );
        let said =
            bench.call("read", json!({"path": "wide", "offset": 52, "limit": 2})).await.said();
        assert!(said.ends_with("[Showing lines 52-53 of 200. Go on with offset=54.]"));
    }

    #[tokio::test]
    async fn what_is_no_text_is_not_shown() {
        let bench = Bench::new();
        bench.write_bytes("b", b"ELF\0\0");
        let outcome = bench.call("read", json!({"path": "b"})).await;
        assert!(
            outcome.is_error && outcome.said().contains("is no text (5 bytes)"),
            "{}",
            outcome.said()
        );
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_explained() {
        let bench = Bench::new();
        bench.write("d/f", "x\n");
        bench.write("line", &"y".repeat(60_000));
        bench.write("just", &format!("{}\nz\n", "y".repeat(50 * 1024)));
        let said = bench.call("read", json!({"path": "just"})).await.said();
        assert!(said.ends_with("y\n\n[Showing lines 1-1 of 2. Go on with offset=2.]"));
        let check = async |arguments, part: &str| {
            let outcome = bench.call("read", arguments).await;
            assert!(outcome.is_error && outcome.said().contains(part), "{}", outcome.said());
        };
        check(json!({"path": "none"}), "none does not exist").await;
        check(json!({"path": "d"}), "d is a folder").await;
        check(json!({"path": "d/f", "offset": 9}), "has 1 lines; offset 9").await;
        check(json!({"path": "line"}), "Line 1 of line has 60000 bytes").await;
        check(json!({"path": "/dev/null"}), "no regular file").await;
    }
}
