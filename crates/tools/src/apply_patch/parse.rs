//! Reads a patch: `*** Begin Patch`, sections per file, `*** End Patch`. Pure.

/// What happens to one file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Add { path: String, content: String },
    Delete { path: String },
    Update { path: String, to: Option<String>, hunks: Vec<Hunk> },
}

/// A place that changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hunk {
    /// Lines of `@@` before it: each is looked for below the one before.
    pub(crate) context: Vec<String>,
    pub(crate) lines: Vec<Line>,
    /// It stands at the end of the file.
    pub(crate) at_end: bool,
}

/// One line of a hunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Keep,
    Remove,
    Add,
}

const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";
const ADD: &str = "*** Add File:";
const DELETE: &str = "*** Delete File:";
const UPDATE: &str = "*** Update File:";
const MOVE: &str = "*** Move to:";
const END_OF_FILE: &str = "*** End of File";

/// The sections of a patch. The error is for the model and names the line.
pub(crate) fn parse(patch: &str) -> Result<Vec<Section>, String> {
    let lines: Vec<&str> = patch.lines().collect();
    // What stands around the envelope is a shell's quoting or a fence.
    let begin = lines.iter().position(|line| line.trim() == BEGIN);
    let Some(begin) = begin else { return Err(format!("The patch must begin with `{BEGIN}`.")) };
    let end = lines.iter().rposition(|line| line.trim() == END).filter(|end| *end > begin);
    let Some(end) = end else { return Err(format!("The patch must end with `{END}`.")) };
    let mut reader = Reader { lines: &lines[..end], at: begin + 1 };
    let mut sections = Vec::new();
    while let Some(line) = reader.next() {
        let line_number = reader.at;
        let path = |rest: &str| {
            let rest = rest.trim();
            if rest.is_empty() {
                return Err(format!("Line {line_number} of the patch names no file."));
            }
            Ok(rest.to_owned())
        };
        if let Some(rest) = line.strip_prefix(ADD) {
            sections.push(Section::Add { path: path(rest)?, content: reader.content()? });
        } else if let Some(rest) = line.strip_prefix(DELETE) {
            sections.push(Section::Delete { path: path(rest)? });
        } else if let Some(rest) = line.strip_prefix(UPDATE) {
            let path = path(rest)?;
            let to = reader.destination()?;
            let hunks = reader.hunks()?;
            if hunks.is_empty() && to.is_none() {
                return Err(format!("The patch says nothing of what changes in {path}."));
            }
            sections.push(Section::Update { path, to, hunks });
        } else if !line.trim().is_empty() {
            return Err(format!(
                "Line {line_number} of the patch is not clear: {line:?}. Expected is `{ADD}`, \
                 `{DELETE}` or `{UPDATE}` and a path."
            ));
        }
    }
    if sections.is_empty() {
        return Err("The patch is empty.".into());
    }
    Ok(sections)
}

struct Reader<'a> {
    lines: &'a [&'a str],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.lines.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let line = self.peek()?;
        self.at += 1;
        Some(line)
    }

    /// A line of the section that goes on.
    fn inside(&self) -> Option<&'a str> {
        self.peek().filter(|line| [ADD, DELETE, UPDATE].iter().all(|next| !line.starts_with(next)))
    }

    fn destination(&mut self) -> Result<Option<String>, String> {
        let Some(rest) = self.peek().and_then(|line| line.strip_prefix(MOVE)) else {
            return Ok(None);
        };
        self.at += 1;
        if rest.trim().is_empty() {
            return Err(format!("Line {} of the patch names no file.", self.at));
        }
        Ok(Some(rest.trim().to_owned()))
    }

    /// The content of a new file.
    fn content(&mut self) -> Result<String, String> {
        let mut content = String::new();
        let mut blank = 0;
        while let Some(line) = self.inside() {
            self.at += 1;
            if let Some(text) = line.strip_prefix('+') {
                content.push_str(&"\n".repeat(std::mem::take(&mut blank)));
                content.push_str(text);
                content.push('\n');
            } else if line.trim().is_empty() {
                // An empty line whose mark was left out, or one between sections.
                blank += 1;
            } else if line != END_OF_FILE {
                return Err(format!(
                    "Line {} of the patch must begin with +, as all lines of a new file: {line:?}.",
                    self.at
                ));
            }
        }
        Ok(content)
    }

    fn hunks(&mut self) -> Result<Vec<Hunk>, String> {
        let mut hunks: Vec<Hunk> = Vec::new();
        let mut hunk = Hunk::default();
        // A hunk without its `@@` is fine if it is the first one.
        let mut is_open = true;
        // Lines without even a space: at the end of a hunk they most likely belong to nothing.
        let mut bare = 0;
        while let Some(line) = self.inside() {
            self.at += 1;
            let is_bare = line.is_empty();
            if let Some(rest) = line.strip_prefix("@@") {
                hunk.close_into(&mut hunks, bare);
                is_open = true;
                let context = heading(rest);
                if !context.is_empty() {
                    hunk.context.push(context.to_owned());
                }
            } else if line.trim_end() == END_OF_FILE {
                hunk.at_end = true;
                hunk.close_into(&mut hunks, bare);
                is_open = false;
            } else if let Some(line) = Line::new(line)
                && (is_open || line.text.trim().is_empty())
            {
                hunk.lines.push(line);
                bare = if is_bare { bare + 1 } else { 0 };
                continue;
            } else {
                return Err(format!(
                    "Line {} of the patch must begin with a space, -, + or @@: {line:?}.",
                    self.at
                ));
            }
            bare = 0;
        }
        hunk.close_into(&mut hunks, bare);
        if hunk.context.is_empty() {
            return Ok(hunks);
        }
        Err(format!("No lines follow `@@ {}` in the patch.", hunk.context.join(" @@ ")))
    }
}

