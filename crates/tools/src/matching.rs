//! Finds what an edit replaces and replaces it: exactly first, then with a tolerance for trailing
//! spaces and typographic quotes, dashes and spaces. All else of the file stays byte for byte.
//! Pure.

use crate::output::cut_at_char;
use std::ops::Range;

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replacement {
    pub(crate) old: String,
    pub(crate) new: String,
}

/// What came of the replacements.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) text: String,
    /// How many were found only with tolerance.
    pub(crate) fuzzy: usize,
}

/// Line numbers that an error names at most.
const LINES_NAMED_MAX: usize = 5;

/// Places that are looked at for one that is nearly right.
const STARTS_MAX: usize = 200;

/// Bytes of a line that an error shows.
const LINE_BYTES_SHOWN_MAX: usize = 120;

/// The mark that some editors put at the start of a file; changes are made behind it.
pub(crate) const BOM: &str = "\u{feff}";

/// Applies all replacements to the original at once. The error is for the model.
pub(crate) fn replace(original: &str, edits: &[Replacement]) -> Result<Replaced, String> {
    let exact = View::exact(original);
    let mut fuzzy = None;
    let mut found: Vec<(Range<usize>, usize)> = Vec::with_capacity(edits.len());
    let mut fuzzy_count = 0;
    for (i, edit) in edits.iter().enumerate() {
        let which = if edits.len() == 1 { String::new() } else { format!("edits[{i}]: ") };
        let old = edit.old.replace("\r\n", "\n");
        if old.is_empty() {
            return Err(format!("{which}oldText is empty. Name the text to replace."));
        }
        let mut view = &exact;
        let mut hits = view.hits(&old);
        if hits.is_empty() {
            view = fuzzy.get_or_insert_with(|| View::fuzzy(original));
            hits = view.hits(&plain(&old));
            fuzzy_count += usize::from(!hits.is_empty());
        }
        match hits.as_slice() {
            [] => {
                return Err(format!(
                    "{which}oldText was not found. It must match the file exactly, spaces and line \
                     ends included.{} Read the file again and copy the text from there.",
                    closest(original, &old).unwrap_or_default()
                ));
            }
            [at] => found.push((view.original_range(original, at), i)),
            many => {
                let lines: Vec<String> = many
                    .iter()
                    .take(LINES_NAMED_MAX)
                    .map(|at| line_of(&view.text, at.start).to_string())
                    .collect();
                let more = if many.len() > LINES_NAMED_MAX { ", …" } else { "" };
                return Err(format!(
                    "{which}oldText was found {} times (lines {}{more}). Add lines around it so that \
                     it is unique.",
                    many.len(),
                    lines.join(", ")
                ));
            }
        }
    }
    found.sort_by_key(|(range, _)| range.start);
    for pair in found.windows(2) {
        if pair[0].0.end > pair[1].0.start {
            return Err(format!(
                "edits[{}] and edits[{}] overlap. Make one edit of them.",
                pair[0].1, pair[1].1
            ));
        }
    }
    let crlf = original.find('\n').is_some_and(|at| original[..at].ends_with('\r'));
    let mut text = String::with_capacity(original.len());
    let mut at = 0;
    for (range, i) in found {
        text.push_str(&original[at..range.start]);
        let new = edits[i].new.replace("\r\n", "\n");
        text.push_str(&if crlf { new.replace('\n', "\r\n") } else { new });
        at = range.end;
    }
    text.push_str(&original[at..]);
    Ok(Replaced { text, fuzzy: fuzzy_count })
}

