//! Whether a call may be done: the project's rules, judged over everything that the call is about. The
//! commands of a command line are found by [`commands`].

mod bounds;
mod commands;

pub use bounds::Bounds;
use commands::Word;
use std::path::{Path, PathBuf};
use toft_model::permission::{Action, Rule, fits};
use toft_tools::About;

/// Words before a command that run it.
const WRAPPERS: [&str; 31] = [
    "sudo", "doas", "env", "command", "builtin", "exec", "nohup", "time", "nice", "ionice",
    "setsid", "timeout", "xargs", "stdbuf", "busybox", "find", "parallel", "flock", "watch",
    "unshare", "nsenter", "chroot", "setpriv", "taskset", "chrt", "strace", "su", "runuser",
    "script", "trap", "toybox",
];

/// Those of them that take a whole command line as one word.
const LINES: [&str; 8] = ["env", "parallel", "flock", "watch", "su", "runuser", "script", "trap"];

/// Those whose words need not be programs: names that are looked for, or that come from elsewhere.
const NAMES: [&str; 4] = ["find", "xargs", "parallel", "command"];

/// Programs that run a command line after `-c`, or what their input says.
const SHELLS: [&str; 6] = ["bash", "sh", "dash", "zsh", "ksh", "ash"];

/// Long options of shells that take a word.
const SHELL_OPTIONS: [&str; 3] = ["--rcfile", "--init-file", "--emulate"];

/// Command lines within command lines.
const DEPTH_MAX: usize = 8;

/// What is to be done with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    /// A person's word is needed.
    Ask {
        /// What is asked about.
        about: String,
        /// The rules that want it.
        rules: Vec<Rule>,
        /// It could not be told what the call does: an answer counts for it alone.
        unclear: bool,
    },
    Deny {
        about: String,
        rule: Rule,
    },
}

/// Where paths of calls begin.
pub(crate) struct Places<'a> {
    pub(crate) cwd: &'a Path,
    pub(crate) home: PathBuf,
}

/// What a call is about.
#[derive(Debug, Default)]
struct Subjects {
    /// Each in its ways of being said: a rule fits one if it fits any.
    all: Vec<Vec<String>>,
    /// What may be a command too: only a rule that names it counts.
    perhaps: Vec<String>,
    unclear: bool,
}

/// Judges a call of a tool, by the names under which it is judged. `granted` says of a rule that asks whether a person has allowed for good what it asks for.
pub(crate) fn judge(
    rules: &[Rule],
    granted: impl Fn(&Rule) -> bool,
    names: &[&str],
    about: &About,
    places: &Places<'_>,
) -> Verdict {
    let is_of_it = |rule: &&Rule| names.iter().any(|name| fits(&rule.tool, name));
    let rules: Vec<&Rule> = rules.iter().filter(is_of_it).collect();
    if rules.is_empty() {
        return Verdict::Allow;
    }
    let subjects = Subjects::of(about, places);
    let mut asks: Vec<Rule> = Vec::new();
    let mut about = None;
    let mut take = |subject: &str, rule: &Rule| match rule.action {
        Action::Allow => None,
        Action::Ask if granted(rule) => None,
        Action::Ask => {
            about.get_or_insert_with(|| subject.to_owned());
            if !asks.contains(rule) {
                asks.push(rule.clone());
            }
            None
        }
        Action::Deny => Some(Verdict::Deny { about: subject.to_owned(), rule: rule.clone() }),
    };
    for ways in &subjects.all {
        let first = rules.iter().find(|rule| {
            rule.argument.as_deref().is_none_or(|pattern| ways.iter().any(|way| fits(pattern, way)))
        });
        if let Some(denied) = first.and_then(|rule| take(&ways[0], rule)) {
            return denied;
        }
    }
    for subject in &subjects.perhaps {
        let named = |rule: &&&Rule| {
            let pattern = rule.argument.as_deref().unwrap_or("*");
            !pattern.starts_with('*') && fits(pattern, subject)
        };
        if let Some(denied) = rules.iter().find(named).and_then(|rule| take(subject, rule)) {
            return denied;
        }
    }
    if subjects.unclear {
        let strict: Vec<Rule> = rules
            .iter()
            .filter(|rule| rule.action != Action::Allow)
            .map(|rule| (*rule).clone())
            .collect();
        if !strict.is_empty() {
            let about = subjects.all.first().map(|ways| ways[0].clone()).unwrap_or_default();
            return Verdict::Ask { about, rules: strict, unclear: true };
        }
    }
    match about {
        Some(about) => Verdict::Ask { about, rules: asks, unclear: false },
        None => Verdict::Allow,
    }
}

