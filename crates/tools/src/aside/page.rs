//! Fetches a page and makes text of it. By the environment's proxy and certificates, like any program.

use super::{Answer, Outcome, pdf};
use crate::output::cut_at_char;
use encoding_rs::{Encoding, UTF_8};
use flate2::read::{GzDecoder, ZlibDecoder};
use htmd::{
    HtmlToMarkdown,
    options::{BulletListMarker, Options},
};
use reqwest::{
    Client, Response, Url,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName},
    redirect::Policy,
};
use std::{error::Error, io::Read as _, time::Duration};

/// Time for all of it, redirects and body included.
const FETCH_MAX: Duration = Duration::from_secs(30);

const CONNECT_MAX: Duration = Duration::from_secs(10);

const REDIRECTS_MAX: usize = 10;

/// Bytes of a body at most, packed and unpacked.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Bytes of text at most.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// Bytes at the start of a page in which it may say its character set (the HTML standard's).
const META_BYTES: usize = 1_024;

/// Elements that say nothing to a reader.
const SKIPPED: [&str; 9] =
    ["script", "style", "noscript", "template", "svg", "iframe", "canvas", "head", "form"];

const ACCEPTED: &str =
    "text/markdown, text/html;q=0.9, text/plain;q=0.9, application/json;q=0.8, */*;q=0.5";

pub(super) fn fetch(url: &str) -> Outcome {
    let url = parse(url)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("Not fetched: {error}."))?;
    let (answer, body) = runtime.block_on(load(url))?;
    match text(&answer.mime_type, &body)? {
        Text::Pdf => {
            let (pdf, text) = pdf::of_bytes(&body)?;
            Ok((Answer { pages: pdf.pages, truncated: pdf.truncated, ..answer }, text))
        }
        Text::Is(text) => {
            let kept = cut_at_char(&text, TEXT_BYTES_MAX).to_owned();
            let truncated = answer.truncated || kept.len() < text.len();
            Ok((Answer { truncated, ..answer }, kept.into_bytes()))
        }
    }
}

/// An address of the web; without a scheme it is `https`, or `http` for this machine itself.
pub(crate) fn parse(url: &str) -> Result<Url, String> {
    let url = url.trim();
    let is_own = ["localhost", "127.", "0.0.0.0", "[::1]"].iter().any(|own| url.starts_with(own));
    let whole = match (url.contains("://"), is_own) {
        (true, _) => url.to_owned(),
        (false, true) => format!("http://{url}"),
        (false, false) => format!("https://{url}"),
    };
    let parsed = Url::parse(&whole).map_err(|error| format!("{url:?} is no URL: {error}."))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(format!("{url:?} cannot be fetched: only http and https can."));
    }
    Ok(parsed)
}

fn client() -> Result<Client, String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || {
        Client::builder()
            .user_agent("Mozilla/5.0 (compatible; Toft web_fetch)")
            .redirect(Policy::limited(REDIRECTS_MAX))
            .connect_timeout(CONNECT_MAX)
            .timeout(FETCH_MAX)
    };
    // A machine without certificates can still fetch over plain HTTP.
    let client = builder().build().or_else(|_| builder().tls_certs_only([]).build());
    client.map_err(|error| format!("Not fetched: {}.", told(&error)))
}

