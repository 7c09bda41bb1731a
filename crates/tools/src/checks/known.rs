//! Programs that check something, by their names and arguments.

use super::nothing::{checks_nothing, has_short, only_reads, skips_tests};
use toft_model::receipt::CheckKind;

/// Programs before a program, with those of their flags that take a word.
const BEFORE: [(&str, &str); 13] = [
    ("sudo", "ugp"),
    ("doas", "u"),
    ("env", "uC"),
    ("nohup", ""),
    ("time", "of"),
    ("nice", "n"),
    ("ionice", "cn"),
    ("setsid", ""),
    ("timeout", "ks"),
    ("stdbuf", "ioe"),
    ("command", ""),
    ("builtin", ""),
    ("xvfb-run", "s"),
];

/// Programs that run another one from a project's own packages, with the words that say so.
const RUNNERS: [(&str, &[&str]); 13] = [
    ("npx", &[]),
    ("bunx", &[]),
    ("uvx", &[]),
    ("pipx", &["run"]),
    ("pnpx", &[]),
    ("pnpm", &["exec", "dlx"]),
    ("yarn", &["exec", "dlx"]),
    ("npm", &["exec", "x"]),
    ("bun", &["x"]),
    ("uv", &["run"]),
    ("poetry", &["run"]),
    ("pipenv", &["run"]),
    ("bundle", &["exec"]),
];

const TESTS: [&str; 23] = [
    "pytest",
    "py.test",
    "tox",
    "nox",
    "jest",
    "vitest",
    "mocha",
    "ava",
    "tap",
    "jasmine",
    "karma",
    "rspec",
    "phpunit",
    "pest",
    "ctest",
    "bats",
    "prove",
    "busted",
    "gotestsum",
    "nosetests",
    "behave",
    "trial",
    "minitest",
];

const LINTS: [&str; 34] = [
    "eslint",
    "oxlint",
    "biome",
    "stylelint",
    "flake8",
    "pylint",
    "mypy",
    "pyright",
    "basedpyright",
    "ty",
    "golangci-lint",
    "staticcheck",
    "rubocop",
    "shellcheck",
    "vue-tsc",
    "svelte-check",
    "phpstan",
    "psalm",
    "phpcs",
    "ktlint",
    "detekt",
    "swiftlint",
    "hadolint",
    "yamllint",
    "actionlint",
    "markdownlint",
    "clang-tidy",
    "cppcheck",
    "xo",
    "standard",
    "tslint",
    "credo",
    "knip",
    "cargo-clippy",
];

const BUILDS: [&str; 12] = [
    "webpack", "rollup", "esbuild", "tsup", "rustc", "ninja", "parcel", "tsdown", "javac", "gcc",
    "g++", "clang",
];

/// The words of a command from its program on: without variables and programs that only run it.
pub(super) fn bare<'a>(mut words: &'a [&'a str]) -> &'a [&'a str] {
    loop {
        let Some(first) = words.first() else { return words };
        if is_assignment(first) {
            words = &words[1..];
            continue;
        }
        let Some((_, with_word)) = BEFORE.iter().find(|(program, _)| *program == name(first))
        else {
            return words;
        };
        let times = name(first) == "timeout";
        let rest = &words[1..];
        words = after_flags(rest, with_word);
        // It says what it would run.
        let asks = match name(first) {
            "command" => "vV",
            "sudo" => "l",
            _ => "",
        };
        if rest[..rest.len() - words.len()].iter().any(|flag| has_short(flag, asks)) {
            return &[];
        }
        // How long.
        if times {
            words = words.get(1..).unwrap_or_default();
        }
    }
}

/// What a shell is given to run after `-c`.
pub(super) fn inner_line<'a>(words: &[&'a str]) -> Option<&'a str> {
    if !is_shell(words.first()?) {
        return None;
    }
    let flag = |w: &&str| w.starts_with('-') && !w.starts_with("--") && w.contains('c');
    let at = words.iter().position(flag)?;
    words.get(at + 1).copied().filter(|_| !only_reads(&words[1..=at]))
}

