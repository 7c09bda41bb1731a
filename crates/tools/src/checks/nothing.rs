//! Arguments with which programs that check something check nothing: they list, show, prepare or pretend. What
//! the others check is [`super::known`]'s.

/// Arguments with which any program checks nothing.
const NOTHING: [&str; 23] = [
    "-h",
    "--help",
    "--version",
    "-V",
    "--list",
    "--listTests",
    "--list-tests",
    "--list-files",
    "--listenvs",
    "--show-only",
    "--showConfig",
    "--clearCache",
    "--fixtures",
    "--markers",
    "--setup-only",
    "--setup-plan",
    "--collect-only",
    "--co",
    "--notest",
    "--dry",
    "--dry-run",
    "--ignore-errors",
    "--if-present",
];

/// Arguments with which these do not: flags anywhere, other words as the first that is no flag.
const NOTHING_OF: [(&str, &[&str]); 25] = [
    ("go", &["-list", "-n"]),
    ("ctest", &["-N"]),
    ("vitest", &["list", "init", "bench"]),
    ("jest", &["--init"]),
    ("tox", &["-l", "-a", "list", "config", "devenv", "depends"]),
    ("nox", &["-l", "--install-only"]),
    ("prove", &["-D"]),
    ("behave", &["-d"]),
    ("trial", &["-n"]),
    ("bats", &["-c", "--count"]),
    ("busted", &["-l"]),
    ("karma", &["init"]),
    ("mvn", &["-fn", "--fail-never", "-Dmaven.test.failure.ignore"]),
    ("mvnw", &["-fn", "--fail-never", "-Dmaven.test.failure.ignore"]),
    ("gradle", &["-m", "help", "tasks"]),
    ("gradlew", &["-m", "help", "tasks"]),
    ("dotnet", &["-t"]),
    ("swift", &["-l"]),
    ("bazel", &["query", "cquery", "aquery"]),
    ("bazelisk", &["query", "cquery", "aquery"]),
    ("just", &["-n", "-l", "-s", "--show", "--summary"]),
    ("task", &["-n", "-l", "-a", "--list-all", "--status"]),
    ("mise", &["-n"]),
    ("rake", &["-n", "-T", "-P", "--tasks", "--prereqs"]),
    ("invoke", &["-l"]),
];

/// What `make` says, asks or pretends in the place of working, and where its exit code says nothing.
const MAKE_NOTHING: [&str; 4] = ["--just-print", "--recon", "--question", "--touch"];

/// Flags of `make` that take the rest of their word.
const MAKE_WITH_WORD: &str = "CfIjloWEO";

/// With which of these a build tool leaves tests out.
const SKIPS_TESTS: [&str; 2] = ["-DskipTests", "-Dmaven.test.skip"];

/// Whether a program with these arguments says, shows or prepares something and no more.
pub(super) fn checks_nothing(program: &str, rest: &[&str]) -> bool {
    let bare = |word: &str| word.split_once('=').map_or(word, |(flag, _)| flag).to_owned();
    if rest.iter().any(|word| NOTHING.contains(&bare(word).as_str())) {
        return true;
    }
    if matches!(program, "make" | "gmake") {
        return rest.iter().any(|word| {
            let own = word.split(|letter| MAKE_WITH_WORD.contains(letter)).next();
            MAKE_NOTHING.contains(word) || has_short(own.unwrap_or_default(), "nqti")
        });
    }
    let Some((_, nothing)) = NOTHING_OF.iter().find(|(known, _)| *known == program) else {
        return false;
    };
    let verb = rest.iter().find(|word| !word.starts_with('-'));
    let flags = rest.iter().filter(|word| word.starts_with('-'));
    flags.chain(verb).any(|word| nothing.contains(&bare(word).as_str()))
}

/// Whether a build tool with these arguments leaves tests out.
pub(super) fn skips_tests(program: &str, rest: &[&str]) -> bool {
    let skipped = |word: &&str| match word.split_once('=') {
        Some((flag, value)) => SKIPS_TESTS.contains(&flag) && value != "false",
        None => SKIPS_TESTS.contains(word),
    };
    let left_out = |pair: &[&str]| {
        let task = pair[1].to_ascii_lowercase();
        matches!(pair[0], "-x" | "--exclude-task")
            && (task.contains("test") || task.contains("check"))
    };
    rest.iter().any(skipped)
        || matches!(program, "gradle" | "gradlew") && rest.windows(2).any(left_out)
}

/// Whether a shell with these flags runs nothing of what it reads.
pub(super) fn only_reads(flags: &[&str]) -> bool {
    flags.iter().take_while(|flag| flag.starts_with('-')).any(|flag| has_short(flag, "n"))
        || flags.windows(2).any(|pair| has_short(pair[0], "o") && pair[1] == "noexec")
}

/// Whether one of the letters is among those of a word of short flags.
pub(super) fn has_short(word: &str, letters: &str) -> bool {
    let flags = word.strip_prefix('-').filter(|flags| !flags.starts_with('-'));
    flags.is_some_and(|flags| flags.contains(|letter| letters.contains(letter)))
}
