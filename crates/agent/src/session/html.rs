//! A conversation as one page that needs nothing else: no script, no address, no other file. Whatever was
//! said is shown as the text that it is; nothing of it becomes markup, a link or something to be loaded.

use super::file::Session;
use std::{borrow::Cow, fmt::Write as _};
use toft_model::{
    message::{AssistantMessage, Block, Message, ToolCall, UserContent},
    time::rfc3339,
};

/// What images a page shows. SVG is not among them: it is a program.
const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// Forbids the page everything but its own style and the images within it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'";

const STYLE: &str = ":root{color-scheme:light dark;--ink:#1b1b1f;--soft:#6b6b76;--line:#d9d9e0;--card:#f6f6f9;\
--bad:#b3261e}@media(prefers-color-scheme:dark){:root{--ink:#e8e8ee;--soft:#9a9aa6;--line:#36363f;\
--card:#1e1e24;--bad:#ff8a80}html{background:#131317}}\
body{color:var(--ink);font:16px/1.6 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}\
header{border-bottom:1px solid var(--line);margin-bottom:1.5rem}h1{font-size:1.4rem;margin:0}\
.soft,summary,h2{color:var(--soft);font-size:.85rem}h2{font-weight:600;margin:0 0 .25rem}\
article{margin:0 0 1.5rem}article.user,article.note{background:var(--card);border:1px solid var(--line);\
border-radius:.5rem;padding:.75rem 1rem}.words{white-space:pre-wrap;overflow-wrap:anywhere;margin:0}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--card);border:1px solid var(--line);\
border-radius:.5rem;padding:.75rem;margin:.5rem 0;font:13px/1.5 ui-monospace,monospace}\
details{margin:.5rem 0}summary{cursor:pointer}img{max-width:100%;border-radius:.5rem}.bad{color:var(--bad)}";

/// A page in pieces, so that a long conversation is never in memory twice.
#[derive(Debug)]
pub struct Page {
    /// Places of the entries that it shows.
    places: std::vec::IntoIter<usize>,
    begun: bool,
    ended: bool,
}

impl Page {
    /// The page of the branch that the conversation stands on now, compacted history included.
    pub fn of(session: &Session) -> Self {
        Self { places: session.branch_places().into_iter(), begun: false, ended: false }
    }

    /// The next piece; what was appended meanwhile is not on it.
    pub fn next(&mut self, session: &Session) -> Option<String> {
        if !self.begun {
            self.begun = true;
            return Some(top(session));
        }
        for place in self.places.by_ref() {
            // The newest one may have been taken back meanwhile.
            let Some(entry) = session.entries().get(place) else { continue };
            if let Some(message) = entry.message() {
                return Some(article(&message, entry.at_ms));
            }
        }
        (!std::mem::replace(&mut self.ended, true)).then(|| "</main></body></html>\n".to_owned())
    }
}

fn top(session: &Session) -> String {
    let name = session.name().filter(|name| !name.is_empty()).unwrap_or("Conversation");
    let name = escaped(name);
    let header = session.header();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"referrer\" content=\"no-referrer\">\
         <title>{name}</title><style>{STYLE}</style></head><body><header><h1>{name}</h1>\
         <p class=\"soft\">{} · {} · {} messages</p></header><main>\n",
        escaped(&header.timestamp),
        escaped(&header.cwd),
        session.message_count(),
    )
}

fn article(message: &Message, at_ms: u64) -> String {
    let (class, who) = match message {
        Message::User(_) => ("user", "You".to_owned()),
        Message::Assistant(m) => ("assistant", m.model.clone()),
        Message::ToolResult(m) => ("result", format!("Result of {}", m.tool_name)),
        Message::Custom(m) => ("note", m.custom_type.clone()),
        Message::CompactionSummary(_) => ("note", "Summary of what came before".to_owned()),
        Message::BranchSummary(_) => ("note", "Summary of another branch".to_owned()),
    };
    let mut out = format!("<article class=\"{class}\">");
    if !matches!(message, Message::ToolResult(_)) {
        let at = if at_ms > 0 { rfc3339(at_ms) } else { String::new() };
        let _ = write!(out, "<h2>{} <span class=\"soft\">{at}</span></h2>", escaped(&who));
    }
    match message {
        Message::User(m) => content(&mut out, &m.content),
        Message::Custom(m) => content(&mut out, &m.content),
        Message::CompactionSummary(m) | Message::BranchSummary(m) => words(&mut out, &m.summary),
        Message::Assistant(m) => answer(&mut out, m),
        Message::ToolResult(m) => {
            let bad = if m.is_error { " class=\"bad\"" } else { "" };
            let _ = write!(out, "<details><summary{bad}>{}</summary>", escaped(&who));
            for block in &m.content {
                match block {
                    Block::Text { text, .. } => {
                        let _ = write!(out, "<pre>{}</pre>", escaped(text));
                    }
                    other => one(&mut out, other),
                }
            }
            out.push_str("</details>");
        }
    }
    out.push_str("</article>\n");
    out
}

fn answer(out: &mut String, message: &AssistantMessage) {
    for block in &message.content {
        one(out, block);
    }
    if let Some(error) = &message.error_message {
        let _ = write!(out, "<p class=\"words bad\">{}</p>", escaped(error));
    }
}

fn content(out: &mut String, content: &UserContent) {
    match content {
        UserContent::Text(text) => words(out, text),
        UserContent::Blocks(blocks) => blocks.iter().for_each(|block| one(out, block)),
    }
}

fn one(out: &mut String, block: &Block) {
    match block {
        Block::Text { text, .. } => words(out, text),
        Block::Thinking { thinking, .. } if thinking.is_empty() => {}
        Block::Thinking { thinking, .. } => {
            out.push_str("<details><summary>Thinking</summary>");
            words(out, thinking);
            out.push_str("</details>");
        }
        Block::Image { data, mime_type } => image(out, data, mime_type),
        Block::ToolCall(call) => tool(out, call),
    }
}

fn words(out: &mut String, text: &str) {
    if !text.trim().is_empty() {
        let _ = write!(out, "<p class=\"words\">{}</p>", escaped(text));
    }
}

fn tool(out: &mut String, call: &ToolCall) {
    let arguments = serde_json::to_string_pretty(&call.arguments).unwrap_or_default();
    // What people look for in a call: the command, the file.
    let first = call.arguments.values().find_map(|value| value.as_str()).unwrap_or_default();
    let first: String = first.lines().next().unwrap_or_default().chars().take(120).collect();
    let _ = write!(
        out,
        "<details><summary>{} <code>{}</code></summary><pre>{}</pre></details>",
        escaped(&call.name),
        escaped(&first),
        escaped(&arguments)
    );
}

fn image(out: &mut String, data: &str, mime_type: &str) {
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    if IMAGES.contains(&mime_type) && data.bytes().all(is_base64) {
        let _ = write!(out, "<p><img alt=\"\" src=\"data:{mime_type};base64,{data}\"></p>");
    } else {
        let _ = write!(out, "<p class=\"soft\">[image of type {}]</p>", escaped(mime_type));
    }
}

/// Text that is only text, between tags and in attributes.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'', '\0']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // A page cannot hold it.
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}