/// What a command checks.
pub(super) fn kind(words: &[&str]) -> Option<CheckKind> {
    let (first, rest) = words.split_first()?;
    let program = name(first);
    if checks_nothing(program, rest) {
        return None;
    }
    let has = |word: &str| rest.contains(&word);
    // The first word that is no flag, and what follows it.
    let verb = |with_word: &str| after_flags(rest, with_word).first().copied().unwrap_or_default();
    if let Some((_, verbs)) = RUNNERS.iter().find(|(runner, _)| *runner == program) {
        let asked = after_flags(rest, "p");
        match asked.split_first() {
            Some((verb, asked)) if verbs.contains(verb) => {
                return kind(after_flags(asked, "p"));
            }
            Some(_) if verbs.is_empty() => return kind(asked),
            _ => {}
        }
    }
    match program {
        "cargo" => cargo(rest),
        "npm" | "pnpm" | "yarn" | "bun" => script(rest),
        "deno" => match verb("") {
            "test" if has("--no-run") => Some(CheckKind::Build),
            "test" => Some(CheckKind::Test),
            "lint" | "check" => Some(CheckKind::Lint),
            "task" => script(rest.get(1..)?),
            _ => None,
        },
        "make" | "gmake" | "just" | "task" | "mise" | "rake" | "invoke" => {
            let target = after_flags(rest, "Cfj");
            let target: Vec<&&str> = target.iter().filter(|word| !is_assignment(word)).collect();
            match target.as_slice() {
                [] if program.ends_with("make") => Some(CheckKind::Build),
                targets => targets.iter().find_map(|target| named(target)),
            }
        }
        "go" => match verb("C") {
            // Only compiled.
            "test" if has("-c") => Some(CheckKind::Build),
            "test" => Some(CheckKind::Test),
            "vet" => Some(CheckKind::Lint),
            "build" | "install" => Some(CheckKind::Build),
            _ => None,
        },
        "mvn" | "mvnw" | "gradle" | "gradlew" | "sbt" | "lein" | "dotnet" | "swift" | "mix"
        | "flutter" | "dart" | "zig" | "bazel" | "bazelisk" | "stack" | "cabal" | "dune" => {
            let found = targets(rest).find_map(|word| match word {
                "verify" | "integration-test" => Some(CheckKind::Test),
                "package" | "assemble" | "publish" => Some(CheckKind::Build),
                "analyze" | "credo" | "dialyzer" => Some(CheckKind::Lint),
                "list" => None,
                word => named(word.rsplit(':').next().unwrap_or_default()),
            });
            match found {
                Some(CheckKind::Test | CheckKind::Check) if skips_tests(program, rest) => {
                    Some(CheckKind::Build)
                }
                found => found,
            }
        }
        "playwright" => (verb("") == "test").then_some(CheckKind::Test),
        "cypress" => (verb("") == "run").then_some(CheckKind::Test),
        "ruff" => (has("check") || has("--check")).then_some(CheckKind::Lint),
        "black" | "isort" | "gofmt" | "rustfmt" | "dprint" | "oxfmt" | "prettier" => {
            let checks = ["--check", "-c", "check", "--list-different", "-l"];
            checks.iter().any(|word| has(word)).then_some(CheckKind::Lint)
        }
        "tsc" if has("--noEmit") => Some(CheckKind::Lint),
        "tsc" => Some(CheckKind::Build),
        "vite" | "next" | "astro" | "nuxt" | "ng" | "docker" | "podman" | "hugo" => {
            rest.iter().find_map(|word| match *word {
                "build" => Some(CheckKind::Build),
                "test" => Some(CheckKind::Test),
                "lint" => Some(CheckKind::Lint),
                _ => None,
            })
        }
        "cmake" => has("--build").then_some(CheckKind::Build),
        "node" => has("--test").then_some(CheckKind::Test),
        "python" | "python3" => python(rest),
        _ if TESTS.contains(&program) => Some(CheckKind::Test),
        _ if LINTS.contains(&program) => Some(CheckKind::Lint),
        _ if BUILDS.contains(&program) => Some(CheckKind::Build),
        _ if is_shell(first) => own_script(verb("")).filter(|_| !only_reads(rest)),
        _ if first.contains('/') => own_script(first),
        _ => None,
    }
}

/// The words of a build tool that are no flags, nor what `-x` leaves out. `swift test list` lists.
fn targets<'a>(rest: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let lists = rest.ends_with(&["test", "list"]);
    let after = |at: usize| at.checked_sub(1).and_then(|before| rest.get(before));
    let left_out = move |at: usize| matches!(after(at), Some(&"-x" | &"--exclude-task"));
    let words = rest.iter().enumerate().filter(move |(at, _)| !lists && !left_out(*at));
    words.map(|(_, word)| *word).filter(|word| !word.starts_with('-'))
}