async fn load(url: Url) -> Result<(Answer, Vec<u8>), String> {
    let host = url.host_str().unwrap_or_default().to_owned();
    let failed = |error: &reqwest::Error| {
        let why = told(error);
        let hint = if error.is_redirect() {
            " It leads on too often, or to something else than the web."
        } else if why.to_lowercase().contains("certificate") {
            " If no site can be reached, install the package ca-certificates."
        } else if error.is_timeout() {
            ""
        } else {
            " If this project may not reach that host, name it to the person."
        };
        format!("{host} could not be reached: {why}.{hint}")
    };
    let request =
        client()?.get(url).header(ACCEPT, ACCEPTED).header(ACCEPT_ENCODING, "gzip, deflate");
    let mut response = request.send().await.map_err(|error| failed(&error))?;
    let head = |name: HeaderName, response: &Response| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().trim().to_ascii_lowercase()
    };
    let packed = head(CONTENT_ENCODING, &response);
    let answer = Answer {
        mime_type: head(CONTENT_TYPE, &response),
        url: Some(response.url().to_string()),
        status: Some(response.status().as_u16()),
        ..Answer::default()
    };
    let mut body = Vec::new();
    let mut truncated = false;
    while let Some(piece) = response.chunk().await.map_err(|error| failed(&error))? {
        let free = BODY_BYTES_MAX - body.len();
        body.extend_from_slice(&piece[..piece.len().min(free)]);
        if piece.len() >= free {
            truncated = true;
            break;
        }
    }
    let mut unpacked = Vec::new();
    let limit = BODY_BYTES_MAX as u64;
    let read = match packed.as_str() {
        "" | "identity" => {
            unpacked = body;
            Ok(0)
        }
        "gzip" | "x-gzip" => GzDecoder::new(&body[..]).take(limit).read_to_end(&mut unpacked),
        "deflate" => ZlibDecoder::new(&body[..]).take(limit).read_to_end(&mut unpacked),
        other => {
            return Err(format!("{host} answered in an encoding that was not asked for: {other}."));
        }
    };
    if read.is_err() && unpacked.is_empty() {
        return Err(format!("{host} sent a body that cannot be unpacked."));
    }
    truncated |= unpacked.len() >= BODY_BYTES_MAX;
    let bytes = unpacked.len() as u64;
    Ok((Answer { bytes, truncated, ..answer }, unpacked))
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
enum Text {
    Is(String),
    Pdf,
}

/// The text of a body, by its type or by what it looks like.
fn text(content_type: &str, body: &[u8]) -> Result<Text, String> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if kind == "application/pdf" || body.starts_with(b"%PDF-") {
        return Ok(Text::Pdf);
    }
    let start = &body[..body.len().min(META_BYTES)];
    let looks = String::from_utf8_lossy(start).trim_start().to_ascii_lowercase();
    let is_html = matches!(kind, "text/html" | "application/xhtml+xml")
        || (kind.is_empty() && (looks.starts_with("<!doctype html") || looks.starts_with("<html")));
    let named = kind.starts_with("text/")
        || [
            "json",
            "xml",
            "yaml",
            "toml",
            "javascript",
            "ecmascript",
            "graphql",
            "x-sh",
            "x-ndjson",
        ]
        .iter()
        .any(|part| kind.strip_prefix("application/").is_some_and(|kind| kind.contains(part)));
    let plain = is_html || named || !kind.contains('/') || kind == "application/octet-stream";
    let wide = Encoding::for_bom(body).is_some_and(|(encoding, _)| encoding != UTF_8);
    if !plain || (start.contains(&0) && !wide && !named_wide(content_type)) {
        let kind = if kind.is_empty() { "unknown type" } else { kind };
        return Err(format!(
            "It is no text but {kind} ({} bytes). Save it with bash (curl -fsSLo FILE URL) and look at the \
             file with read or a fitting program.",
            body.len()
        ));
    }
    let decoded = decode(content_type, body, is_html);
    if !is_html {
        return Ok(Text::Is(decoded));
    }
    let title = title(&decoded);
    let options = Options {
        bullet_list_marker: BulletListMarker::Dash,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        ..Options::default()
    };
    let converter = HtmlToMarkdown::builder().skip_tags(SKIPPED.to_vec()).options(options).build();
    let text = converter
        .convert(&decoded)
        .map_err(|error| format!("No text could be made of it: {error}."))?;
    let text = tidy(&text);
    Ok(Text::Is(match title {
        Some(title) if !text.trim_start().starts_with(&format!("# {title}")) => {
            format!("# {title}\n\n{text}")
        }
        _ => text,
    }))
}

fn named_wide(content_type: &str) -> bool {
    content_type.contains("charset=utf-16")
}

