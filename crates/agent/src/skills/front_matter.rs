//! The front matter of a Markdown file: as much of YAML as people write there. Fields of the top level with plain,
//! quoted, folded or literal text; everything else is passed over, never refused.

use std::collections::HashMap;

/// What stands between the two `---`, and what follows.
pub(crate) fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (first, rest) = text.split_once('\n')?;
    if first.trim_end() != "---" {
        return None;
    }
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some((&rest[..at], &rest[at + line.len()..]));
        }
        at += line.len();
    }
    None
}

/// The fields with text. Of two with one name the first counts.
pub(crate) fn fields(matter: &str) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    let mut lines = matter.lines().peekable();
    while let Some(line) = lines.next() {
        let top = !line.starts_with([' ', '\t', '#', '-']);
        let Some((key, value)) = line.split_once(':').filter(|_| top) else { continue };
        if !value.is_empty() && !value.starts_with([' ', '\t', '\r']) {
            continue;
        }
        // What is indented below belongs to it.
        let mut below = Vec::new();
        while let Some(next) = lines.peek() {
            if !next.starts_with([' ', '\t']) && !next.trim().is_empty() {
                break;
            }
            below.push(lines.next().unwrap_or_default());
        }
        let key = key.trim().trim_matches(['"', '\'']).to_owned();
        fields.entry(key).or_insert_with(|| text(value.trim(), &below));
    }
    fields
}

fn text(value: &str, below: &[&str]) -> String {
    let block = value.split([' ', '#']).next().unwrap_or_default();
    let marks = |rest: &str| rest.bytes().all(|b| b"+-123456789".contains(&b));
    if block.strip_prefix('|').is_some_and(marks) {
        let lines: Vec<&str> = below.iter().map(|line| line.trim()).collect();
        return lines.join("\n").trim().to_owned();
    }
    if block.strip_prefix('>').is_some_and(marks) {
        return folded("", below);
    }
    let whole = folded(value, below);
    if let Some(quoted) = whole.strip_prefix('"') {
        return double_quoted(quoted);
    }
    if let Some(quoted) = whole.strip_prefix('\'') {
        return single_quoted(quoted);
    }
    match whole.split_once(" #") {
        Some((before, _)) => before.trim_end().to_owned(),
        None if whole.starts_with('#') => String::new(),
        None => whole,
    }
}

/// Lines joined with a blank; an empty one ends a paragraph.
fn folded(first: &str, below: &[&str]) -> String {
    let mut text = first.to_owned();
    for line in below {
        let line = line.trim();
        let between = match () {
            () if line.is_empty() => "\n",
            () if text.is_empty() || text.ends_with('\n') => "",
            () => " ",
        };
        text.push_str(between);
        text.push_str(line);
    }
    text.trim().to_owned()
}

fn double_quoted(rest: &str) -> String {
    let mut text = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    text
}

fn single_quoted(rest: &str) -> String {
    let mut text = String::new();
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' && chars.next_if_eq(&'\'').is_none() {
            break;
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_read_however_it_is_written() {
        for (written, text) in [
            ("a: plain", "plain"),
            ("a: plain # a remark", "plain"),
            ("a:   with: colon and a#b", "with: colon and a#b"),
            ("a: \"quoted: \\\"yes\\\"\" # remark", "quoted: \"yes\""),
            ("a: 'it''s'", "it's"),
            ("a: goes\n  on\n   here\nb: x", "goes on here"),
            ("a: >-\n  folded\n  text\nb: x", "folded text"),
            ("a: |\n  one\n  two\nb: x", "one\ntwo"),
            ("a:\n  below\nb: x", "below"),
            ("a: first\na: second", "first"),
            ("other:\n  a: nested\na: top", "top"),
            ("# a: remark\na: real\r", "real"),
            ("\"a\": key in quotes", "key in quotes"),
        ] {
            assert_eq!(fields(written).get("a").map(String::as_str), Some(text), "{written:?}");
        }
    }

    #[test]
    fn the_matter_is_what_stands_between_the_marks() {
        assert_eq!(split("---\na: b\n---\nbody\n---\n"), Some(("a: b\n", "body\n---\n")));
        assert_eq!(split("\u{feff}---\r\na: b\r\n---\r\nbody"), Some(("a: b\r\n", "body")));
        for none in ["", "---", "body", "---\na: b\n", "--- x\na: b\n---\n"] {
            assert_eq!(split(none), None, "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_fault(text in "[-#:|>'\"\\\\ \n\ra-cä]{0,80}") {
            if let Some((matter, body)) = split(&text) {
                prop_assert!(matter.len() + body.len() < text.len());
            }
            for value in fields(&text).values() {
                prop_assert!(value.len() <= text.len());
            }
        }
    }
}