impl Places<'_> {
    /// A path, and, when links lead elsewhere, where it leads: each as it stands below the project's folder,
    /// and absolute.
    fn subjects(&self, path: &str) -> Vec<Vec<String>> {
        let mut all: Vec<Vec<String>> = Vec::new();
        for (cwd, meant) in self.meant(path) {
            let ways = ways(&cwd, &meant);
            if !all.contains(&ways) {
                all.push(ways);
            }
        }
        all
    }

    /// What a path means, and, when links lead elsewhere, where it leads: the project's folder, and the path.
    fn meant(&self, path: &str) -> Vec<(PathBuf, PathBuf)> {
        let absolute = toft_tools::absolute(self.cwd, &self.home, path);
        let real = real(&absolute);
        let led = (real != absolute).then(|| (real_folder(self.cwd), real));
        [(self.cwd.to_owned(), absolute)].into_iter().chain(led).collect()
    }
}

fn ways(cwd: &Path, absolute: &Path) -> Vec<String> {
    let below = absolute.strip_prefix(cwd).ok().map(|below| match below.to_string_lossy() {
        name if name.is_empty() => ".".to_owned(),
        name => name.into_owned(),
    });
    below.into_iter().chain([absolute.to_string_lossy().into_owned()]).collect()
}

/// Where links lead; what does not exist lies in the folder that does.
fn real(path: &Path) -> PathBuf {
    for folder in path.ancestors() {
        if let Ok(real) = folder.canonicalize() {
            return match path.strip_prefix(folder) {
                Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
                _ => real,
            };
        }
    }
    path.to_owned()
}