/// Where a text that was not found nearly stands.
fn closest(original: &str, wanted: &str) -> Option<String> {
    let alike =
        |a: &str, b: &str| a.trim().chars().map(plain_char).eq(b.trim().chars().map(plain_char));
    let lines: Vec<&str> = original.lines().collect();
    let wanted: Vec<&str> = wanted.lines().skip_while(|line| line.trim().is_empty()).collect();
    let first = wanted.first()?;
    let starts = (0..lines.len()).filter(|at| alike(lines[*at], first)).take(STARTS_MAX);
    let same = |at: usize| lines[at..].iter().zip(&wanted).take_while(|(a, b)| alike(a, b)).count();
    let (same, at) =
        starts.map(|at| (same(at), at)).max_by_key(|(same, at)| (*same, usize::MAX - at))?;
    let number = at + 1;
    if same == wanted.len() {
        return Some(format!(" From line {number} on it stands with other spaces."));
    }
    let there = match lines.get(at + same) {
        Some(line) => {
            format!("line {} is {:?}", number + same, cut_at_char(line, LINE_BYTES_SHOWN_MAX))
        }
        None => "there the file ends".to_owned(),
    };
    Some(format!(" It begins as line {number} does, but {there}."))
}

/// The text as it is searched, and where each byte of it came from.
struct View {
    text: String,
    /// For each byte the offset of its character in the original; empty when they are the same.
    offsets: Vec<u32>,
}

impl View {
    /// With LF for CRLF.
    fn exact(original: &str) -> Self {
        if !original.contains('\r') {
            return Self { text: original.to_owned(), offsets: Vec::new() };
        }
        let mut view = Self { text: String::new(), offsets: Vec::new() };
        for (at, c) in original.char_indices() {
            if c == '\r' && original[at + 1..].starts_with('\n') {
                continue;
            }
            let at = if c == '\n' && original[..at].ends_with('\r') { at - 1 } else { at };
            view.push(c, at);
        }
        view
    }

    /// With [`plain_char`] for each character and without spaces at line ends.
    fn fuzzy(original: &str) -> Self {
        let mut view = Self { text: String::new(), offsets: Vec::new() };
        for (at, c) in original.char_indices() {
            if c == '\n' {
                let kept = view.text.trim_end_matches([' ', '\t', '\r']).len();
                view.text.truncate(kept);
                view.offsets.truncate(kept);
                let at = if original[..at].ends_with('\r') { at - 1 } else { at };
                view.push('\n', at);
            } else {
                view.push(plain_char(c), at);
            }
        }
        view
    }

    fn push(&mut self, c: char, at: usize) {
        let at = u32::try_from(at).expect("files that are edited are far below 4 GiB");
        self.text.push(c);
        self.offsets.extend(std::iter::repeat_n(at, c.len_utf8()));
    }

    /// Where a text stands. One alone is the only one: none overlaps it.
    fn hits(&self, wanted: &str) -> Vec<Range<usize>> {
        let hit = |(at, hit): (usize, &str)| at..at + hit.len();
        let mut hits: Vec<_> = self.text.match_indices(wanted).map(hit).collect();
        if let [only] = hits.as_slice()
            && let Some(first) = wanted.chars().next()
        {
            let next = only.start + first.len_utf8();
            let overlapping = self.text[next..].find(wanted).map(|at| next + at);
            hits.extend(overlapping.map(|at| at..at + wanted.len()));
        }
        hits
    }

    /// The bytes of the original that stand for a hit, which is never empty.
    fn original_range(&self, original: &str, hit: &Range<usize>) -> Range<usize> {
        if self.offsets.is_empty() {
            return hit.clone();
        }
        let start = self.offsets[hit.start] as usize;
        let last = self.offsets[hit.end - 1] as usize;
        let rest = &original[last..];
        let length = if rest.starts_with("\r\n") {
            2
        } else {
            rest.chars().next().map_or(0, char::len_utf8)
        };
        start..last + length
    }
}

/// What a person would type for a typographic character.
pub(crate) fn plain_char(c: char) -> char {
    match c {
        '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{a0}' | '\u{2002}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        other => other,
    }
}

