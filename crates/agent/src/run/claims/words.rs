//! Finds claims in English prose: a subject (tests, lint, build), and words that say it went well. Hopes,
//! conditions, questions, failures and quoted output claim nothing. What it does not understand it leaves.

use std::ops::Range;
use toft_model::receipt::CheckKind;

/// Words between a subject and what is said of it.
const APART_MAX: usize = 7;

/// A claim, and the bytes where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) kind: CheckKind,
    pub(super) place: Range<usize>,
}

/// A word of a text, in small letters.
#[derive(Debug)]
struct Word {
    text: String,
    place: Range<usize>,
}

/// The claims of a text, in order, none of them within another.
pub(super) fn claims(text: &str) -> Vec<Said> {
    clauses(text).iter().flat_map(|clause| of_clause(clause)).collect()
}

const TESTS: [&str; 16] = [
    "test",
    "tests",
    "testing",
    "suite",
    "suites",
    "specs",
    "pytest",
    "jest",
    "vitest",
    "nextest",
    "mocha",
    "rspec",
    "ctest",
    "playwright",
    "phpunit",
    "unittest",
];
const LINTS: [&str; 20] = [
    "lint",
    "lints",
    "linter",
    "linters",
    "linting",
    "clippy",
    "eslint",
    "oxlint",
    "biome",
    "ruff",
    "flake8",
    "mypy",
    "pyright",
    "typecheck",
    "typechecks",
    "typechecking",
    "type-check",
    "type-checks",
    "type-checking",
    "tsc",
];
const BUILDS: [&str; 5] = ["build", "builds", "compilation", "compile", "compiles"];
const CHECKS: [&str; 3] = ["checks", "check", "ci"];

/// Say by themselves that it went well.
const WELL: [&str; 16] = [
    "pass",
    "passes",
    "passed",
    "passing",
    "green",
    "succeed",
    "succeeds",
    "succeeded",
    "successful",
    "successfully",
    "clean",
    "cleanly",
    "fine",
    "error-free",
    "lint-free",
    "✅",
];

/// With one of these before what is said, it is no claim.
const DOUBTS: [&str; 56] = [
    "not",
    "never",
    "cannot",
    "can't",
    "won't",
    "don't",
    "doesn't",
    "didn't",
    "isn't",
    "aren't",
    "wasn't",
    "weren't",
    "haven't",
    "hasn't",
    "couldn't",
    "wouldn't",
    "shouldn't",
    "unable",
    "if",
    "when",
    "whether",
    "unless",
    "until",
    "once",
    "after",
    "before",
    "should",
    "would",
    "could",
    "might",
    "may",
    "will",
    "i'll",
    "we'll",
    "can",
    "must",
    "need",
    "needs",
    "want",
    "let",
    "let's",
    "ensure",
    "ensures",
    "ensuring",
    "verify",
    "confirm",
    "please",
    "expect",
    "expected",
    "hopefully",
    "that'll",
    "probably",
    "likely",
    "assuming",
    "previously",
    "make",
];

/// With one of these behind it, neither.
const LIMITS: [&str; 4] = ["except", "excluding", "apart", "besides"];

/// Begin a clause of their own.
const TURNS: [&str; 4] = ["but", "however", "although", "though"];

/// Say that it went badly, unless there were none.
const BADLY: [&str; 14] = [
    "fail", "fails", "failed", "failing", "failure", "failures", "error", "errors", "warning",
    "warnings", "issue", "issues", "problem", "problems",
];

/// Before such a word: there were none.
const NONE: [&str; 4] = ["no", "0", "zero", "without"];

/// Before a subject: part of the claim.
const BEFORE: [&str; 22] = [
    "all",
    "the",
    "every",
    "full",
    "entire",
    "whole",
    "unit",
    "existing",
    "new",
    "integration",
    "project's",
    "project",
    "our",
    "cargo",
    "npm",
    "type",
    "e2e",
    "run",
    "of",
    "both",
    "release",
    "go",
];

fn subject(words: &[Word], at: usize) -> Option<CheckKind> {
    let word = words[at].text.as_str();
    let kind_of_check =
        at > 0 && ["type", "lint", "format", "style"].contains(&words[at - 1].text.as_str());
    if CHECKS.contains(&word) && kind_of_check {
        return Some(CheckKind::Lint);
    }
    let kinds = [
        (&TESTS[..], CheckKind::Test),
        (&LINTS[..], CheckKind::Lint),
        (&BUILDS[..], CheckKind::Build),
        (&CHECKS[..], CheckKind::Check),
    ];
    kinds.into_iter().find(|(names, _)| names.contains(&word)).map(|(_, kind)| kind)
}

/// Whether a clause says at this word that something went well, and where what says so ends.
fn well(words: &[Word], at: usize) -> Option<usize> {
    let word = words[at].text.as_str();
    if NONE.contains(&word) {
        // "no errors", "without any warnings".
        let bad =
            (at + 1..words.len().min(at + 4)).find(|n| BADLY.contains(&words[*n].text.as_str()))?;
        return Some(bad);
    }
    // "the tests to pass" is what somebody wants.
    let wanted = at > 0 && ["to", "a", "of"].contains(&words[at - 1].text.as_str());
    let other = words.get(at + 1).is_some_and(|next| next.text == "of");
    (WELL.contains(&word) && !wanted && !other).then_some(at)
}