/// As text, by the character set that the answer names, the one of its first bytes, or that of the page.
fn decode(content_type: &str, body: &[u8], is_html: bool) -> String {
    let label = |text: &str| {
        let at = text.find("charset=")? + "charset=".len();
        let rest = text[at..].trim_start_matches(['"', '\'', ' ']);
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_:.".contains(c)));
        Encoding::for_label(&rest.as_bytes()[..end.unwrap_or(rest.len())])
    };
    let start = String::from_utf8_lossy(&body[..body.len().min(META_BYTES)]).to_ascii_lowercase();
    let in_page = || is_html.then(|| label(&start)).flatten();
    let encoding = label(content_type).or_else(in_page).unwrap_or(UTF_8);
    // A mark in the first bytes goes before all others.
    encoding.decode(body).0.into_owned()
}

fn title(html: &str) -> Option<String> {
    let lower = html.get(..html.floor_char_boundary(64 << 10))?.to_ascii_lowercase();
    let open = lower.find("<title")?;
    let start = open + lower[open..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let words = html[start..end].split_whitespace().collect::<Vec<_>>().join(" ");
    let words = words.replace("&amp;", "&").replace("&quot;", "\"").replace("&#39;", "'");
    (!words.is_empty()).then(|| cut_at_char(&words, 200).to_owned())
}

/// Without spaces at line ends, and with at most one empty line in a row.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = 0;
    for line in text.lines().map(str::trim_end) {
        blank = if line.is_empty() { blank + 1 } else { 0 };
        if blank <= 1 && !(out.is_empty() && line.is_empty()) {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// The innermost reason: the outer ones repeat the URL and say less.
fn told(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".into();
    }
    let mut reason: &dyn Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_web_are_taken() {
        for (given, parsed) in [
            ("example.com/a", Some("https://example.com/a")),
            (" http://localhost:3000 ", Some("http://localhost:3000/")),
            ("localhost:3000", Some("http://localhost:3000/")),
            ("file:///etc/passwd", None),
            ("ftp://example.com", None),
            ("https://", None),
        ] {
            assert_eq!(parse(given).ok().map(|url| url.to_string()).as_deref(), parsed, "{given}");
        }
    }

    fn check(content_type: &str, body: &[u8], expected: Result<&str, &str>) {
        match (text(content_type, body), expected) {
            (Ok(Text::Is(got)), Ok(text)) => assert_eq!(got, text),
            (Err(got), Err(part)) => assert!(got.contains(part), "{got}"),
            (got, _) => panic!("{content_type}: {got:?}"),
        }
    }

    #[test]
    fn pages_become_text() {
        check(
            "text/html",
            b"<title>A &amp; B</title><style>x{}</style><h1>Hi</h1><p>a <a href='/x'>link</a></p><script>1</script><ul><li>one</ul>",
            Ok("# A & B\n\n# Hi\n\na [link](/x)\n\n- one"),
        );
        check("", b"<!DOCTYPE html><p>x", Ok("x"));
        check("application/json", b"{\"a\": 1}", Ok("{\"a\": 1}"));
        check("text/plain; charset=iso-8859-1", b"caf\xe9", Ok("caf\u{e9}"));
        check(
            "text/html",
            b"<meta charset='windows-1251'>\xcf\xf0\xe8",
            Ok("\u{41f}\u{440}\u{438}"),
        );
        check("text/plain", b"\xff\xfeh\0i\0", Ok("hi"));
        check("application/octet-stream", b"plain", Ok("plain"));
    }

    #[test]
    fn what_is_no_text_is_refused_with_a_way_on() {
        check("image/png", b"\x89PNG", Err("no text but image/png (4 bytes). Save it with bash"));
        check("application/octet-stream", b"a\0b", Err("no text"));
        check("application/zip", b"PK", Err("application/zip"));
        assert_eq!(text("application/pdf", b"").unwrap(), Text::Pdf);
    }

    #[test]
    fn deep_and_broken_pages_do_not_hang() {
        let deep = "<div><b>".repeat(2_000);
        let work = std::thread::Builder::new().stack_size(super::super::STACK_BYTES);
        let done = work.spawn(move || text("text/html", deep.as_bytes())).unwrap().join();
        assert!(done.is_ok());
    }
}
