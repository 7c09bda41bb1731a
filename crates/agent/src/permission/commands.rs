//! What a command line runs, as far as that can be told without running it: a light reader of the shell's
//! language (quotes, lists, pipelines, subshells, substitutions, redirections, here-documents). What it
//! does not understand it says.

/// Substitutions within substitutions; deeper is nothing that people write.
const DEPTH_MAX: usize = 16;

/// One word of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Without quotes; substitutions stand as they were written.
    pub(super) text: String,
    /// Whether the shell makes another text of it.
    pub(super) expands: bool,
    /// Whether any of it was quoted: then it is no keyword.
    quoted: bool,
    /// `>`, `2>&`, `<` …
    pub(super) redirects: bool,
}

/// A command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Its commands, those of substitutions too, each with its words.
    pub(super) commands: Vec<Vec<Word>>,
    /// Whether there may be others.
    pub(super) unclear: bool,
}

/// Reads a command line.
pub(super) fn read(text: &str) -> Line {
    let mut line = Line::default();
    read_into(&mut line, text, 0);
    line
}

fn read_into(line: &mut Line, text: &str, depth: usize) {
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader { chars: &chars, at: 0, line, depth, words: Vec::new(), word: None };
    reader.list(None);
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    line: &'a mut Line,
    depth: usize,
    words: Vec<Word>,
    word: Option<Word>,
}

