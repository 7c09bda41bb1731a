//! Which commands the tool `sandbox_cmd` runs: some programs, without a shell. What it refuses is an answer, not a
//! failure.

use crate::workspace::{self, PathDenied};
use std::path::Path;
use toft_model::boot::HOST_OWN;

/// The programs.
pub const PROGRAMS: [&str; 4] = ["bun", "bunx", "mkdir", "rm"];
/// What only a shell gives a meaning to.
const SHELL: [char; 11] = [';', '&', '|', '`', '$', '>', '<', '(', ')', '{', '}'];
/// Bytes of a command: longer than people write.
const BYTES_MAX: usize = 8 << 10;
/// Git's own folder.
const GIT: &str = ".git";

/// Why a command is not run, in words for a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandDenied {
    /// There is nothing to run.
    #[error("the command is empty: say what to run")]
    Empty,
    /// It is longer than commands are.
    #[error("the command is longer than {BYTES_MAX} bytes")]
    Long,
    /// It means something to a shell, and there is none.
    #[error(
        "{0:?} is not allowed in a command: it runs without a shell. Run one program at a time"
    )]
    Shell(char),
    /// A quote that does not end.
    #[error("a quote is not closed")]
    Quote,
    /// Another program.
    #[error("{0} is not allowed: the programs are bun, bunx, mkdir and rm, by these names")]
    Program(String),
    /// History is not removed.
    #[error("{0} is git's own: it is neither removed nor added to")]
    Git(String),
    /// Conversations and logs are not removed.
    #[error("{0} is Toft's own, or holds what is: it is neither removed nor added to")]
    Own(String),
    /// What may not be removed lies in it.
    #[error("{1} lies in {0}, and is not removed by this tool: remove what is beside it by name")]
    Holds(String, String),
    /// More lies in it than can be looked through.
    #[error(
        "too much lies in {0} to see that nothing of git's and no secret is removed: remove its parts by name"
    )]
    Much(String),
    /// All of the project.
    #[error("the project's folder itself is not removed")]
    All,
    /// A path that may not be touched.
    #[error(transparent)]
    Path(#[from] PathDenied),
}

/// The program and its arguments. `cwd`: where it starts, below the project's folder.
pub fn judge(command: &str, cwd: &str) -> Result<Vec<String>, CommandDenied> {
    if command.len() > BYTES_MAX {
        return Err(CommandDenied::Long);
    }
    if let Some(found) = command.chars().find(|c| SHELL.contains(c) || c.is_control() && *c != '\t')
    {
        return Err(CommandDenied::Shell(found));
    }
    let words = words(command)?;
    let Some((program, arguments)) = words.split_first() else { return Err(CommandDenied::Empty) };
    if !PROGRAMS.contains(&program.as_str()) {
        return Err(CommandDenied::Program(program.clone()));
    }
    workspace::inside(cwd)?;
    for path in paths(program, arguments) {
        touched(program, path, cwd)?;
    }
    Ok(words)
}

/// Judges what a command that was allowed touches in truth: `real` says where a path of it leads, from the project's
/// folder, once links on the way were followed; `None`: out of it.
pub fn judge_again(
    words: &[String],
    real: impl Fn(&str) -> Option<String>,
) -> Result<(), CommandDenied> {
    let Some((program, arguments)) = words.split_first() else { return Err(CommandDenied::Empty) };
    for path in paths(program, arguments) {
        let real = real(path).ok_or_else(|| PathDenied::Outside(path.to_owned()))?;
        touched(program, &real, ".")?;
    }
    Ok(())
}

/// What a command that was allowed would remove, with all that is in it.
pub fn removed(words: &[String]) -> Vec<&str> {
    match words.split_first() {
        Some((program, arguments)) if program == "rm" => paths(program, arguments),
        _ => Vec::new(),
    }
}

/// The arguments that are paths, of those programs that touch nothing else.
fn paths<'a>(program: &str, arguments: &'a [String]) -> Vec<&'a str> {
    let mut paths = Vec::new();
    if !matches!(program, "rm" | "mkdir") {
        return paths;
    }
    let mut all = false;
    let mut skip = false;
    for argument in arguments {
        if std::mem::take(&mut skip) {
            continue;
        }
        match argument.as_str() {
            "--" if !all => all = true,
            // Takes a value of its own.
            "-m" | "--mode" if !all && program == "mkdir" => skip = true,
            option if !all && option.len() > 1 && option.starts_with('-') => {}
            path => paths.push(path),
        }
    }
    paths
}

