//! Printing for people and for programs.

use crate::config;
use serde_json::Value;
use std::{
    borrow::Cow,
    io::{IsTerminal as _, Write as _},
};
use toft_model::text::plain;

/// Prints one JSON document.
pub(crate) fn json(value: &Value) {
    line(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Prints what was asked for: as JSON for programs, else as `show` has it.
pub(crate) fn answer(found: &Value, as_json: bool, show: impl FnOnce(&Value)) {
    if as_json { json(found) } else { show(found) }
}

/// Prints a line on standard output.
pub(crate) fn line(text: &str) {
    bytes(format!("{text}\n").as_bytes());
}

/// Prints a piece of a line at once.
pub(crate) fn piece(text: &str) {
    bytes(text.as_bytes());
}

/// Prints bytes as they are, at once. A closed pipe is no error of ours: the reader has had enough.
/// Anything else is: what was asked for did not get where it should.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => {
            remark(&format!("toft: writing the output failed: {e}"));
            std::process::exit(1);
        }
    }
}

/// Prints a remark on standard error.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", shown(text));
}

/// Prints rows in aligned columns, the first row being the head. A cell says nothing to the terminal and
/// ends no line: names come from people, and from inside machines.
pub(crate) fn table(rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|c| rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or(0))
        .collect();
    for row in &rows {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            let pad = width.saturating_sub(cell.chars().count()) + 2;
            text.extend(std::iter::repeat_n(' ', pad));
        }
        line(text.trim_end());
    }
}

/// Dim text on a terminal, plain text elsewhere.
pub(crate) fn dim(text: &str) -> String {
    if std::io::stdout().is_terminal() && config::wants_colour() {
        format!("\x1b[2m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// What models, machines and strangers say, in as many lines as it has: it says nothing to the terminal, which would
/// show a person another command than the one that they are asked about.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let commands = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(commands) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if commands(c) { out.push_str(&plain(c.encode_utf8(&mut [0; 4]))) } else { out.push(c) }
    }
    out.into()
}

/// A text of a JSON value as it is shown, empty for none.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => shown(text).into_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_others_say_is_no_command_to_the_terminal() {
        let said = serde_json::json!("rm -rf /\u{1b}[2K\rls\u{9b}1A\n\tä 店");
        assert_eq!(super::text(&said), "rm -rf /\\u{1b}[2K\\rls\\u{9b}1A\n\tä 店");
    }
}