/// The words of a here-document's end.
struct Here {
    end: String,
    strips_tabs: bool,
    literal: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn is_next(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(n, c)| self.chars.get(self.at + n) == Some(&c))
    }

    fn word(&mut self) -> &mut Word {
        self.word.get_or_insert_default()
    }

    fn unclear(&mut self) {
        self.line.unclear = true;
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_command(&mut self) {
        self.end_word();
        let words = std::mem::take(&mut self.words);
        self.keep(words);
    }

    /// Keeps a command without the words of the shell's own grammar before it.
    fn keep(&mut self, mut words: Vec<Word>) {
        while let Some(first) = words.first().filter(|w| !w.redirects) {
            match first.text.as_str() {
                _ if first.quoted => break,
                "if" | "then" | "elif" | "else" | "while" | "until" | "do" | "done" | "fi"
                | "{" | "}" | "!" => {
                    words.remove(0);
                }
                // Names and values only.
                "for" | "select" => return,
                "case" | "esac" | "function" | "coproc" => {
                    self.unclear();
                    break;
                }
                _ => break,
            }
        }
        if !words.is_empty() {
            self.line.commands.push(words);
        }
    }

    /// Reads commands to the closing character, or to the end of the text.
    fn list(&mut self, until: Option<char>) {
        let mut here: Vec<Here> = Vec::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                _ if Some(c) == until => {
                    // Its lines come after what is read here.
                    if !here.is_empty() {
                        self.unclear();
                    }
                    self.end_command();
                    return;
                }
                '\n' => {
                    self.end_command();
                    for document in here.drain(..) {
                        self.skip_document(&document);
                    }
                }
                ' ' | '\t' | '\r' => self.end_word(),
                '&' if self.peek() == Some('>') => {
                    self.at += 1;
                    self.redirection('>');
                }
                ';' | '|' | '&' => self.end_command(),
                '#' if self.word.is_none() => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                '<' | '>' if self.peek() == Some('(') => {
                    self.at += 1;
                    self.word().expands = true;
                    self.inner(')');
                }
                '<' if self.is_next("<") && !self.is_next("<<") => {
                    self.at += 1;
                    here.extend(self.here());
                }
                '<' | '>' => self.redirection(c),
                '(' => self.open(),
                ')' => self.unclear(),
                _ => self.part(c),
            }
        }
        self.end_command();
        // A document or a list without its end.
        if until.is_some() || !here.is_empty() {
            self.unclear();
        }
    }

    /// One character of a word, or what it begins.
    fn part(&mut self, c: char) {
        match c {
            '\\' => match self.peek() {
                Some('\n') => self.at += 1,
                Some(next) => {
                    self.at += 1;
                    self.word().text.push(next);
                    self.word().quoted = true;
                }
                None => self.unclear(),
            },
            '\'' => self.single(),
            '"' => self.double(),
            '$' => self.dollar(false),
            '`' => self.backquote(),
            // `{}` is a word; with more in it, the shell makes other words of it.
            '{' if !self.is_next("}") && self.peek().is_some_and(|c| !c.is_whitespace()) => {
                self.word().text.push(c);
                self.word().expands = true;
            }
            '*' | '?' | '[' => {
                // `[` and `[[` are commands.
                let test = c == '[' && (self.word.is_none() || self.word().text == "[");
                self.word().text.push(c);
                self.word().expands |= !test;
            }
            _ => self.word().text.push(c),
        }
    }

    fn redirection(&mut self, c: char) {
        // `2>`: the number belongs to it.
        let number = self.word.take_if(|w| !w.quoted && w.text.chars().all(|c| c.is_ascii_digit()));
        self.end_word();
        let mut text = number.map(|w| w.text).unwrap_or_default();
        text.push(c);
        while let Some(c @ ('>' | '<' | '&' | '|')) = self.peek() {
            text.push(c);
            self.at += 1;
        }
        self.words.push(Word { text, redirects: true, ..Word::default() });
    }

    fn open(&mut self) {
        let begins =
            self.word.is_none() && self.words.iter().all(|w| !w.quoted && is_keyword(&w.text));
        if !begins || self.peek() == Some('(') {
            // A function, an array, a pattern, arithmetic.
            self.unclear();
            return;
        }
        let outer = std::mem::take(&mut self.words);
        self.deeper(|reader| reader.list(Some(')')));
        self.words = outer;
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self)) {
        if self.depth == DEPTH_MAX {
            self.unclear();
            self.at = self.chars.len();
            return;
        }
        self.depth += 1;
        read(self);
        self.depth -= 1;
    }

    /// A list within a word.
    fn inner(&mut self, until: char) {
        let from = self.at;
        let (word, words) = (self.word.take(), std::mem::take(&mut self.words));
        self.deeper(|reader| reader.list(Some(until)));
        (self.word, self.words) = (word, words);
        let text: String = self.chars[from..self.at.min(self.chars.len())].iter().collect();
        self.word().text.push_str("$(");
        self.word().text.push_str(&text);
        self.word().expands = true;
    }

    fn single(&mut self) {
        self.word().quoted = true;
        while let Some(c) = self.peek() {
            self.at += 1;
            if c == '\'' {
                return;
            }
            self.word().text.push(c);
        }
        self.unclear();
    }

    fn double(&mut self) {
        self.word().quoted = true;
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                '"' => return,
                '\\' => match self.peek() {
                    Some('\n') => self.at += 1,
                    Some(next @ ('$' | '`' | '"' | '\\')) => {
                        self.at += 1;
                        self.word().text.push(next);
                    }
                    _ => self.word().text.push('\\'),
                },
                '$' => self.dollar(true),
                '`' => self.backquote(),
                _ => self.word().text.push(c),
            }
        }
        self.unclear();
    }

    fn dollar(&mut self, in_quotes: bool) {
        match self.peek() {
            Some('(') if self.is_next("((") => {
                self.word().expands = true;
                self.skip_to("))");
            }
            Some('(') => {
                self.at += 1;
                self.inner(')');
            }
            Some('{') => {
                self.word().expands = true;
                self.skip_to("}");
            }
            // Texts with escapes, of which any character can be made.
            Some('\'') if !in_quotes => {
                self.at += 1;
                let from = self.at;
                self.single();
                if self.chars[from..self.at].contains(&'\\') {
                    self.unclear();
                }
            }
            Some('"') if !in_quotes => {
                self.at += 1;
                self.double();
            }
            Some(c) if c.is_alphanumeric() || "_@*#?-$!".contains(c) => {
                self.word().expands = true;
                self.word().text.push('$');
            }
            _ => self.word().text.push('$'),
        }
    }

    /// Takes an arithmetic or parameter expansion as it stands.
    fn skip_to(&mut self, end: &str) {
        let from = self.at;
        while self.at < self.chars.len() && !self.is_next(end) {
            self.at += 1;
        }
        let text: String = self.chars[from..self.at].iter().collect();
        // What looks like arithmetic and is none is a list of commands in a subshell.
        let strange = match text.strip_prefix("((") {
            Some(sum) => {
                !is_balanced(sum) || sum.contains(|c: char| ";\n'\"\\`".contains(c) || c == '#')
            }
            // What ends a text or another such within it is told by more rules than are known here.
            None => text[1..].contains(['`', '\'', '"', '{', '\\']),
        };
        if self.at == self.chars.len() || strange || text[1..].contains("$(") {
            self.unclear();
        }
        self.at = (self.at + end.len()).min(self.chars.len());
        self.word().text.push('$');
        self.word().text.push_str(&text);
        self.word().text.push_str(end);
    }

    fn backquote(&mut self) {
        let mut inner = String::new();
        let mut ended = false;
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                '`' => {
                    ended = true;
                    break;
                }
                '\\' if self.peek().is_some_and(|c| "`\\$".contains(c)) => {
                    inner.extend(self.peek());
                    self.at += 1;
                }
                _ => inner.push(c),
            }
        }
        if !ended || self.depth == DEPTH_MAX {
            self.unclear();
        } else {
            read_into(self.line, &inner, self.depth + 1);
        }
        let word = self.word();
        word.expands = true;
        word.text.push('`');
        word.text.push_str(&inner);
        word.text.push('`');
    }

    /// The beginning of a here-document.
    fn here(&mut self) -> Option<Here> {
        self.end_word();
        let strips_tabs = self.peek() == Some('-');
        self.at += usize::from(strips_tabs);
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.at += 1;
        }
        let from = self.at;
        while let Some(c) = self.peek().filter(|c| !c.is_whitespace() && !";|&<>()".contains(*c)) {
            self.at += 1;
            self.part(c);
        }
        let Word { text: end, quoted: literal, .. } = self.word.take().unwrap_or_default();
        let written = &self.chars[from..self.at.min(self.chars.len())];
        // Nothing in it stands for something else; it is written so that it seems to.
        if end.is_empty() || written.iter().any(|c| "$`\n".contains(*c)) {
            self.unclear();
            return None;
        }
        Some(Here { end, strips_tabs, literal })
    }

    fn skip_document(&mut self, here: &Here) {
        loop {
            if self.at >= self.chars.len() {
                self.unclear();
                return;
            }
            let rest = &self.chars[self.at..];
            let length = rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
            let line: String = rest[..length].iter().collect();
            self.at = (self.at + length + 1).min(self.chars.len());
            let shown = if here.strips_tabs { line.trim_start_matches('\t') } else { &line };
            if shown == here.end {
                return;
            }
            // A backslash at its end makes one line of two, of which neither ends the document.
            if !here.literal && (line.contains("$(") || line.contains('`') || line.ends_with('\\'))
            {
                self.unclear();
            }
        }
    }
}

fn is_balanced(text: &str) -> bool {
    let mut open = 0usize;
    for c in text.chars() {
        match c {
            '(' => open += 1,
            ')' if open == 0 => return false,
            ')' => open -= 1,
            _ => {}
        }
    }
    open == 0
}

/// Words after which a command begins.
fn is_keyword(word: &str) -> bool {
    ["if", "then", "elif", "else", "while", "until", "do", "{", "!"].contains(&word)
}

#[cfg(test)]
mod tests;