fn touched(program: &str, path: &str, cwd: &str) -> Result<(), CommandDenied> {
    let whole = Path::new(cwd).join(path);
    let clean = workspace::inside(&whole.to_string_lossy())
        .map_err(|_| PathDenied::Outside(path.to_owned()))?;
    let mut names = clean.components().map(|part| part.as_os_str().to_string_lossy());
    if names.clone().any(|name| name.eq_ignore_ascii_case(GIT)) {
        return Err(CommandDenied::Git(path.to_owned()));
    }
    let is_own = |own: &str| {
        clean.starts_with(own) || (program == "rm" && Path::new(own).starts_with(&clean))
    };
    if !clean.as_os_str().is_empty() && HOST_OWN.into_iter().any(is_own) {
        return Err(CommandDenied::Own(path.to_owned()));
    }
    if names.any(|name| workspace::is_secret(&name)) {
        return Err(PathDenied::Secret(path.to_owned()).into());
    }
    if program == "rm" && clean.as_os_str().is_empty() {
        return Err(CommandDenied::All);
    }
    Ok(())
}

/// Words as a shell would part them: by blanks, but for what stands in quotes or behind `\`.
fn words(command: &str) -> Result<Vec<String>, CommandDenied> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut rest = command.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None | Some('"'), '\\') => {
                word.get_or_insert_default().push(rest.next().ok_or(CommandDenied::Quote)?);
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(CommandDenied::Quote);
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str, expected: Result<&[&str], &str>) {
        match (judge(command, "."), expected) {
            (Ok(words), Ok(wanted)) => assert_eq!(words, wanted, "{command}"),
            (Err(denied), Err(part)) => {
                assert!(denied.to_string().contains(part), "{command}: {denied}");
            }
            (got, expected) => panic!("{command}: {got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn the_four_programs_run_by_their_names() {
        check("bun run build", Ok(&["bun", "run", "build"]));
        check("bunx tsc --noEmit", Ok(&["bunx", "tsc", "--noEmit"]));
        check("mkdir -p 'a b/c' \"d e\"", Ok(&["mkdir", "-p", "a b/c", "d e"]));
        check(
            "rm -rf node_modules .next a\\ b",
            Ok(&["rm", "-rf", "node_modules", ".next", "a b"]),
        );
        check("mkdir -m 700 a", Ok(&["mkdir", "-m", "700", "a"]));
        for other in [
            "node x.js",
            "/usr/bin/bun install",
            "./bun",
            "sh -c x",
            "BUN=1 bun",
            "git status",
            "bun2",
        ] {
            check(other, Err("is not allowed: the programs are"));
        }
        check("  ", Err("empty"));
        check("bun 'x", Err("not closed"));
        check("bun \\", Err("not closed"));
        check(&format!("bun {}", "x".repeat(BYTES_MAX)), Err("longer than"));
    }

    #[test]
    fn what_means_something_to_a_shell_is_refused_also_in_quotes() {
        for sign in SHELL {
            check(&format!("bun run a{sign}b"), Err("without a shell"));
            check(&format!("bun run 'a{sign}b'"), Err("without a shell"));
        }
        for sign in ['\n', '\r', '\0'] {
            check(&format!("bun run a{sign}b"), Err("without a shell"));
        }
    }

    #[test]
    fn history_secrets_and_what_lies_outside_are_not_removed() {
        for git in [
            "rm -rf .git",
            "rm .git/HEAD",
            "rm -rf -- sub/../.git",
            "rm -r .GIT",
            "rm -rf a/.git/",
            "mkdir .git/x",
        ] {
            check(git, Err("git's own"));
        }
        for outside in ["rm -rf /", "rm /etc/passwd", "rm -rf ../other", "rm a/../../b", "mkdir /x"]
        {
            check(outside, Err("outside"));
        }
        for all in ["rm -rf .", "rm -rf a/..", "rm -rf ./", "rm -r ''"] {
            check(all, Err("itself is not removed"));
        }
        for own in
            ["rm -rf .toft", "rm -rf .toft/log", "rm .toft/log/events.jsonl", "mkdir .toft/home/x"]
        {
            check(own, Err("Toft's own"));
        }
        check("mkdir -p .toft/skills/x", Ok(&["mkdir", "-p", ".toft/skills/x"]));
        let words = ["rm", "-rf", "link/x"].map(str::to_owned);
        let leads = |to: Option<&str>| judge_again(&words, |_| to.map(str::to_owned));
        assert!(leads(Some("sub/x")).is_ok());
        assert_eq!(leads(None), Err(PathDenied::Outside("link/x".into()).into()));
        assert_eq!(leads(Some(".git/x")), Err(CommandDenied::Git(".git/x".into())));
        check("rm .env", Err("secrets"));
        check("rm .env.example", Ok(&["rm", ".env.example"]));
        check("rm -- -x", Ok(&["rm", "--", "-x"]));
        assert!(judge("rm ../a", "sub").is_ok(), "it is inside, seen from there");
        assert!(judge("bun install", "../x").is_err());
    }
}