fn real_folder(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

impl Subjects {
    fn of(about: &About, places: &Places<'_>) -> Self {
        let mut subjects = Self::default();
        match about {
            About::Command(line) => {
                subjects.commands(line, 0);
                if subjects.unclear {
                    subjects.all.insert(0, vec![line.trim().to_owned()]);
                }
            }
            About::Paths(paths) => {
                subjects.all.extend(paths.iter().flat_map(|path| places.subjects(path)));
            }
            About::Text(text) => subjects.all.push(vec![text.clone()]),
        }
        subjects
    }

    fn commands(&mut self, line: &str, depth: usize) {
        let line = commands::read(line);
        self.unclear |= line.unclear || depth > DEPTH_MAX;
        for words in line.commands {
            self.command(&words, depth);
        }
    }

    fn command(&mut self, words: &[Word], depth: usize) {
        self.all.push(vec![joined(words)]);
        // What goes where is no part of what runs.
        let mut bare: Vec<Word> = Vec::new();
        let mut target = false;
        for word in words {
            if !target && !word.redirects {
                bare.push(word.clone());
            }
            target = word.redirects;
        }
        let set = bare.iter().take_while(|w| is_assignment(&w.text)).count();
        let bare = &bare[set..];
        let Some(first) = bare.first() else { return };
        if first.expands {
            self.unclear = true;
            return;
        }
        if bare.len() < words.len() {
            self.all.push(vec![joined(bare)]);
        }
        let name = first.text.rsplit('/').next().unwrap_or_default();
        if name != first.text {
            let rest = joined(&bare[1..]);
            self.all.push(vec![format!("{name} {rest}").trim_end().to_owned()]);
        }
        // What it then stands for is not known here.
        self.unclear |= name == "alias" && bare.iter().any(|word| word.text.contains('='));
        // A file of commands is like any program; one that the shell makes is not there yet.
        self.unclear |= matches!(name, "source" | ".") && !bare[1..].iter().all(is_file);
        if WRAPPERS.contains(&name) {
            for (n, word) in bare.iter().enumerate().skip(1) {
                // An argument that the shell makes may be a program's name.
                self.unclear |= word.expands && name != "find" && n == 1;
                self.perhaps.push(joined(&bare[n..]));
                self.inner_shell(&bare[n..], depth, !NAMES.contains(&name));
                if LINES.contains(&name) && word.text.contains(char::is_whitespace) {
                    self.line_perhaps(&word.text, depth);
                }
            }
        }
        self.inner_shell(bare, depth, true);
    }

    /// A word that may be a command line.
    fn line_perhaps(&mut self, line: &str, depth: usize) {
        if depth >= DEPTH_MAX {
            self.unclear = true;
            return;
        }
        let mut inner = Self::default();
        inner.commands(line, depth + 1);
        self.unclear |= inner.unclear;
        self.perhaps.extend(inner.all.into_iter().flatten().chain(inner.perhaps));
    }

    /// What a shell or `eval` is given to run.
    fn inner_shell(&mut self, words: &[Word], depth: usize, is_program: bool) {
        let Some(first) = words.first() else { return };
        let name = first.text.rsplit('/').next().unwrap_or_default();
        let given: Vec<&Word> = if name == "eval" {
            words[1..].iter().collect()
        } else if SHELLS.contains(&name) {
            match Told::of(&words[1..]) {
                Told::Line(line) => vec![line],
                Told::File => return,
                Told::Input => {
                    self.unclear |= is_program;
                    return;
                }
            }
        } else {
            return;
        };
        if given.iter().any(|word| word.expands) || depth >= DEPTH_MAX {
            self.unclear = true;
            return;
        }
        let line = given.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
        self.commands(&line, depth + 1);
    }
}

/// Where a shell is told what it runs.
enum Told<'a> {
    /// In this word.
    Line(&'a Word),
    /// In a file of a name that is known; or it only tells something of itself.
    File,
    /// On its input, or it cannot be known.
    Input,
}

impl<'a> Told<'a> {
    /// By its arguments.
    fn of(arguments: &'a [Word]) -> Self {
        let (mut line, mut input) = (false, false);
        let mut arguments = arguments.iter();
        let first = loop {
            let Some(word) = arguments.next() else { return Self::Input };
            match word.text.as_str() {
                "--version" | "--help" => return Self::File,
                "-" | "--" => break arguments.next(),
                option if option.starts_with("--") => {
                    if SHELL_OPTIONS.contains(&option) {
                        arguments.next();
                    }
                }
                option if option.starts_with(['-', '+']) => {
                    if word.expands {
                        return Self::Input;
                    }
                    line |= option.starts_with('-') && option.contains('c');
                    input |= option.starts_with('-') && option.contains('s');
                    // Each of these takes a word of its own.
                    for _ in option.matches(['o', 'O']) {
                        arguments.next();
                    }
                }
                _ => break Some(word),
            }
        };
        match first {
            Some(word) if line => Self::Line(word),
            Some(word) if !input && is_file(word) => Self::File,
            Some(_) | None => Self::Input,
        }
    }
}

/// Whether a word names a file that is there already, not what comes in (`/dev/stdin`, `/dev/fd/0`, `/proc/self/fd/0`).
fn is_file(word: &Word) -> bool {
    let mut names = word.text.split('/');
    let is_input = names.clone().next_back() == Some("stdin") || names.any(|name| name == "fd");
    !word.expands && !is_input
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

#[cfg(test)]
mod tests;
