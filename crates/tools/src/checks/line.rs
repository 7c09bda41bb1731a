//! The steps of a command line, each with its words, and which of them must have succeeded when the line ends
//! with exit code 0. Understands lists and pipelines; in a line with anything else no step decides.

use super::{known, nothing};

/// A command of a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) words: Vec<String>,
    /// Exit code 0 of the line says that it succeeded.
    pub(super) decides: bool,
    then: Then,
}

/// What follows a step.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Then {
    And,
    Or,
    Pipe,
    Background,
    #[default]
    Next,
}

impl Step {
    /// Whether it may change how the line ends, whatever stands before it.
    fn changes(&self) -> bool {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match known::bare(&words).split_first() {
            Some((&"set", options)) => nothing::only_reads(options),
            Some((first, _)) => CHANGES.contains(first),
            None => false,
        }
    }
}

/// Words that begin what is more than a list, or change what a command is or how the line ends.
const UNCLEAR: [&str; 17] = [
    "!", "if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac",
    "select", "function", "coproc", "eval",
];

/// Commands after which the line may end otherwise than it seems, or a name is another program.
const CHANGES: [&str; 6] = ["exit", "return", "break", "trap", "alias", "exec"];

/// Reads a line.
pub(super) fn read(line: &str) -> Vec<Step> {
    let mut reader = Reader::default();
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        match c {
            '\'' => reader.quoted(&rest.by_ref().take_while_inclusive('\'')),
            '"' => reader.double(&mut rest),
            '\\' => match rest.next() {
                Some('\n') => {}
                Some(next) => reader.push(next),
                None => reader.unclear = true,
            },
            ' ' | '\t' | '\r' => reader.end_word(),
            '#' if reader.word.is_none() => while rest.next_if(|c| *c != '\n').is_some() {},
            '&' if next == Some('&') => {
                rest.next();
                reader.end(Then::And);
            }
            '&' if next == Some('>') => reader.redirection(&mut rest),
            '&' => reader.end(Then::Background),
            '|' if next == Some('|') => {
                rest.next();
                reader.end(Then::Or);
            }
            '|' => {
                // `|&` is a pipe as well.
                rest.next_if_eq(&'&');
                reader.end(Then::Pipe);
            }
            ';' | '\n' => reader.end(Then::Next),
            '<' if next == Some('<') => {
                reader.unclear = true;
                reader.end_word();
            }
            '<' | '>' => reader.redirection(&mut rest),
            '(' | ')' | '{' | '}' | '`' => {
                reader.unclear = true;
                reader.end(Then::Next);
            }
            '$' if matches!(next, Some('(' | '\'')) => reader.unclear = true,
            c => reader.push(c),
        }
    }
    reader.end(Then::Next);
    reader.steps()
}

#[derive(Default)]
struct Reader {
    steps: Vec<Step>,
    words: Vec<String>,
    word: Option<String>,
    /// The next word is where something goes.
    target: bool,
    unclear: bool,
}

impl Reader {
    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn quoted(&mut self, text: &Quoted) {
        self.word.get_or_insert_default().push_str(&text.text);
        self.unclear |= !text.closed;
    }

    fn double(&mut self, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
        self.word.get_or_insert_default();
        while let Some(c) = rest.next() {
            match c {
                '"' => return,
                '\\' => match rest.next() {
                    Some('\n') | None => {}
                    Some(next) => self.push(next),
                },
                '`' => self.unclear = true,
                '$' if rest.peek() == Some(&'(') => self.unclear = true,
                c => self.push(c),
            }
        }
        self.unclear = true;
    }

    /// `2>&1`, `>>file`, `<file`: takes the sign; where it goes is no word of the command.
    fn redirection(&mut self, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
        // The number before it belongs to it.
        self.word.take_if(|word| word.bytes().all(|b| b.is_ascii_digit()));
        self.end_word();
        while rest.next_if(|c| matches!(c, '>' | '<' | '&' | '|')).is_some() {}
        while rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        self.target = true;
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        if !std::mem::take(&mut self.target) {
            self.words.push(word);
        }
    }

    fn end(&mut self, then: Then) {
        self.end_word();
        self.target = false;
        let words = std::mem::take(&mut self.words);
        if !words.is_empty() {
            self.steps.push(Step { words, decides: false, then });
        } else if let Some(last) = self.steps.last_mut()
            && then != Then::Next
        {
            // `a; && b` is no line at all.
            last.then = then;
            self.unclear = true;
        }
    }

    fn steps(mut self) -> Vec<Step> {
        for step in &mut self.steps {
            self.unclear |= step.changes();
            while step.words.first().is_some_and(|word| UNCLEAR.contains(&word.as_str())) {
                // What it stands before is a command all the same.
                step.words.remove(0);
                self.unclear = true;
            }
        }
        self.steps.retain(|step| !step.words.is_empty());
        if !self.unclear {
            decide(&mut self.steps);
        }
        self.steps
    }
}

/// Marks the steps that must have succeeded when the line ends with 0.
fn decide(steps: &mut [Step]) {
    let (mut errexit, mut pipefail) = (false, false);
    let mut from = 0;
    while from < steps.len() {
        let ends = |step: &Step| matches!(step.then, Then::Next | Then::Background);
        let to = steps[from..].iter().position(ends).map_or(steps.len(), |at| from + at + 1);
        let is_last = to == steps.len();
        let list = &mut steps[from..to];
        from = to;
        options(list, &mut errexit, &mut pipefail);
        let background = list.last().is_some_and(|step| step.then == Then::Background);
        if background || list.iter().any(|step| step.then == Then::Or) {
            continue;
        }
        // Of a list before the last one, failing in its last pipeline alone ends a shell with `-e`.
        let last_pipeline =
            list.iter().rposition(|step| step.then == Then::And).map_or(0, |at| at + 1);
        for (at, step) in list.iter_mut().enumerate() {
            let counts = is_last || errexit && at >= last_pipeline;
            step.decides = counts && (pipefail || step.then != Then::Pipe);
        }
    }
}

/// What `set` in this list changes for it and what follows.
fn options(list: &[Step], errexit: &mut bool, pipefail: &mut bool) {
    for step in list.iter().filter(|step| step.words[0] == "set") {
        for word in &step.words[1..] {
            let on = word.starts_with('-');
            if let Some(letters) = word.strip_prefix(['-', '+'])
                && letters.contains('e')
            {
                *errexit = on;
            }
        }
        for pair in step.words.windows(2) {
            let sets = pair[0].starts_with(['-', '+']) && pair[0].ends_with('o');
            let on = pair[0].starts_with('-');
            match pair[1].as_str() {
                "pipefail" if sets => *pipefail = on,
                "errexit" if sets => *errexit = on,
                _ => {}
            }
        }
    }
}

/// The text up to a closing quote.
struct Quoted {
    text: String,
    closed: bool,
}

trait TakeWhileInclusive {
    fn take_while_inclusive(self, end: char) -> Quoted;
}

impl<I: Iterator<Item = char>> TakeWhileInclusive for I {
    fn take_while_inclusive(self, end: char) -> Quoted {
        let mut text = String::new();
        for c in self {
            if c == end {
                return Quoted { text, closed: true };
            }
            text.push(c);
        }
        Quoted { text, closed: false }
    }
}