/// Wanted text as the fuzzy view has it. Spaces at the very end count: there may be more on the line.
fn plain(wanted: &str) -> String {
    let lines: Vec<&str> = wanted.split('\n').collect();
    let last = lines.len() - 1;
    let lines: Vec<String> = lines
        .iter()
        .enumerate()
        .map(|(i, line)| if i == last { line } else { line.trim_end_matches([' ', '\t', '\r']) })
        .map(|line| line.chars().map(plain_char).collect())
        .collect();
    lines.join("\n")
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(original: &str, edits: &[(&str, &str)], expected: Result<&str, &str>) {
        let edits: Vec<Replacement> = edits
            .iter()
            .map(|(old, new)| Replacement { old: (*old).into(), new: (*new).into() })
            .collect();
        match (replace(original, &edits), expected) {
            (Ok(got), Ok(text)) => assert_eq!(got.text, text, "{original:?} {edits:?}"),
            (Err(got), Err(part)) => assert!(got.contains(part), "{got}"),
            (got, _) => panic!("{original:?} {edits:?}: {got:?}"),
        }
    }

    #[test]
    fn texts_are_replaced_against_the_original() {
        check("a b c", &[("b", "x")], Ok("a x c"));
        check("a b c", &[("c", "a"), ("a", "c")], Ok("c b a"));
        check("a b", &[("a", "b"), ("b", "a")], Ok("b a"));
        check("x\n", &[("x\n", "")], Ok(""));
    }

    #[test]
    fn an_edit_that_is_not_clear_is_refused() {
        check("a a", &[("a", "b")], Err("found 2 times (lines 1, 1)"));
        check("  }\n  }\n  }\n", &[("  }\n  }\n", "b")], Err("found 2 times (lines 1, 2)"));
        check("ééé", &[("éé", "b")], Err("found 2 times (lines 1, 1)"));
        check("a", &[("b", "c")], Err("was not found"));
        check("a", &[("a", "b"), ("z", "")], Err("edits[1]: oldText was not found"));
        check("abc", &[("ab", "x"), ("bc", "y")], Err("edits[0] and edits[1] overlap"));
        check("a", &[("", "c")], Err("oldText is empty"));
        check("a\na\na\na\na\na\na", &[("a", "b")], Err("7 times (lines 1, 2, 3, 4, 5, …)"));
    }

    #[test]
    fn what_is_nearly_there_is_shown() {
        check("a\n  b\n  c\n", &[("b\nc", "")], Err("From line 2 on it stands with other spaces"));
        check("x\na\nb\na\nb\nd\n", &[("a\nb\nc", "")], Err("as line 2 does, but line 4 is \"a\""));
        check("a\nb", &[("b\nc", "")], Err("but there the file ends"));
    }

    #[test]
    fn spaces_at_line_ends_and_typography_are_tolerated() {
        check("if x:  \n  y\n", &[("if x:\n  y", "z")], Ok("z\n"));
        check("say “hi” — now", &[("say \"hi\" - now", "ok")], Ok("ok"));
        check("it’s a\u{a0}b; rest", &[("it's a b", "x")], Ok("x; rest"));
        check("a \nb \nc \n", &[("b", "B")], Ok("a \nB \nc \n"));
        check("say \"hi\"\n", &[("say “hi”", "x")], Ok("x\n"));
    }

    #[test]
    fn line_ends_stay_as_they_are() {
        check("a\r\nb\r\nc\r\n", &[("a\nb", "x\ny")], Ok("x\r\ny\r\nc\r\n"));
        check("a\r\nb\r\n", &[("a\r\n", "x\r\n")], Ok("x\r\nb\r\n"));
        check("a\nb\r\nc\n", &[("a", "x")], Ok("x\nb\r\nc\n"));
        check("a \r\nb\r\n", &[("a\nb", "x")], Ok("x\r\n"));
    }

    proptest! {
        #[test]
        fn what_is_not_replaced_never_changes(
            before in "[a “\r\n]{0,20}", old in "[xy—]{1,6}", new in "[n\n]{0,6}", after in "[a “\r\n]{0,20}",
        ) {
            let original = format!("{before}{old}{after}");
            if let Ok(got) = replace(&original, &[Replacement { old: old.clone(), new }]) {
                prop_assert!(got.text.starts_with(&before));
                prop_assert!(got.text.ends_with(&after));
            } else {
                prop_assert!(false, "{original:?} has {old:?} once");
            }
        }
    }
}
