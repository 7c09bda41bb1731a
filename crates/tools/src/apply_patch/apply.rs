//! Finds where the hunks of a patch belong and applies them: exactly first, then with ever more
//! tolerance for spaces and typography, as Codex does. Lines that stay keep every byte. Pure.

use super::parse::{Hunk, Kind};
use crate::matching::plain_char;
use std::ops::Range;

/// What came of the hunks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) text: String,
    /// How many were found only with tolerance for more than spaces at line ends.
    pub(crate) tolerant: usize,
}

/// How alike a line of the file and one of the patch must be, from strict to loose.
const LEVELS: [fn(&str, &str) -> bool; 4] = [
    |a, b| a == b,
    |a, b| a.trim_end() == b.trim_end(),
    |a, b| a.trim() == b.trim(),
    |a, b| a.trim().chars().map(plain_char).eq(b.trim().chars().map(plain_char)),
];

/// The level up to which nobody needs to be told.
const HARMLESS_LEVEL: usize = 1;

/// Lines of a hunk that an error shows at most.
const LINES_SHOWN_MAX: usize = 5;

/// Applies the hunks to a text. The error is for the model.
pub(crate) fn apply(original: &str, hunks: &[Hunk]) -> Result<Applied, String> {
    let ends_with_newline = original.is_empty() || original.ends_with('\n');
    let lines: Vec<&str> = match original.strip_suffix('\n').unwrap_or(original) {
        "" if original.is_empty() => Vec::new(),
        text => text.split('\n').collect(),
    };
    let line_end = if lines.first().is_some_and(|line| line.ends_with('\r')) { "\r" } else { "" };
    let mut tolerant = 0;
    let mut places: Vec<(Range<usize>, &Hunk)> = Vec::with_capacity(hunks.len());
    let mut cursor = 0;
    for hunk in hunks {
        let found = locate(&lines, hunk, cursor)?;
        tolerant += usize::from(found.level > HARMLESS_LEVEL);
        cursor = found.range.end;
        places.push((found.range, hunk));
    }
    places.sort_by_key(|(range, _)| range.start);
    for pair in places.windows(2) {
        if pair[0].0.end > pair[1].0.start {
            return Err(format!(
                "two hunks change the same lines, from line {} on. Make one hunk of them.",
                pair[1].0.start + 1
            ));
        }
    }
    let mut out: Vec<String> = Vec::with_capacity(lines.len());
    let mut at = 0;
    for (range, hunk) in places {
        out.extend(lines[at..range.start].iter().map(|line| (*line).to_owned()));
        at = range.start;
        for line in &hunk.lines {
            match line.kind {
                Kind::Add => out.push(format!("{}{line_end}", line.text)),
                // A blank last line of the hunk may lie behind the end of the file.
                Kind::Keep if at < range.end => {
                    out.push(lines[at].to_owned());
                    at += 1;
                }
                Kind::Remove if at < range.end => at += 1,
                Kind::Keep | Kind::Remove => {}
            }
        }
    }
    out.extend(lines[at..].iter().map(|line| (*line).to_owned()));
    let mut text = out.join("\n");
    if ends_with_newline && !out.is_empty() {
        text.push('\n');
    }
    Ok(Applied { text, tolerant })
}

struct Found {
    range: Range<usize>,
    level: usize,
}

