//! Tool `read`: the text of a file, or an image.

use crate::{
    arguments::Arguments,
    host::{Tool, ToolContext},
    outcome::ToolOutcome,
    output::{BYTES_MAX, LINES_MAX, head},
    paths::{explain, resolve, shown},
};
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};
use toft_model::{message::Block, tool::ToolSpec};

/// Bytes of an image at most: Anthropic takes 5 MB of base64.
const IMAGE_BYTES_MAX: u64 = 3_700_000;

/// Bytes that are looked at to tell text from what is none.
const SNIFF_BYTES: usize = 8 << 10;

/// Bytes of a file that are read through to count its lines; beyond that the count is left out.
const COUNT_BYTES_MAX: u64 = 64 << 20;

/// See the module.
pub(crate) struct Read;

#[async_trait]
impl Tool for Read {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "read".into(),
            description:
                "Read a text file (up to 2000 lines or 50 KB at once; go on with offset) or \
                          look at an image (PNG, JPEG, GIF, WebP)."
                    .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "path": { "type": "string", "description": "Relative to the project's folder, or absolute" },
                    "offset": { "type": "integer", "description": "First line, from 1" },
                    "limit": { "type": "integer", "description": "Lines at most" }
                },
                "required": ["path"],
                "additionalProperties": false
            }),
        }
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
        let work = tokio::task::spawn_blocking(move || {
            read(&path, &name, offset.unwrap_or(1).max(1), limit)
                .unwrap_or_else(|error| ToolOutcome::error(explain(&error, &name)))
        });
        work.await.unwrap_or_else(|_| ToolOutcome::error("Reading failed."))
    }
}

fn read(path: &Path, name: &str, first: usize, limit: Option<usize>) -> io::Result<ToolOutcome> {
    let meta = std::fs::metadata(path)?;
    if meta.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !meta.is_file() {
        return Ok(ToolOutcome::error(format!("{name} is no regular file and cannot be read.")));
    }
    let mut file = BufReader::with_capacity(SNIFF_BYTES, File::open(path)?);
    let start = file.fill_buf()?;
    if let Some(mime) = image_type(start) {
        return image(&mut file, name, mime, meta.len());
    }
    if start.contains(&0) {
        return Ok(ToolOutcome::error(format!(
            "{name} is no text ({} bytes). Use bash with file, xxd or a fitting program to look into \
             it.",
            meta.len()
        )));
    }
    text(file, name, first, limit, meta.len())
}

fn text(
    mut file: BufReader<File>,
    name: &str,
    first: usize,
    limit: Option<usize>,
    bytes: u64,
) -> io::Result<ToolOutcome> {
    let mut wanted: Vec<String> = Vec::new();
    let wanted_max = limit.unwrap_or(LINES_MAX).min(LINES_MAX);
    let (mut lines, mut kept_bytes, mut seen_bytes) = (0usize, 0usize, 0u64);
    let mut line = Vec::new();
    let mut counted = true;
    loop {
        line.clear();
        // A line of gigabytes must not fill the memory.
        let got = (&mut file).take(BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if got == 0 {
            break;
        }
        let mut long = got > BYTES_MAX && line.last() != Some(&b'\n');
        let mut whole = got as u64;
        if long {
            whole += skip_line(&mut file)?;
        }
        seen_bytes += whole;
        lines += 1;
        if lines >= first && wanted.len() < wanted_max && kept_bytes <= BYTES_MAX {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches('\n').trim_end_matches('\r');
            long |= text.len() > BYTES_MAX;
            if long && wanted.is_empty() {
                return Ok(ToolOutcome::error(format!(
                    "Line {lines} of {name} has {whole} bytes, more than the {BYTES_MAX} that fit. Use \
                     bash: sed -n '{lines}p' {name} | cut -c 1-2000"
                )));
            }
            kept_bytes += text.len() + 1;
            wanted.push(text.to_owned());
        } else if seen_bytes > COUNT_BYTES_MAX {
            counted = false;
            break;
        }
    }
    if lines == 0 {
        return Ok(ToolOutcome::text(format!("({name} is empty)")));
    }
    if first > lines {
        return Ok(ToolOutcome::error(format!(
            "{name} has {lines} lines; offset {first} is behind its end."
        )));
    }
    let limited = head(wanted.iter().map(String::as_str), wanted_max);
    let last = first + limited.lines - 1;
    let mut out = limited.text;
    let total = if counted { lines.to_string() } else { "many".into() };
    if last < lines || !counted {
        let why = match limited.limit {
            Some("50 KB") => " (50 KB limit)",
            Some(_) | None => "",
        };
        let _ = write!(
            out,
            "\n\n[Showing lines {first}-{last} of {total}{why}. Go on with offset={}.]",
            last + 1
        );
    }
    let details = json!({
        "path": name, "firstLine": first, "lastLine": last,
        "totalLines": counted.then_some(lines), "bytes": bytes
    });
    Ok(ToolOutcome::text(out).details(details))
}

/// Skips to the end of the line; how many bytes.
fn skip_line(file: &mut BufReader<File>) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buf = file.fill_buf()?;
        if buf.is_empty() {
            return Ok(skipped);
        }
        let end = buf.iter().position(|b| *b == b'\n');
        let used = end.map_or(buf.len(), |at| at + 1);
        file.consume(used);
        skipped += used as u64;
        if end.is_some() {
            return Ok(skipped);
        }
    }
}

fn image(
    file: &mut BufReader<File>,
    name: &str,
    mime: &'static str,
    bytes: u64,
) -> io::Result<ToolOutcome> {
    if bytes > IMAGE_BYTES_MAX {
        return Ok(ToolOutcome::error(format!(
            "{name} is an image of {bytes} bytes; at most {IMAGE_BYTES_MAX} can be looked at. Make it \
             smaller first."
        )));
    }
    let mut data = Vec::new();
    file.take(IMAGE_BYTES_MAX).read_to_end(&mut data)?;
    let image = Block::Image { data: BASE64_STANDARD.encode(&data), mime_type: mime.to_owned() };
    let mut outcome = ToolOutcome::text(format!("{name}: {mime}, {bytes} bytes."))
        .details(json!({ "path": name, "mimeType": mime, "bytes": bytes }));
    outcome.content.push(image);
    Ok(outcome)
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
    use toft_model::message::Block;

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
    async fn images_are_shown_and_other_binaries_are_not() {
        let bench = Bench::new();
        bench.write_bytes("a.png", b"\x89PNG\r\n\x1a\nrest");
        let outcome = bench.call("read", json!({"path": "a.png"})).await;
        assert!(
            matches!(&outcome.content[1], Block::Image { mime_type, data } if mime_type == "image/png" && data == "iVBORw0KGgpyZXN0")
        );
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