impl Hunk {
    /// Ends the hunk, if it has lines; its place is a new one then.
    fn close_into(&mut self, hunks: &mut Vec<Hunk>, bare: usize) {
        self.lines.truncate(self.lines.len().saturating_sub(bare));
        if !self.lines.is_empty() {
            hunks.push(std::mem::take(self));
        }
    }
}

impl Line {
    fn new(line: &str) -> Option<Self> {
        let (kind, text) = match line.as_bytes().first() {
            // Editors and models take the space off an empty line.
            None => (Kind::Keep, ""),
            Some(b' ') => (Kind::Keep, &line[1..]),
            Some(b'-') => (Kind::Remove, &line[1..]),
            Some(b'+') => (Kind::Add, &line[1..]),
            Some(_) => return None,
        };
        Some(Self { kind, text: text.to_owned() })
    }
}

/// What `@@` names. Line numbers of a unified diff say nothing here.
fn heading(rest: &str) -> &str {
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    if !rest.starts_with('-') {
        return rest.trim_end().trim_end_matches("@@").trim_end();
    }
    match rest.split_once("@@") {
        Some((numbers, name)) if numbers.contains('+') => name.trim(),
        _ => rest.trim_end(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Result<&[Section], &str>) {
        let got = parse(&format!("*** Begin Patch\n{body}\n*** End Patch"));
        match (got, expected) {
            (Ok(got), Ok(sections)) => assert_eq!(got, sections, "{body}"),
            (Err(got), Err(part)) => assert!(got.contains(part), "{got}"),
            (got, _) => panic!("{body}: {got:?}"),
        }
    }

    fn line(kind: Kind, text: &str) -> Line {
        Line { kind, text: text.into() }
    }

    #[test]
    fn sections_are_read() {
        check(
            "*** Add File: a\n+x\n\n+y\n\n*** Delete File: b",
            Ok(&[
                Section::Add { path: "a".into(), content: "x\n\ny\n".into() },
                Section::Delete { path: "b".into() },
            ]),
        );
        check(
            "*** Update File: a b\n*** Move to: c\n@@ class A\n@@ def f\n k\n-r\n+n\n\n*** End of File\n\n",
            Ok(&[Section::Update {
                path: "a b".into(),
                to: Some("c".into()),
                hunks: vec![Hunk {
                    context: vec!["class A".into(), "def f".into()],
                    lines: vec![
                        line(Kind::Keep, "k"),
                        line(Kind::Remove, "r"),
                        line(Kind::Add, "n"),
                    ],
                    at_end: true,
                }],
            }]),
        );
        check(
            "*** Update File: a\n-r\n@@ -1,2 +3,4 @@ fn x\n+n",
            Ok(&[Section::Update {
                path: "a".into(),
                to: None,
                hunks: vec![
                    Hunk { lines: vec![line(Kind::Remove, "r")], ..Hunk::default() },
                    Hunk {
                        context: vec!["fn x".into()],
                        lines: vec![line(Kind::Add, "n")],
                        at_end: false,
                    },
                ],
            }]),
        );
        check(
            "*** Update File: a\n*** Move to: b",
            Ok(&[Section::Update { path: "a".into(), to: Some("b".into()), hunks: vec![] }]),
        );
    }

    #[test]
    fn what_is_not_clear_is_named() {
        check("", Err("is empty"));
        check("*** Update File: a", Err("nothing of what changes in a"));
        check("*** Update File:\n-a", Err("Line 2 of the patch names no file"));
        check("*** Update File: a\n@@ x", Err("No lines follow `@@ x`"));
        check("*** Update File: a\nwrong", Err("Line 3 of the patch must begin with"));
        check("*** Add File: a\nwrong", Err("Line 3 of the patch must begin with +"));
        check("hello", Err("Line 2 of the patch is not clear"));
        assert!(parse("*** Update File: a").unwrap_err().contains("must begin with"));
        assert!(
            parse("*** Begin Patch\n*** Delete File: a").unwrap_err().contains("must end with")
        );
    }

    #[test]
    fn quoting_around_the_envelope_is_left_out() {
        let patch =
            "apply_patch <<'EOF'\n*** Begin Patch\n*** Delete File: a\n*** End Patch\nEOF\n";
        assert_eq!(parse(patch).unwrap(), [Section::Delete { path: "a".into() }]);
    }
}