/// The lines that a hunk stands for. Looked for below the hunk before, then from the start.
fn locate(lines: &[&str], hunk: &Hunk, cursor: usize) -> Result<Found, String> {
    let from = match below_heading(lines, hunk, cursor) {
        Err(_) if cursor > 0 => below_heading(lines, hunk, 0)?,
        other => other?,
    };
    let mut wanted: Vec<&str> = hunk
        .lines
        .iter()
        .filter(|line| line.kind != Kind::Add)
        .map(|line| line.text.as_str())
        .collect();
    if wanted.is_empty() {
        // Nothing to hold on to but the heading.
        let at = if hunk.context.is_empty() || hunk.at_end { lines.len() } else { from };
        return Ok(Found { range: at..at, level: 0 });
    }
    loop {
        for (level, alike) in LEVELS.iter().enumerate() {
            let Some(last) = lines.len().checked_sub(wanted.len()) else { break };
            let end = hunk.at_end.then_some(last);
            // Hunks in another order than the file's are fine where no heading says otherwise.
            let above = if hunk.context.is_empty() { 0..from.min(last + 1) } else { 0..0 };
            let mut starts = end.into_iter().chain(from..=last).chain(above);
            let fits = |start: &usize| {
                let here = &lines[*start..start + wanted.len()];
                here.iter().zip(&wanted).all(|(a, b)| alike(without_cr(a), b))
            };
            if let Some(start) = starts.find(fits) {
                return Ok(Found { range: start..start + wanted.len(), level });
            }
        }
        // Some models show the end of a file as one more, blank line.
        if wanted.len() > 1 && wanted.last().is_some_and(|line| line.is_empty()) {
            wanted.pop();
            continue;
        }
        let shown = &wanted[..wanted.len().min(LINES_SHOWN_MAX)];
        let dots = if shown.len() < wanted.len() { "\n…" } else { "" };
        return Err(format!(
            "these lines of a hunk were not found:\n{}{dots}\nThey must match the file. Read it again \
             and copy them from there.",
            shown.join("\n")
        ));
    }
}

/// The line below the headings of a hunk.
fn below_heading(lines: &[&str], hunk: &Hunk, cursor: usize) -> Result<usize, String> {
    let mut at = cursor;
    for heading in &hunk.context {
        // The beginning of a line is enough for a heading.
        let begins = |line: &str, heading: &str| line.trim().starts_with(heading.trim());
        let found = LEVELS
            .into_iter()
            .chain([begins as fn(&str, &str) -> bool])
            .find_map(|alike| (at..lines.len()).find(|i| alike(without_cr(lines[*i]), heading)));
        let Some(found) = found else {
            return Err(format!("the line that `@@ {heading}` names was not found."));
        };
        at = found + 1;
    }
    Ok(at)
}