/// What is spoken of: its first word and its last.
struct Subject {
    from: usize,
    to: usize,
    kind: CheckKind,
}

fn subjects(words: &[Word]) -> Vec<Subject> {
    let mut all: Vec<Subject> = Vec::new();
    for at in 0..words.len() {
        let Some(kind) = subject(words, at) else { continue };
        match all.last_mut() {
            // "test suite", "lint checks".
            Some(before) if before.to + 1 == at => before.to = at,
            _ => {
                let part =
                    |word: &&Word| BEFORE.contains(&word.text.as_str()) || is_number(&word.text);
                let free = all.last().map_or(0, |before| before.to + 1);
                let before = words[free..at].iter().rev().take_while(part).count();
                all.push(Subject { from: at - before, to: at, kind });
            }
        }
    }
    all
}

fn of_clause(words: &[Word]) -> Vec<Said> {
    let subjects = subjects(words);
    let (Some(first), Some(last)) = (subjects.first(), subjects.last()) else {
        return counted(words).into_iter().collect();
    };
    let find = |from: usize, to: usize| (from..to.min(words.len())).find_map(|at| well(words, at));
    let before = (first.from > 0).then(|| well(words, first.from - 1)).flatten();
    let compiles = last.kind == CheckKind::Build && words[last.to].text == "compiles";
    // How many of them it is said of, and from where to where that goes.
    let (count, from, to) = if let Some(to) = find(last.to + 1, last.to + 1 + APART_MAX) {
        (subjects.len(), first.from, furthest(words, to))
    } else if before == Some(first.from.wrapping_sub(1)) {
        (subjects.len(), first.from - 1, last.to)
    } else if compiles {
        (subjects.len(), first.from, last.to)
    } else if let Some(to) = find(first.to + 1, last.from) {
        // "tests pass, and so does the build".
        (1, first.from, to)
    } else {
        return Vec::new();
    };
    if is_doubtful(words, to) {
        return Vec::new();
    }
    let said = subjects[..count].iter().enumerate().map(|(n, subject)| {
        let from = if n == 0 { from } else { subject.from };
        let to = if n + 1 == count { to } else { subject.to };
        Said { kind: subject.kind, place: words[from].place.start..words[to].place.end }
    });
    said.collect()
}

/// "12 passed" speaks of tests.
fn counted(words: &[Word]) -> Option<Said> {
    let at = words.windows(2).position(|pair| {
        is_number(&pair[0].text) && ["passed", "passing"].contains(&pair[1].text.as_str())
    })?;
    let place = words[at].place.start..words[at + 1].place.end;
    (!is_doubtful(words, at + 1)).then_some(Said { kind: CheckKind::Test, place })
}

/// "pass cleanly", "clean, without errors": the last of such words in a row.
fn furthest(words: &[Word], mut at: usize) -> usize {
    while let Some(next) = (at + 1..words.len().min(at + 2)).find_map(|n| well(words, n)) {
        at = next;
    }
    at
}

/// Whether what is said up to a word is not meant so.
fn is_doubtful(words: &[Word], to: usize) -> bool {
    let has = |words: &[Word], list: &[&str]| words.iter().any(|w| list.contains(&w.text.as_str()));
    let bad = words.iter().enumerate().any(|(at, word)| {
        let none = words[at.saturating_sub(2)..at].iter().any(|w| NONE.contains(&w.text.as_str()));
        BADLY.contains(&word.text.as_str()) && !none
    });
    bad || has(&words[..=to], &DOUBTS) || has(&words[to..], &LIMITS)
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || matches!(c, '/' | ',' | '.'))
}

/// The clauses of a text, each as its words: without blocks of code, quotes and questions.
fn clauses(text: &str) -> Vec<Vec<Word>> {
    let mut all = Vec::new();
    let mut fence: Option<char> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let bare = line.trim_start();
        let mark = ['`', '~'].into_iter().find(|c| bare.starts_with(&c.to_string().repeat(3)));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            // A quote, or a block of code by its indentation.
            (None, None)
                if bare.starts_with('>') || line.starts_with("    ") || line.starts_with('\t') => {}
            (None, None) => line_clauses(line, start, &mut all),
        }
    }
    all
}

fn line_clauses(line: &str, start: usize, all: &mut Vec<Vec<Word>>) {
    let mut words: Vec<Word> = Vec::new();
    let mut word: Option<usize> = None;
    let chars: Vec<(usize, char)> = line.char_indices().chain([(line.len(), '\n')]).collect();
    for (n, (at, c)) in chars.iter().copied().enumerate() {
        let next = chars.get(n + 1).map_or('\n', |(_, c)| *c);
        // A dot within a number or a name ends nothing.
        let joins = matches!(c, '.' | '/' | '-' | ',' | '\'' | '’' | '+') && next.is_alphanumeric();
        let is_part = c.is_alphanumeric() || c == '✅' || (word.is_some() && joins);
        if is_part {
            word.get_or_insert(at);
            continue;
        }
        if let Some(from) = word.take() {
            let text = line[from..at].to_lowercase().replace('’', "'");
            if TURNS.contains(&text.as_str()) {
                all.push(std::mem::take(&mut words));
            }
            words.push(Word { text, place: start + from..start + at });
        }
        match c {
            '?' => words.clear(),
            '.' | '!' | ';' | '\n' | '—' | '–' | '|' => all.push(std::mem::take(&mut words)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