fn cargo(rest: &[&str]) -> Option<CheckKind> {
    let rest = match rest.split_first() {
        Some((toolchain, rest)) if toolchain.starts_with('+') => rest,
        _ => rest,
    };
    let (verb, rest) = after_flags(rest, "CZ").split_first()?;
    let first = after_flags(rest, "").first().copied().unwrap_or_default();
    match *verb {
        "nextest" if first == "archive" => Some(CheckKind::Build),
        "nextest" if !matches!(first, "run" | "r") => None,
        "llvm-cov" if matches!(first, "report" | "clean" | "show-env") => None,
        "test" | "t" | "nextest" | "tarpaulin" | "llvm-cov" if rest.contains(&"--no-run") => {
            Some(CheckKind::Build)
        }
        "test" | "t" | "nextest" | "tarpaulin" | "llvm-cov" => Some(CheckKind::Test),
        "deny" if matches!(first, "list" | "init" | "fetch") => None,
        "clippy" | "deny" | "audit" => Some(CheckKind::Lint),
        "fmt" => rest.contains(&"--check").then_some(CheckKind::Lint),
        "build" | "b" | "check" | "c" | "doc" => Some(CheckKind::Build),
        _ => None,
    }
}

/// A package's script.
fn script(rest: &[&str]) -> Option<CheckKind> {
    let rest = after_flags(rest, "CwF");
    let rest = match rest.split_first()? {
        (&("run" | "run-script" | "workspaces" | "foreach"), rest) => after_flags(rest, "CwF"),
        (&"workspace", rest) => rest.get(1..)?,
        (&("t" | "tst"), _) => return Some(CheckKind::Test),
        (&("install" | "add" | "remove" | "i" | "ci" | "create" | "init" | "publish"), _) => {
            return None;
        }
        _ => rest,
    };
    named(rest.first()?)
}

fn python(rest: &[&str]) -> Option<CheckKind> {
    match rest {
        ["-m", "unittest", ..] => Some(CheckKind::Test),
        ["-m", "build" | "compileall" | "py_compile", ..] => Some(CheckKind::Build),
        ["-m", module @ ..] => kind(module),
        [file, "test", ..] if file.ends_with("manage.py") => Some(CheckKind::Test),
        [file, ..] if !file.starts_with('-') => own_script(file),
        _ => None,
    }
}

/// A script of the project's own, by its file's name.
fn own_script(path: &str) -> Option<CheckKind> {
    let file = name(path);
    let stem = file.split_once('.').map_or(file, |(stem, _)| stem);
    named(stem)
}

/// A target or script by its name, whose parts are words.
fn named(target: &str) -> Option<CheckKind> {
    let target = target.to_ascii_lowercase();
    let has =
        |words: &[&str]| target.split([':', '-', '_', '.', '/']).any(|part| words.contains(&part));
    if has(&["fix", "watch", "dev", "clean", "install", "setup", "data", "server", "serve"]) {
        return None;
    }
    if has(&["test", "tests", "spec", "specs", "e2e", "unit", "vitest", "jest", "pytest", "tested"])
    {
        return Some(CheckKind::Test);
    }
    if has(&["lint", "lints", "eslint", "typecheck", "types", "tsc", "clippy", "style", "linter"])
        || target.contains("type-check")
        || has(&["format", "fmt"]) && has(&["check"])
    {
        return Some(CheckKind::Lint);
    }
    if has(&["build", "compile", "bundle"]) {
        return Some(CheckKind::Build);
    }
    has(&["check", "checks", "verify", "validate", "ci"]).then_some(CheckKind::Check)
}

fn name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

fn is_shell(program: &str) -> bool {
    ["bash", "sh", "dash", "zsh", "ksh", "ash"].contains(&name(program))
}

/// The words behind the flags at the beginning. Those named by a letter take the next word, unless it is
/// attached; of long ones, those that name a folder or a filter do.
fn after_flags<'a>(mut words: &'a [&'a str], with_word: &str) -> &'a [&'a str] {
    const LONG: [&str; 8] = [
        "--prefix",
        "--filter",
        "--workspace",
        "--dir",
        "--cwd",
        "--directory",
        "--manifest-path",
        "--package",
    ];
    while let Some((flag, rest)) = words.split_first().filter(|(word, _)| word.starts_with('-')) {
        let letters = flag.trim_start_matches('-');
        let short = !flag.starts_with("--") && letters.chars().count() == 1;
        let takes = short && with_word.contains(letters) || LONG.contains(flag);
        words = if takes { rest.get(1..).unwrap_or_default() } else { rest };
    }
    words
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}