fn without_cr(line: &str) -> &str {
    line.strip_suffix('\r').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply_patch::parse::{Section, parse};
    use proptest::prelude::*;
    use similar::{ChangeTag, TextDiff};

    fn hunks(body: &str) -> Vec<Hunk> {
        let patch = format!("*** Begin Patch\n*** Update File: f\n{body}\n*** End Patch");
        match parse(&patch).unwrap().pop() {
            Some(Section::Update { hunks, .. }) => hunks,
            other => panic!("{other:?}"),
        }
    }

    fn check(original: &str, body: &str, expected: Result<(&str, usize), &str>) {
        match (apply(original, &hunks(body)), expected) {
            (Ok(got), Ok((text, tolerant))) => {
                assert_eq!((got.text.as_str(), got.tolerant), (text, tolerant), "{body}");
            }
            (Err(got), Err(part)) => assert!(got.contains(part), "{got}"),
            (got, _) => panic!("{original:?} {body}: {got:?}"),
        }
    }

    #[test]
    fn hunks_go_where_their_lines_are() {
        check("a\nb\nc\n", "@@\n a\n-b\n+B\n c", Ok(("a\nB\nc\n", 0)));
        check("x\nf\nx\ng\nx\n", "@@ g\n-x\n+y", Ok(("x\nf\nx\ng\ny\n", 0)));
        check("x\nx\nx\n", "-x\n+1\n@@\n-x\n+2", Ok(("1\n2\nx\n", 0)));
        check("x\ny\nx\n", "@@\n-x\n+1\n*** End of File", Ok(("x\ny\n1\n", 0)));
        check("a\n", "@@\n+b", Ok(("a\nb\n", 0)));
        check("def f(x):\n  1\n", "@@ def f\n+  0", Ok(("def f(x):\n  0\n  1\n", 0)));
        check("", "+a", Ok(("a\n", 0)));
        check("a\n", "-a", Ok(("", 0)));
        check("a\nb\n", "@@\n-b\n+B\n@@\n-a\n+A", Ok(("A\nB\n", 0)));
        check(
            "class A\n f\nclass B\n f\n",
            "@@ class B\n@@  f\n+ g",
            Ok(("class A\n f\nclass B\n f\n g\n", 0)),
        );
    }

    #[test]
    fn spaces_and_typography_are_tolerated_by_degrees() {
        check("a  \nb\n", " a\n-b\n+c", Ok(("a  \nc\n", 0)));
        check("  a\nb\n", " a\n-b\n+c", Ok(("  a\nc\n", 1)));
        check("say “hi”\nb\n", " say \"hi\"\n-b\n+c", Ok(("say “hi”\nc\n", 1)));
        check("a\nb\n", " a\n-b\n+c\n ", Ok(("a\nc\n", 0)));
        // The strict place counts, wherever the loose one is.
        check(" a\na\n", "-a\n+b", Ok((" a\nb\n", 0)));
    }

    #[test]
    fn line_ends_stay_as_they_are() {
        check("a\r\nb\r\n", " a\n-b\n+c\n+d", Ok(("a\r\nc\r\nd\r\n", 0)));
        check("a\nb", "-b\n+c", Ok(("a\nc", 0)));
    }

    #[test]
    fn what_is_not_there_is_shown() {
        check("a\n", "-b\n+c", Err("not found:\nb\nThey must"));
        check("a\n", "@@ f\n-a", Err("that `@@ f` names was not found"));
        check("a\nb\n", "@@ b\n-a", Err("not found"));
    }

    /// The patch between two texts, with that many lines around each change.
    fn patch(before: &str, after: &str, context: usize) -> String {
        let diff = TextDiff::from_lines(before, after);
        let mut out = String::new();
        for group in diff.grouped_ops(context) {
            out.push_str("@@\n");
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let mark = match change.tag() {
                    ChangeTag::Equal => ' ',
                    ChangeTag::Delete => '-',
                    ChangeTag::Insert => '+',
                };
                out.push(mark);
                out.push_str(change.value());
            }
        }
        out
    }

    fn apply_patch(before: &str, patch: &str) -> String {
        apply(before, &hunks(patch.trim_end_matches('\n'))).unwrap().text
    }

    proptest! {
        #[test]
        fn a_patch_of_two_texts_makes_the_second_of_the_first(
            before in "([ab“-]{0,3}\n){0,12}", after in "([ab“+]{0,3}\n){0,12}",
        ) {
            prop_assume!(before != after);
            let patch = patch(&before, &after, 1_000);
            prop_assert_eq!(apply_patch(&before, &patch), after, "{}", patch);
        }

        #[test]
        fn a_patch_with_little_context_finds_its_places(
            keep in prop::collection::vec(0..4u8, 1..60), context in 1usize..4,
        ) {
            let before: Vec<String> = (0..keep.len()).map(|n| format!("line {n}\n")).collect();
            let before = before.concat();
            let after: Vec<String> = keep.iter().enumerate().map(|(n, what)| match what {
                0 => String::new(),
                1 => format!("line {n}\nnew {n}\n"),
                _ => format!("line {n}\n"),
            }).collect();
            let after = after.concat();
            prop_assume!(before != after);
            let patch = patch(&before, &after, context);
            prop_assert_eq!(apply_patch(&before, &patch), after, "{}", patch);
        }

        #[test]
        fn no_patch_makes_it_panic(
            original in "[ab \r\n]{0,30}", body in "([ +@*-]{0,2}[ab \r]{0,3}\n){0,10}",
        ) {
            let patch = format!("*** Begin Patch\n*** Update File: f\n{body}*** End Patch");
            if let Ok(sections) = parse(&patch)
                && let Some(Section::Update { hunks, .. }) = sections.first()
            {
                let _ = apply(&original, hunks);
            }
        }
    }
}
